"""Uploaded pictures over REST: what is answered, what is refused, and in which words."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx")
pytest.importorskip("python_multipart")

import cv2
import numpy as np
from starlette.testclient import TestClient
from support.fake_backend import ServerParts

from pipeline.config.uploads import UploadOptions
from pipeline.core.data import Detections
from pipeline.core.errors import ModelError
from pipeline.core.masks import Mask

PATH = "/api/images"
LIMITS = UploadOptions()
MAX_BYTES = LIMITS.picture_mb * 2**20
RAW = {"content-type": "image/jpeg"}
BARE = {"mask": None, "keypoints": None}
BEST = {"class_name": "person", "class_id": 0, "score": 0.9, "xyxy": [1, 2, 3, 4], **BARE}
DOUBTFUL = {"class_name": "7", "class_id": 7, "score": 0.2, "xyxy": [0, 0, 2, 2], **BARE}


def picture(suffix: str = ".jpg", height: int = 6, width: int = 8) -> bytes:
    return cv2.imencode(suffix, np.full((height, width, 3), 90, np.uint8))[1].tobytes()


def huge_png() -> bytes:
    """A picture of a few bytes that says it has 60,000 x 60,000 pixels."""
    data = bytearray(picture(".png"))
    data[16:24] = (60_000).to_bytes(4, "big") * 2
    return bytes(data)


@pytest.mark.parametrize(
    ("query", "objects"), [("", [BEST]), ("?conf=0.95", []), ("?conf=0.01", [BEST, DOUBTFUL])]
)
def test_a_picture_is_answered(module_client: TestClient, query: str, objects: list[Any]) -> None:
    answer = module_client.post(PATH + query, content=picture(), headers=RAW)
    assert answer.status_code == 200
    [found] = answer.json()["pictures"]
    tags = {"person": 0.9, "minibus": 0.8}  # whatever score the objects are asked for with
    about = {"name": "", "width": 8, "height": 6, "tags": tags, "error": None}
    assert found == {**about, "objects": objects}


def test_tags_are_left_out_where_they_are_not_wanted(module_client: TestClient) -> None:
    answer = module_client.post(f"{PATH}?tags=false", content=picture(), headers=RAW)
    assert answer.json()["pictures"][0]["tags"] is None


def test_masks_and_keypoints_are_answered(client: TestClient, made: ServerParts) -> None:
    pixels = np.zeros((6, 8), bool)
    pixels[2:5, 1:4] = True

    def seen(batch: int, frames: Any) -> list[Detections]:
        del batch, frames
        return [
            Detections(
                np.array([[1, 2, 4, 5]], np.float32),
                np.array([0.9], np.float32),
                np.array([0], np.int32),
                (Mask.from_pixels(pixels),),
                np.array([[[2, 3, 0.75]]], np.float32),
            )
        ]

    made.detector.on_batch = seen
    [found] = client.post(PATH, content=picture(), headers=RAW).json()["pictures"][0]["objects"]
    assert found["keypoints"] == [[2, 3, 0.75]]
    [outline] = found["mask"]
    assert sorted(outline) == [[1, 2], [1, 4], [3, 2], [3, 4]]


def test_a_form_answers_each_of_its_pictures(client: TestClient, made: ServerParts) -> None:
    """One that is broken does not take the others' answers; the weights are loaded once."""
    files = [
        ("file", ("a.png", picture(".png"))),
        ("file", ("notes.txt", b"no picture")),
        ("more", ("b.jpg", picture(height=4, width=4))),
    ]
    pictures = client.post(PATH, files=files).json()["pictures"]
    assert [(each["name"], each["width"]) for each in pictures] == [
        ("a.png", 8), ("notes.txt", 0), ("b.jpg", 4),
    ]  # fmt: skip
    assert pictures[1]["objects"] == []
    assert "\n" not in pictures[1]["error"]
    assert [each["objects"] for each in (pictures[0], pictures[2])] == [[BEST], [BEST]]
    assert len(made.detector.batches) == 2


@pytest.mark.parametrize(
    ("request_", "status", "words"),
    [
        ({"content": b"no picture", "headers": RAW}, 422, "not a readable picture"),
        ({"content": b"", "headers": RAW}, 422, "not a readable picture"),
        ({"content": picture()[:60], "headers": RAW}, 422, "not a readable picture"),
        ({"content": huge_png(), "headers": RAW}, 422, "megapixels"),
        ({"files": {"file": ("a.jpg", b"no picture")}}, 422, "a.jpg: not a readable picture"),
        ({"files": {"f": ("a" * 200, b"x")}}, 422, f"{'a' * 97}...: not a readable picture"),
        ({"data": {"note": "x"}, "files": {}}, 415, "want a picture"),
        ({"content": b"1", "headers": {"content-type": "application/json"}}, 415, "want a pict"),
        (
            {"content": b"--x", "headers": {"content-type": "multipart/form-data"}},
            400,
            "Missing boundary",
        ),
        (
            {"files": [("f", (f"{n}.jpg", b"x")) for n in range(LIMITS.pictures + 1)]},
            400,
            "Too many files",
        ),
        ({"content": bytes(MAX_BYTES + 1), "headers": RAW}, 413, "Large"),
        ({"files": {"f": ("a.jpg", bytes(MAX_BYTES))}}, 413, "Large"),
    ],
    ids=["text", "empty", "cut off", "huge by its header", "form without picture", "long name",
         "plain form", "JSON", "no boundary", "too many", "too large", "too large in a form"],
)  # fmt: skip
@pytest.mark.slow
def test_what_is_refused(
    module_client: TestClient, request_: dict[str, Any], status: int, words: str
) -> None:
    answer = module_client.post(PATH, **request_)
    assert answer.status_code == status
    assert words in answer.json()["detail"]
    assert "\n" not in answer.json()["detail"]


def test_a_request_over_the_limit_is_refused_at_once(client: TestClient, made: ServerParts) -> None:
    """Each upload may hold 32 MB: more at once than the limit would fill the memory."""
    slots = [made.pictures.slot() for _ in range(LIMITS.picture_requests)]
    for each in slots:
        each.__enter__()
    answer = client.post(PATH, content=picture(), headers=RAW)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    for each in slots:
        each.__exit__(None, None, None)
    assert client.post(PATH, content=picture(), headers=RAW).status_code == 200


def test_refused_requests_give_their_place_back(module_client: TestClient) -> None:
    for _ in range(LIMITS.picture_requests + 1):
        assert module_client.post(PATH, content=b"x", headers=RAW).status_code == 422


def test_without_weights_it_says_so(client: TestClient, made: ServerParts) -> None:
    made.detector.open_error = ModelError("model: nothing.onnx: no such file")
    answer = client.post(PATH, content=picture(), headers=RAW)
    assert (answer.status_code, answer.json()["detail"]) == (
        503, "model: nothing.onnx: no such file",
    )  # fmt: skip


def test_the_weights_are_released(client: TestClient, made: ServerParts) -> None:
    client.post(PATH, content=picture(), headers=RAW)
    made.networks.close()
    assert made.detector.closed == 1
