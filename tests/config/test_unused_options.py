"""Options that do nothing without another one: giving them alone is an error that names it."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.config.plugins import plugin
from pipeline.core.errors import ConfigError
from pipeline.core.options import OptionsModel, validated
from pipeline.events.delivery.options import MqttOptions

FRAMES = {"frames": {"max_age": 3}}
RTSP, HTTPS, UDP = ({"url": f"{scheme}://host:1"} for scheme in ("rtsp", "https", "udp"))


def options_of(kind: str) -> type[OptionsModel]:
    if kind == "mqtt":
        return MqttOptions
    folder, _, name = kind.partition("/")
    return plugin(folder, name, folder.removesuffix("s")).Options


UNUSED: list[tuple[str, dict[str, Any], str, str]] = [
    ("detectors/yolo", {"overlap": 0.3}, "overlap", "slice"),
    ("detectors/yolo", {"overlap": 0.2}, "overlap", "slice"),
    ("detectors/detr", {"model": "a", "overlap": 0.3, "slice": None}, "overlap", "slice"),
    ("detectors/yolo", {"nms_sigma": 0.3}, "nms_sigma", "nms: soft"),
    ("detectors/ssd", {"model": "a", "nms": "wbf", "nms_sigma": 0.3}, "nms_sigma", "nms: soft"),
    ("detectors/yolo", {"nms": "soft", "iou": 0.3}, "iou", "nms: greedy"),
    ("trackers/trackline", {**FRAMES, "max_age_s": 2.0}, "max_age_s", "frames: null"),
    ("trackers/trackline", {**FRAMES, "reach": 1.0}, "reach", "frames: null"),
    ("trackers/bytetrack", {**FRAMES, "coast_s": 2.0}, "coast_s", "frames: null"),
    ("trackers/ocsort", {**FRAMES, "direction_s": 0.2}, "direction_s", "frames: null"),
    ("trackers/ocsort", {"inertia": 0, "direction_s": 0.2}, "direction_s", "inertia"),
    ("trackers/sort", {"published": True, "coast_s": 0.5}, "coast_s", "published: false"),
    (
        "trackers/sort",
        {"classes": "separate", "same_object_iou": 0.5},
        "same_object_iou",
        "classes: together",
    ),
    ("sources/file", {"path": "a", "decode": "cuda", "threads": 2}, "threads", "decode: auto"),
    ("sources/stream", {**UDP, "transport": "udp"}, "transport", "rtsp"),
    ("sources/stream", {**HTTPS, "transport": "udp"}, "transport", "rtsp"),
    ("sources/stream", {**RTSP, "verify_tls": False}, "verify_tls", "rtsps"),
    ("sources/stream", {**RTSP, "certificate_name": "a"}, "certificate_name", "rtsps"),
    ("sources/stream", {**RTSP, "other_hosts": True}, "other_hosts", "http"),
    ("sinks/video", {"blur_shape": "mask"}, "blur_shape", "blur"),
    ("mqtt", {"host": "a", "password": "b"}, "password", "username"),
    ("mqtt", {"host": "a", "ca_file": "b"}, "ca_file", "tls"),
    ("mqtt", {"host": "a", "tls": True, "client_key": "b"}, "client_key", "client_cert"),
]


@pytest.mark.parametrize(("kind", "values", "option", "without"), UNUSED)
def test_an_option_that_does_nothing_is_an_error(kind, values, option, without) -> None:
    """`--set detector.overlap=0.3` without `slice` was ignored without a word."""
    with pytest.raises(ConfigError, match=rf"^here\.{option}: does nothing without .*{without}"):
        validated(options_of(kind), values, "here")


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("detectors/yolo", {"overlap": 0.3, "slice": 640}),
        ("detectors/yolo", {"nms": "soft", "nms_sigma": 0.3}),
        ("detectors/yolo", {"nms": "diou", "iou": 0.3}),
        ("trackers/sort", {**FRAMES, "published": True}),
        ("sources/stream", {**RTSP, "transport": "udp"}),
        ("sources/stream", {**HTTPS, "ca_file": "a", "other_hosts": True}),
        ("sources/stream", {"url": "${CAMERA}", "transport": "udp"}),
        ("mqtt", {"host": "a", "tls": True, "client_cert": "a", "client_key": "b"}),
    ],
)
def test_with_the_other_option_it_is_taken(kind: str, values: dict[str, Any]) -> None:
    validated(options_of(kind), values, "here")


@pytest.mark.parametrize("kind", sorted({kind for kind, *_ in UNUSED} - {"mqtt"}))
def test_all_defaults_written_out_are_taken(kind: str) -> None:
    """As in a configuration that is saved whole and read back."""
    needed = {"model": "a"} if kind.startswith("detectors") else {}
    needed |= {"sources/file": {"path": "a"}, "sources/stream": dict(UDP)}.get(kind, {})
    model = options_of(kind)
    written = validated(model, needed, "here").model_dump(mode="json")
    validated(model, {**written, **needed}, "here")
