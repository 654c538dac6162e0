"""`trackline eval`: figures worked out by hand, TrackEval's own reading, and mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pipeline.archive.tracks import load_tracks
from pipeline.cli.main import main
from pipeline.core.errors import UsageError
from pipeline.tools.evaluate.scoring import COMBINED, score
from pipeline.tools.evaluate.tracking import follow, recorded_frames
from pipeline.tools.evaluate.tracks import in_common, rows_to_score
from pipeline.tools.evaluate.truth import load_truth
from pipeline.trackers import sort

SEQINFO = "[Sequence]\nframeRate=10\nseqLength={}\n"
COLUMNS = "source,frame,pts_s,track_id,class_id,class_name,score,x1,y1,x2,y2,state\n"


def mot_truth(folder: Path, name: str, lines: str, length: int | None = 10) -> None:
    (folder / name / "gt").mkdir(parents=True)
    (folder / name / "gt" / "gt.txt").write_text(lines)
    if length is not None:
        (folder / name / "seqinfo.ini").write_text(SEQINFO.format(length))


def walk(track_id: int, frames: range, x: int = 10, tail: str = "1,-1,-1,-1") -> str:
    return "".join(f"{n},{track_id},{x},20,30,60,{tail}\n" for n in frames)


def scored(gt: Path, tracks: Path, data="mot", **options):
    truths = load_truth(gt, data)
    tables = rows_to_score(load_tracks(tracks, "tracks.csv"), data, **options)
    return score(in_common(truths, tables), tables)


@pytest.mark.slow
def test_a_swap_of_identity_by_hand(tmp_path: Path):
    """One person, ten frames, a new id from the sixth on: every box right, half the identity.

    AssA: each half has TPA 5, FNA 5, so 5 / 10. HOTA = sqrt(1 * 0.5).
    """
    mot_truth(tmp_path / "gt", "A", walk(1, range(1, 11)))
    tracks = tmp_path / "A.txt"
    tracks.write_text(walk(7, range(1, 6)) + walk(9, range(6, 11)))
    figures = scored(tmp_path / "gt", tracks)["A"]
    want = {"HOTA": 50**0.5 * 10, "DetA": 100, "AssA": 50, "MOTA": 90, "IDF1": 50, "IDSW": 1}
    assert {key: figures[key] for key in want} == pytest.approx(want)


def test_a_gap_is_a_fragment(tmp_path: Path):
    """Somebody else is seen throughout: TrackEval passes over frames without any track."""
    other = walk(2, range(1, 11), x=200)
    mot_truth(tmp_path / "gt", "A", walk(1, range(1, 11)) + other)
    (tmp_path / "A.txt").write_text(walk(7, range(1, 4)) + walk(7, range(6, 11)) + other)
    figures = scored(tmp_path / "gt", tmp_path / "A.txt")["A"]
    assert (figures["Frag"], figures["IDSW"], figures["MOTA"]) == (1, 0, pytest.approx(90))


def test_distractors_and_zero_marks_by_the_sets_own_rules(tmp_path: Path):
    """MOT17: who follows a statue (class 7) is not blamed. MOT15 knows no classes: he is."""
    for name, person, statue in (
        ("new", "1,1,1", "0,7,1"),
        ("old", "1,-1,-1,-1", "0,3.5,-7,1"),  # three places in the world, not a class
    ):
        mot_truth(
            tmp_path / "gt", name, walk(1, range(1, 11), tail=person)
            + walk(2, range(1, 11), x=200, tail=statue),
        )  # fmt: skip
    (tmp_path / "out").mkdir()
    for name in ("new", "old"):
        boxes = walk(1, range(1, 11)) + walk(2, range(1, 11), x=200)
        (tmp_path / "out" / f"{name}.txt").write_text(boxes)
    truths = load_truth(tmp_path / "gt", "mot")
    assert (truths["new"].rules, truths["old"].rules) == ("MOT17", "MOT15")
    scores = scored(tmp_path / "gt", tmp_path / "out")
    assert scores["new"]["MOTA"] == pytest.approx(100)
    assert scores["old"]["MOTA"] == pytest.approx(0)
    assert scores[COMBINED]["MOTA"] == pytest.approx(50)


def test_kitti_ignores_regions_vans_and_hidden_cars(tmp_path: Path):
    (tmp_path / "label_02").mkdir()
    lines = [
        "{n} 1 Car 0 0 0 100 100 200 150 1 1 1 1 1 1 1\n",
        "{n} 2 Van 0 0 0 300 100 400 150 1 1 1 1 1 1 1\n",
        "{n} 3 Car 0 3 0 500 100 600 150 1 1 1 1 1 1 1\n",
        "{n} -1 DontCare -1 -1 -10 700 100 800 150 -1 -1 -1 -1 -1 -1 -1\n",
        "{n} 5 Pedestrian 0 0 0 10 10 30 90 1 1 1 1 1 1 1\n",
    ]
    text = "".join(line.format(n=n) for n in range(5) for line in lines)
    (tmp_path / "label_02" / "0004.txt").write_text(text)
    boxes = [(100, 1), (300, 2), (500, 3), (700, 4)]
    rows = [f"{n},{i},{x},100,100,50,1\n" for n in range(1, 6) for x, i in boxes]
    (tmp_path / "0004.txt").write_text("".join(rows))
    assert scored(tmp_path, tmp_path / "0004.txt", "kitti")["0004"]["MOTA"] == pytest.approx(100)
    # A fifth one where nothing is: blamed, once a frame.
    rows += [f"{n},9,900,100,100,50,1\n" for n in range(1, 6)]
    (tmp_path / "0004.txt").write_text("".join(rows))
    assert scored(tmp_path, tmp_path / "0004.txt", "kitti")["0004"]["MOTA"] == pytest.approx(0)


def test_coasting_rows_and_other_classes_do_not_count(tmp_path: Path):
    mot_truth(tmp_path / "gt", "A", walk(1, range(1, 11)))
    rows = [f"A,{n},{n / 10},3,0,person,0.9,10,20,40,80,matched\n" for n in range(8)]
    rows += [f"A,{n},{n / 10},3,0,person,0.9,300,20,330,80,coasting\n" for n in range(8, 10)]
    rows += [f"A,{n},{n / 10},4,2,car,0.9,500,20,530,80,matched\n" for n in range(10)]
    (tmp_path / "tracks.csv").write_text(COLUMNS + "".join(rows))
    gt, tracks = tmp_path / "gt", tmp_path / "tracks.csv"
    assert scored(gt, tracks)["A"]["MOTA"] == pytest.approx(80)
    assert scored(gt, tracks, coasting=True)["A"]["MOTA"] == pytest.approx(60)
    both = scored(gt, tracks, classes=["person", "CAR"])
    assert both["A"]["MOTA"] == pytest.approx(-20)
    with pytest.raises(UsageError, match=r"class dog \(there are: car, person\)"):
        rows_to_score(load_tracks(tracks, "tracks.csv"), "mot", classes=["dog"])


def test_one_sequence_folder_is_enough_and_seqinfo_is_not_needed(tmp_path: Path):
    """A user's own labels: seven columns, no seqinfo; the tracks go on, so does the counting."""
    mot_truth(tmp_path, "A", walk(1, range(1, 11), tail="1"), length=None)
    (tmp_path / "A.txt").write_text(walk(1, range(1, 13)))
    assert scored(tmp_path / "A", tmp_path / "A.txt")["A"]["MOTA"] == pytest.approx(80)


def test_no_tracks_at_all_score_nothing(tmp_path: Path):
    mot_truth(tmp_path / "gt", "A", walk(1, range(1, 11)))
    (tmp_path / "A.txt").touch()
    assert scored(tmp_path / "gt", tmp_path / "A.txt")["A"]["HOTA"] == 0


def test_the_command_prints_a_table_or_json(tmp_path: Path, capsys):
    for name in ("A", "B"):
        mot_truth(tmp_path / "gt", name, walk(1, range(1, 11)))
    (tmp_path / "A.txt").write_text(walk(7, range(1, 11)))
    given = ["eval", "--gt", str(tmp_path / "gt"), "--tracks", str(tmp_path / "A.txt")]
    assert main(given) == 0
    out, err = capsys.readouterr()
    assert "HOTA" in out
    assert "COMBINED" in out
    assert "B has no tracks" in err
    assert main([*given, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["combined"]["HOTA"] == pytest.approx(100)
    assert report["sequences"]["A"]["Frag"] == 0
    assert report["no_tracks"] == ["B"]


@pytest.mark.parametrize(
    ("name", "data", "line"),
    [
        ("street_gt.txt", None, "{},1,10,20,30,60,1,1,1\n"),
        ("street_gt.txt", "mot", "{},1,10,20,30,60,1,-1,-1,-1\n"),
        ("gt/gt.txt", None, "{},1,10,20,30,60,1,1,1\n"),
        ("0000.txt", "kitti", "{} 1 Car 0 0 0 10 20 40 80 1 1 1 1 1 1 1\n"),
    ],
)
def test_truth_can_be_one_text_file(name: str, data: str | None, line: str, tmp_path: Path, capsys):
    """`samples/street_gt.txt` was refused: only a folder <seq>/gt/gt.txt was truth."""
    gt, first = tmp_path / name, int(data != "kitti")
    gt.parent.mkdir(exist_ok=True)
    gt.write_text("".join(line.format(frame + first) for frame in range(5)))
    tracks = tmp_path / "street.csv"
    tracks.write_text(
        COLUMNS + "".join(f"street,{n},{n / 30},7,0,,0.9,10,20,40,80,matched\n" for n in range(5))
    )
    chosen = [] if data is None else ["--data", data]
    given = ["eval", "--gt", str(gt), "--tracks", str(tracks), "--json", *chosen]
    assert main(given) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["sequences"]["street"]["HOTA"] == pytest.approx(100)
    assert "using the truth of" in err


def test_another_folders_seqinfo_is_not_a_text_files(tmp_path: Path):
    """Only <seq>/gt/gt.txt is beside its seqinfo.ini; for other files it was two folders up."""
    (tmp_path / "truth").mkdir()
    (tmp_path / "seqinfo.ini").write_text(SEQINFO.format(99))
    gt = tmp_path / "truth" / "a.txt"
    gt.write_text(walk(1, range(1, 4)))
    assert (load_truth(gt, "mot")["a"].length, load_truth(gt, "mot")["a"].fps) == (3, None)


@pytest.mark.parametrize("name", ["a\nb", "a\r\nb", "a\tb", "a  b", "a b"])
def test_truth_of_a_name_that_seqinfo_cannot_hold_meets_its_tracks(name: str, tmp_path, capsys):
    """A name with a line feed is written with a space in seqinfo.ini: nothing was scored."""
    row = '"{}",{},{},7,0,person,0.9,10,20,40,80,matched\n'
    tracks = tmp_path / "tracks.csv"
    rows = [row.format(each, n, n / 30) for each in (name, "other") for n in range(5)]
    tracks.write_text(COLUMNS + "".join(rows), newline="")
    gt = tmp_path / "gt"
    assert main(["convert", str(tracks), "--to", "mot", "-o", str(gt)]) == 0
    capsys.readouterr()
    assert main(["eval", "--gt", str(gt), "--tracks", str(tracks), "--json"]) == 0
    out, err = capsys.readouterr()
    assert sorted(json.loads(out)["sequences"]) == sorted([name, "other"])
    assert err == ""


def test_two_sequences_of_one_name_are_refused(tmp_path: Path, capsys):
    """Of two sequences that seqinfo.ini names alike, the second replaced the first."""
    for folder in ("a", "b"):
        mot_truth(tmp_path / "gt", folder, walk(1, range(1, 4)))
        (tmp_path / "gt" / folder / "seqinfo.ini").write_text(SEQINFO.format(3) + "name=same\n")
        (tmp_path / "gt" / folder / "gt" / "labels.txt").write_text("person\n")
    (tmp_path / "same.txt").write_text(walk(1, range(1, 4)))
    given = ["eval", "--gt", str(tmp_path / "gt"), "--tracks", str(tmp_path / "same.txt")]
    assert main(given) == 2
    assert "a sequence 'same' is in there already" in capsys.readouterr().err


GT_LINES = {
    "few columns": ("1,1,10,20,30\n", "gt.txt:1.*7 columns"),
    "not a number": ("1,1,10,20,30,60,1\n1,1,a,20,30,60,1\n", "gt.txt:2"),
    "frame 0": ("0,1,10,20,30,60,1\n", "gt.txt:1.*from 1"),
    "class": ("1,1,10,20,30,60,1,99,1\n", "gt.txt:1.*class"),
    "infinite": ("1,1,10,20,inf,60,1\n", "gt.txt:1.*finite"),
}


@pytest.mark.parametrize("case", GT_LINES)
def test_a_malformed_line_of_truth_is_named(tmp_path: Path, case: str):
    lines, message = GT_LINES[case]
    mot_truth(tmp_path, "A", lines)
    with pytest.raises(UsageError, match=message):
        load_truth(tmp_path, "mot")


def mistakes(folder: Path) -> dict[str, tuple[list[str], str]]:
    mot_truth(folder / "gt", "A", walk(1, range(1, 11)))
    (folder / "other.txt").write_text(walk(1, range(1, 11)))
    (folder / "late").mkdir()
    (folder / "late" / "A.txt").write_text(walk(1, range(1, 15)))
    (folder / "twice").mkdir()
    (folder / "twice" / "A.txt").write_text(walk(1, range(1, 5)) * 2)
    (folder / "ids").mkdir()
    (folder / "ids" / "A.txt").write_text("1,-1,10,20,30,60,0.9\n")
    (folder / "empty").mkdir()
    gt = ["--gt", str(folder / "gt")]
    return {
        "other names": ([*gt, "--tracks", str(folder / "other.txt")], "A; tracks of other"),
        "too late": ([*gt, "--tracks", str(folder / "late")], "10 frames"),
        "id twice": ([*gt, "--tracks", str(folder / "twice")], "A: "),
        "no identity": ([*gt, "--tracks", str(folder / "ids")], "A has boxes without identity"),
        "no tracks": ([*gt, "--tracks", str(folder / "empty")], "no tracks.csv"),
        "absent": (
            [*gt, "--tracks", str(folder / "absent.txt")],
            "absent.txt: no such file or folder",
        ),
        "no truth": (["--gt", str(folder / "empty"), "--tracks", "x.txt"], "gt/gt.txt"),
        "no folder": (
            ["--gt", str(folder / "nowhere"), "--tracks", "x.txt"],
            "no such file or folder",
        ),
    }


@pytest.mark.parametrize(
    "case",
    [
        "other names",
        "too late",
        "id twice",
        "no identity",
        "no tracks",
        "absent",
        "no truth",
        "no folder",
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, capsys, case: str):
    arguments, message = mistakes(tmp_path)[case]
    assert main(["eval", *arguments]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.slow
@pytest.mark.needs_shared
def test_our_reading_equals_trackevals_own(shared: Path, tmp_path: Path):
    """Same figures whether TrackEval reads KITTI's files itself or gets our arrays."""
    from trackeval.datasets import Kitti2DBox
    from trackeval.metrics import HOTA

    name, folder = "0004", tmp_path / "ours"
    folder.mkdir()
    seen = recorded_frames(shared / "mot/KITTI/det_Car" / f"{name}.txt")[name]
    table = follow(sort.build(sort.Options()), seen)
    lines = [
        f"{frame} {track} Car 0 0 -10 {x1} {y1} {x2} {y2} -1 -1 -1 -1 -1 -1 -1 {score}\n"
        for frame, track, (x1, y1, x2, y2), score in zip(
            table.frame, table.track_id, table.xyxy.tolist(), table.score, strict=True
        )
    ]
    (folder / f"{name}.txt").write_text("".join(lines))
    (tmp_path / "label_02").symlink_to(shared / "mot/KITTI/label_02")
    truth = load_truth(shared / "mot/KITTI", "kitti")[name]
    seqmap = f"{name} empty 000000 {truth.length:06d}\n"
    (tmp_path / "evaluate_tracking.seqmap.training").write_text(seqmap)
    data = Kitti2DBox(
        {
            "GT_FOLDER": str(tmp_path),
            "TRACKERS_FOLDER": str(tmp_path),
            "TRACKERS_TO_EVAL": ["ours"],
            "TRACKER_SUB_FOLDER": "",
            "CLASSES_TO_EVAL": ["car"],
            "PRINT_CONFIG": False,
        }
    )
    raw = data.get_raw_seq_data("ours", name)
    theirs = HOTA().eval_sequence(data.get_preprocessed_seq_data(raw, "car"))
    ours = score({name: truth}, {name: table})[name]
    assert ours["HOTA"] == pytest.approx(100 * np.mean(theirs["HOTA"]), abs=1e-6)
    assert 0 < ours["HOTA"] < 100
