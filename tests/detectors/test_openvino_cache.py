"""Compiled networks are kept, and nobody can tell but by the clock."""

from __future__ import annotations

import gc
import hashlib
import json
import mmap
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from support.tiny_networks import colour_network

from pipeline.core.data import Detections, Frame
from pipeline.detectors.openvino.cache import CompiledModelCache
from pipeline.detectors.yolo import Options, build

GREY = Frame(np.full((64, 64, 3), 204, np.uint8), "a", 0, 0.0, 0.0)
CONFIG = {"INFERENCE_PRECISION_HINT": "f32"}


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRACKLINE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "compiled"


@pytest.fixture
def colours(tmp_path: Path) -> Path:
    return colour_network(tmp_path / "colours.onnx")


def detect(model: Path) -> tuple[dict[int, str], Detections]:
    detector = build(Options(model=str(model), conf=0.1, imgsz=64, precision="fp32"))
    try:
        return dict(detector.open()), detector.detect([GREY])[0]
    finally:
        detector.close()


def only(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found


def rewrite(path: Path, content: bytes) -> None:
    path.write_bytes(hashlib.sha256(content).digest() + content)


def is_whole(path: Path) -> bool:
    """Return whether a kept file is what it says: its first 32 bytes are the rest's digest."""
    content = path.read_bytes()
    return len(content) > 32 and hashlib.sha256(content[32:]).digest() == content[:32]


@pytest.mark.slow
def test_what_was_kept_is_what_runs(kept: Path, colours: Path, tmp_path: Path) -> None:
    """Another network's file in its place is believed: so nothing was compiled anew."""
    names, found = detect(colours)
    assert names == {0: "red", 1: "green", 2: "blue"}
    mine = only(kept, "*.blob")
    _, others = detect(colour_network(tmp_path / "other.onnx", sigmoid=True))
    assert abs(found.score[0] - others.score[0]) > 0.05
    (its,) = set(kept.glob("*.blob")) - {mine}
    mine.write_bytes(its.read_bytes())
    np.testing.assert_array_equal(detect(colours)[1].score, others.score)


@pytest.mark.slow
def test_what_the_weights_say_is_kept(kept: Path, colours: Path) -> None:
    detect(colours)
    facts = only(kept, "*.json")
    network, *rest = json.loads(facts.read_bytes()[32:])
    network["names"]["1"] = "leaf"
    rewrite(facts, json.dumps([network, *rest]).encode())
    assert detect(colours)[0] == {0: "red", 1: "leaf", 2: "blue"}


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["cut", "empty", "changed", "a folder"])
@pytest.mark.parametrize("pattern", ["*.blob", "*.json"])
def test_damage_is_noticed_and_mended(kept: Path, colours: Path, pattern: str, damage: str) -> None:
    """A full disk or a killed machine must not make every later start fail, or crash.

    This failed now and then while it compared the new file's length with the old one's: OpenVINO
    writes the same network down differently each time it is compiled, 24,804 to 24,948 bytes of
    this one in 60 times.
    """
    names, found = detect(colours)
    path = only(kept, pattern)
    whole = path.read_bytes()
    if damage == "a folder":
        path.unlink()
        path.mkdir()
    else:
        cut = {"cut": whole[:-9], "empty": b"", "changed": whole[:-9] + bytes(9)}
        path.write_bytes(cut[damage])
    again = detect(colours)
    assert again[0] == names
    np.testing.assert_array_equal(again[1].score, found.score)
    if damage != "a folder":
        assert is_whole(path)
    assert not [*kept.glob("*.part")]


@pytest.mark.slow
def test_what_openvino_does_not_take_is_compiled_again(kept: Path, colours: Path) -> None:
    _, found = detect(colours)
    rewrite(only(kept, "*.blob"), b"no network at all")
    np.testing.assert_array_equal(detect(colours)[1].score, found.score)


@pytest.mark.slow
def test_other_weights_under_the_same_name_are_seen(kept: Path, colours: Path) -> None:
    """Whoever trains again and exports over the old file wants the new network."""
    _, before = detect(colours)
    colour_network(colours, sigmoid=True)
    assert abs(detect(colours)[1].score[0] - before.score[0]) > 0.05


@pytest.mark.slow
def test_weights_that_lie_in_other_files_are_seen_to_change(kept: Path, tmp_path: Path) -> None:
    """The .onnx file stays as it is when somebody trains again and replaces only the other one."""
    path = colour_network(tmp_path / "outside.onnx")
    model = onnx.load(str(path))
    onnx.save(
        model, str(path), save_as_external_data=True, location="numbers.bin", size_threshold=0
    )
    _, before = detect(path)
    numbers = tmp_path / "numbers.bin"
    boxes = np.frombuffer(numbers.read_bytes(), np.float32).copy()
    boxes[boxes == 20] = 30
    numbers.write_bytes(boxes.tobytes())
    after = detect(path)[1]
    assert before.xyxy[0, 2] - before.xyxy[0, 0] == pytest.approx(20, abs=0.1)
    assert after.xyxy[0, 2] - after.xyxy[0, 0] == pytest.approx(30, abs=0.1)


@pytest.mark.slow
def test_a_cache_that_is_only_read_is_used(
    kept: Path, colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that lies in a container's image, say: nobody may write there that it was used."""
    detect(colours)
    _, others = detect(colour_network(tmp_path / "other.onnx", sigmoid=True))
    first, second = sorted(kept.glob("*.blob"), key=lambda path: path.stat().st_mtime)
    first.write_bytes(second.read_bytes())

    def refused(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "utime", refused)
    np.testing.assert_array_equal(detect(colours)[1].score, others.score)


@pytest.mark.slow
def test_a_cache_that_cannot_be_written_does_no_harm(kept: Path, colours: Path) -> None:
    kept.parent.write_text("a file where the folder should be")
    assert len(detect(colours)[1])
    assert len(detect(colours)[1])


@pytest.mark.slow
def test_a_kept_network_runs_on_when_what_loaded_it_is_gone(kept: Path, colours: Path) -> None:
    """Its numbers lie in a file mapped into memory, which OpenVINO itself does not hold on to."""

    def compiled() -> Any:
        return CompiledModelCache(colours).compile((64, 64), CONFIG, raw_bgr=False, best=True)

    picture = GREY.image[None]
    expected = compiled()(picture)[0].copy()
    network = compiled()
    gc.collect()
    filler = [mmap.mmap(-1, 2**16) for _ in range(200)]  # take the addresses that became free
    for one in filler:
        one.write(b"\xff" * 2**16)
    np.testing.assert_array_equal(network(picture)[0], expected)


@pytest.mark.slow
def test_each_size_and_setting_is_kept_for_itself_and_the_oldest_goes(
    kept: Path, colours: Path
) -> None:
    def compile_for(side: int, max_bytes: int) -> None:
        model = CompiledModelCache(colours, max_bytes)
        model.compile((side, side), CONFIG, raw_bgr=False, best=True)

    for age, side in enumerate((128, 96, 64)):
        before = set(kept.glob("*.blob")) if kept.exists() else set()
        compile_for(side, max_bytes=2**30)
        (new,) = set(kept.glob("*.blob")) - before
        os.utime(new, (1000 * age, 1000 * age))
    sizes = sorted(path.stat().st_size for path in kept.glob("*.blob"))
    assert len(sizes) == 3
    compile_for(128, max_bytes=2**30)  # used again: now the newest
    compile_for(160, max_bytes=sizes[-1] * 2 + sizes[0] // 2)
    left = sorted(path.stat().st_mtime for path in kept.glob("*.blob"))
    assert len(left) == 2
    assert left[0] > 1e6, "one that was used just now went before one that was not"
