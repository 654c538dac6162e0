"""HTML elements of a report, built as a tree: all text and attributes are escaped on writing."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from xml.etree import ElementTree

Element = ElementTree.Element
Child = Element | str | int

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_BIDI = re.compile(r"[\u202a-\u202e\u2066-\u2069]")


def element(tag: str, *children: Child | Iterable[Child], **attributes: object) -> Element:
    """Return an element; `class_` is the attribute class, and `_` in names stands for `-`."""
    made = ElementTree.Element(
        tag,
        {name.rstrip("_").replace("_", "-"): clean(value) for name, value in attributes.items()},
    )
    for child in children:
        for one in [child] if isinstance(child, Element | str | int) else child:
            _append(made, one)
    return made


def _append(parent: Element, child: Child) -> None:
    if isinstance(child, Element):
        parent.append(child)
    elif len(parent):
        parent[-1].tail = (parent[-1].tail or "") + clean(child)
    else:
        parent.text = (parent.text or "") + clean(child)


def clean(value: object) -> str:
    """Return text without characters that a page cannot hold or that turn the rest around."""
    return _BIDI.sub("\ufffd", _CONTROL.sub("\ufffd", str(value)))


def document(title: str, style: str, body: Iterable[Element]) -> str:
    """Return a whole page; `style` must be ours, for it is written as it is."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("style", style),
    )
    page = element("html", head, element("body", element("main", body)), lang="en")
    return "<!doctype html>\n" + ElementTree.tostring(page, "unicode", method="html") + "\n"


def table(
    header: Iterable[Child], rows: Iterable[Iterable[Child]], **attributes: object
) -> Element:
    """Return a table that scrolls by itself where it is too wide; numbers stand to the right."""
    lines = [list(row) for row in rows]
    # A column's header stands where its cells do.
    kinds = [_is_number(cell) for cell in lines[0]] if lines else []
    head = element(
        "thead",
        element("tr", [_cell("th", one, k < len(kinds) and kinds[k])
                       for k, one in enumerate(header)]),
    )  # fmt: skip
    body = [element("tr", [_cell("td", cell, _is_number(cell)) for cell in row]) for row in lines]
    inner = element("table", head, element("tbody", body), **attributes)
    return element("div", inner, class_="scroll")


def _is_number(value: Child) -> bool:
    return isinstance(value, int) or (isinstance(value, str) and value[:1].isdigit())


def _cell(tag: str, value: Child, is_number: bool) -> Element:
    return element(tag, value, class_="number") if is_number else element(tag, value)


def jpeg_uri(data: bytes) -> str:
    """Return a JPEG file as a data URI."""
    return "data:image/jpeg;base64," + base64.b64encode(data).decode("ascii")
