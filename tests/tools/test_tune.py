"""`trackline tune`: where it searches, what it holds out, and that it says honestly what it won."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Literal

import numpy as np
import pytest
import yaml
from pydantic import Field

from pipeline.cli.main import main
from pipeline.cli.tune import verdict
from pipeline.config.build import plugin, plugin_names
from pipeline.core.data import Tracks
from pipeline.core.errors import UsageError
from pipeline.core.options import OptionsModel
from pipeline.tools.evaluate.tracking import recorded_frames
from pipeline.tools.evaluate.truth import load_truth
from pipeline.tools.tune.clips import Clip, Clips, clips_of, hota_of, split
from pipeline.tools.tune.search import Tuned, tune
from pipeline.tools.tune.space import Choice, Range, space_of


class Everything(OptionsModel):
    """Every kind of field a tracker may have."""

    bounded: float = Field(0.5, ge=0, le=1)
    """Bounded on both sides."""
    open_ended: float = Field(0.2, gt=0)
    """Bounded below."""
    wait_s: float = Field(0.1, ge=0)
    """Seconds."""
    count: int = Field(3, ge=1, le=9)
    """Whole."""
    flag: bool = False
    """A switch."""
    mode: Literal["a", "b"] = "a"
    """A choice."""
    maybe: float | None = None
    """Without a number as its default: nowhere to search."""
    fixed: float = Field(1.0, json_schema_extra={"tune": False})
    """Said not to be searched."""
    hinted: float = Field(1.0, json_schema_extra={"tune": [0.5, 3]})
    """Said where to be searched."""
    frames: int = 3
    """Excluded by name."""


def test_the_space_follows_from_the_fields():
    assert space_of(Everything) == {
        "bounded": Range(0, 1),
        "open_ended": Range(0.001, 0.8),
        "wait_s": Range(0, 2),
        "count": Range(1, 9, True),
        "flag": Choice((False, True)),
        "mode": Choice(("a", "b")),
        "hinted": Range(0.5, 3),
    }


@pytest.mark.parametrize("name", [name for name in plugin_names("trackers") if name != "none"])
def test_every_trackers_space_holds_its_defaults_and_only_allowed_values(name: str):
    options = plugin("trackers", name, "tracker").Options
    space, defaults = space_of(options), options()
    assert space
    for key, where in space.items():
        default = getattr(defaults, key)
        if isinstance(where, Choice):
            assert default in where.values
            continue
        assert where.low <= default <= where.high
        for value in (where.low, where.high):
            options.model_validate({key: round(value) if where.whole else value})


def clips_in(folder: Path, conf: float) -> Clips:
    return clips_of(load_truth(folder, "mot"), recorded_frames(folder, conf))


def labelled(folder: Path, *names: str, frames: int = 60) -> Path:
    """Clips of two people who walk past each other, seen with gaps of half a second."""
    for index, name in enumerate(names):
        for part in ("gt", "det"):
            (folder / name / part).mkdir(parents=True)
        (folder / name / "seqinfo.ini").write_text(
            f"[Sequence]\nframeRate=10\nseqLength={frames}\n"
        )
        people = [(1, 10, 4 + index), (2, 600, -4)]
        boxes = [(n, who, x + speed * n) for n in range(1, frames + 1) for who, x, speed in people]
        truth = [f"{n},{who},{x},{50 * who},40,90,1,-1,-1,-1\n" for n, who, x in boxes]
        seen = [f"{n},-1,{x},{50 * who},40,90,0.9\n" for n, who, x in boxes if n % 15 > 5]
        (folder / name / "gt" / "gt.txt").write_text("".join(truth))
        (folder / name / "det" / "det.txt").write_text("".join(seen))
    return folder


def test_every_other_clip_is_held_out_or_the_named_ones(tmp_path: Path):
    clips = clips_in(labelled(tmp_path, "A", "B", "C"), 0.0)
    assert [list(part) for part in split(clips)] == [["A", "C"], ["B"]]
    assert [list(part) for part in split(clips, ["A"])] == [["B", "C"], ["A"]]
    for wrong, message in ((["D"], "'D'"), (["A", "B", "C"], "all clips")):
        with pytest.raises(UsageError, match=message):
            split(clips, wrong)


def test_a_single_clip_is_cut_in_halves_that_share_nothing(tmp_path: Path):
    clips = clips_in(labelled(tmp_path, "A"), 0.0)
    first, second = (next(iter(part.values())) for part in split(clips))
    assert len(first.seen) == len(second.seen) == 30
    whole = clips["A"].truth
    assert len(first.truth.frame) + len(second.truth.frame) == len(whole.frame)
    assert set(second.truth.frame) == set(range(30))
    assert second.seen[0][0].pts_s == pytest.approx(3.0)
    late = whole.xyxy[whole.frame == 30]
    np.testing.assert_array_equal(second.truth.xyxy[second.truth.frame == 0], late)


class Setting(OptionsModel):
    """What the stand-in tracker below can be set to."""

    quality: float = Field(0.2, ge=0, le=1)
    """Share of the boxes that it keeps the identity of."""


class Dial:
    """Gives each box its row as identity, but a new one in the frames beyond its quality."""

    def __init__(self, quality: float) -> None:
        self._quality = quality
        self._next = 100

    def update(self, frame, detections):
        n = len(detections)
        if frame.index % 10 < 10 * self._quality:
            ids = np.arange(1, n + 1, dtype=np.int64)
        else:
            ids = np.arange(self._next, self._next + n, dtype=np.int64)
            self._next += n
        rows, zeros = np.arange(n, dtype=np.int32), np.zeros(n, np.float32)
        return Tracks(detections.xyxy, detections.score, detections.class_id, ids, rows, zeros)

    def reset(self) -> None: ...


def dial() -> ModuleType:
    module = ModuleType("dial")
    module.Options = Setting
    module.build = lambda options: Dial(options.quality)
    return module


@pytest.mark.slow
def test_a_better_setting_is_found_and_the_same_again(tmp_path: Path):
    tuning, held_out = split(clips_in(labelled(tmp_path, "A", "B"), 0.0))
    tuned = tune(dial(), tuning, held_out, trials=10, seed=1)
    assert tuned.best["quality"] > 0.6
    assert tuned.tuning[1] > tuned.tuning[0] + 10
    assert tuned.gain > 10
    assert tuned.held_out[1] == pytest.approx(hota_of(lambda: Dial(**tuned.best), held_out))
    assert tune(dial(), tuning, held_out, trials=10, seed=1) == tuned


@pytest.mark.slow
def test_a_loss_on_the_held_out_clips_is_said(tmp_path: Path):
    """Detections that come only where the tuned setting is bad: tuned on one, lost on the other."""
    clips = clips_in(labelled(tmp_path, "A", "B"), 0.0)
    turned = ModuleType("turned")
    turned.Options = Setting
    turned.build = lambda options: Contrary(options.quality)
    tuned = tune(turned, {"A": clips["A"]}, {"B": clips["B"]}, trials=10)
    assert tuned.tuning[1] > tuned.tuning[0]
    assert tuned.gain < 0
    assert "no gain" in verdict(tuned)


class Contrary(Dial):
    """Good where it is set to be on clip A, and bad by as much on others."""

    def update(self, frame, detections):
        if frame.source != "A":
            self._quality = min(self._quality, 1 - self._quality)
        return super().update(frame, detections)


def test_nothing_better_keeps_the_defaults():
    tuned = Tuned({}, (50.0, 50.0), (40.0, 40.0), 3)
    assert "keeps" in verdict(tuned)


@pytest.mark.slow
def test_the_command_writes_what_run_takes(tmp_path: Path, capsys):
    clips = labelled(tmp_path / "clips", "A", "B")
    out = tmp_path / "best.yaml"
    given = ["tune", "--gt", str(clips), "--detections", str(clips), "-o", str(out)]
    assert main([*given, "--tracker", "sort", "--trials", "6"]) == 0
    printed = capsys.readouterr().out
    assert "held out" in printed
    tracker = yaml.safe_load(out.read_text())["tracker"]
    assert tracker["kind"] == "sort"
    assert out.read_text().startswith("# trackline tune, 6 trials: ")
    run = ["run", "-c", str(out), "--detections", str(clips), "--save", "mot"]
    assert main([*run, "-o", str(tmp_path / "out")]) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["config"]["tracker"].items() >= tracker.items()
    assert main(["eval", "--gt", str(clips), "--tracks", str(tmp_path / "out"), "--json"]) == 0


def mistakes(folder: Path) -> dict[str, tuple[list[str], str]]:
    clips = str(labelled(folder / "clips", "A", "B"))
    other = str(labelled(folder / "other", "X"))
    short = str(labelled(folder / "short", "S", frames=3))
    both = ["--gt", clips, "--detections", clips]
    return {
        "other names": (["--gt", clips, "--detections", other], "detections of X"),
        "no trials": ([*both, "--trials", "0"], "--trials"),
        "no such tracker": ([*both, "--tracker", "srt"], "srt"),
        "nothing to search": ([*both, "--tracker", "none"], "no option"),
        "too short": (["--gt", short, "--detections", short], "too few"),
        "no score": ([*both, "--conf", "2"], "--conf"),
    }


@pytest.mark.parametrize(
    "case",
    [
        "other names", "no trials", "no such tracker", "nothing to search", "too short", "no score",
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(tmp_path: Path, capsys, case: str):
    arguments, message = mistakes(tmp_path)[case]
    assert main(["tune", *arguments]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_a_clip_is_frames_with_their_truth(tmp_path: Path):
    clip = clips_in(labelled(tmp_path, "A"), 0.0)["A"]
    assert isinstance(clip, Clip)
    assert [frame.index for frame, _ in clip.seen] == list(range(60))
    assert clips_in(tmp_path, 0.95)["A"].seen[10][1].score.tolist() == []
