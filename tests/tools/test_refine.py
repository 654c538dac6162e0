"""`trackline refine`: what is joined, filled and dropped, and that nothing else changes."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from pipeline.cli.main import main
from pipeline.core.track_files import BoxTable, read_recording
from pipeline.tools.evaluate.scoring import COMBINED, score
from pipeline.tools.evaluate.tracking import follow, recorded_frames
from pipeline.tools.evaluate.truth import load_truth
from pipeline.tools.refine.options import RefineOptions
from pipeline.tools.refine.refine import refine
from pipeline.tools.refine.smoothing import smoothed
from pipeline.trackers import sort

FPS = 10.0
AS_MEASURED = ("--no-smooth-measured",)
HEADER = "source,frame,pts_s,utc,track_id,class_id,class_name,score,x1,y1,x2,y2,state,age_s\n"


def walker(frame: float, at: float = 100.0, speed: float = 6.0) -> tuple[float, ...]:
    """A box 40 by 80 that walks `speed` pixels a frame; to 0.01, as files have it."""
    x = at + speed * frame
    return tuple(round(number, 2) for number in (x, 50.0, x + 40, 130.0))


def table(*tracks: tuple[int, list[tuple[int, tuple[float, ...]]]], score=0.9, state="matched"):
    rows = [(frame, track, box) for track, boxes in tracks for frame, box in boxes]
    n = len(rows)
    return BoxTable.of(
        frame=np.array([row[0] for row in rows]),
        track_id=np.array([row[1] for row in rows]),
        xyxy=np.array([row[2] for row in rows], float).reshape(-1, 4),
        score=np.full(n, score),
        class_id=np.zeros(n, np.int64),
        state=np.full(n, state, "U8"),
        pts_s=np.array([row[0] / FPS for row in rows]),
        record=np.arange(n),
    )


def walk(frames, **options):
    return [(frame, walker(frame, **options)) for frame in frames]


@pytest.mark.slow
def test_fragments_on_one_way_become_one_track_with_the_smallest_id():
    tracks = table((9, walk(range(10))), (4, walk(range(14, 30))), (2, walk(range(30), at=600)))
    refined = refine(tracks, FPS, RefineOptions())
    assert set(refined.table.track_id) == {2, 4}
    assert (refined.joined, refined.filled, refined.ghosts) == (1, 4, 0)
    own = refined.table[refined.table.track_id == 4]
    assert own.frame.tolist() == list(range(30))
    assert own.frame[own.state == "filled"].tolist() == [10, 11, 12, 13]
    want = [walker(frame) for frame in range(10, 14)]
    np.testing.assert_allclose(own.xyxy[own.state == "filled"], want, atol=2)
    np.testing.assert_allclose(own.pts_s, np.arange(30) / FPS)


def other_way():
    return [(frame, walker(frame, at=2000, speed=-60)) for frame in range(14, 30)]


def larger():
    return [(frame, (box[0], 0, box[0] + 80, 200)) for frame, box in walk(range(14, 30))]


APART = {
    "too late": (walk(range(40, 60)), {}),
    "elsewhere": (walk(range(14, 30), at=400), {}),
    "the other way": (other_way(), {}),
    "twice the size": (larger(), {}),
    "at the same time": (walk(range(8, 30), at=110), {}),
    "joining switched off": (walk(range(14, 30)), {"join_s": 0}),
}


@pytest.mark.parametrize("case", APART)
def test_what_cannot_be_one_object_stays_apart(case: str):
    second, options = APART[case]
    refined = refine(table((1, walk(range(10))), (2, second)), FPS, RefineOptions(**options))
    assert set(refined.table.track_id) == {1, 2}
    assert refined.joined == 0


def test_of_two_that_could_go_on_the_nearer_does():
    tracks = table(
        (1, walk(range(10))), (2, walk(range(13, 30))), (3, walk(range(13, 30), at=112)),
    )  # fmt: skip
    refined = refine(tracks, FPS, RefineOptions(reach=1, smooth_measured=False))
    ids = {frame: set(refined.table.track_id[refined.table.frame == frame]) for frame in (5, 20)}
    assert ids == {5: {1}, 20: {1, 3}}
    now = refined.table[(refined.table.track_id == 1) & (refined.table.frame == 20)]
    assert now.xyxy[0].tolist() == list(walker(20))


def test_classes_are_not_mixed():
    tracks = table((1, walk(range(10))), (2, walk(range(13, 30))))
    tracks.class_id[tracks.track_id == 2] = 7
    assert refine(tracks, FPS, RefineOptions()).joined == 0


def test_gaps_beyond_the_limit_stay_gaps():
    frames = [*range(10), *range(14, 20), *range(45, 60)]
    refined = refine(table((1, walk(frames))), FPS, RefineOptions(fill_share=0))
    assert refined.table.frame.tolist() == [*range(20), *range(45, 60)]
    assert refine(table((1, walk(frames))), FPS, RefineOptions(fill_s=0)).filled == 0


def test_a_flickering_track_is_not_filled():
    """Seen in one frame of four: what flickers is seldom an object."""
    refined = refine(table((1, walk(range(0, 40, 4)))), FPS, RefineOptions(join_s=0))
    assert refined.filled == 0


@pytest.mark.parametrize(("frames", "score", "left"), [(2, 0.4, 0), (2, 0.9, 2), (20, 0.4, 20)])
def test_ghosts_are_short_and_unsure(frames: int, score: float, left: int):
    tracks = table((1, walk(range(frames))), score=score)
    assert len(refine(tracks, FPS, RefineOptions()).table) == left


def test_measured_boxes_are_smoothed_unless_switched_off():
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 3, (40, 4))
    frames = [frame for frame in range(40) if not 17 <= frame < 20]
    noisy = [(frame, tuple(np.array(walker(frame)) + noise[frame])) for frame in frames]
    tracks = table((1, noisy))
    kept = refine(tracks, FPS, RefineOptions(smooth_measured=False)).table
    np.testing.assert_array_equal(kept.xyxy[kept.state == "matched"], tracks.xyxy)
    smooth = refine(tracks, FPS, RefineOptions()).table
    truth = np.array([walker(frame) for frame in range(40)])
    measured_error = np.abs(tracks.xyxy - truth[frames]).mean()
    assert np.abs(smooth.xyxy - truth).mean() < 0.75 * measured_error


def test_coasting_rows_give_way_to_filled_ones():
    """A prediction from behind is worse than what both sides tell; after the end it is a guess."""
    tracks = table((1, walk(range(30))))
    tracks.state[10:14] = "coasting"
    tracks.xyxy[10:14] += 30
    tracks.state[26:] = "coasting"
    refined = refine(tracks, FPS, RefineOptions()).table
    assert refined.frame.tolist() == list(range(26))
    np.testing.assert_allclose(refined.xyxy[10:14], [walker(n) for n in range(10, 14)], atol=1)
    assert set(refined.state[10:14]) == {"filled"}


def test_boxes_without_identity_are_left_alone():
    tracks = table((0, walk(range(2)) + walk(range(2), at=300)), score=0.1)
    refined = refine(tracks, FPS, RefineOptions())
    assert sorted(refined.table.record) == [0, 1, 2, 3]
    assert set(refined.table.track_id) == {0}


def test_nothing_in_nothing_out():
    refined = refine(table(), FPS, RefineOptions())
    assert (len(refined.table), refined.joined, refined.filled, refined.ghosts) == (0, 0, 0, 0)


def test_the_smoother_knows_what_comes_after():
    """A turn within a gap: both ends are met, which a filter that only looks back cannot."""
    frames = np.array([*range(20), *range(24, 44)])
    x = np.where(frames < 22, 5.0 * frames, 5.0 * 44 - 5.0 * frames) + 100
    xyxy = np.stack([x, 0 * x + 50, x + 40, 0 * x + 130], axis=1)
    filled = smoothed(frames, xyxy, FPS)
    assert len(filled) == 44
    steps = np.abs(np.diff(filled[:, 0]))
    assert steps.max() < 12


def csv_row(frame: int, track: int, state: str = "matched", source: str = "A") -> str:
    x1, y1, x2, y2 = walker(frame)
    utc = f"2026-01-31T12:00:{frame // 10:02d}.{frame % 10}00Z"
    return (
        f"{source},{frame},{frame / FPS},{utc},{track},0,person,0.9,"
        f"{x1},{y1},{x2},{y2},{state},{round(frame / FPS + 0.1, 3)}\n"
    )


def test_csv_keeps_measured_lines_and_marks_added_ones(tmp_path: Path, capsys):
    lines = [csv_row(n, 5) for n in range(10)] + [csv_row(n, 8) for n in range(12, 25)]
    lines += [csv_row(n, 3, source="B") for n in range(10)]
    path = tmp_path / "tracks.csv"
    path.write_text(HEADER + "".join(lines))
    assert main(["refine", *AS_MEASURED, str(path)]) == 0
    text = (tmp_path / "refined" / "tracks.csv").read_text()
    assert text.startswith(HEADER)
    assert [line in text for line in lines] == [line.split(",")[4] != "8" for line in lines]
    rows = [row for row in csv.DictReader(text.splitlines()) if row["source"] == "A"]
    assert {row["track_id"] for row in rows} == {"5"}
    added = [row for row in rows if row["state"] == "filled"]
    assert [row["frame"] for row in added] == ["10", "11"]
    assert added[0]["utc"] == "2026-01-31T12:00:01.000Z"
    assert (added[0]["pts_s"], added[0]["class_name"]) == ("1.0", "person")
    ages = [float(row["age_s"]) for row in rows]
    np.testing.assert_allclose(ages, [(n + 1) / FPS for n in range(25)], atol=2e-3)


def test_jsonl_keeps_its_header(tmp_path: Path):
    header = {"type": "header", "columns": [], "sources": {"A": {"fps": FPS}}}
    rows = [
        {"source": "A", "frame": n, "track_id": 1, "score": 0.9, "state": "matched",
         **dict(zip(("x1", "y1", "x2", "y2"), walker(n), strict=True))}
        for n in range(20) if n not in (7, 8)
    ]  # fmt: skip
    path = tmp_path / "tracks.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in [header, *rows]))
    out = tmp_path / "better.jsonl"
    assert main(["refine", *AS_MEASURED, str(path), "-o", str(out)]) == 0
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    meta = json.loads((tmp_path / "better.meta.json").read_text())
    assert {"type": "header", **meta} == header, "of an old file: it stands beside the new one"
    assert [line for line in lines if line["state"] == "matched"] == rows
    assert [line["frame"] for line in lines] == list(range(20))
    assert main(["refine", *AS_MEASURED, str(out), "-o", str(tmp_path / "again.jsonl")]) == 0
    assert json.loads((tmp_path / "again.meta.json").read_text()) == meta


def test_mot_text_marks_added_rows_in_the_last_column(tmp_path: Path):
    folder = tmp_path / "mot"
    folder.mkdir()
    for name in ("A", "B"):
        lines = [f"{n},3,{6 * n},50.5,40,80,0.9,-1,-1,-1\n" for n in range(1, 20) if n != 8]
        (folder / f"{name}.txt").write_text("".join(lines))
    assert (
        main(["refine", *AS_MEASURED, str(folder), "-o", str(tmp_path / "out"), "--fps", "10"]) == 0
    )
    text = (tmp_path / "out" / "B.txt").read_text()
    assert all(line in text for line in lines)
    (added,) = [line for line in text.splitlines() if line.endswith(",-2")]
    assert added.startswith("8,3,")
    states = read_recording(tmp_path / "out" / "B.txt").tables["B"].state.tolist()
    assert states.count("filled") == 1


def test_refining_twice_changes_nothing_more(tmp_path: Path):
    lines = [csv_row(n, 5) for n in range(10)] + [csv_row(n, 8) for n in range(12, 25)]
    (tmp_path / "tracks.csv").write_text(HEADER + "".join(lines))
    once, twice = tmp_path / "once.csv", tmp_path / "twice.csv"
    assert main(["refine", *AS_MEASURED, str(tmp_path / "tracks.csv"), "-o", str(once)]) == 0
    assert main(["refine", *AS_MEASURED, str(once), "-o", str(twice)]) == 0
    assert once.read_text() == twice.read_text()


def mistakes(folder: Path) -> dict[str, tuple[list[str], str]]:
    path = folder / "A.txt"
    path.write_text("1,1,10,20,30,60,1,-1,-1,-1\n")
    kitti = folder / "k.txt"
    kitti.write_text("0,2,1,1,5,5,1,1,1,1,1,1,1,1,1\n")
    return {
        "onto itself": ([str(path), "-o", str(path)], "is the input"),
        "another kind": ([str(path), "-o", str(folder / "a.csv")], "want a folder or one .txt"),
        "detections": ([str(kitti)], "not tracks"),
        "absent": ([str(folder / "b.csv")], "b.csv: cannot be read"),
        "out of range": ([str(path), "--join-s", "-1"], "refine.join_s"),
        "no rate": ([str(path), "--fps", "0"], "--fps"),
    }


@pytest.mark.parametrize(
    "case", ["onto itself", "another kind", "detections", "absent", "out of range", "no rate"]
)
def test_a_mistake_is_one_line(tmp_path: Path, capsys, case: str):
    arguments, message = mistakes(tmp_path)[case]
    assert main(["refine", *arguments]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.slow
@pytest.mark.needs_shared
def test_hota_of_the_published_tracker_rises(shared: Path):
    """On real people: more than two points, with the defaults."""
    folder = shared / "mot/MOT17-val-half"
    names = ("MOT17-10-FRCNN", "MOT17-13-FRCNN")
    options = sort.Options(frames=sort.FrameRule(max_age=1, min_hits=3), published=True)
    truths = {name: load_truth(folder / name, "mot")[name] for name in names}
    plain = {
        name: follow(sort.build(options), recorded_frames(folder / name)[name]) for name in names
    }
    better = {
        name: refine(each, truths[name].fps or 0, RefineOptions()).table
        for name, each in plain.items()
    }
    before, after = (score(truths, tracks)[COMBINED]["HOTA"] for tracks in (plain, better))
    assert after > before + 2
