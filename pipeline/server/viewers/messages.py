"""Messages of the page's WebSocket: requests of the page, and pictures with their tracks."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from pipeline.core.packet_tap import PacketFormat, StreamPacket
from pipeline.server.schemas import Name
from pipeline.server.viewers.hub import LatestResult
from pipeline.server.viewers.jpeg_encoder import Picture

PICTURE, VIDEO = 1, 2
_MAX_HEADER = 0xFFFF


class Watch(BaseModel):
    """Request of a page: cameras, picture width in pixels, and rate.

    Cameras in `video` can be shown by the page as their own H.264 or H.265 instead of pictures.
    """

    model_config = ConfigDict(frozen=True)

    type: Literal["watch"] = "watch"
    cameras: tuple[Name, ...] = Field((), max_length=256)
    pictures: bool = False
    video: tuple[Name, ...] = Field((), max_length=256)
    width: float = Field(640, ge=1, le=16384, allow_inf_nan=False)
    fps: float = Field(10, gt=0, le=1000, allow_inf_nan=False)


class Ack(BaseModel):
    """Acknowledgement that a picture was drawn, or a message of video decoded."""

    model_config = ConfigDict(frozen=True)

    type: Literal["ack"]
    camera: Name
    index: int


CLIENT_MESSAGE: TypeAdapter[Watch | Ack] = TypeAdapter(Watch | Ack)
"""Messages that a page may send."""


def picture_message(camera: str, picture: Picture) -> bytes:
    """Return a picture message: its kind, the header's length, the header, the JPEG.

    The length has two bytes; of more tracks than fit, those of the lowest score are left out.
    """
    about = {
        "camera": camera,
        "index": picture.index,
        "width": picture.frame_width,
        "height": picture.frame_height,
        "age_ms": picture.age_ms(),
    }
    start = json.dumps(about, separators=(",", ":"))[:-1]
    header = f'{start},"tracks":{picture.tracks_json}}}'.encode()
    if len(header) > _MAX_HEADER:
        tracks = _tracks_within(
            json.loads(picture.tracks_json), _MAX_HEADER - len(start.encode()) - 20
        )
        header = f'{start},"tracks":{tracks}}}'.encode()
    return struct.pack(">BH", PICTURE, len(header)) + header + picture.jpeg


def video_message(
    camera: str,
    shown: LatestResult,
    picture: StreamPacket,
    packets: Sequence[StreamPacket],
    *,
    is_start: bool,
) -> bytes:
    """Return a video message: its kind, the header's length (four bytes), the header, the packets.

    The header's `packets` are [time in microseconds, bytes, whether it is a key frame] of each;
    `pts_us` is the time of the picture that `index` and `tracks` belong to.
    """
    about = {
        "camera": camera,
        "index": shown.key[1],
        "width": shown.width,
        "height": shown.height,
        "age_ms": shown.age_ms(),
        "format": _format(picture.format),
        "start": is_start,
        "pts_us": picture.pts_us,
        "packets": [[one.pts_us, len(one.data), one.is_key] for one in packets],
    }
    start = json.dumps(about, separators=(",", ":"))[:-1]
    header = f'{start},"tracks":{shown.tracks_json}}}'.encode()
    data = [struct.pack(">BI", VIDEO, len(header)), header, *(one.data for one in packets)]
    return b"".join(data)


def _format(about: PacketFormat) -> dict[str, Any]:
    record = about.description
    description = None if record is None else base64.b64encode(record).decode()
    return {"codec": about.codec, "description": description, "epoch": about.epoch}


def _tracks_within(tracks: list[dict[str, Any]], max_bytes: int) -> str:
    texts: list[str] = []
    for track in sorted(tracks, key=lambda track: -track["score"]):
        texts.append(json.dumps(track, separators=(",", ":")))  # ASCII: one byte per character
        max_bytes -= len(texts[-1]) + 1
        if max_bytes < 0:
            texts.pop()
            break
    return f"[{','.join(texts)}]"
