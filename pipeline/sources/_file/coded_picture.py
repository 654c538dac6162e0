"""What a packet says of its picture before it is decoded: whether it begins anew, and is shown.

NAL units are those of ITU-T H.264 (7.3.1) and H.265 (7.3.1.2), in their two forms: behind start
codes (Annex B), or behind their length (ISO/IEC 14496-15, with avcC or hvcC as extradata).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av import Packet
    from av.video.stream import VideoStream

_IDR = 5
_IRAP = range(16, 24)
_SPS_OF_HEVC = 33
_START_CODE = b"\0\0\1"


def starts_anew(codec: str, extradata: bytes, packet: Packet[VideoStream]) -> bool:
    """Return whether no picture shown after this one refers to any before it.

    A key frame of H.264 may be a mere point to recover from: only an IDR picture counts.
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
    """Return whether the packet's picture is to be shown: not always in VP8 (RFC 6386, 9.1)."""
    return codec != "vp8" or packet.size == 0 or bool(memoryview(packet)[0] & 16)


def has_one_layer(codec: str, extradata: bytes) -> bool:
    """Return whether what H.265 calls unreferenced is that for all pictures.

    With several temporal layers it is for those of the same layer only.
    """
    if codec != "hevc":
        return True
    if extradata[:1] == b"\1":
        return len(extradata) > 21 and extradata[21] >> 3 & 7 == 1
    sets = [u for u in nal_units(codec, extradata, extradata) if u[0] >> 1 & 63 == _SPS_OF_HEVC]
    return bool(sets) and all(len(each) > 2 and each[2] >> 1 & 7 == 0 for each in sets)


def nal_units(codec: str, extradata: bytes, data: bytes) -> Iterator[bytes]:
    """Yield the NAL units of a packet, or at least the beginning of each."""
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
