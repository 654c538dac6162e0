"""Reads XML in one pass with the standard library's expat, without document types or entities.

Annotation tools write none, and a malicious file could use them to fill the memory ("billion
laughs") or to read other files, so a DOCTYPE is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import IO
from xml.parsers import expat

from pipeline.core.errors import UsageError

OnStart = Callable[[tuple[str, ...], Mapping[str, str]], None]
OnEnd = Callable[[tuple[str, ...], str], None]
MAX_DEPTH = 100


def parse(file: IO[bytes], where: str, on_start: OnStart, on_end: OnEnd) -> None:
    """Call back for each element with its path of names from the root, and at its end its text.

    ValueError and KeyError from a callback, and malformed XML, become a UsageError with the line.
    """
    path: tuple[str, ...] = ()
    texts: list[list[str]] = []
    parser = expat.ParserCreate()

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal path
        path = (*path, name)
        if len(path) > MAX_DEPTH:
            raise ValueError(f"elements are more than {MAX_DEPTH} deep within each other")
        texts.append([])
        on_start(path, attributes)

    def end(name: str) -> None:
        nonlocal path
        del name
        on_end(path, "".join(texts.pop()))
        path = path[:-1]

    def text(data: str) -> None:
        texts[-1].append(data)

    def refuse(*doctype: object) -> None:
        del doctype
        raise ValueError("a DOCTYPE, which these files do not have")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.ParseFile(file)
    except expat.ExpatError as error:
        problem = expat.errors.messages.get(error.code, str(error.code))
        raise UsageError(f"{where}:{error.lineno}: not whole XML: {problem}") from None
    except KeyError as error:
        raise UsageError(f"{where}:{parser.CurrentLineNumber}: has no {error}") from None
    except (ValueError, OverflowError) as error:
        raise UsageError(f"{where}:{parser.CurrentLineNumber}: {error}") from None
