"""Pictures in, annotated pictures out, and nothing tracked unless the user asks for it."""

from __future__ import annotations

import csv
import json
import logging
import struct
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from support.paths import ROOT

import pipeline
from pipeline.cli.main import main
from pipeline.config.resolve import resolve_config
from pipeline.config.schema import Config
from pipeline.core.options import validated

STREET = ROOT / "samples" / "street.mp4"


@pytest.fixture(scope="module")
def street() -> list[np.ndarray]:
    """Three frames of the sample clip, 480x270, one second apart."""
    with av.open(str(STREET)) as container:
        frames = [f.to_ndarray(format="bgr24") for f in container.decode(video=0)][:75:25]
    return [cv2.resize(frame, (480, 270)) for frame in frames]


@pytest.fixture
def photos(tmp_path: Path, street: list[np.ndarray]) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, picture in zip(("a.JPG", "b.png", "c.webp"), street, strict=True):
        assert cv2.imwrite(str(folder / name), picture)
    return folder


def sizes(folder: Path) -> dict[str, tuple[int, ...]]:
    return {
        str(path.relative_to(folder)): cv2.imread(str(path)).shape[:2]
        for path in sorted(folder.rglob("*.*"))
    }


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "tracks.csv").open() as file:
        return list(csv.DictReader(file))


# fps, sequence, tracker -> whether the pictures are the frames of a video
ASKED = [
    (None, None, None, False),
    (None, None, "none", False),
    (None, None, "trackline", True),
    (None, None, {"max_age_s": 2}, True),
    (None, None, "sort", True),
    (25.0, None, None, True),
    (10, None, None, True),
    (10, None, "none", True),
    (None, True, None, True),
    (None, True, "none", True),
    (None, False, None, False),
    (None, False, "sort", False),
    (10, False, None, False),
    (10, False, "sort", False),
]


@pytest.mark.parametrize("given", ["source", "images"])
@pytest.mark.parametrize(("fps", "sequence", "tracker", "video"), ASKED)
@pytest.mark.slow
def test_pictures_are_a_video_only_where_asked(
    photos: Path, given: str, fps: Any, sequence: Any, tracker: Any, video: bool
) -> None:
    options = {"fps": fps, "sequence": sequence}
    named = {"source": str(photos)} if given == "source" else {"kind": given, "path": str(photos)}
    source = named | {key: value for key, value in options.items() if value is not None}
    tree: dict[str, Any] = {"sources": [source]} | ({"tracker": tracker} if tracker else {})
    (entry,) = resolve_config(validated(Config, tree, "")).sources
    assert entry.choice.options["sequence"] is video


@pytest.mark.slow
def test_recorded_detections_belong_to_a_video(photos: Path) -> None:
    tree = {"sources": [str(photos)], "detector": {"kind": "replay", "paths": ["det.txt"]}}
    (entry,) = resolve_config(validated(Config, tree, "")).sources
    assert entry.choice.options["sequence"] is True


@pytest.mark.slow
def test_a_folder_of_photos_gives_annotated_photos(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It gave an MP4 per picture size, and ids that went on from photo to photo."""
    before = {path.name: path.read_bytes() for path in photos.iterdir()}
    out = tmp_path / "out"
    assert main(["run", str(photos), "-o", str(out)]) == 0
    assert sizes(out / "photos") == dict.fromkeys(("a.JPG", "b.png", "c.jpg"), (270, 480))
    assert not list(out.rglob("*.mp4"))
    assert {path.name: path.read_bytes() for path in photos.iterdir()} == before
    found = rows(out)
    assert {row["track_id"] for row in found} == {"0"}
    assert {Path(row["file"]).name for row in found} == {"a.JPG", "b.png", "c.webp"}
    assert min(float(row["score"]) for row in found) >= 0.25, "the tracker's doubtful boxes"
    drawn = cv2.imread(str(out / "photos" / "b.png")) != cv2.imread(str(photos / "b.png"))
    assert 0 < drawn.mean() < 0.5
    assert "3 pictures in" in capsys.readouterr().out
    report = json.loads((out / "report.json").read_text())
    assert report["sources"]["photos"]["pictures"] == 3
    assert report["config"]["sources"][0]["sequence"] is False


@pytest.mark.parametrize("more", [["--tracker", "sort"], ["--set", "sources.0.fps=1"]])
@pytest.mark.slow
def test_photos_that_are_asked_to_be_tracked_give_a_video(
    photos: Path, tmp_path: Path, more: list[str]
) -> None:
    out = tmp_path / "out"
    assert main(["run", str(photos), "-o", str(out), *more]) == 0
    assert (out / "photos.mp4").is_file()
    assert not (out / "photos").exists()


@pytest.mark.slow
def test_videos_beside_photos_are_tracked(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "clip.mp4").write_bytes(STREET.read_bytes())
    out = tmp_path / "out"
    config = {
        "sources": [str(photos)],
        "run": {"output": str(out), "max_frames": 12, "detect_every": 3},
    }
    report = pipeline.run(config)
    assert sizes(out / "photos").keys() == {"a.JPG", "b.png", "c.jpg"}
    assert (out / "clip.mp4").is_file()
    by_source = {name: [r for r in rows(out) if r["source"] == name] for name in report["sources"]}
    assert {row["track_id"] for row in by_source["photos"]} == {"0"}
    assert {row["frame"] for row in by_source["photos"]} == {"0", "1", "2"}
    assert min(float(row["score"]) for row in by_source["photos"]) >= 0.25
    assert "0" not in {row["track_id"] for row in by_source["clip"]}


def test_sequence_of_a_mixed_folder_is_about_its_pictures(photos: Path) -> None:
    (photos / "clip.mp4").write_bytes(STREET.read_bytes())
    tree = {"sources": [{"source": str(photos), "sequence": True}]}
    pictures, video = resolve_config(validated(Config, tree, "")).sources
    assert pictures.choice.options["sequence"] is True
    assert "sequence" not in video.choice.options


@pytest.mark.slow
def test_track_means_asked_and_detect_never(photos: Path) -> None:
    tracked = [each.tracks.track_id for each in pipeline.track(photos)]
    assert tracked[0].min() > 0
    assert all(not each.tracks.track_id.any() for each in pipeline.detect(photos))


INTO_THE_INPUT = {
    "the folder itself": ("photos", "photos"),
    "its parent, where the source's name leads back": ("photos", "."),
    "by a pattern": ("photos/*.png", "."),
    "a single picture": ("photos/b.png", "photos", "photos/b/b.png"),
}


@pytest.mark.parametrize("case", INTO_THE_INPUT)
@pytest.mark.slow
def test_an_output_among_the_pictures_is_refused_in_one_line(
    photos: Path,
    case: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source, out, *moved = INTO_THE_INPUT[case]
    monkeypatch.chdir(photos.parent)
    for place in moved:
        Path(place).parent.mkdir()
        Path(source).rename(place)
        source = place
    before = {path: path.read_bytes() for path in photos.rglob("*.*")}
    assert main(["run", source, "-o", out]) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert "choose another output folder" in error[-1]
    assert {path: path.read_bytes() for path in photos.rglob("*.*")} == before


@pytest.mark.slow
def test_tables_may_lie_beside_the_pictures(photos: Path) -> None:
    assert main(["run", str(photos), "-o", str(photos), "--save", "csv"]) == 0


@pytest.mark.slow
def test_names_never_clash_and_subfolders_stay(
    tmp_path: Path, street: list[np.ndarray], caplog: pytest.LogCaptureFixture
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    names = ["x.jpg", "x.webp", "X.jpeg", "y.bmp", "day/x.jpg", "day 2/x.jpg", "odd:name?.png"]
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / name), street[0])
    for _ in range(2):
        caplog.clear()
        with caplog.at_level(logging.WARNING, "trackline"):
            assert main(["run", str(folder), "--recursive", "-o", str(out), "--save", "video"]) == 0
    want = {"x.jpg", "x.webp.jpg", "X.jpeg", "y.jpg", "day/x.jpg", "day 2/x.jpg", "odd_name_.png"}
    assert sizes(out / "in").keys() == want
    assert caplog.text.count("replaces pictures of an earlier run") == 1


@pytest.mark.slow
def test_photos_are_written_upright(tmp_path: Path, street: list[np.ndarray]) -> None:
    # A TIFF header and one entry: orientation (0x0112), one short, 6: turned by 90 degrees.
    tiff = b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, 6, 0, 0)
    exif = b"Exif\0\0" + tiff
    jpeg = cv2.imencode(".jpg", street[0])[1].tobytes()
    path = tmp_path / "turned.jpg"
    path.write_bytes(jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:])
    assert main(["run", str(path), "-o", str(tmp_path / "out"), "--save", "video"]) == 0
    assert sizes(tmp_path / "out" / "turned") == {"turned.jpg": (480, 270)}


@pytest.mark.slow
def test_zones_over_unrelated_pictures_are_said_to_count_nothing(
    photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    zones = tmp_path / "zones.yaml"
    zones.write_text(
        "cameras:\n  photos:\n    zones:\n"
        "    - {name: road, points: [[0, 0], [400, 0], [400, 200]]}\n"
    )
    out = str(tmp_path / "out")
    main(["run", str(photos), "--zones", str(zones), "-o", out, "--save", "csv"])
    assert "count nothing" in caplog.text
