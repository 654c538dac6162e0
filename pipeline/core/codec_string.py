"""Codec strings (RFC 6381) of H.264 and H.265 streams, which decoders are configured with.

Both are read from the profile and level in a sequence parameter set (ITU-T H.264, 7.3.2.1.1; H.265,
7.3.3), which the avcC and hvcC records of ISO/IEC 14496-15 hold at a fixed place.
"""

from __future__ import annotations

import re

CODECS = frozenset({"h264", "hevc"})
"""Supported codecs, by FFmpeg's names."""
_NAL = re.compile(rb"\x00\x00\x01")
_EMULATION = re.compile(rb"\x00\x00\x03")
_H264_SPS, _HEVC_SPS = 7, 33
# Offset of profile and level: after the NAL unit's header, and in H.265 a byte of identifiers.
_H264_PROFILE, _HEVC_PROFILE = slice(1, 4), slice(3, 15)
_H264_IN_RECORD, _HEVC_IN_RECORD = slice(1, 4), slice(1, 13)


def is_record(extradata: bytes) -> bool:
    """Return whether extradata is an avcC or hvcC record, so packets are not in Annex B format."""
    return extradata[:1] == b"\x01"


def codec_of_record(codec_name: str, record: bytes) -> str | None:
    """Return the codec string of an avcC or hvcC record, None if it is damaged."""
    return _text(codec_name, record[_H264_IN_RECORD if codec_name == "h264" else _HEVC_IN_RECORD])


def codec_of_packet(codec_name: str, data: bytes) -> str | None:
    """Return the codec string from the parameter sets in a packet (Annex B), None without any."""
    wanted = _H264_SPS if codec_name == "h264" else _HEVC_SPS
    for found in _NAL.finditer(data):
        first = data[found.end() : found.end() + 24]
        if not first:
            break
        kind = first[0] & 0x1F if codec_name == "h264" else first[0] >> 1 & 0x3F
        if kind == wanted:
            plain = _EMULATION.sub(b"\x00\x00", first)
            return _text(codec_name, plain[_H264_PROFILE if wanted == _H264_SPS else _HEVC_PROFILE])
    return None


def _text(codec_name: str, profile: bytes) -> str | None:
    if codec_name == "h264":
        return f"avc1.{profile.hex()}" if len(profile) == 3 else None
    if len(profile) < 12:
        return None
    # ISO/IEC 14496-15, annex E: compatibility flags in reverse bit order, without trailing zeros.
    space, tier, number = profile[0] >> 6, profile[0] >> 5 & 1, profile[0] & 0x1F
    flags = int(f"{int.from_bytes(profile[1:5], 'big'):032b}"[::-1], 2)
    constraints = "".join(f".{one:X}" for one in profile[5:11].rstrip(b"\x00"))
    letter = ("", "A", "B", "C")[space]
    return f"hev1.{letter}{number}.{flags:X}.{'LH'[tier]}{profile[11]}{constraints}"
