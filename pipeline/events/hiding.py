"""Options whose values are never shown: `${NAME}` stays, everything else is masked."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, PlainSerializer

from pipeline.masking import MASK, PLACE


def hidden(text: str) -> str:
    """Return a password as it may be shown: only references to where it is stay."""
    places = "".join(place[0] for place in PLACE.finditer(text) if not place["escaped"])
    return text if places == text else MASK + places


def hidden_address(url: str) -> str:
    """Return an address with its scheme and host only: path and query may be as good as a key."""
    if "://" not in url:
        return hidden(url)
    try:
        parts = urlsplit(url)
    except ValueError:
        return MASK
    host = parts.netloc.rpartition("@")[2]
    rest = f"/{MASK}" if parts.path.strip("/") or parts.query else parts.path
    user = f"{MASK}@" if "@" in parts.netloc else ""
    return f"{parts.scheme}://{user}{host}{rest}"


Secret = Annotated[str, PlainSerializer(hidden), Field(repr=False)]
"""Text that configuration dumps and reports show as `${NAME}` or `***`."""
Address = Annotated[str, PlainSerializer(hidden_address), Field(repr=False)]
"""An address of which dumps and reports show the host only."""
