"""Thumbnails of visits: the best moment, as a file beside the clip, kept and deleted like it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.event_results import event, result, run_info
from support.event_servers import eventually

from pipeline.core.data import Result, Tracks
from pipeline.events.store.clip_cleaning import ClipCleaner
from pipeline.events.store.retention import RetentionLimits, apply_retention
from pipeline.events.store.store import EventStore
from pipeline.sinks import events as plugin
from pipeline.sinks.clips.pre_roll import PreRollBuffer
from pipeline.sinks.clips.thumbnails import SIZE, ThumbnailMaker, cut_out, quality_of

Box = tuple[float, float, float, float]
SHARP = np.where(np.indices((240, 320)).sum(0) % 8 < 4, 40, 220).astype(np.uint8)
PICTURE = np.repeat(SHARP[:, :, None], 3, axis=2)
BLURRED = cv2.GaussianBlur(PICTURE, (0, 0), 6)


def shown(index: int, box: Box | None, *events: object, blurred: bool = False) -> Result:
    """A result with one track at `box`, or none."""
    plain = result(index, *events, size=PICTURE.shape[:2])  # type: ignore[arg-type]
    image = BLURRED if blurred else PICTURE
    frame = replace(plain.frame, image=image)
    tracks = plain.tracks
    if box is None:
        return replace(plain, frame=frame, tracks=Tracks.empty())
    moved = replace(tracks, xyxy=np.array([box], np.float32))
    return replace(plain, frame=frame, tracks=moved)


def run_of(output: Path, results: Sequence[Result]) -> EventStore:
    sink = plugin.build(plugin.Options(before_s=2, after_s=1, clip_width=640))
    sink.open(run_info(output, "gate", files=True))
    store = sink.store
    assert store is not None
    for one in results:
        sink.write(one)
    sink.close()
    return store


def size_of(path: Path | None) -> tuple[int, int]:
    assert path is not None
    height, width = cv2.imread(str(path)).shape[:2]
    return width, height


SMALL, LARGE, AT_EDGE = (100, 100, 120, 140), (90, 60, 150, 200), (0, 40, 80, 230)


def test_the_best_moment_before_the_event_is_beside_the_clip(tmp_path: Path) -> None:
    boxes = [SMALL] * 10 + [LARGE] * 3 + [SMALL] * 7
    store = run_of(
        tmp_path,
        [shown(i, box, *([event(19)] if i == 19 else [])) for i, box in enumerate(boxes)],
    )
    (visit,) = store.visits()
    path = store.thumbnail_path(visit.id)
    assert path is not None
    assert path.parent == tmp_path / "clips" / "gate"
    assert path.stat().st_mode & 0o077 == 0
    assert size_of(path) == (280, 210), "one and a half times the large box"
    assert visit.ended is not None
    assert [one for one in path.parent.iterdir() if one.name.endswith(".part")] == []


def test_a_better_moment_after_the_event_replaces_it(tmp_path: Path) -> None:
    boxes = [SMALL] * 20 + [LARGE] * 10
    results = [shown(i, box, *([event(5)] if i == 5 else [])) for i, box in enumerate(boxes)]
    store = run_of(tmp_path, results)
    (visit,) = store.visits()
    assert size_of(store.thumbnail_path(visit.id)) == (280, 210)
    assert len(list((tmp_path / "clips" / "gate").glob("*.jpg"))) == 1


def test_a_visit_that_goes_on_has_a_thumbnail_already(tmp_path: Path) -> None:
    sink = plugin.build(plugin.Options())
    sink.open(run_info(tmp_path, "gate"))
    store = sink.store
    assert store is not None
    sink.write(shown(0, SMALL, event(0)))
    eventually(lambda: any(one.thumbnail for one in store.visits()), "a thumbnail")
    (visit,) = store.visits()
    assert visit.ended is None
    sink.close()


def test_visits_end_on_another_thread_while_pictures_come(tmp_path: Path) -> None:
    """A camera fell silent, and "dictionary changed size during iteration" ended the run."""
    maker = ThumbnailMaker(tmp_path, lambda one: None)
    ring = PreRollBuffer(5.0, 30.0, 320)
    picture = ring.add(shown(0, None), always=True)
    assert picture is not None
    uids = [str(number) for number in range(200)]
    ending = threading.Event()

    def end() -> None:
        while not ending.is_set():
            for uid in uids:
                maker.end([uid])

    thread = threading.Thread(target=end)
    thread.start()
    try:
        for _ in range(20):
            for number, uid in enumerate(uids):
                maker.begin(uid, number, 0.0, [picture])
                maker.add(picture)
    finally:
        ending.set()
        thread.join()


def test_quality_is_size_and_sharpness_and_whole() -> None:
    def of(image: np.ndarray, box: Box) -> float:
        return quality_of(image, box)

    assert of(PICTURE, LARGE) > of(PICTURE, SMALL)
    assert of(PICTURE, SMALL) > of(BLURRED, SMALL)
    assert of(PICTURE, LARGE) > of(PICTURE, AT_EDGE), "larger, but cut"
    assert of(PICTURE, (400, 10, 500, 20)) == 0


@pytest.mark.parametrize(
    "box", [SMALL, LARGE, AT_EDGE, (-50, -50, 900, 900), (310, 230, 330, 250), (5, 5, 6, 6)]
)
def test_what_is_cut_out_is_four_to_three_within_the_picture(box: Box) -> None:
    part = cut_out(PICTURE, box)
    height, width = part.shape[:2]
    assert (width, height) <= SIZE
    assert width / height == pytest.approx(4 / 3, abs=0.03)
    large = cut_out(np.zeros((1080, 1920, 3), np.uint8), (100, 100, 1800, 1000))
    assert large.shape[:2] == SIZE[::-1]


def test_a_thumbnail_goes_with_its_visit_and_when_space_runs_out(tmp_path: Path) -> None:
    store = run_of(tmp_path, [shown(i, SMALL, *([event(2)] if i == 2 else [])) for i in range(5)])
    (visit,) = store.visits()
    path = store.thumbnail_path(visit.id)
    assert path is not None
    apply_retention(store, RetentionLimits(None, 0.0015))
    assert (store.visits()[0].thumbnail, path.exists()) == (None, False)
    path.write_bytes(b"again")
    store.set_thumbnail(visit.uid, f"gate/{path.name}", 5)
    store.delete([one.id for one in store.query()])
    assert not path.exists()


def test_a_picture_without_a_visit_is_set_aside_and_one_without_a_file_forgotten(
    tmp_path: Path,
) -> None:
    store = run_of(tmp_path, [shown(i, SMALL, *([event(2)] if i == 2 else [])) for i in range(5)])
    folder = tmp_path / "clips" / "gate"
    ClipCleaner(store).clean(2e9)
    stray, own = folder / "20260131-235959-0123abcd.jpg", folder / "mine.jpg"
    stray.write_bytes(b"stray")
    own.write_bytes(b"of somebody")
    assert ClipCleaner(store).clean(2e9).quarantined == 1
    assert (stray.exists(), own.exists()) == (False, True)
    (visit,) = store.visits()
    path = store.thumbnail_path(visit.id)
    assert path is not None
    path.unlink()
    assert ClipCleaner(store).clean(2e9).forgotten == 1
    assert store.visits()[0].thumbnail is None


def test_a_clip_has_the_boxes_of_its_tracks(tmp_path: Path) -> None:
    store = run_of(tmp_path, [shown(i, SMALL, *([event(5)] if i == 5 else [])) for i in range(20)])
    (one,) = store.query()
    boxes = store.clip_boxes(one.id)
    assert boxes is not None
    assert (boxes["size"], boxes["classes"]) == ([320, 240], {"1": "person"})
    assert boxes["frames"][5] == [0.5, [[1, 100, 100, 120, 140]]]
    assert one.clip_offset_s == 0.5
    assert store.clip_boxes(99) is None


def test_without_clips_there_is_no_thumbnail(tmp_path: Path) -> None:
    sink = plugin.build(plugin.Options(clips=False))
    sink.open(run_info(tmp_path, "gate", files=True))
    store = sink.store
    assert store is not None
    sink.write(shown(0, SMALL, event(0)))
    sink.close()
    assert store.visits()[0].thumbnail is None
