"""Fixtures every test room shares: where the real data lies, when it is there."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from support.onnxruntime_on_cpu import use_onnxruntime
from support.paths import ROOT

# On a busy machine any example, and the making of one, may take as long as it likes.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")


def shared_folder() -> Path:
    return Path(os.environ.get("TRACKLINE_SHARED", ROOT.parent / "shared"))


@pytest.fixture(scope="session", autouse=True)
def _cache_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tests leave nothing in the user's cache folder; the programs they start neither."""
    os.environ.setdefault("TRACKLINE_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="session", autouse=True)
def _disk_is_not_waited_for() -> Iterator[None]:
    """No test cuts the power: `os.fsync` looks at its argument and waits for no disk."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: os.fstat(descriptor) and None)
        yield


@pytest.fixture(scope="session", autouse=True)
def _threads_have_one_priority() -> Iterator[None]:
    """Threads that give way to a pipeline would starve here, where tests compete with each other.

    On a busy machine the page's thread got so little that a request waited for 40 seconds.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "setpriority", lambda *about: None, raising=False)
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real weights, videos and ground truth."""
    return shared_folder()


@pytest.fixture(params=["OpenVINO", "ONNX Runtime"])
def any_library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks run on the CPU as usual, then as on CUDA: both give the same."""
    if request.param == "ONNX Runtime":
        use_onnxruntime(monkeypatch)


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt, which it does not where a shell started us with `&`."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def model(network: Path) -> Iterator[Any]:
    """A loaded model of the test file's own `network`, kept for all of its tests."""
    import pipeline

    with pipeline.load_model(network) as loaded:
        yield loaded


@pytest.fixture
def cuda() -> Any:
    """The first CUDA device; without one the test is skipped, or fails where REQUIRE_CUDA=1."""
    torch = pytest.importorskip("torch", reason="needs torch and ultralytics")
    if not torch.cuda.is_available():
        if os.environ.get("REQUIRE_CUDA") == "1":
            pytest.fail("REQUIRE_CUDA=1, and torch sees no CUDA device")
        pytest.skip("no CUDA device")
    return torch.device("cuda", 0)


@pytest.fixture(scope="module")
def one_torch_thread() -> Iterator[None]:
    """One thread for torch: on a busy machine several wait for each other, spinning."""
    torch = pytest.importorskip("torch", reason="needs torch and ultralytics")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def site() -> Iterator[Any]:
    """A web server on loopback that has weights and can be told to misbehave."""
    from support.http_server import CONTENT, DownloadServer, running

    with running(DownloadServer(CONTENT)) as started:
        yield started


def pytest_collection_finish() -> None:
    """Thousands of collected tests are no garbage: no `gc.collect` has to look at them."""
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # A thousand short tests come last: no process has a long one left when the others are done.
    items.sort(key=lambda item: item.path.parent == ROOT / "tests")
    present = shared_folder().is_dir()
    for item in items:
        if item.get_closest_marker("needs_shared") and not present:
            item.add_marker(pytest.mark.skip(reason="no ../shared folder with real data"))
