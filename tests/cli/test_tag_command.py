"""The command tag: words, JSON in three shapes, pictures that cannot be read."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from support.tiny_networks import brightness_classifier

import pipeline.cli.tag
from pipeline.cli.main import main


@pytest.fixture
def network(tmp_path: Path) -> Path:
    metadata = {"task": "classify", "names": "['daisy', 'tench']"}
    return brightness_classifier(tmp_path / "c.onnx", factors=(2.0, -2.0), metadata=metadata)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, level in (("black", 0), ("white", 255)):
        cv2.imwrite(str(folder / f"{name}.png"), np.full((20, 30, 3), level, np.uint8))
    return folder


def tag(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, list[str], str]:
    code = main(["tag", *map(str, arguments), "--detector", "none"])
    out, err = capsys.readouterr()
    return code, out.splitlines(), err


def test_a_line_of_words_for_each_picture(
    capsys: pytest.CaptureFixture[str], photos: Path, network: Path
) -> None:
    code, lines, _ = tag(capsys, photos, "--model", network)
    assert code == 0
    assert lines == [
        f"{photos / 'black.png'}  daisy 0.50, tench 0.50",
        f"{photos / 'white.png'}  daisy 0.98",
    ]


@pytest.mark.parametrize(
    ("shape", "answer"),
    [
        ([], {"tags": {"daisy": 0.982}}),
        (["--shape", "trackline"], {"tags": {"daisy": 0.982}}),
        (["--shape", "filestack"], {"tags": {"auto": {"daisy": 98}, "user": None}}),
        (
            ["--shape", "rekognition"],
            {"Labels": [{"Name": "Daisy", "Confidence": 98.2, "Instances": [],
                         "Parents": [{"Name": "Flower"}]}]},
        ),
    ],
)  # fmt: skip
def test_json(
    capsys: pytest.CaptureFixture[str], photos: Path, network: Path, shape: list[str], answer: dict
) -> None:
    white = photos / "white.png"
    code, [line], _ = tag(capsys, white, "--model", network, "--json", *shape)
    assert code == 0
    assert json.loads(line) == {"file": str(white)} | answer


def test_limits(capsys: pytest.CaptureFixture[str], photos: Path, network: Path) -> None:
    black = photos / "black.png"
    assert tag(capsys, black, "--model", network, "--top", 1)[1] == [f"{black}  daisy 0.50"]
    assert tag(capsys, black, "--model", network, "--threshold", 0.9)[1] == [f"{black}  -"]


def test_a_picture_that_cannot_be_read_is_named_and_the_others_are_done(
    capsys: pytest.CaptureFixture[str], photos: Path, network: Path
) -> None:
    (photos / "bad.png").write_bytes(b"no picture")
    code, lines, err = tag(capsys, photos, "--model", network)
    assert code == 1
    assert len(lines) == 2
    assert len(err.splitlines()) == 1
    assert "bad.png: not a readable picture" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--top", "0"], "top: want a whole number from 1 on, got"),
        (["--threshold", "2"], "threshold: want a number from 0 to 1, got 2.0"),
        (["--shape", "filestack"], "--shape: is for --json"),
        (["--model", "missing.onnx"], "model: no such file: missing.onnx"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], photos: Path, arguments: list[str], message: str
) -> None:
    code, lines, err = tag(capsys, photos, *arguments)
    assert (code, lines) == (2, [])
    assert message in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.usefixtures("ctrl_c")
def test_a_signal_ends_it_after_the_pictures_at_work(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    network: Path,
    number: signal.Signals,
) -> None:
    """Ctrl-C ended `tag` in the middle of a batch: pictures already looked at had no line."""
    for place in range(20):
        cv2.imwrite(str(tmp_path / f"{place:02d}.png"), np.full((20, 30, 3), 255, np.uint8))
    load = pipeline.cli.tag.load_picture

    def load_and_signal(path: Path, *more: Any) -> Any:
        if path.stem == "12":
            signal.raise_signal(number)
        return load(path, *more)

    monkeypatch.setattr(pipeline.cli.tag, "load_picture", load_and_signal)
    code, lines, err = tag(capsys, tmp_path, "--model", network)
    assert code == 128 + number
    assert err == ""
    assert [Path(line.split()[0]).stem for line in lines] == [f"{n:02d}" for n in range(8)]
