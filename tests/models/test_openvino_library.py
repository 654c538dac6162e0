"""OpenVINO without what comes with it and is not wanted."""

from __future__ import annotations

import importlib
import sys

import pytest

from pipeline.models.openvino_library import no_telemetry


def test_telemetry_is_missing_as_long_as_any_thread_wants_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first of two threads to be done brought it back for the other one, which reported the
    start to the analytics service; or both did, and the second one failed with a KeyError."""
    monkeypatch.delitem(sys.modules, "openvino_telemetry", raising=False)
    first, second = no_telemetry(), no_telemetry()
    first.__enter__()
    with second:
        first.__exit__(None, None, None)
        with pytest.raises(ImportError):
            importlib.import_module("openvino_telemetry")
