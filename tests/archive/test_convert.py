"""`trackline convert`: every command of its page, what each format holds, and mistakes."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from support import dataset_results, tiny_videos
from support.track_tables import row, walk, write_csv

from pipeline.archive.annotations import read_annotations
from pipeline.archive.convert import Selection, convert, make_format
from pipeline.archive.dataset.header import dataset_job
from pipeline.archive.dataset.writer import SegmentWriter
from pipeline.cli.main import main
from pipeline.config.plugins import FORMATS, plugin_names
from pipeline.core.errors import UsageError
from pipeline.core.run_info import RunInfo
from pipeline.sinks import parquet

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "convert.md").read_text("utf-8")
COMMANDS = dict.fromkeys(re.findall(r"trackline ((?:convert|eval|tune) [^`|\n]*[^`|\n ])", PAGE))
VARYING = [*np.arange(10) * 0.5, *4.5 + np.arange(1, 41) * 0.02]
"""50 frames in 5.3 s, most of them 20 ms apart."""
PLANE = "matrix: [[0.05, 0, -16], [0, -0.05, 20], [0, 0, 1]]\nsize: [640, 480]\n"


def run(*arguments: object) -> int:
    return main(["convert", *map(str, arguments)])


@pytest.fixture
def tracks(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "out" / "tracks.csv", walk(range(20), pts_s=0.0))


# -- the page -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_every_command_of_the_page_works(tmp_path: Path, monkeypatch, capsys) -> None:
    rows = walk(range(40), source="street") + walk(
        range(40), 2, 300, source="street", class_id=2, class_name="car"
    )
    write_csv(tmp_path / "out" / "tracks.csv", rows)
    (yaml,) = re.findall(r"```yaml\n(matrix.*?)```", PAGE, re.DOTALL)
    (tmp_path / "homography.yaml").write_text(yaml)
    monkeypatch.chdir(tmp_path)
    commands = [each for each in COMMANDS if "TRACKS" not in each]
    assert len(commands) == 14
    for command in commands:
        assert main(shlex.split(command)) == 0, (command, capsys.readouterr().err)
    used = {shlex.split(each)[3] for each in commands if each.startswith("convert out")}
    assert used == set(plugin_names(FORMATS))


def test_every_format_is_in_the_page_and_in_the_list(capsys) -> None:
    assert main(["list", "formats"]) == 0
    listed = capsys.readouterr().out
    for name in plugin_names(FORMATS):
        assert f"| `{name}` |" in PAGE
        assert f"  {name}: " in listed


# -- what the formats hold ------------------------------------------------------------------------


def test_cvat_tracks_end_outside_and_gaps_too(tmp_path: Path) -> None:
    rows = walk([2, 3, 6]) + walk([3], 4, state="coasting")
    table = write_csv(tmp_path / "tracks.csv", [*rows, row(9, 7, 0)])
    convert(table, make_format("cvat", {}), tmp_path / "a.xml", Selection(coasting=True))
    root = ElementTree.parse(tmp_path / "a.xml").getroot()
    found = {
        track.get("id"): [
            (int(box.attrib["frame"]), int(box.attrib["outside"]), int(box.attrib["occluded"]))
            for box in track
        ]
        for track in root.iter("track")
    }
    assert found == {
        "1": [(2, 0, 0), (3, 0, 0), (4, 1, 0), (6, 0, 0), (7, 1, 0)],
        "4": [(3, 0, 1), (4, 1, 1)],
        "7": [(9, 0, 0)],  # the last frame of the video: nothing follows
    }
    task = root.find("meta/task")
    assert task is not None
    assert (task.findtext("size"), task.findtext("original_size/width")) == ("10", "640")


def test_mot_zip_has_what_benchmarks_want(tmp_path: Path) -> None:
    rows = walk([0], class_id=2, class_name="car") + walk([0], 2, 300)
    rows += walk([1], 3, class_id=16, class_name="dog")
    table = write_csv(tmp_path / "tracks.csv", rows)
    convert(table, make_format("mot", {}), tmp_path / "a.zip", Selection(fps=29.97))
    with zipfile.ZipFile(tmp_path / "a.zip") as file:
        assert file.read("gate/gt/gt.txt").decode().splitlines() == [
            "1,1,100.00,50.25,40.00,80.25,1,3,1",
            "1,2,300.00,50.25,40.00,80.25,1,1,1",
            "2,3,103.00,50.25,40.00,80.25,1,14,1",
        ]
        labels = file.read("gate/gt/labels.txt").decode().splitlines()
        assert (labels[0], labels[2], labels[13]) == ("person", "car", "dog")
        info = file.read("gate/seqinfo.ini").decode()
    assert "frameRate=29.97\nseqLength=2\nimWidth=640\nimHeight=480\n" in info
    convert(table, make_format("mot", {"part": "det"}), tmp_path / "det")
    line = (tmp_path / "det" / "gate" / "det" / "det.txt").read_text().splitlines()[0]
    assert line == "1,-1,100.00,50.25,40.00,80.25,0.9000,-1,-1,-1"


def test_coco_lists_empty_frames_unless_told_otherwise(tmp_path: Path) -> None:
    table = write_csv(tmp_path / "tracks.csv", walk([1, 3], width=800, height=600))
    for options, frames in (({}, [0, 1, 2, 3]), ({"empty_frames": False}, [1, 3])):
        convert(table, make_format("coco_vid", options), tmp_path / "a.json")
        tree = json.loads((tmp_path / "a.json").read_text())
        assert [image["frame_id"] for image in tree["images"]] == frames
        by_id = {image["id"]: image for image in tree["images"]}
        boxes = tree["annotations"]
        assert [by_id[box["image_id"]]["frame_id"] for box in boxes] == [1, 3]
        assert {image["width"] for image in tree["images"]} == {800}
        assert boxes[0]["track_id"] == boxes[0]["instance_id"] == 1
        assert boxes[0]["bbox"] == [103, 50.25, 40, 80.25]


def test_fiftyone_boxes_are_shares_of_their_own_frame(tmp_path: Path) -> None:
    rows = [*walk([0, 1]), row(2, 1, 320, width=1280, height=960)]
    table = write_csv(tmp_path / "tracks.csv", rows)
    convert(table, make_format("fiftyone", {"field": "found"}), tmp_path / "samples")
    (sample,) = json.loads((tmp_path / "samples" / "samples.json").read_text())["samples"]
    assert sample["filepath"].endswith("/clips/gate.mp4")
    assert os.path.isabs(sample["filepath"])
    assert "version" not in json.loads((tmp_path / "samples" / "metadata.json").read_text())
    frames = json.loads((tmp_path / "samples" / sample["frames"]).read_text())["frames"]
    assert {key: frame["frame_number"] for key, frame in frames.items()} == {"1": 1, "2": 2, "3": 3}
    (box,) = frames["3"]["found"]["detections"]
    assert box["bounding_box"] == pytest.approx([0.25, 50.25 / 960, 40 / 1280, 80.25 / 960])
    assert (box["_cls"], box["label"], box["index"]) == ("Detection", "person", 1)


@pytest.mark.parametrize("geometry", ["lines", "points"])
@pytest.mark.parametrize("origin", ["", "origin: {lat: 60, lon: 10}\n"])
def test_geojson_is_where_tracks_stood(tmp_path: Path, geometry: str, origin: str) -> None:
    """Feet at x + 20 and y 130.5: by the matrix 0.05 * x - 16 and 20 - 0.05 * y metres."""
    rows = [row(0, at=300), row(1, at=400), row(2, at=600, width=1280, height=960)]
    rows[2] |= {"y2": 261.0, "x2": 640.0}
    table = write_csv(tmp_path / "tracks.csv", [*rows, row(5, 2, 300)])
    (tmp_path / "h.yaml").write_text(PLANE + origin)
    form = make_format("geojson", {"geometry": geometry}, tmp_path / "h.yaml")
    convert(table, form, tmp_path / "a.geojson")
    tree = json.loads((tmp_path / "a.geojson").read_text())
    assert tree["coordinate_system"] == ("WGS84" if origin else "local metres")
    metres = [(0.0, 13.475), (5.0, 13.475), (-0.5, 13.475)]
    scale = (1.0, 1.0)
    if (
        origin
    ):  # metres per degree at 60 degrees north: 55,800.0 of longitude, 111,412.2 of latitude
        scale = (1 / 55800.0, 1 / 111412.2)
    start = (10, 60) if origin else (0, 0)
    wanted = [(start[0] + x * scale[0], start[1] + y * scale[1]) for x, y in metres]
    features = tree["features"]
    if geometry == "lines":
        line, alone = features
        assert line["geometry"]["type"] == "LineString"
        found = line["geometry"]["coordinates"]
        assert line["properties"]["times"] == [0.0, 0.1, 0.2]
        assert alone["geometry"]["type"] == "Point"
    else:
        found = [each["geometry"]["coordinates"] for each in features[:3]]
        assert [each["properties"]["frame"] for each in features] == [0, 1, 2, 5]
    assert np.abs(np.array(found) - wanted).max() < (1e-7 if origin else 2e-3)


@pytest.mark.parametrize("geometry", ["lines", "points"])
def test_times_of_geojson_are_those_of_the_table(geometry: str, tmp_path: Path) -> None:
    """UTC was "+00:00" here and "Z" in all other tables: the same moment did not join as text."""
    utc = "2026-01-31T12:00:00.250Z"
    table = write_csv(tmp_path / "tracks.csv", [row(0, utc=utc)])
    (tmp_path / "h.yaml").write_text(PLANE)
    form = make_format("geojson", {"geometry": geometry}, tmp_path / "h.yaml")
    convert(table, form, tmp_path / "a.geojson")
    (feature,) = json.loads((tmp_path / "a.geojson").read_text())["features"]
    about = feature["properties"]
    assert (about["times"] if geometry == "lines" else [about["time"]]) == [utc]


def test_boxes_above_the_horizon_are_nowhere(tmp_path: Path) -> None:
    (tmp_path / "h.yaml").write_text("matrix: [[1, 0, 0], [0, 1, 0], [0, 0.01, -1]]\n")
    table = write_csv(tmp_path / "tracks.csv", [row(0, y2=90.0), row(1, y2=200.0)])
    form = make_format("geojson", {}, tmp_path / "h.yaml")
    convert(table, form, tmp_path / "a.geojson")
    (feature,) = json.loads((tmp_path / "a.geojson").read_text())["features"]
    assert feature["geometry"] == {"type": "Point", "coordinates": [120.0, 200.0]}


# -- where tracks come from -----------------------------------------------------------------------


def test_mot_text_needs_the_video_for_its_size(tmp_path: Path, capsys) -> None:
    (tmp_path / "clip.txt").write_text("1,1,10,20,30,40,0.9,-1,-1,-1\n")
    output = tmp_path / "a.xml"
    assert run(tmp_path / "clip.txt", "--to", "cvat", "-o", output) == 2
    assert "clip: the picture size is not in there: give --video" in capsys.readouterr().err
    video = tiny_videos.grey_video(tmp_path / "any name.mp4", 12)
    assert run(tmp_path / "clip.txt", "--to", "cvat", "-o", output, "--video", video) == 0
    found = read_annotations(output)["clip"]
    assert (found.video.length, found.video.width, found.video.height) == (12, 64, 48)
    assert run(tmp_path / "clip.txt", "--to", "cvat", "-o", output, "--size", "640x480") == 0


@pytest.mark.parametrize("container", ["mp4", "mkv", "ts", "h264"])
def test_a_video_is_as_long_as_its_frames(container: str, tmp_path: Path) -> None:
    """Duration times rate was taken where nothing counts the frames: 134 of 50 where it varies."""
    (tmp_path / "clip.txt").write_text("1,1,10,20,30,40,0.9,-1,-1,-1\n")
    video = tiny_videos.write_video(
        tmp_path / f"any name.{container}",
        [np.full((48, 64, 3), 100, np.uint8)] * 50,
        None if container == "h264" else VARYING,
    )
    output = tmp_path / "a.xml"
    assert run(tmp_path / "clip.txt", "--to", "cvat", "-o", output, "--video", video) == 0
    assert read_annotations(output)["clip"].video.length == 50


@pytest.mark.parametrize(
    ("times", "options", "rate"),
    [
        (VARYING, [], "9.24528"),
        (VARYING, ["--fps", "20"], "20"),
        ([n / 25 for n in range(50)], [], "25"),
        ([round(n / 29.97, 3) for n in range(3)], [], "25"),  # too few to contradict it
        ([n / 50 for n in range(50)], ["--fps", "50"], "50"),
        ([*np.arange(40) / 25, *np.arange(10) / 25], [], "25"),  # the clock begins anew
    ],
)
def test_the_rate_of_a_varying_video_is_the_mean(times, options, rate, tmp_path, capsys) -> None:
    """seqinfo.ini had the container's guess, by which frame 10 was at 0.4 s instead of 5."""
    size = {"width": 64, "height": 48}
    rows = [row(n, pts_s=at, **size) for n, at in enumerate(times)]
    table = write_csv(tmp_path / "out" / "tracks.csv", rows)
    video = tiny_videos.grey_video(tmp_path / "cam.mkv", 50)
    assert run(table, "--to", "mot", "-o", tmp_path / "mot", "--video", video, *options) == 0
    (info,) = (tmp_path / "mot").glob("*/seqinfo.ini")
    assert f"\nframeRate={rate}\n" in info.read_text()
    assert capsys.readouterr().err.count("its rate varies") == (rate == "9.24528")


@pytest.mark.parametrize("named", [".", "tracks"])
@pytest.mark.slow
def test_a_dataset_gives_a_sequence_for_each_video(named: str, tmp_path: Path) -> None:
    """DATASET/tracks, as pandas reads it, was refused."""
    pytest.importorskip("pyarrow")
    path = tmp_path / "set" / named
    for _ in dataset_results.write_all(tmp_path / "set", 3, 30):
        pass
    done = convert(path, make_format("coco_vid", {}), tmp_path / "a.json", Selection(coasting=True))
    assert (done.sources, done.boxes) == (3, 3 * 30 * 3)
    found = read_annotations(tmp_path / "a.json")
    assert len(found) == 3
    for each in found.values():
        assert set(each.table.frame.tolist()) == set(range(30))
    one = next(iter(found))
    convert(path, make_format("mot", {}), tmp_path / "one", Selection(sources=(one,)))
    assert len([*(tmp_path / "one").iterdir()]) == 1
    done = convert(path, make_format("mot", {}), tmp_path / "yard", Selection(sources=("yard",)))
    assert done.sources == 3


@pytest.mark.parametrize("kind", ["coco_vid", "cvat", "kitti", "mot"])
@pytest.mark.slow
def test_a_video_that_could_not_be_read_is_left_out(kind, tmp_path, caplog) -> None:
    """One failed video of a dataset ended CVAT and COCO exports, and was an empty one in MOT."""
    pytest.importorskip("pyarrow")
    path = tmp_path / "set"
    for _ in dataset_results.write_all(path, 2, 10):
        pass
    with dataset_job(path, {"tracker": "sort"}, program="test"):
        writer = SegmentWriter(path, dataset_results.segment(7, 10))
        writer.commit({"status": "failed", "reason": "the file is empty"})
    done = convert(path, make_format(kind, {}), tmp_path / "out", Selection())
    assert done.sources == 2
    said = [each for each in caplog.messages if "could not be read" in each]
    assert len(said) == 1
    assert said[0].endswith(": 7")


def test_parquet_of_the_same_columns_is_the_same(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.csv
    import pyarrow.parquet

    rows = walk(range(5)) + walk(range(3), 2**40, 300, source="b", class_id=2, class_name="car")
    table = write_csv(tmp_path / "tracks.csv", rows)
    pyarrow.parquet.write_table(pyarrow.csv.read_csv(table), tmp_path / "tracks.parquet")
    outputs = []
    for source in (table, tmp_path / "tracks.parquet"):
        convert(source, make_format("coco_vid", {}), tmp_path / "a.json")
        outputs.append((tmp_path / "a.json").read_text())
    assert outputs[0] == outputs[1]
    pyarrow.parquet.write_table(pa.table({"frame": [1]}), tmp_path / "b.parquet")
    with pytest.raises(UsageError, match=r"b\.parquet: has no column 'x1'"):
        convert(tmp_path / "b.parquet", make_format("mot", {}), tmp_path / "b.zip")


@pytest.mark.parametrize("of", ["dataset", "sink"])
def test_coco_has_the_masks_and_keypoints_of_tables_that_hold_some(tmp_path: Path, of: str) -> None:
    pytest.importorskip("pyarrow")
    path = tmp_path / "set"
    results = [dataset_results.with_masks(dataset_results.moving(index)) for index in range(4)]
    if of == "dataset":
        with dataset_job(path, {}):
            writer = SegmentWriter(path, dataset_results.segment(0, 4))
            for result in results:
                writer.add(result)
            writer.commit({"width": 640, "height": 48})
    else:
        sink = parquet.build(parquet.Options())
        sink.open(RunInfo(path, dataset_results.NAMES, {}, 0.0))
        for result in results:
            sink.write(result)
        sink.close()
    convert(path, make_format("coco_vid", {}), tmp_path / "a.json", Selection(coasting=True))
    tree = json.loads((tmp_path / "a.json").read_text())
    masked = [each for each in tree["annotations"] if "segmentation" in each]
    assert len(tree["annotations"]) == len(masked) + 1 == 12  # one coasts
    [(size, counts)] = {
        ((*each["segmentation"]["size"],), each["segmentation"]["counts"]) for each in masked
    }
    assert size == (48, 640)
    assert {each["area"] for each in masked} == {100}
    assert masked[0]["keypoints"] == [7, 12, 2]
    assert {each["num_keypoints"] for each in masked} == {1}
    assert [each["keypoints"] for each in tree["categories"]] == [["point 1"]] * 2
    coco = pytest.importorskip("pycocotools.mask", reason="needs pycocotools")
    pixels = coco.decode({"size": [*size], "counts": counts})
    assert pixels.sum() == pixels[10:20, 5:15].sum() == 100


# -- mistakes -------------------------------------------------------------------------------------

MISTAKES = {
    "format": (["--to", "kity"], "--to: unknown format 'kity'; did you mean kitti"),
    "option": (
        ["--to", "mot", "--set", "tolerance=1"],
        "mot: unknown key 'tolerance' (known: part)",
    ),
    "value": (
        ["--to", "cvat", "--set", "tolerance=-1"],
        "cvat.tolerance: want 0.0 or more, got -1",
    ),
    "nested": (["--to", "cvat", "--set", "a.b=1"], "want an option of the format"),
    "homography": (["--to", "geojson"], "need --homography FILE"),
    "no use": (["--to", "mot", "--homography", "h.yaml"], "no positions on the ground"),
    "source": (["--to", "mot", "--source", "gat"], "unknown source 'gat'; did you mean gate"),
    "class": (["--to", "mot", "--classes", "dog"], "unknown class 'dog' (known: person)"),
    "no video": (["--to", "mot", "--video", "nowhere.mp4"], "nowhere.mp4"),
    "fps": (["--to", "mot", "--fps", "0"], "want a number above 0"),
    "size": (["--to", "mot", "--size", "big"], "want WIDTHxHEIGHT"),
}


@pytest.mark.parametrize("what", MISTAKES)
def test_a_mistake_is_one_line_and_writes_nothing(what: str, tmp_path, tracks, capsys) -> None:
    arguments, message = MISTAKES[what]
    output = tmp_path / "a.zip"
    assert run(tracks, "-o", output, *arguments) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert not output.exists()
    assert [*tmp_path.iterdir()] == [tracks.parent]


BAD_TRACKS = {
    "missing": (None, "no such file or folder"),
    "a picture": (("a.csv", b"\x89PNG\r\n\x1a\n\0\0"), "not a text file"),
    "no columns": (("a.csv", b"source,frame\nA,1\n"), "want a header with frame, x1"),
    "a number": (("a.csv", b"frame,x1,y1,x2,y2\n0,1,2,3,four\n"), "a.csv:2: not a row of boxes"),
    "huge id": (
        ("a.csv", b"frame,x1,y1,x2,y2,track_id\n0,1,2,3,4,99999999999999999999\n"), "62 bits",
    ),
    "huge cell": (("a.csv", b'frame,x1,y1,x2,y2\n0,1,2,3,"' + b"4" * 200_000), "not CSV"),
    "half a line": (("a.jsonl", b'{"frame": 0, "x1"'), "a.jsonl:1: not JSON"),
    "twice": (
        ("a.csv", b"frame,x1,y1,x2,y2,track_id\n0,1,2,3,4,7\n0,1,2,3,4,7\n"), "has two boxes",
    ),
    "not parquet": (("a.parquet", b"PAR1 but no more"), "cannot be read as Parquet"),
    "empty": (("a.csv", b""), "want a header"),
    "rows of nothing": (("a.csv", b"frame,x1,y1,x2,y2\n"), "has no tracks"),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD_TRACKS)
def test_tracks_that_are_none_are_one_line(what: str, tmp_path: Path, capsys) -> None:
    given, message = BAD_TRACKS[what]
    path = tmp_path / (given[0] if given else "nowhere.csv")
    if given:
        path.write_bytes(given[1])
    assert run(path, "--to", "mot", "-o", tmp_path / "a.zip") == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "a.zip").exists()


def test_outputs_that_cannot_be(tmp_path: Path, capsys) -> None:
    table = write_csv(tmp_path / "tracks.csv", walk(range(2)) + walk(range(2), source="b"))
    (tmp_path / "there").mkdir()
    (tmp_path / "other").write_text("")
    cases = {
        ("cvat", tmp_path / "a.xml"): "holds one source, and there are 2 (gate, b)",
        ("coco_vid", tmp_path / "there"): "is a folder; want a file",
        ("kitti", tmp_path / "other"): "want a folder or a .zip file",
        ("coco_vid", table): "is the input",
        ("cvat", table / "x"): "cannot be written",
    }
    for (kind, output), message in cases.items():
        assert run(table, "--to", kind, "-o", output) == 2
        assert message in capsys.readouterr().err
    assert [*(tmp_path / "there").iterdir()] == []
    assert table.read_text().count("\n") == 5


def test_a_folder_keeps_what_else_is_in_it(tmp_path: Path, tracks: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    for kind in ("mot", "kitti", "cvat", "fiftyone"):
        convert(tracks, make_format(kind, {}), tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert (tmp_path / "gate.xml").exists()
    assert (tmp_path / "label_02" / "gate.txt").exists()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["cvat", "coco_vid"])
def test_many_rows_do_not_need_much_memory(kind: str, tmp_path: Path) -> None:
    """A row once kept its whole record: 2.5 KB, or 2.5 GB for a million.

    VmHWM and not ru_maxrss, which a child takes over from the process that started it: with other
    tests before this one it was theirs.
    """
    path = tmp_path / "tracks.csv"
    write_csv(path, [])
    line = "gate,{},{},,{},0,person,0.9,{}.25,50,{}.5,130,matched,0,640,480,0,gate.mp4\n"
    with path.open("a") as file:
        for frame in range(8_000):
            file.writelines(
                line.format(frame, frame / 10, i + 10 * (frame // 500), 60 * i, 60 * i + 40)
                for i in range(10)
            )
    code = (
        "import re, sys; from pathlib import Path; from pipeline.cli.main import main\n"
        "code = main(sys.argv[1:])\n"
        "status = Path('/proc/self/status').read_text()\n"
        "print(int(re.search(r'VmHWM:\\s+(\\d+)', status)[1]) // 1024); sys.exit(code)"
    )
    output = tmp_path / (
        "a" + {"cvat": ".xml", "coco_vid": ".json", "label_studio": ".json"}.get(kind, ".zip")
    )
    given = ["convert", str(path), "--to", kind, "-o", str(output)]
    done = subprocess.run(
        [sys.executable, "-c", code, *given], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert "80,000 boxes" in done.stdout
    assert int(done.stdout.split()[-1]) < 220


PARQUET = {
    "no number": ({"x1": [1.0, float("nan")]}, "column 'x1' has a number that is not finite"),
    "infinite score": ({"score": [0.5, float("inf")]}, "column 'score' has a number that is not"),
    "empty box": ({"y2": [4.0, None]}, "column 'y2' has empty rows"),
    "empty frame": ({"frame": [0, None]}, "column 'frame' has empty rows"),
    "before the start": ({"frame": [-1, 0]}, "number of the frame is too small"),
    "words": ({"x2": ["three", "4"]}, "cannot be read as Parquet"),
    "state": ({"state": ["matched", "lost"]}, "state 'lost' is none of"),
}


@pytest.mark.parametrize("what", PARQUET)
def test_parquet_of_no_boxes_is_one_line(what: str, tmp_path: Path, capsys) -> None:
    """NaN went through to JSON and ended as an internal error; empty ids became huge numbers."""
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet

    changes, message = PARQUET[what]
    box = {"frame": [0, 1], "x1": [1.0, 1.0], "y1": [2.0, 2.0], "x2": [3.0, 3.0], "y2": [4.0, 4.0]}
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pa.table({**box, **changes}), path)
    assert run(path, "-o", tmp_path / "a.json", "--to", "coco_vid", "--size", "9x9") == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_empty_optional_cells_of_parquet_are_unknown(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet

    from pipeline.archive.tracks import load_tracks

    columns = {
        "frame": [0, 1], "x1": [1, 1], "y1": [2, 2], "x2": [3, 3], "y2": [4, 4],
        "source": ["b", None], "track_id": [7, None], "class_id": [2, None], "score": [0.5, None],
        "state": ["coasting", None], "pts_s": [0.0, None], "width": [9, None], "height": [9, None],
    }  # fmt: skip
    pyarrow.parquet.write_table(pa.table(columns), tmp_path / "a.parquet")
    found = load_tracks(tmp_path / "a.parquet")
    assert sorted(found) == ["a", "b"]
    table = found["a"].table
    assert (table.track_id[0], table.class_id[0], table.score[0]) == (0, -1, 1.0)
    assert (table.state[0], table.size[0].tolist()) == ("matched", [0, 0])
    assert np.isnan(table.pts_s[0])


def test_fiftyone_keeps_the_address_of_a_video_in_a_store(tmp_path: Path) -> None:
    """It became a path below the current folder."""
    table = write_csv(tmp_path / "tracks.csv", [row(0, file="s3://bucket/gate.mp4")])
    convert(table, make_format("fiftyone", {}), tmp_path / "out")
    (sample,) = json.loads((tmp_path / "out" / "samples.json").read_text())["samples"]
    assert sample["filepath"] == "s3://bucket/gate.mp4"


def test_two_labels_of_one_motchallenge_class_stay_two(tmp_path: Path) -> None:
    """All of the first became the second when they were read back."""
    from pipeline.archive.annotations import read_annotations

    rows = [row(0), row(0, 2, 300, class_id=1, class_name="pedestrian")]
    convert(write_csv(tmp_path / "tracks.csv", rows), make_format("mot", {}), tmp_path / "a.zip")
    (each,) = read_annotations(tmp_path / "a.zip").values()
    labels = [each.class_names[number] for number in each.table.class_id.tolist()]
    assert labels == ["person", "pedestrian"]
