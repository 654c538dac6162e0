"""Routes of alerts: rules with their state, tests, and browsers that get notifications."""

from __future__ import annotations

from threading import BoundedSemaphore
from typing import Annotated

from fastapi import APIRouter, Header, HTTPException, Path

from pipeline.server.alert_desk import AlertDesk, Alerts, AlertTest, PushEndpoint, PushSubscription
from pipeline.server.context import Responses
from pipeline.server.schemas import Problem

_INVALID: Responses = {422: {"model": Problem}, 503: {"model": Problem}}
_NOT_FOUND: Responses = {404: {"model": Problem}, **_INVALID}
_TESTED: Responses = {429: {"model": Problem}, **_NOT_FOUND}
MAX_TESTS = 4
"""Maximum concurrent tests: each occupies a request thread."""


def alert_routes(desk: AlertDesk) -> APIRouter:
    """Return the routes of alerts and of browsers that get them."""
    router = APIRouter(tags=["alerts"])
    tests = BoundedSemaphore(MAX_TESTS)

    @router.get("/api/alerts", responses={503: {"model": Problem}})
    def alerts() -> Alerts:
        """Return the rules with their state, and the newest alerts, the newest first."""
        return desk.overview()

    @router.post("/api/alerts/{rule}/test", responses=_TESTED)
    def test(rule: Annotated[str, Path(max_length=60)]) -> AlertTest:
        """Send a test to every channel of a rule and wait for the outcome, at most 25 s."""
        if not tests.acquire(blocking=False):
            raise HTTPException(429, "other tests are still in progress")
        try:
            found = desk.test(rule)
        finally:
            tests.release()
        if found is None:
            raise HTTPException(404, "there is no such rule")
        return found

    @router.post("/api/push/subscriptions", status_code=204, responses=_NOT_FOUND)
    def subscribe(
        wanted: PushSubscription,
        user_agent: Annotated[str, Header(include_in_schema=False)] = "",
    ) -> None:
        """Subscribe a browser to notifications: its subscription as the browser gives it."""
        try:
            known = desk.subscribe(wanted, user_agent)
        except ValueError as error:
            raise HTTPException(422, str(error)) from None
        if not known:
            raise HTTPException(404, "alerts.web_push is not configured")

    @router.delete("/api/push/subscriptions", status_code=204, responses=_NOT_FOUND)
    def unsubscribe(wanted: PushEndpoint) -> None:
        """Unsubscribe a browser from notifications."""
        if not desk.unsubscribe(wanted.endpoint):
            raise HTTPException(404, "there is no such subscription")

    return router
