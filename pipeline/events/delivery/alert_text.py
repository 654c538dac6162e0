"""Text of an alert: one line about its event."""

from __future__ import annotations

from datetime import datetime

from pipeline.events.store.records import StoredEvent


def alert_text(event: StoredEvent, *, is_test: bool = False) -> str:
    """Return what happened where and when, "person entered yard, camera door, 22:14:05"."""
    if is_test and event.id == 0:
        return "Test: notifications of this rule arrive here."
    clock = datetime.fromtimestamp(event.time).astimezone().strftime("%H:%M:%S")
    text = " ".join(f"{_happened(event)}, camera {event.camera}, {clock}".split())
    return f"Test with an earlier event: {text}" if is_test else text


def _happened(event: StoredEvent) -> str:
    who = event.class_name or "object"
    seconds = f"{event.dwell_s:.0f} s"
    direction = f" ({event.direction})" if event.direction else ""
    texts = {
        "enter": f"{who} entered {event.area}",
        "leave": f"{who} left {event.area} after {seconds}",
        "dwell": f"{who} in {event.area} for {seconds}",
        "cross": f"{who} crossed {event.area}{direction}",
        "appeared": f"{who} appeared",
        "lost": "no more pictures",
        "live": "picture is back",
    }
    return texts.get(event.kind, f"{who}: {event.kind} {event.area}".strip())
