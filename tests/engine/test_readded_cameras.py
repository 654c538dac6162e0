"""Cameras that are taken out and put in again, or renamed, while the run goes on: their books."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from support.fakes import FakeDetector
from support.live_fakes import Camera, Live, until

from pipeline.config.build import make_sources
from pipeline.config.resolve import resolve_config
from pipeline.config.schema import Config, load_config
from pipeline.core.data import Result
from pipeline.server.live.config_changes import apply, running_config
from pipeline.trackers import sort

pytestmark = pytest.mark.timeout(60)

AGAIN = 4


def slow(*_: object) -> None:
    """Take longer than the cameras need for a picture, so that some are dropped."""
    time.sleep(0.02)


def running(*cameras: Any) -> Live:
    """A run that finds one object in each picture, and cannot keep up."""
    options = sort.Options(confirm_s=0)
    detector = FakeDetector(slow, batch_size=8)  # type: ignore[arg-type]
    return Live(*cameras, detector=detector, new_tracker=lambda: sort.build(options))


def ids_by_epoch(results: Sequence[Result]) -> dict[int, set[int]]:
    found: dict[int, set[int]] = {}
    for result in results:
        found.setdefault(result.frame.epoch, set()).update(result.tracks.track_id.tolist())
    return {epoch: ids for epoch, ids in found.items() if ids}


def check_ids(results: Sequence[Result]) -> None:
    """One object per stay, and none of them has the id of an earlier one."""
    stays = [ids for _, ids in sorted(ids_by_epoch(results).items())]
    assert all(len(ids) == 1 for ids in stays), "one object"
    given = [one for ids in stays for one in ids]
    assert given == sorted(set(given)), "an id was given twice"


@pytest.mark.slow
def test_a_camera_taken_out_and_put_in_again_has_one_row_of_indices() -> None:
    """A table keyed by source and frame would hold two rows of one key, or a hole nobody counted.

    `Live` checks at the end that every gap in the indices is what was counted as dropped.
    """
    with running(Camera("door", 0.004), Camera("yard", 0.004)) as live:
        for stay in range(AGAIN):
            live.wait_more("door", 5)
            live.pipeline.remove_source("door")
            assert "door" not in live.pipeline.cameras()
            live.wait_more("yard", 3)
            live.pipeline.add_source(Camera("door", 0.004))
            until(lambda at=stay: any(r.frame.epoch > at for r in live.results["door"]))
        live.wait_more("door", 5)
    door = live.results["door"]
    indices = [result.frame.index for result in door]
    assert indices == sorted(set(indices))
    assert len({result.frame.epoch for result in door}) == AGAIN + 1
    check_ids(door)
    dropped = live.pipeline.stats.sources["door"].drops()
    assert dropped, "the detector was too fast for this test"
    assert {r.frame.epoch for r in live.results["yard"]} == {0}, "another camera noticed"
    assert ids_by_epoch(live.results["yard"]) == {0: {1}}


def config(folder: Path, *names: str) -> Config:
    told = {
        "kind": "synthetic",
        "live": True,
        "frames": None,
        "fps": 100,
        "width": 32,
        "height": 24,
    }
    path = folder / "cams.yaml"
    path.write_text(json.dumps({"sources": [{**told, "name": name} for name in names]}))
    return load_config(path)


@pytest.mark.slow
def test_a_renamed_camera_begins_new_counts_and_its_old_ones_stay(tmp_path: Path) -> None:
    """The old name's frames must be accounted for, and its ids not given again when it returns."""
    first = resolve_config(config(tmp_path, "door", "yard"))
    now = running_config(first, None)
    with running(*(source for source, _ in make_sources(first))) as live:
        live.wait_more("door", 5)
        live.wait_more("yard", 5)
        done = apply(config(tmp_path, "gate", "yard"), now, live.pipeline)
        assert done == ["camera door removed", "camera gate added"]
        live.wait_more("gate", 5)
        assert sorted(live.pipeline.cameras()) == ["gate", "yard"]
        left = live.pipeline.stats.sources["door"]
        until(lambda: left.grabbed == left.delivered + sum(left.drops().values()))
        apply(config(tmp_path, "door", "yard"), now, live.pipeline)
        until(lambda: any(result.frame.epoch for result in live.results["door"]))
        live.wait_more("door", 5)
    door, gate = live.results["door"], live.results["gate"]
    assert gate[0].frame.epoch == 0
    assert ids_by_epoch(gate) == {0: {1}}
    indices = [result.frame.index for result in door]
    assert indices == sorted(set(indices))
    check_ids(door)
    assert len(ids_by_epoch(door)) == 2
    assert {r.frame.epoch for r in live.results["yard"]} == {0}, "another camera noticed"
