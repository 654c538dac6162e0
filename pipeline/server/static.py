"""The page's files: read once from the package, answered from memory."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

PAGE = Path(__file__).resolve().parent / "page"
_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}
_WORTH_PACKING = 1024


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    packed: bytes | None
    kind: str
    etag: str


def page_routes(folder: Path = PAGE) -> list[Route]:
    """Return a route per file in `folder`, and `/` for index.html.

    What is served is found by listing the folder: a request's path is only looked up.
    """
    files = {
        f"/{path.relative_to(folder).as_posix()}": _read(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }
    if "/index.html" in files:
        files["/"] = files["/index.html"]
    return [_route(path, file) for path, file in files.items()]


def _read(path: Path) -> _File:
    content = path.read_bytes()
    kind = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0]
    packable = path.suffix in (".js", ".css", ".html", ".svg") and len(content) > _WORTH_PACKING
    return _File(
        content=content,
        packed=gzip.compress(content, 9, mtime=0) if packable else None,
        kind=kind or "application/octet-stream",
        etag=f'"{hashlib.sha256(content).hexdigest()[:32]}"',
    )


def _route(path: str, file: _File) -> Route:
    def answer(request: Request) -> Response:
        headers = {"etag": file.etag, "cache-control": "no-cache", "vary": "accept-encoding"}
        known = request.headers.get("if-none-match", "")
        if file.etag in [each.strip().removeprefix("W/") for each in known.split(",")]:
            return Response(status_code=304, headers=headers)
        if file.packed is not None and "gzip" in request.headers.get("accept-encoding", ""):
            headers["content-encoding"] = "gzip"
            return Response(file.packed, headers=headers, media_type=file.kind)
        return Response(file.content, headers=headers, media_type=file.kind)

    async def endpoint(request: Request) -> Response:
        return answer(request)

    return Route(path, endpoint, methods=["GET", "HEAD"], include_in_schema=False)
