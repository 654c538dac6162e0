"""What goes wrong between a program and a camera that speaks HTTP; see test_stream_faults.py."""

from __future__ import annotations

import pytest
from support.fault_proxy import Fault, proxied
from support.stream_reading import open_patiently, read_until_lost
from support.web_cameras import http_camera

from pipeline.core.errors import SourceLostError
from pipeline.sources import stream

pytestmark = pytest.mark.timeout(60)

LIMITS = {"open_timeout_s": 2.0, "read_timeout_s": 0.7}


@pytest.mark.slow
@pytest.mark.parametrize("path", ["cam.mjpg", "live/index.m3u8"])
@pytest.mark.parametrize("fault", ["hang", "reset", "garbage"])
def test_web_cameras_are_lost_and_come_back(path: str, fault: Fault) -> None:
    with http_camera() as site, proxied(int(site.rpartition(":")[2])) as proxy:
        url = f"http://127.0.0.1:{proxy.port}/{path}"
        source = stream.build(stream.Options(url=url, **LIMITS))
        open_patiently(source)
        proxy.set(fault)
        with pytest.raises(SourceLostError):
            read_until_lost(source)
        source.close()
        proxy.set("none")
        open_patiently(source)
        source.close()
