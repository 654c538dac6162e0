"""The page's files, served by Starlette: a route per file, ETag and gzip."""

from __future__ import annotations

import mimetypes
from pathlib import Path

from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import Route
from starlette.staticfiles import StaticFiles

PAGE = Path(__file__).resolve().parent / "page"
_MIN_GZIP_BYTES = 1024

# Python 3.11 and some systems' tables call it application/javascript.
mimetypes.add_type("text/javascript", ".js")


def page_routes(folder: Path = PAGE) -> list[Route]:
    """Return a route per file in `folder`, and `/` for index.html.

    The folder is listed once: no other path reaches the disk, and the routes' paths are exactly
    those that are open without signing in. A mount at `/` would also take unknown paths.
    """
    paths = [
        f"/{path.relative_to(folder).as_posix()}"
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    ]
    if "/index.html" in paths:
        paths.append("/")
    files = StaticFiles(directory=folder, html=True)
    gzip = Middleware(GZipMiddleware, minimum_size=_MIN_GZIP_BYTES)
    return [
        Route(path, files, methods=["GET", "HEAD"], include_in_schema=False, middleware=[gzip])
        for path in paths
    ]
