"""`trackline detect`: what it prints and saves, and what it says about pictures that are bad."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from support.tiny_networks import constant_network
from support.tiny_videos import noise_picture, write_video

from pipeline.cli.main import main

# A person of a low and a car of a higher score, in the network's 64x64 pixels.
ROWS = [(20, 32, 20, 10, 0.5, 0.0), (50, 30, 6, 6, 0.0, 0.8)]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = np.array(ROWS, np.float32).T[None]
    path = tmp_path_factory.mktemp("network") / "two.onnx"
    return constant_network(path, rows, metadata={"names": "{0: 'person', 1: 'car'}"})


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "below").mkdir(parents=True)
    for name in ("a.jpg", "a.png", "c.webp", "below/d.jpg"):
        assert cv2.imwrite(str(folder / name), noise_picture(1, 64, 64))
    good, data = cv2.imencode(".gif", noise_picture(1, 64, 64))
    assert good
    (folder / "b.gif").write_bytes(bytes(data))
    (folder / "notes.txt").write_text("no picture")
    return folder


@pytest.fixture
def detect(network: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*arguments: object) -> tuple[int, list[str], list[str]]:
        code = main(["detect", *map(str, arguments), "--model", str(network)])
        said = capsys.readouterr()
        return code, said.out.splitlines(), said.err.splitlines()

    return run


def test_a_folder_is_a_table_of_objects(photos: Path, detect: Any) -> None:
    code, out, err = detect(photos)
    assert (code, err) == (0, [])
    names = [Path(line.split()[0]).name for line in out]
    assert names == [
        each for name in ("a.jpg", "a.png", "b.gif", "c.webp") for each in (name, name)
    ]
    assert [line.split()[1:3] for line in out[:2]] == [["car", "0.80"], ["person", "0.50"]]
    assert [float(edge) for edge in out[1].split()[3:]] == [10, 27, 30, 37]


def test_subfolders_are_read_where_they_are_asked_for(photos: Path, detect: Any) -> None:
    _, out, _ = detect(photos, "--recursive")
    assert any("d.jpg" in line for line in out)


def test_json_has_an_object_for_each_picture(photos: Path, detect: Any) -> None:
    code, out, _ = detect(photos / "a.*", photos / "a.png", "--json")
    assert code == 0
    first, second = map(json.loads, out)
    assert [Path(each["file"]).name for each in (first, second)] == ["a.jpg", "a.png"], "each once"
    assert (first["width"], first["height"]) == (64, 64)
    assert first["objects"] == [
        {"class": "car", "class_id": 1, "score": 0.8, "box": [47.0, 27.0, 53.0, 33.0]},
        {"class": "person", "class_id": 0, "score": 0.5, "box": [10.0, 27.0, 30.0, 37.0]},
    ]


@pytest.mark.parametrize(("options", "classes"), [
    (["--one"], ["car"]),
    (["--one", "--classes", "person"], ["person"]),
    (["--conf", "0.6"], ["car"]),
    (["--conf", "0.9"], []),
    (["--set", "detector.max_det=1"], ["car"]),
])  # fmt: skip
def test_which_objects_count_is_an_option(
    options: list[str], classes: list[str], photos: Path, detect: Any
) -> None:
    _, out, _ = detect(photos / "a.jpg", "--json", *options)
    assert [each["class"] for each in json.loads(out[0])["objects"]] == classes
    _, out, _ = detect(photos / "a.jpg", *options)
    assert [line.split()[1] for line in out] == (classes or ["-"])


def test_what_is_saved(photos: Path, detect: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    save = ["--save", "annotated,csv,coco,yolo", "-o", out]
    assert detect(photos, "--recursive", *save)[0] == 0
    with (out / "detections.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 10
    assert (rows[0]["class_name"], rows[0]["score"], rows[0]["x1"]) == ("car", "0.8", "47.0")
    coco = json.loads((out / "coco.json").read_text())
    assert [image["file_name"] for image in coco["images"]] == [
        "a.jpg", "a.png", "b.gif", "below/d.jpg", "c.webp"
    ]  # fmt: skip
    assert coco["categories"] == [{"id": 1, "name": "person"}, {"id": 2, "name": "car"}]
    assert set(coco["annotations"][0]) == {
        "id", "image_id", "category_id", "bbox", "area", "iscrowd", "score"
    }  # fmt: skip
    boxes = {each["category_id"]: each["bbox"] for each in coco["annotations"]}
    assert boxes == {1: [10.0, 27.0, 20.0, 10.0], 2: [47.0, 27.0, 6.0, 6.0]}
    labels = {str(path.relative_to(out)) for path in (out / "labels").rglob("*.txt")}
    assert labels == {
        "labels/a.txt", "labels/a.png.txt", "labels/b.txt", "labels/below/d.txt", "labels/c.txt"
    }  # fmt: skip
    lines = sorted((out / "labels" / "a.txt").read_text().splitlines())
    assert lines[0] == "0 0.312500 0.500000 0.312500 0.156250"
    assert "names:\n  0: person" in (out / "data.yaml").read_text()
    drawn = {str(path.relative_to(out / "annotated")) for path in out.glob("annotated/**/*.*")}
    assert drawn == {"a.jpg", "a.png", "b.jpg", "below/d.jpg", "c.jpg"}


def test_subfolders_are_kept_for_paths_relative_to_here(
    photos: Path, detect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where one path was absolute and another was not, the other's folder was lost."""
    monkeypatch.chdir(photos)
    detect(photos / "a.jpg", "below/d.jpg", "--save", "annotated", "-o", "../out")
    assert (photos.parent / "out" / "annotated" / "below" / "d.jpg").is_file()


def test_nothing_is_written_unless_it_is_asked_for(
    photos: Path, detect: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert detect(photos)[0] == 0
    assert not list(Path().iterdir())


def test_each_bad_picture_has_its_line_and_the_others_are_done(photos: Path, detect: Any) -> None:
    data = (photos / "a.png").read_bytes()
    (photos / "cut.png").write_bytes(data[: len(data) // 2])
    (photos / "page.jpg").write_bytes(b"<!DOCTYPE html><html>")
    write_video(photos / "clip.mp4", [noise_picture(n) for n in range(2)])
    (photos / "empty").mkdir()
    code, out, err = detect(
        photos, photos / "absent.jpg", photos / "empty", photos / "*.heic", photos / "clip.mp4"
    )
    assert code == 1
    assert len(out) == 8
    says = {
        "cut.png": "damaged, cut off", "page.jpg": "it is a web page", "absent.jpg": "No such file",
        "empty": "holds no pictures", "*.heic": "matches no pictures", "clip.mp4": "it is a video",
    }  # fmt: skip
    assert len(err) == len(says), err
    for name, why in says.items():
        (line,) = [each for each in err if f"{name}: " in each]
        assert why in line
        assert line.startswith("trackline: ")


@pytest.mark.parametrize("names", [["absent.jpg"], ["absent.jpg", "absent.png"], ["*.jpg"]])
def test_nothing_to_detect_on_is_a_line_each(names: list[str], detect: Any, tmp_path: Path) -> None:
    code, out, err = detect(*(tmp_path / name for name in names))
    assert (code, out) == (1, [])
    assert len(err) == len(names)


@pytest.mark.parametrize(("options", "says"), [
    (["--save", "video"], "--save: want annotated, csv, coco, yolo, got 'video'"),
    (["--conf", "2"], "conf"),
    (["--classes", "lorry"], "lorry"),
    (["--tracker", "sort"], "--tracker"),
])  # fmt: skip
def test_mistakes_are_one_line(
    options: list[str], says: str, photos: Path, network: Path, capsys: Any
) -> None:
    assert main(["detect", str(photos), "--model", str(network), *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line


@pytest.mark.slow
def test_no_library_adds_lines_of_its_own(photos: Path, network: Path) -> None:
    """libpng, libjpeg and OpenCV each wrote theirs about the same damaged picture."""
    for name in ("a.jpg", "a.png", "c.webp"):
        data = bytearray((photos / name).read_bytes())
        middle = len(data) // 2
        data[middle : middle + 200] = bytes(200)
        (photos / name).write_bytes(bytes(data))
    command = [sys.executable, "-m", "pipeline", "detect", str(photos), "--model", str(network)]
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ, timeout=120, check=False
    )
    assert done.returncode == 1
    assert done.stderr
    assert all(line.startswith("trackline: ") for line in done.stderr.splitlines()), done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="Windows refuses such names")
def test_a_line_is_one_whatever_a_picture_is_called(tmp_path: Path, detect: Any) -> None:
    """`new\\nline.jpg` made two lines of each object's; of two spaces one was shown."""
    for name in ("new\nline.png", "two  spaces.png"):
        assert cv2.imwrite(str(tmp_path / name), noise_picture(1, 64, 64))
    for name in ("cut\noff.png", "cut  off.png"):
        (tmp_path / name).write_bytes(b"none")
    _, out, err = detect(tmp_path)
    assert [r"new\nline.png  " in line for line in out] == [True, True, False, False]
    assert ["two  spaces.png  " in line for line in out] == [False, False, True, True]
    assert [r"cut\noff.png: not a" in err[0], "cut  off.png: not a" in err[1], len(err)] == [
        True, True, 2,
    ]  # fmt: skip
