"""Option types whose values are never shown: `${NAME}` stays, everything else is masked."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field, GetCoreSchemaHandler, PlainSerializer
from pydantic_core import CoreSchema, core_schema

from pipeline.core.secret_masking import MASK, PLACE, masked_address


class SecretUrl:
    """An address whose text, dump and repr are masked; `reveal()` returns the real one.

    Equal only to another one with the same real address.
    """

    __slots__ = ("_address",)

    def __init__(self, address: str) -> None:
        self._address = address

    def reveal(self) -> str:
        """Return the unmasked address, for connecting."""
        return self._address

    def __str__(self) -> str:
        return masked_address(self._address)

    def __repr__(self) -> str:
        return f"SecretUrl('{self}')"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretUrl) and other._address == self._address

    def __hash__(self) -> int:
        return hash(self._address)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return the schema: validated from text, dumped as masked text."""
        del source, handler
        from_text = core_schema.no_info_after_validator_function(
            cls, core_schema.str_schema(min_length=1)
        )
        return core_schema.json_or_python_schema(
            json_schema=from_text,
            python_schema=core_schema.union_schema(
                [core_schema.is_instance_schema(cls), from_text]
            ),
            serialization=core_schema.plain_serializer_function_ser_schema(
                str, return_schema=core_schema.str_schema()
            ),
        )


def has_placeholder(text: str) -> bool:
    """Return whether `text` contains a `${NAME}` to be filled in."""
    return any(not match["escaped"] for match in PLACE.finditer(text))


def hidden(text: str) -> str:
    """Return a password for display: only placeholders stay."""
    places = "".join(place[0] for place in PLACE.finditer(text) if not place["escaped"])
    return text if places == text else MASK + places


def hidden_address(url: str) -> str:
    """Return an address as scheme and host only: path and query may be as good as a key."""
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
"""Text shown as `${NAME}` or `***` in configuration dumps and reports."""
Address = Annotated[str, PlainSerializer(hidden_address), Field(repr=False)]
"""An address shown as its host only in dumps and reports."""
