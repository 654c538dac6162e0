"""Properties of a coded picture before decoding: whether it starts anew, and whether it is shown.

NAL units are those of ITU-T H.264 (7.3.1) and H.265 (7.3.1.2), in their two forms: after start
codes (Annex B), or after their length (ISO/IEC 14496-15, with avcC or hvcC as extradata).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av import Packet
    from av.video.stream import VideoStream

WITH_UNREFERENCED = frozenset({"h264", "hevc", "mpeg1video", "mpeg2video", "mpeg4"})
"""Codecs whose decoders leave out what no other picture refers to, and nothing else."""

_IDR = 5
_SLICES_OF_H264 = range(1, 6)
_IRAP = range(16, 24)
_PICTURES_OF_HEVC = range(32)
_UNREFERENCED_OF_HEVC = range(0, 16, 2)
_LEADING = range(6, 10)
_SKIPPED_LEADING = range(8, 10)
_PICTURE_OF_MPEG2, _B_OF_MPEG2 = 0x00, 3
_PICTURE_OF_MPEG4, _B_OF_MPEG4 = 0xB6, 2
_SPS_OF_HEVC = 33
_START_CODE = b"\0\0\1"


def starts_anew(codec: str, extradata: bytes, packet: Packet[VideoStream]) -> bool:
    """Return whether no later picture refers to any before it.

    An H.264 key frame may be a mere recovery point: only an IDR picture counts.
    """
    if not packet.is_keyframe:
        return False
    if codec == "h264":
        return any(unit[0] & 31 == _IDR for unit in nal_units(codec, extradata, bytes(packet)))
    if codec == "hevc":
        kinds = [unit[0] >> 1 & 63 for unit in nal_units(codec, extradata, bytes(packet))]
        return any(kind in _IRAP for kind in kinds)
    return True


def is_shown(codec: str, packet: Packet[VideoStream]) -> bool:
    """Return whether the packet's picture is shown, which in VP8 it need not be (RFC 6386, 9.1)."""
    return codec != "vp8" or packet.size == 0 or bool(memoryview(packet)[0] & 16)


def may_leave_out(codec: str, extradata: bytes) -> bool:
    """Return whether what the codec calls unreferenced is needed by no other picture.

    In H.265 of several temporal layers only by none of the same layer.
    """
    if codec != "hevc":
        return codec in WITH_UNREFERENCED
    if extradata[:1] == b"\1":
        return len(extradata) > 21 and extradata[21] >> 3 & 7 == 1
    sets = [u for u in nal_units(codec, extradata, extradata) if u[0] >> 1 & 63 == _SPS_OF_HEVC]
    return bool(sets) and all(len(each) > 2 and each[2] >> 1 & 7 == 0 for each in sets)


def is_unreferenced(codec: str, extradata: bytes, packet: Packet[VideoStream]) -> bool:
    """Return whether no other picture refers to the packet's, where `may_leave_out` says yes.

    In a packet of several pictures the first decides: it comes before those that refer to it.
    """
    for unit in nal_units(codec, extradata, bytes(packet)):
        if len(unit) < 3:
            continue
        if codec == "h264" and unit[0] & 31 in _SLICES_OF_H264:
            return unit[0] >> 5 & 3 == 0
        if codec == "hevc" and unit[0] >> 1 & 63 in _PICTURES_OF_HEVC:
            return unit[0] >> 1 & 63 in _UNREFERENCED_OF_HEVC
        if codec == "mpeg4" and unit[0] == _PICTURE_OF_MPEG4:
            return unit[1] >> 6 == _B_OF_MPEG4
        if codec in ("mpeg1video", "mpeg2video") and unit[0] == _PICTURE_OF_MPEG2:
            return unit[2] >> 3 & 7 == _B_OF_MPEG2
    return False


def leading(codec: str, extradata: bytes, packet: Packet[VideoStream]) -> tuple[bool, bool]:
    """Return whether an H.265 picture is shown before the key frame it follows in the stream.

    And whether it may refer to pictures before that (RASL): decoders leave those out that cannot be
    decoded. Other codecs do not say either.
    """
    if codec == "hevc":
        for unit in nal_units(codec, extradata, bytes(packet)):
            if unit[0] >> 1 & 63 in _PICTURES_OF_HEVC:
                return unit[0] >> 1 & 63 in _LEADING, unit[0] >> 1 & 63 in _SKIPPED_LEADING
    return False, False


def nal_units(codec: str, extradata: bytes, data: bytes) -> Iterator[bytes]:
    """Yield the NAL units of a packet, at least the beginning of each."""
    if extradata[:1] == b"\1" and len(extradata) > 21:
        place = 21 if codec == "hevc" else 4
        length = (extradata[place] & 3) + 1
        at = 0
        while at + length < len(data):
            size = int.from_bytes(data[at : at + length])
            yield data[at + length : at + length + 16]
            at += length + max(size, 1)
        return
    at = data.find(_START_CODE)
    while 0 <= at < len(data) - 4:
        yield data[at + 3 : at + 19]
        at = data.find(_START_CODE, at + 3)
