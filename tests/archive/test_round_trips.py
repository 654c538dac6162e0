"""Exports read back: the same sources, frames, ids, classes and boxes, to what a format holds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support.track_tables import Row, row, walk, write_csv

from pipeline.archive.annotations import read_annotations, readers
from pipeline.archive.convert import Selection, convert, make_format
from pipeline.core.paths import safe_stem
from pipeline.core.sequences import RecordedSequence

Boxes = dict[tuple[int, int], tuple[str, tuple[float, ...]]]

# Format: (output for any number of sources, pixels by which a side may be off).
FORMATS = {
    "mot": ("out.zip", 0.006),
    "cvat": ("out", 0.006),
    "cvat_mot": ("out", 0.006),
    "coco_vid": ("out.json", 0.006),
    "kitti": ("out.zip", 0.006),
    "label_studio": ("out.json", 0.001),
}
NAMED_BY_FILE = {"cvat_mot", "kitti"}
"""Formats that hold the source's name only in a file's name."""
ONE_SIZE = {"mot", "cvat", "cvat_mot", "kitti", "label_studio"}

CASES: dict[str, list[Row]] = {
    "one walker": walk(range(6)),
    "gaps": walk([0, 1, 2, 5, 9, 10]),
    "a single box": [row(4)],
    "two at once": walk(range(4)) + walk(range(2, 6), 2, 300, class_id=2, class_name="car"),
    "two sources": walk(range(3)) + walk(range(5), source="Straße 7: Süd/Nord", file="b.mp4"),
    "sources alike": walk(range(3), source="a/b") + walk(range(2), source="a:b"),
    "odd source": walk(range(2), source='<a> & "b" 100%'),
    "odd classes": [
        each
        for number, name in enumerate(
            ('a "quoted", long\nname', "Fußgänger", "<b> & 'c'", "100%", "  ", "7", "歩行者 🚶")
        )
        for each in walk(range(2), number + 1, 50 * number, class_id=number, class_name=name)
    ],
    "great ids": walk(range(2), 2**31 + 5) + walk(range(2), 2**40 + 1, 300),
    "late frames": walk(range(99_998, 100_003)),
    "outside the picture": [row(0, at=-25.5), row(1, at=620.75)],
    "out of order": [row(3, 2), row(0, 1), row(1, 2), row(0, 2, 200)],
    "sizes": walk(range(3)) + walk(range(3, 5), width=1280, height=960, at=200),
}


def expected(rows: list[Row], kind: str) -> dict[str, Boxes]:
    """What comes back, from the rows themselves."""
    found: dict[str, Boxes] = {}
    taken: dict[str, str] = {}
    for each in rows:
        name = str(each["source"])
        if kind in NAMED_BY_FILE:
            stem = safe_stem(name)
            if taken.setdefault(stem, name) != name:
                stem += "-2"
            name = stem
        label = " ".join(str(each["class_name"]).split()) or str(each["class_id"])
        if kind == "kitti":
            label = label.replace(" ", "_")
        factor = 640 / float(str(each["width"])) if kind in ONE_SIZE else 1.0
        box = tuple(float(str(each[key])) * factor for key in ("x1", "y1", "x2", "y2"))
        found.setdefault(name, {})[int(str(each["frame"])), int(str(each["track_id"]))] = label, box
    return found


def boxes_of(sequence: RecordedSequence) -> Boxes:
    table = sequence.table
    columns = (table.frame, table.track_id, table.class_id, table.xyxy)
    rows = [*zip(*(column.tolist() for column in columns), strict=True)]
    found = {(f, i): (sequence.class_names[c], tuple(box)) for f, i, c, box in rows}
    assert len(found) == len(rows), "a box came back twice"
    return found


def read_back(output: Path) -> dict[str, RecordedSequence]:
    files = sorted(output.iterdir()) if output.is_dir() else [output]
    return {name: each for file in files for name, each in read_annotations(file).items()}


def test_every_format_that_is_read_is_in_the_table() -> None:
    assert set(readers()) == set(FORMATS)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.slow
def test_what_was_written_comes_back(kind: str, case: str, tmp_path: Path) -> None:
    name, precision = FORMATS[kind]
    tracks = write_csv(tmp_path / "tracks.csv", CASES[case])
    convert(tracks, make_format(kind, {}), tmp_path / name)
    found = {title: boxes_of(each) for title, each in read_back(tmp_path / name).items()}
    wanted = expected(CASES[case], kind)
    assert found.keys() == wanted.keys()
    for title, boxes in wanted.items():
        assert found[title].keys() == boxes.keys()
        for key, (label, box) in boxes.items():
            assert found[title][key][0] == label
            assert found[title][key][1] == pytest.approx(box, abs=precision)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("coasting", [False, True])
def test_coasting_boxes_are_exported_on_request(kind: str, coasting: bool, tmp_path: Path) -> None:
    rows = walk(range(2)) + walk(range(2, 4), state="coasting") + walk(range(4, 6), state="filled")
    tracks = write_csv(tmp_path / "tracks.csv", rows)
    output = tmp_path / FORMATS[kind][0]
    convert(tracks, make_format(kind, {}), output, Selection(coasting=coasting))
    (found,) = read_back(output).values()
    frames = [0, 1, 2, 3, 4, 5] if coasting else [0, 1, 4, 5]
    assert found.table.frame.tolist() == frames


@pytest.mark.parametrize("kind", FORMATS)
def test_boxes_without_identity_stay_boxes(kind: str, tmp_path: Path) -> None:
    """Detections, from `tracker: none`: editors get a track for each, tables none."""
    rows = [row(0, 0), row(0, 0, 300), row(1, 0)]
    tracks = write_csv(tmp_path / "tracks.csv", rows)
    output = tmp_path / FORMATS[kind][0]
    convert(tracks, make_format(kind, {}), output)
    (found,) = read_back(output).values()
    places = zip(found.table.frame.tolist(), found.table.xyxy[:, 0].round(2).tolist(), strict=True)
    assert sorted(places) == [(0, 100), (0, 300), (1, 100)]
    ids = found.table.track_id
    assert len(set(ids.tolist())) == 3 or not ids.any()


@pytest.mark.parametrize("kind", FORMATS)
def test_a_source_in_which_nothing_was_found_is_there_too(kind: str, tmp_path: Path) -> None:
    """A video without objects is truth as well: whoever tracks something there is wrong."""
    tracks = write_csv(tmp_path / "tracks.csv", walk(range(3)))
    report = {"gate": {"last": {"frame": 9}}, "empty": {"size": [320, 240], "last": {"frame": 4}}}
    (tmp_path / "report.json").write_text(json.dumps({"sources": report}))
    output = tmp_path / FORMATS[kind][0]
    done = convert(tracks, make_format(kind, {}), output)
    assert (done.sources, done.tracks, done.boxes) == (2, 1, 3)
    found = read_back(output)
    assert {name: len(each.table) for name, each in found.items()} == {"gate": 3, "empty": 0}
    if kind not in NAMED_BY_FILE:
        assert {name: each.video.length for name, each in found.items()} == {"gate": 10, "empty": 5}


@pytest.mark.parametrize("kind", FORMATS)
def test_an_export_of_an_export_is_the_same(kind: str, tmp_path: Path) -> None:
    """Annotations convert into every format, their own too."""
    tracks = write_csv(tmp_path / "tracks.csv", CASES["gaps"] + CASES["great ids"])
    first, second = tmp_path / "first", tmp_path / "second"
    name = {"cvat": "gate.xml", "cvat_mot": "gate.zip"}.get(kind, FORMATS[kind][0])
    for source, output in ((tracks, first / name), (first / name, second / name)):
        convert(source, make_format(kind, {}), output, Selection(size=(640, 480)))
    (before,), (after,) = read_back(first / name).values(), read_back(second / name).values()
    assert boxes_of(before) == boxes_of(after)


@pytest.mark.parametrize("kind", ["cvat", "label_studio"])
@pytest.mark.parametrize("tolerance", [0.0, 0.5, 5.0])
def test_thinned_keyframes_stay_within_the_tolerance(
    kind: str, tolerance: float, tmp_path: Path
) -> None:
    random = np.random.default_rng(3)
    steps = random.normal(0, 2, 200).cumsum()
    rows = [row(frame, at=round(200 + step, 2)) for frame, step in enumerate(steps)]
    tracks = write_csv(tmp_path / "tracks.csv", rows)
    output = tmp_path / ("out.xml" if kind == "cvat" else "out.json")
    convert(tracks, make_format(kind, {"tolerance": tolerance}), output)
    text = output.read_text()
    keyframes = text.count('keyframe="1"') + text.count('"enabled"')
    assert keyframes == 200 if tolerance == 0 else keyframes < (200 if tolerance < 1 else 60)
    (found,) = read_back(output).values()
    assert found.table.frame.tolist() == [*range(200)]
    off = np.abs(found.table.xyxy[:, 0] - [float(str(each["x1"])) for each in rows])
    assert off.max() <= tolerance + 0.01
