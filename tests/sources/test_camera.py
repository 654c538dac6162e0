"""The camera source, over a stand-in for OpenCV's capture: no camera is needed here."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from support.fake_capture import FakeCapture, FakeDriver

from pipeline.core.errors import SourceError, SourceLostError
from pipeline.sources import camera


def test_camera_pictures_land_in_pooled_memory_with_rising_times():
    capture = FakeCapture([10, 20, 30])
    source = camera.CameraSource(camera.Options(width=640, fps=15), FakeDriver(capture))
    source.open()
    assert capture.settings[cv2.CAP_PROP_FRAME_WIDTH] == 640
    assert capture.settings[cv2.CAP_PROP_FPS] == 15
    assert capture.settings[cv2.CAP_PROP_BUFFERSIZE] == 1
    source.read()  # the camera said 640 wide and gives 32: the slot fits from the second on
    frames = [source.read(), source.read()]
    assert [int(frame.image[0, 0, 0]) for frame in frames] == [20, 30]
    assert [frame.index for frame in frames] == [1, 2]
    assert np.shares_memory(frames[0].image, capture.slots[1])
    assert 0 <= frames[0].pts_s <= frames[1].pts_s
    assert frames[0].captured_at <= frames[1].captured_at


def test_a_failed_read_is_a_lost_camera_never_a_picture():
    """Many programs go on with a black or the last picture, and the tracker believes it."""
    source = camera.CameraSource(camera.Options(), FakeDriver(FakeCapture([10, None, 20])))
    source.open()
    assert source.read() is not None
    with pytest.raises(SourceLostError, match="camera0"):
        source.read()


def test_a_lost_camera_is_opened_again_from_frame_0():
    first, second = FakeCapture([10]), FakeCapture([20])
    source = camera.CameraSource(camera.Options(), FakeDriver(first, second))
    source.open()
    source.read()
    source.close()
    source.open()
    frame = source.read()
    assert (frame.index, int(frame.image[0, 0, 0])) == (0, 20)
    assert first.released == 1


def test_a_camera_that_is_not_there_is_lost_and_let_go():
    closed = [FakeCapture([], opened=False), FakeCapture([], opened=False)]
    source = camera.CameraSource(camera.Options(device="/dev/video7"), FakeDriver(*closed))
    with pytest.raises(SourceLostError, match="video7"):
        source.open()
    assert all(capture.released for capture in closed)


def test_a_backend_that_refuses_timeouts_is_opened_without():
    driver = FakeDriver(FakeCapture([], opened=False), FakeCapture([10]))
    source = camera.CameraSource(camera.Options(), driver)
    source.open()
    assert [bool(settings) for _, settings in driver.asked] == [True, False]


@pytest.mark.parametrize("device", ["nope", "rtsp://user:secret@host/1", __file__])
def test_what_can_be_no_device_is_a_mistake_at_once(device):
    source = camera.CameraSource(camera.Options(device=device), FakeDriver())
    with pytest.raises(SourceError) as caught:
        source.open()
    assert "secret" not in str(caught.value) + source.name


@pytest.mark.parametrize(
    ("device", "name"), [(2, "camera2"), ("2", "camera2"), ("/dev/video2", "video2")]
)
def test_a_camera_is_called_after_its_device(device, name):
    assert camera.build(camera.Options(device=device)).name == name


def test_a_missing_camera_prints_nothing_beside_the_error(capfd):
    """It prints up to ten lines for each try, and a camera that is down is tried for ever."""
    with pytest.raises(SourceLostError):
        camera.build(camera.Options(device="/dev/video-that-is-not-there")).open()
    assert capfd.readouterr() == ("", "")
