"""Uploaded videos over REST: analysed, refused, cancelled, and nothing of them left on the disk."""

from __future__ import annotations

import logging
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx")
pytest.importorskip("python_multipart")

import av
import cv2
import numpy as np
from starlette.testclient import TestClient
from support.fake_backend import TOKEN, ServerParts, trusted_client
from support.fakes import FakeDetector
from support.live_fakes import until
from support.tiny_videos import cut, noise_picture, write_video

from pipeline.core.data import Frame
from pipeline.core.errors import ModelError, SourceError
from pipeline.detectors.common.loaded_model import LoadedModel
from pipeline.server.schemas import VideoAnswer
from pipeline.server.video_analysis import YieldingDetector
from pipeline.server.video_jobs import KEPT_S, UNASKED_S

PATH = "/api/videos"
RAW = {"content-type": "video/mp4"}
FRAMES = 8
SMALL: dict[str, Any] = {"video_mb": 1, "video_s": 2.0, "video_frames": 60, "videos": 2}
BEARER = {"authorization": f"Bearer {TOKEN}"}


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's folder for temporary files, in which nothing may be left."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def made(tmp_path: Path) -> ServerParts:
    return ServerParts(tmp_path, uploads=SMALL)


@pytest.fixture(scope="module")
def module_made(tmp_path_factory: pytest.TempPathFactory) -> ServerParts:
    return ServerParts(tmp_path_factory.mktemp("server"), uploads=SMALL)


@pytest.fixture
def client(made: ServerParts, temporary: Path) -> Iterator[TestClient]:
    with trusted_client(made) as client:
        yield client
    made.videos.close()
    assert list(temporary.iterdir()) == [], "left on the disk"


def video(folder: Path, suffix: str = ".mp4", frames: int = FRAMES, **about: Any) -> bytes:
    pictures = [noise_picture(n) for n in range(frames)]
    return write_video(folder / f"video{suffix}", pictures, **about).read_bytes()


def sent(client: TestClient, content: bytes, query: str = "") -> str:
    answer = client.post(PATH + query, content=content, headers=RAW)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def ended(client: TestClient, job_id: str) -> dict[str, Any]:
    """Ask until a video is done or failed."""
    job: dict[str, Any] = {}

    def is_over() -> bool:
        job.update(client.get(f"{PATH}/{job_id}").json())
        return bool(job["state"] in ("done", "failed"))

    until(is_over, "never done")
    return job


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [(".mp4", "libx264"), (".mov", "libx264"), (".webm", "libvpx-vp9"), (".mkv", "libx264"),
     (".avi", "mpeg4")],
)  # fmt: skip
@pytest.mark.slow
def test_a_video_is_analysed(
    client: TestClient, tmp_path: Path, temporary: Path, suffix: str, codec: str
) -> None:
    job_id = sent(client, video(tmp_path, suffix, codec=codec), "?name=street.bin")
    job = ended(client, job_id)
    about = {"state": "done", "name": "street.bin", "width": 128, "height": 96, "problem": None}
    assert {key: job[key] for key in about} == about
    answer = VideoAnswer.model_validate_json(client.get(f"{PATH}/{job_id}/answer").content)
    assert [each.time for each in answer.frames] == pytest.approx([n / 25 for n in range(FRAMES)])
    [track] = answer.tracks  # the doubtful one begins none
    assert (track.class_name, track.score, track.first_s) == ("person", 0.9, 0.0)
    assert (track.last_s, track.frames) == (answer.frames[-1].time, FRAMES)
    assert {each.track_id for frame in answer.frames for each in frame.objects} == {track.track_id}
    assert answer.frames[0].objects[0].xyxy == (1, 2, 3, 4)
    assert answer.tags == {"person": 0.9, "minibus": 0.8}
    assert not list(temporary.rglob("upload")), "the upload is deleted once it is analysed"
    assert client.get(f"{PATH}/{job_id}/annotated.mp4").status_code == 404
    assert client.delete(f"{PATH}/{job_id}").status_code == 204
    assert client.get(f"{PATH}/{job_id}").status_code == 404


@pytest.mark.slow
def test_the_annotated_video_is_written_where_it_is_asked_for(
    client: TestClient, tmp_path: Path
) -> None:
    job_id = sent(client, video(tmp_path), "?annotated=true&tags=false")
    assert ended(client, job_id)["annotated"]
    path = tmp_path / "annotated.mp4"
    answer = client.get(f"{PATH}/{job_id}/annotated.mp4")
    path.write_bytes(answer.content)
    with av.open(str(path)) as container:
        assert len(list(container.decode(video=0))) == FRAMES
    assert client.get(f"{PATH}/{job_id}/answer").json()["tags"] is None
    part = client.get(f"{PATH}/{job_id}/annotated.mp4", headers={"range": "bytes=0-9"})
    assert (part.status_code, part.content) == (206, answer.content[:10])


# -- what is refused ------------------------------------------------------------------------------


def sound_alone(path: Path) -> bytes:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        for n in range(8):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            frame.sample_rate, frame.pts = 8000, n * 1024
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path.read_bytes()


def with_huge_headers(data: bytes) -> bytes:
    """A Motion JPEG whose container and pictures all say 60,000 x 60,000 pixels."""
    changed, huge = bytearray(data), 60_000
    at = changed.index(b"strf") + 12
    changed[at : at + 8] = huge.to_bytes(4, "little") * 2
    at = -1
    while (at := changed.find(b"\xff\xc0\0\x11\x08", at + 1)) >= 0:
        changed[at + 5 : at + 9] = huge.to_bytes(2, "big") * 2
    return bytes(changed)


def hostile(folder: Path, kind: str) -> bytes:
    if kind == "playlist of this machine's files":
        video(folder)
        return f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{folder}/video.mp4\n".encode()
    if kind == "list of this machine's files":
        video(folder)
        return b"ffconcat version 1.0\nfile video.mp4\n"
    if kind == "cut off":
        video(folder)
        return cut(folder / "video.mp4", 0.6).read_bytes()
    picture: bytes = cv2.imencode(".png", noise_picture(0))[1].tobytes()
    avif: bytes = cv2.imencode(".avif", noise_picture(0))[1].tobytes()
    makers: dict[str, Any] = {
        "text with a video's name": lambda: b"no video\n" * 50,
        "empty": lambda: b"",
        "noise": lambda: np.random.default_rng(1).bytes(50_000),
        "sound alone": lambda: sound_alone(folder / "sound.mp4"),
        "huge by its header": lambda: with_huge_headers(
            video(folder, ".avi", codec="mjpeg", pixels="yuvj420p")
        ),
        "too large": lambda: write_video(
            folder / "large.avi", [np.zeros((3000, 3200, 3), np.uint8)] * 2, codec="mpeg4"
        ).read_bytes(),
        "too long by its header": lambda: video(folder, frames=3, times=[0, 1, 3.0]),
        "endless by its header": lambda: video(folder, ".mkv", frames=3, times=[0, 1, 4e6]),
        "too many frames": lambda: video(folder, frames=61, times=[n / 100 for n in range(61)]),
        "picture": lambda: picture,
        "moving picture format": lambda: avif,
        "picture, then a video": lambda: picture + video(folder),
        "archive, then a video": lambda: b"PK\3\4" + bytes(26) + video(folder),
        "page, then a video": lambda: b"<html><script>alert(1)</script>" + video(folder),
    }
    made: bytes = makers[kind]()
    return made


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("text with a video's name", "want MP4"),
        ("empty", "not a video"),
        ("noise", "not a video"),
        ("sound alone", "no pictures"),
        ("huge by its header", "not a video"),
        ("too large", "max_megapixels: 9"),
        ("too long by its header", "longer than 2 s"),
        ("endless by its header", "longer than 2 s"),
        ("too many frames", "more than 60 frames"),
        ("cut off", "cut off"),
        ("picture", "not a video"),
        ("moving picture format", "a picture, not a video"),
        ("picture, then a video", "not a video"),
        ("archive, then a video", "not a video"),
        ("page, then a video", "not a video"),
        ("playlist of this machine's files", "not a video"),
        ("list of this machine's files", "not a video"),
    ],
)
@pytest.mark.slow
def test_what_is_refused(
    module_client: TestClient, tmp_path: Path, temporary: Path, kind: str, words: str
) -> None:
    answer = module_client.post(f"{PATH}?name=a.mp4", content=hostile(tmp_path, kind), headers=RAW)
    assert (answer.status_code, words in answer.json()["detail"]) == (422, True), answer.text
    assert "\n" not in answer.json()["detail"]
    assert str(temporary) not in answer.text
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ({"content": bytes(2**20 + 1), "headers": RAW}, 413),
        ({"content": (bytes(2**18) for _ in range(5)), "headers": RAW}, 413),
        ({"content": b"x", "headers": {"content-type": "image/png"}}, 415),
        ({"files": {"file": ("a.mp4", b"x")}}, 415),
    ],
    ids=["too large", "endless", "as a picture", "as a form"],
)
def test_what_is_no_request_for_a_video(
    module_client: TestClient, request_: dict[str, Any], status: int
) -> None:
    assert module_client.post(PATH, **request_).status_code == status


@pytest.mark.slow
def test_a_video_that_lies_about_its_length_fails(client: TestClient, tmp_path: Path) -> None:
    """A live WebM says no length; it is found out while it is read."""
    path = tmp_path / "live.webm"
    with av.open(str(path), "w", container_options={"live": "1"}) as container:
        stream = container.add_stream("libvpx", rate=25)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for n in range(80):
            frame = av.VideoFrame.from_ndarray(noise_picture(0), format="bgr24")
            frame.pts = n
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    job_id = sent(client, path.read_bytes())
    job = ended(client, job_id)
    assert (job["state"], "longer than 2 s" in job["problem"]) == ("failed", True), job
    answer = client.get(f"{PATH}/{job_id}/answer")
    assert (answer.status_code, answer.json()["detail"]) == (409, job["problem"])


@pytest.mark.slow
def test_damage_in_the_middle_is_said_beside_the_answer(client: TestClient, tmp_path: Path) -> None:
    data = bytearray(video(tmp_path, ".avi", 20, codec="mjpeg", pixels="yuvj420p"))
    middle = len(data) // 2
    data[middle : middle + 20_000] = bytes(20_000)
    job_id = sent(client, bytes(data))
    assert ended(client, job_id)["state"] == "done"
    answer = client.get(f"{PATH}/{job_id}/answer").json()
    assert answer["problem"]
    assert str(tempfile.gettempdir()) not in answer["problem"]
    assert 0 < len(answer["frames"]) <= 20


@pytest.mark.parametrize("error", [None, ValueError, SourceError], ids=["doubt", "bug", "failure"])
def test_what_is_said_of_a_video_names_what_was_uploaded(
    client: TestClient,
    made: ServerParts,
    tmp_path: Path,
    temporary: Path,
    caplog: pytest.LogCaptureFixture,
    error: type[Exception] | None,
) -> None:
    """Log lines named a temporary file, which was gone when they were read."""

    def look(batch: int, frames: Any) -> None:
        del frames
        [upload] = temporary.glob("*/upload")
        if batch == 1:
            logging.getLogger("trackline").warning("%s: looks odd", upload)
            if error is not None:
                raise error(f"{upload}: broken")

    made.detector.on_batch = look
    job = ended(client, sent(client, video(tmp_path), "?name=my%20holiday%0A.avi&tags=false"))
    said = [each.getMessage() for each in caplog.records]
    assert "uploaded video my holiday?.avi: looks odd" in said
    assert not [each for each in [*said, str(job["problem"])] if str(temporary) in each]
    if error is SourceError:
        assert job["problem"].endswith("broken")


# -- how a job ends -------------------------------------------------------------------------------


class Held:
    """A detector that waits in its third batch until it may go on."""

    def __init__(self, made: ServerParts) -> None:
        self.reached, self.go_on = threading.Event(), threading.Event()
        made.detector.on_batch = self._hold

    def _hold(self, batch: int, frames: Any) -> None:
        del frames
        if batch == 2:
            self.reached.set()
            assert self.go_on.wait(60)


@pytest.mark.parametrize("how", ["removed", "not asked for", "server stops"])
@pytest.mark.slow
def test_a_job_that_ends_early_leaves_nothing(
    client: TestClient, made: ServerParts, tmp_path: Path, temporary: Path, how: str
) -> None:
    held = Held(made)
    now = [0.0]
    made.clock = lambda: now[0]
    content = video(tmp_path)
    running, waiting = (sent(client, content, "?annotated=true") for _ in range(2))
    assert held.reached.wait(60)
    assert client.get(f"{PATH}/{running}").json()["state"] == "analysing"
    assert client.get(f"{PATH}/{running}/answer").status_code == 409
    full = client.post(PATH, content=content, headers=RAW)
    assert (full.status_code, "retry-after" in full.headers) == (503, True)
    if how == "removed":
        assert client.delete(f"{PATH}/{waiting}").status_code == 204
        assert client.delete(f"{PATH}/{running}").status_code == 204
        held.go_on.set()
    elif how == "not asked for":
        now[0] += UNASKED_S + 1
        held.go_on.set()
    else:
        threading.Timer(0.2, held.go_on.set).start()
        made.videos.close()
        assert client.post(PATH, content=content, headers=RAW).status_code == 503
    until(lambda: not list(temporary.iterdir()), "left on the disk")
    assert {client.get(f"{PATH}/{each}").status_code for each in (running, waiting)} == {404}


@pytest.mark.slow
def test_an_answer_is_kept_for_a_while(
    client: TestClient, made: ServerParts, tmp_path: Path
) -> None:
    """What is done makes room for the next video; else it goes when nobody asks any more."""
    now = [0.0]
    made.clock = lambda: now[0]
    content = video(tmp_path, frames=2)
    first, second = (sent(client, content) for _ in range(2))
    assert ended(client, first)["state"] == ended(client, second)["state"] == "done"
    now[0] += 1
    client.get(f"{PATH}/{first}")
    third = sent(client, content)  # takes the place of the one that was not asked for longest
    assert client.get(f"{PATH}/{second}").status_code == 404
    assert ended(client, third)["state"] == "done"
    now[0] += KEPT_S + 1
    fourth = sent(client, content)  # before it is analysed, what is too old is dropped
    assert ended(client, fourth)["state"] == "done"
    assert {client.get(f"{PATH}/{each}").status_code for each in (first, third)} == {404}


def test_a_frame_waits_for_the_cameras() -> None:
    answers = [True, True, False, True, False]
    seen: list[int] = []

    def cameras_wait() -> bool:
        return answers.pop(0)

    def detect(batch: int, frames: Any) -> None:
        del batch, frames
        seen.append(len(answers))

    detector = YieldingDetector(LoadedModel(FakeDetector(detect), {}), None, cameras_wait)
    frame = Frame(np.zeros((4, 4, 3), np.uint8), "video", 0, 0.0, 0.0)
    detector.detect([frame])
    detector.detect([frame])
    assert seen == [2, 0], "each was detected on only once no camera waited"


@pytest.mark.slow
def test_without_weights_it_says_so(client: TestClient, made: ServerParts, tmp_path: Path) -> None:
    made.detector.open_error = ModelError("model: nothing.onnx: no such file")
    job = ended(client, sent(client, video(tmp_path, frames=2)))
    assert (job["state"], job["problem"]) == ("failed", "model: nothing.onnx: no such file")
