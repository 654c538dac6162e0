"""Detections from files: the formats, whose boxes they are, and runs without any video."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pipeline.cli.main import main
from pipeline.config.schema import load_config
from pipeline.core.data import Frame
from pipeline.core.errors import ModelError, UsageError
from pipeline.core.sequences import load_sequences
from pipeline.core.track_files import read_recording
from pipeline.detectors import replay
from pipeline.sources import blank

PICTURE = np.zeros((4, 4, 3), np.uint8)
SEQINFO = "[Sequence]\nname=s\nframeRate=14\nseqLength=9\nimWidth=320\nimHeight=240\n"


def sequence(folder: Path, name: str, lines: str, seqinfo: str = SEQINFO) -> Path:
    (folder / name / "det").mkdir(parents=True)
    (folder / name / "seqinfo.ini").write_text(seqinfo)
    path = folder / name / "det" / "det.txt"
    path.write_text(lines)
    return path


def opened(*paths: Path, **options) -> replay.ReplayDetector:
    detector = replay.build(replay.Options(paths=[str(path) for path in paths], **options))
    detector.open()
    return detector


def at(detector, index: int, source: str = "any"):
    return detector.detect([Frame(PICTURE, source, index, 0.0, 0.0)])[0]


def test_mot_frames_count_from_one_and_rows_keep_their_order(tmp_path: Path):
    path = tmp_path / "det.txt"
    path.write_text("2,-1,10,20,30,40,0.5,-1,-1,-1\n1,-1,1,2,3,4,0.9\n2,-1,5,5,5,5,0.8,-1,-1,-1\n")
    detector = opened(path)
    np.testing.assert_array_equal(at(detector, 0).xyxy, [[1, 2, 4, 6]])
    np.testing.assert_allclose(at(detector, 1).score, [0.5, 0.8])
    assert [len(at(detector, index)) for index in (2, 1000)] == [0, 0]
    assert len(at(opened(path, conf=0.6), 1)) == 1


def test_kitti_frames_count_from_zero_and_logits_become_scores_in_order(tmp_path: Path):
    """KITTI's detectors score with numbers beyond 0..1; their order must stay."""
    path = tmp_path / "0003.txt"
    rest = ",1,1,1,1,1,1,1,1"
    path.write_text(f"0,2,10,20,30,40,8.3{rest}\n0,1,11,21,31,41,-0.4{rest}\n")
    detector = replay.build(replay.Options(paths=[str(path)]))
    assert detector.open()[2] == "car"
    found = at(detector, 0, "0003")
    np.testing.assert_array_equal(found.xyxy, [[10, 20, 30, 40], [11, 21, 31, 41]])
    assert found.class_id.tolist() == [2, 1]
    np.testing.assert_allclose(found.score, 1 / (1 + np.exp([-8.3, 0.4])), rtol=1e-6)
    assert len(at(opened(path, classes=["car"]), 0)) == 1


def test_boxes_belong_to_the_source_of_their_folders_name(tmp_path: Path):
    a = sequence(tmp_path, "A", "1,-1,1,1,5,5,1\n")
    b = sequence(tmp_path, "B", "1,-1,2,2,5,5,1\n")
    for detector in (opened(a, b), opened(tmp_path)):
        assert at(detector, 0, "A").xyxy[0, 0] == 1
        assert at(detector, 0, "B").xyxy[0, 0] == 2
        with pytest.raises(ModelError, match=r"'C' \(there are: A, B\)"):
            at(detector, 0, "C")


def test_a_single_detections_file_goes_with_one_source_only(tmp_path: Path):
    """The same boxes for two videos would be wrong for at least one of them."""
    detector = opened(sequence(tmp_path, "A", "1,-1,1,1,5,5,1\n"))
    assert len(at(detector, 0, "street.mp4")) == 1
    with pytest.raises(ModelError, match="other"):
        at(detector, 0, "other.mp4")


MALFORMED = {
    "a.txt": ("1,-1,1,1,5,5,1\n\n2,-1,1,x,5,5,1\n", "a.txt:3"),
    "b.txt": ("1,-1,1\n", "b.txt:1"),
    "c.txt": ("0,-1,1,1,5,5,1\n", "c.txt:1.*too small"),
    "d.txt": ("1.5,-1,1,1,5,5,1\n", "d.txt:1.*whole"),
    "e.txt": ("1,-1,nan,1,5,5,1\n", "e.txt:1.*finite"),
    "f.csv": ("frame,x1,y1,x2\n", "f.csv:1.*y2"),
    "g.csv": ("frame,x1,y1,x2,y2\n0,1,1,5,5\n1,1,,5,5\n", "g.csv:3.*y1"),
    "h.jsonl": ('{"frame": 0}\n', "h.jsonl:1.*x1"),
    "i.jsonl": ("[]\n", "i.jsonl:1.*list"),
    "j.jsonl": ("{\n", "j.jsonl:1.*JSON"),
    "k.csv": ("frame,x1,y1,x2,y2,state\n0,1,1,5,5,lost\n", "k.csv:2.*lost"),
    "l.txt": ("1,-1,1,1,5,5,1\n0,2,1,1,5,5,1,1,1,1,1,1,1,1,1\n", "mixed"),
    "m.dat": ("", "m.dat.*csv"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_line_is_named(tmp_path: Path, name: str):
    text, message = MALFORMED[name]
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=message):
        read_recording(tmp_path / name)


def test_a_sequence_given_twice_is_a_mistake(tmp_path: Path):
    path = sequence(tmp_path, "A", "1,-1,1,1,5,5,1\n")
    with pytest.raises(UsageError, match="'A' is in"):
        load_sequences([path, path], "det/det.txt")


@pytest.mark.parametrize("text", ["", "[Sequence]\nframeRate=x\nseqLength=3", "frameRate=3"])
def test_a_broken_seqinfo_is_named(tmp_path: Path, text: str):
    path = sequence(tmp_path, "A", "1,-1,1,1,5,5,1\n", text)
    with pytest.raises(UsageError, match=r"seqinfo\.ini"):
        load_sequences([path], "det/det.txt")


def test_blank_frames_share_one_picture():
    source = blank.build(blank.Options(frames=3, fps=4, width=8, height=6))
    source.open()
    frames = [source.read() for _ in range(3)]
    assert source.read() is None
    assert [frame.pts_s for frame in frames] == [0, 0.25, 0.5]
    assert len({frame.image.ctypes.data for frame in frames}) == 1


def test_a_run_without_video_takes_length_and_rate_from_seqinfo(tmp_path: Path, capsys):
    lines = "".join(f"{n},-1,{n * 3},50,40,90,0.9\n" for n in range(1, 8))
    sequence(tmp_path, "A", lines)
    sequence(tmp_path, "B", lines)
    out = tmp_path / "out"
    given = ["run", "--detections", str(tmp_path), "-o", str(out), "--save", "mot,csv"]
    assert main([*given, "--conf", "0.5", "--set", "tracker.confirm_s=0"]) == 0
    report = json.loads((out / "report.json").read_text())
    assert {name: each["delivered"] for name, each in report["sources"].items()} == {"A": 9, "B": 9}
    assert report["config"]["sources"][0]["fps"] == 14
    rows = np.loadtxt(out / "A.txt", delimiter=",")
    assert rows[:, 0].tolist() == list(range(1, 8))
    assert set(rows[:, 1]) == {1}
    # What a run wrote can be replayed, predictions left out, under the sources' own names.
    again = tmp_path / "again"
    given = ["run", "--detections", str(out / "tracks.csv"), "-o", str(again), "--save", "csv"]
    assert main([*given, "--tracker", "none"]) == 0
    first, second = (load_sequences([folder], "")["B"].table for folder in (out, again))
    assert set(first.state) == {"matched", "coasting"}
    np.testing.assert_array_equal(first[first.state == "matched"].xyxy, second.xyxy)
    assert load_sequences([again], "")["A"].video.fps == pytest.approx(14, rel=1e-4)


def test_with_a_source_its_own_frames_are_used(tmp_path: Path):
    path = tmp_path / "synthetic.txt"
    path.write_text("".join(f"{n},-1,9,50,40,90,0.9\n" for n in range(1, 30)))
    settings = tmp_path / "settings.yaml"
    settings.write_text("sources: [{kind: synthetic, frames: 6, width: 64, height: 48}]")
    for extra in (["-c", str(settings)], ["synthetic", "--max-frames", "6"]):
        out = tmp_path / extra[0].strip("-")
        given = ["run", *extra, "--detections", str(path), "-o", str(out), "--save", "mot"]
        assert main([*given, "--tracker", "none"]) == 0
        assert len((out / "synthetic.txt").read_text().splitlines()) == 6


def test_a_video_behind_detections_gets_a_hint(capsys):
    assert main(["run", "--detections", "det.txt", "street.mp4"]) == 2
    assert "before --detections" in capsys.readouterr().err


def test_options_come_from_a_file_as_well(tmp_path: Path):
    path = tmp_path / "c.yaml"
    path.write_text("detector: {kind: replay, paths: [a.txt], conf: 0.3}")
    options = replay.Options.model_validate(load_config(path).detector.options)
    assert options.conf == 0.3
