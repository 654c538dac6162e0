"""Header of a HEIF file (HEIC, AVIF): size, tiles, orientation and colours of its main picture.

Boxes are those of ISO/IEC 14496-12, items and properties those of ISO/IEC 23008-12.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

_BRANDS = frozenset((b"avif", b"avis", b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1"))


@dataclass(frozen=True, slots=True)
class HeifHeader:
    """The main picture's stored (width, height), and its orientation.

    `angle` is counter-clockwise, in quarter turns; `mirror` is applied after it: "left-right",
    "up-down" or None. `is_tiled` says that the picture is a grid of other items, `is_avif` that it
    is AV1 rather than HEVC. `transfer` is the transfer characteristic by its number in H.273.
    """

    width: int
    height: int
    angle: int = 0
    mirror: str | None = None
    is_tiled: bool = False
    is_sequence: bool = False
    is_avif: bool = False
    transfer: int | None = None


def heif_header(data: bytes) -> HeifHeader | None:
    """Parse the first bytes of a HEIF file; None if it is not one, or does not say."""
    size = int.from_bytes(data[:4], "big")
    brands = {data[at : at + 4] for at in (8, *range(16, min(size, 256), 4))}
    if data[4:8] != b"ftyp" or not brands & _BRANDS:
        return None
    try:
        found = _main_picture(data)
    except (struct.error, IndexError, KeyError):
        return None
    is_sequence = bool(brands & {b"avis", b"msf1", b"hevc"})
    is_avif = bool(brands & {b"avif", b"avis"})
    return None if found is None else replace(found, is_sequence=is_sequence, is_avif=is_avif)


def _main_picture(data: bytes) -> HeifHeader | None:
    top = dict(boxes(data))
    if b"meta" not in top:
        return None
    meta = dict(boxes(top[b"meta"][4:]))
    primary = meta[b"pitm"]
    (main,) = struct.unpack_from(">I" if primary[0] else ">H", primary, 4)
    container = dict(boxes(meta[b"iprp"]))
    properties = list(boxes(container[b"ipco"]))
    width = height = angle = 0
    mirror = transfer = None
    for number in _properties_of(main, container[b"ipma"]):
        kind, body = properties[number - 1]
        if kind == b"ispe":
            wide, high = struct.unpack_from(">II", body, 4)
            width, height = max(width, wide), max(height, high)
        elif kind == b"irot":
            angle = body[0] & 3
        elif kind == b"imir":
            mirror = "left-right" if body[0] & 1 else "up-down"
        elif kind == b"colr" and body[:4] == b"nclx" and len(body) >= 8:
            (transfer,) = struct.unpack_from(">H", body, 6)
    if not (width and height):
        return None
    tiled = _kind_of(main, meta[b"iinf"]) == b"grid"
    return HeifHeader(width, height, angle, mirror, tiled, transfer=transfer)


def boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield (type, content) of consecutive boxes."""
    at = 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        head = 8
        if size == 1:
            (size,), head = struct.unpack_from(">Q", data, at + 8), 16
        elif size == 0:
            size = len(data) - at
        if size < head:
            return
        yield kind, data[at + head : at + size]
        at += size


def _properties_of(item: int, ipma: bytes) -> list[int]:
    """Return the numbers, from 1, of an item's properties (ItemPropertyAssociationBox)."""
    version, wide = ipma[0], ipma[3] & 1
    (entries,) = struct.unpack_from(">I", ipma, 4)
    at = 8
    for _ in range(entries):
        (found,) = struct.unpack_from(">I" if version else ">H", ipma, at)
        at += 4 if version else 2
        count = ipma[at]
        at += 1
        if found == item:
            if wide:
                return [each & 0x7FFF for each in struct.unpack_from(f">{count}H", ipma, at)]
            return [each & 0x7F for each in ipma[at : at + count]]
        at += count * (2 if wide else 1)
    return []


def _kind_of(item: int, iinf: bytes) -> bytes | None:
    """Return an item's type, such as av01, hvc1 or grid (ItemInfoBox)."""
    for kind, body in boxes(iinf[6 if iinf[0] == 0 else 8 :]):
        if kind == b"infe" and body[0] >= 2:
            (found,) = struct.unpack_from(">I" if body[0] > 2 else ">H", body, 4)
            at = 10 if body[0] > 2 else 8
            if found == item:
                return body[at : at + 4]
    return None
