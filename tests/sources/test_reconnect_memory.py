"""A camera that is opened again and again leaves nothing behind for the garbage collector."""

from __future__ import annotations

import gc
import urllib.parse
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest
from support import rtsp_server
from support.live_fakes import until
from support.programs import program
from support.tls_front import identity, tls_before
from support.web_cameras import http_camera

from pipeline.core.errors import PipelineError
from pipeline.sources import stream

pytestmark = pytest.mark.timeout(120)

TIMES = {
    "mjpeg": 10,
    "hls": 6,
    "rtsp": 8,
    "https": 6,
    "https of a stranger": 4,
    "missing page": 10,
    "nobody there": 10,
}
"""How often each kind of camera is opened again."""


@contextmanager
def camera(kind: str, folder: Path) -> Iterator[stream.Options]:
    """Serve a camera of this kind; yield the options of the source that reads it."""
    with ExitStack() as stack:
        more = {}
        if kind == "rtsp":
            url = stack.enter_context(rtsp_server.running()).url
        elif kind == "nobody there":
            url = "http://127.0.0.1:9/cam.mjpg"
        else:
            site = stack.enter_context(http_camera())
            page = {"hls": "live/index.m3u8", "missing page": "none"}.get(kind, "cam.mjpg")
            if kind.startswith("https"):
                (folder / "tls").mkdir()
                shown = identity(folder / "tls", "IP:127.0.0.1")
                port = stack.enter_context(tls_before(int(site.rpartition(":")[2]), shown))
                site = f"https://127.0.0.1:{port}"
                more = {"ca_file": shown.certificate} if kind == "https" else {}
            url = f"{site}/{page}"
        yield stream.Options.model_validate({"url": url, "threads": 4, **more})


def open_and_close(source: stream.StreamSource, pictures: int) -> None:
    try:
        source.open()
        for _ in range(pictures):
            source.read()
    except PipelineError:
        pass
    finally:
        source.close()


def ours() -> Counter[str]:
    """Count the living objects of this program and of PyAV, by type."""
    urllib.parse.clear_cache()  # of the parts of addresses, which segments have many of
    kinds = (type(each) for each in gc.get_objects())
    return Counter(
        f"{kind.__module__}.{kind.__qualname__}"
        for kind in kinds
        if str(kind.__module__).startswith(("pipeline", "av", "urllib"))
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(TIMES))
def test_reconnects_keep_neither_objects_nor_decoder_threads(kind: str, tmp_path: Path) -> None:
    """Reader and decoder referred to each other, and errors to the frames they had passed: 14 to 40
    threads of decoders nobody used, 86 with three cameras, until the garbage collector came by."""
    if kind.startswith("https"):
        program("openssl")
    process = psutil.Process()
    with camera(kind, tmp_path) as options:
        source = stream.build(options)
        open_and_close(source, 2)
        gc.collect()
        gc.disable()
        try:
            before, threads = ours(), process.num_threads()
            for _ in range(TIMES[kind]):
                open_and_close(source, 2)
            until(lambda: process.num_threads() <= threads + 2, "decoder threads stay")
            more = ours() - before
        finally:
            gc.enable()
    assert max(more.values(), default=0) < TIMES[kind] / 2, more
