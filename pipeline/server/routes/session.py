"""Routes of the session: signing in and out."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException, Request, Response

from pipeline.server.auth import TooManyAttemptsError
from pipeline.server.context import AppContext
from pipeline.server.schemas import Login, Problem, Session
from pipeline.server.security import GRANT, session_cookie

MAX_LOGIN_BYTES = 4096


def session_routes(context: AppContext) -> APIRouter:
    """Return the routes of sessions."""
    router = APIRouter(tags=["session"])
    auth = context.auth

    def set_cookie(request: Request, response: Response, value: str, seconds: int) -> None:
        response.set_cookie(
            auth.cookie,
            value,
            max_age=seconds,
            path="/",
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="strict",
        )

    @router.post(
        "/api/login",
        status_code=204,
        responses={401: {"model": Problem}, 422: {"model": Problem}, 429: {"model": Problem}},
        max_body_size=MAX_LOGIN_BYTES,
    )
    async def log_in(request: Request, response: Response, login: Login) -> None:
        """Sign in with the token; the answer sets the session's cookie."""
        client = request.client.host if request.client else ""
        try:
            secret = auth.log_in(login.token, client)
        except TooManyAttemptsError as error:
            after = {"retry-after": str(int(error.retry_after_s) + 1)}
            raise HTTPException(429, str(error), after) from None
        if secret is None:
            raise HTTPException(401, "wrong token" if auth.token_required else "no token is set")
        set_cookie(request, response, secret, auth.session_s)

    @router.post("/api/logout", status_code=204)
    async def log_out(request: Request, response: Response) -> None:
        """End the session; its WebSocket is closed."""
        if secret := session_cookie(request.headers, auth.cookie):
            auth.log_out(secret)
        set_cookie(request, response, "", 0)

    @router.get("/api/session")
    async def session(request: Request) -> Session:
        """Return whether the client is signed in, and whether a token is required."""
        return Session(
            signed_in=request.scope.get(GRANT) is not None,
            token_required=auth.token_required,
            version=context.backend.version,
        )

    return router
