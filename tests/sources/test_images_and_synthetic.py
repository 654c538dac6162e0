"""Pictures from folders, and the synthetic scene."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.tiny_videos import write_picture

from pipeline.core.errors import SourceBrokenError, SourceError
from pipeline.sources import images, synthetic


def greys(source: Any) -> list[int]:
    source.open()
    return [int(frame.image[0, 0, 0]) for frame in iter(source.read, None)]


# -- images ---------------------------------------------------------------------------------------


def test_a_folder_is_read_in_the_order_people_count(tmp_path):
    """By text frame10 comes before frame2, and tracks would jump. '²' is a digit but no number."""
    for grey, name in enumerate(["frame1.png", "frame2.png", "frame10.png", "frame²3.png"]):
        write_picture(tmp_path / name, grey * 10)
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "folder.png").mkdir()
    write_picture(tmp_path / "below" / "frame3.png", 99)
    assert greys(images.build(images.Options(path=str(tmp_path)))) == [0, 10, 20, 30]


def test_a_glob_or_one_picture_is_enough(tmp_path):
    for grey, name in enumerate(["a1.png", "a2.png", "b1.png"]):
        write_picture(tmp_path / name, grey * 10)
    assert greys(images.build(images.Options(path=str(tmp_path / "a*")))) == [0, 10]
    assert greys(images.build(images.Options(path=str(tmp_path / "b1.png")))) == [20]


def test_pictures_may_differ_in_size_and_lie_evenly_in_time(tmp_path):
    write_picture(tmp_path / "1.png", height=20)
    write_picture(tmp_path / "2.png", height=40)
    source = images.build(images.Options(path=str(tmp_path), fps=4))
    info = source.open()
    frames = list(iter(source.read, None))
    assert (info.width, info.height, info.frame_count) == (30, 20, 2)
    assert [frame.image.shape[0] for frame in frames] == [20, 40]
    assert [frame.pts_s for frame in frames] == [0.0, 0.25]


def test_a_bad_picture_keeps_its_place_in_time_and_is_reported_at_the_end(tmp_path):
    write_picture(tmp_path / "1.png", 10)
    (tmp_path / "2.png").write_bytes(b"no picture")
    (tmp_path / "3.png").touch()
    write_picture(tmp_path / "4.png", 40)
    source = images.build(images.Options(path=str(tmp_path), fps=10))
    source.open()
    first, second = source.read(), source.read()
    assert [first.index, second.index] == [0, 3], "its number was one lower for each bad one before"
    assert [Path(each.file).name for each in (first, second)] == ["1.png", "4.png"]
    assert source.left_out == 2
    assert [first.pts_s, second.pts_s] == pytest.approx([0.0, 0.3])
    with pytest.raises(SourceBrokenError, match=r"2\.png"):
        source.read()
    assert source.read() is None


NO_IMAGES = {
    "absent": ("absent", "no such file"),
    "folder without pictures": ("empty", ".png"),
    "glob without a match": ("empty/*.jpg", "no pictures"),
    "only unreadable ones": ("bad", "bad"),
}


@pytest.mark.parametrize("case", NO_IMAGES)
def test_no_images_is_one_line_that_says_what_is_known(tmp_path, case):
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "1.png").write_bytes(b"no picture")
    path, says = NO_IMAGES[case]
    source = images.build(images.Options(path=str(tmp_path / path)))
    with pytest.raises(SourceError) as caught:
        source.open()
    assert says in str(caught.value)
    assert str(tmp_path / path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_bad_picture_is_logged_only_where_others_go_on(tmp_path, caplog):
    """`run bad.png` printed two lines for one mistake: "skipped", though nothing else was there."""
    (tmp_path / "1.png").write_bytes(b"no picture")
    with pytest.raises(SourceError):
        images.build(images.Options(path=str(tmp_path))).open()
    assert not caplog.messages
    write_picture(tmp_path / "2.png")
    (tmp_path / "3.png").write_bytes(b"no picture")
    source = images.build(images.Options(path=str(tmp_path)))
    source.open()
    source.read()
    with pytest.raises(SourceBrokenError, match="2 such"):
        source.read()
    told = [Path(message.partition(":")[0]).name for message in caplog.messages]
    assert told == ["1.png", "3.png"]


NAMES = {
    "drive/frame1.jpg": "frame1",
    "drive/seq.01": "seq.01",
    "drive/*.jpg": "drive",
    "*.jpg": "images",
}


@pytest.mark.parametrize("path", NAMES)
def test_images_are_called_after_what_they_lie_in(path):
    assert images.build(images.Options(path=path)).name == NAMES[path]


# -- synthetic ------------------------------------------------------------------------------------

SCENE = synthetic.Options(width=200, height=120, frames=400, objects=5, classes=2, seed=3)


def test_the_same_options_give_the_same_pictures_and_another_seed_others():
    def pictures(options: synthetic.Options) -> Any:
        source = synthetic.build(options)
        source.open()
        return np.stack([source.read().image for _ in range(5)])

    np.testing.assert_array_equal(pictures(SCENE), pictures(SCENE))
    assert (pictures(SCENE) != pictures(SCENE.model_copy(update={"seed": 4}))).any()


def test_the_truth_is_what_is_drawn():
    source = synthetic.build(SCENE)
    source.open()
    for frame in list(iter(source.read, None))[::20]:
        truth = source.scene.at(frame.pts_s)
        drawn = np.full(frame.image.shape, 48, np.uint8)
        for (x1, y1, x2, y2), track_id in zip(
            truth.xyxy.astype(int), truth.track_id.tolist(), strict=True
        ):
            drawn[y1:y2, x1:x2] = source.scene.colour_of(track_id)
        np.testing.assert_array_equal(frame.image, drawn)


@pytest.mark.slow
def test_the_truth_has_one_box_per_id_inside_the_picture_with_one_class_for_life():
    scene = synthetic.Scene(SCENE)
    class_of: dict[int, int] = {}
    centre_of: dict[int, Any] = {}
    last_seen: dict[int, int] = {}
    for index in range(2000):
        truth = scene.at(index / 30)
        assert len(set(truth.track_id.tolist())) == len(truth.track_id)
        assert (truth.xyxy >= 0).all()
        assert (truth.xyxy <= [200, 120, 200, 120]).all()
        for xyxy, track_id, class_id in zip(
            truth.xyxy, truth.track_id.tolist(), truth.class_id.tolist(), strict=True
        ):
            assert class_of.setdefault(track_id, class_id) == class_id
            centre = (xyxy[:2] + xyxy[2:]) / 2
            if last_seen.get(track_id) == index - 1:
                assert np.abs(centre - centre_of[track_id]).max() < 8, "an object jumped"
            else:
                assert track_id not in last_seen, "an id came back"
            centre_of[track_id], last_seen[track_id] = centre, index
    assert len(class_of) > SCENE.objects, "nobody ever left and came back as somebody new"


def test_a_live_scene_is_not_ahead_of_its_time():
    source = synthetic.build(SCENE.model_copy(update={"live": True, "fps": 200.0, "frames": 4}))
    before = time.monotonic()
    source.open()
    frames = list(iter(source.read, None))
    assert all(frame.captured_at >= before + frame.pts_s for frame in frames)
