"""Who is where in the sample clip: the camera, the cast, and exact boxes from their masks.

World axes in metres: x along the street, y up, z across it toward the viewer; the house front is
the plane z = 0. The camera looks from far away (orthographic), turned a little along the street
and tilted down, so a cut-out keeps its size wherever it goes and fits the scene exactly.

All numbers that reach the ground truth are integers (eighths of a pixel, alpha 0..255 x 64), so
every machine computes the same boxes and visibilities.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Bytes = NDArray[np.uint8]

WIDTH, HEIGHT, FPS, FRAMES = 960, 540, 25, 200
PICTURES = Path(__file__).resolve().parent / "pictures"

SCALE = 64.0  # pixels a metre
ORIGIN = (300.0, 262.0)  # the pixel of world (0, 0, 0)
TURN, TILT = np.radians(18.0), np.radians(17.0)
RIGHT = np.array([np.cos(TURN), 0.0, np.sin(TURN)])
TOWARD = np.array([-np.sin(TURN) * np.cos(TILT), np.sin(TILT), np.cos(TURN) * np.cos(TILT)])
UP = np.cross(TOWARD, RIGHT)
SUN = np.array([-0.45, 0.75, 0.5]) / np.linalg.norm([-0.45, 0.75, 0.5])

PERSON, CAR = 1, 3  # classes as MOTChallenge numbers them; 3 stands for every motor vehicle here
SOLID = 128 * 64  # a pixel belongs to an object from this alpha (times 64) on
SMALLEST = 6  # a box narrower or lower than this many pixels is not labelled


def on_screen(xyz: Array) -> Array:
    """Return [N,3] pixel x, pixel y (both from the origin's pixel) and depth toward the eye."""
    return np.stack([SCALE * (xyz @ RIGHT), -SCALE * (xyz @ UP), xyz @ TOWARD], axis=1)


@dataclass(frozen=True)
class Actor:
    """One track: `picture` starts in the lane at `z` and moves at `speed` m/s along the street.

    A negative speed goes left. `at` is its pixel column in frame 0, `across` its speed toward the
    viewer, `phase` where in its walk cycle it starts, `warmth` a shift of its colours from blue
    (-1) to red (+1). `kind` 0 is street furniture, which hides others but is no track.
    """

    picture: str
    kind: int
    z: float
    at: float
    speed: float = 0.0
    across: float = 0.0
    phase: float = 0.0
    warmth: float = 0.0


CAST = (
    Actor("bench", 0, 0.6, 660),
    Actor("man_suit", PERSON, 1.3, 640, -1.25, phase=0.1),
    Actor("boy", PERSON, 2.1, 110, 1.2, phase=0.4),
    Actor("car_silver", CAR, 3.75, 300),
    Actor("woman_grey", PERSON, 4.4, 790, across=1.25, phase=0.2),
    Actor("car_red", CAR, 5.8, 640, -5.5),
    Actor("bus", CAR, 5.95, 2060, -5.5),
    Actor("car_blue", CAR, 8.8, -740, 4.5),
    Actor("truck", CAR, 8.85, 300, 5.2),
    Actor("lamp", 0, 10.75, 560),
    Actor("bin", 0, 11.0, 610),
    Actor("man_denim", PERSON, 11.4, 150, 1.3),
    Actor("woman_orange", PERSON, 12.0, 900, -1.2, phase=0.3),
    Actor("man_jumper", PERSON, 12.6, -330, 1.35, warmth=0.9),
    Actor("man_checked", PERSON, 12.8, 500, -1.35, phase=0.6),
    Actor("woman_pink", PERSON, 13.6, 40, 1.15, phase=0.5),
    Actor("man_jumper", PERSON, 14.2, 700, 1.3, phase=0.2),
    Actor("woman_orange", PERSON, 14.7, 1240, -1.3, phase=0.7, warmth=-0.9),
)


@dataclass(frozen=True)
class CutOut:
    """One picture: `bgra` u8 [phases,H,W,4], `shadow` u8 [phases,H,W], the pixel of its ground
    point in a phase (`anchor`), and the metres it walks in one cycle (`stride`, 0: it rolls).
    """

    bgra: Bytes
    shadow: Bytes
    anchor: tuple[int, int]
    stride: float


@cache
def cut_out(name: str) -> CutOut:
    """Return the picture `name`: one row of phases above one row of their shadows."""
    about = json.loads((PICTURES / "pictures.json").read_text())[name]
    data = np.frombuffer((PICTURES / f"{name}.webp").read_bytes(), np.uint8)
    sheet = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    phases, high = int(about["phases"]), sheet.shape[0] // 2
    cells = sheet.reshape(2, high, phases, -1, 4).transpose(0, 2, 1, 3, 4)
    x, y = about["anchor"]
    return CutOut(cells[0], cells[1, ..., 3], (int(x), int(y)), float(about["stride"]))


@dataclass(frozen=True)
class Placed:
    """Actor number `row` of the cast in one frame: its phase, how near it is (`z`), and the top
    left corner of its cell in eighths of a pixel.
    """

    row: int
    picture: CutOut
    phase: int
    z: float
    left: int
    top: int


def placed(row: int, frame: int) -> Placed:
    """Return where actor `row` of the cast is in `frame` (from 0)."""
    actor = CAST[row]
    picture = cut_out(actor.picture)
    seconds = frame / FPS
    start = ((actor.at - ORIGIN[0]) / SCALE - RIGHT[2] * actor.z) / RIGHT[0]
    z = actor.z + actor.across * seconds
    x, y, _ = on_screen(np.array([[start + actor.speed * seconds, 0.0, z]]))[0]
    phases = len(picture.bgra)
    gone = (abs(actor.speed) + abs(actor.across)) * seconds
    cycles = actor.phase + (gone / picture.stride if picture.stride else 0.0)
    left = round(8 * (x + ORIGIN[0])) - 8 * picture.anchor[0]
    top = round(8 * (y + ORIGIN[1])) - 8 * picture.anchor[1]
    return Placed(row, picture, int(cycles * phases + 1e-6) % phases, z, left, top)


def far_to_near(frame: int) -> list[Placed]:
    """Return everybody in `frame` in the order in which they are drawn."""
    return sorted((placed(row, frame) for row in range(len(CAST))), key=lambda item: item.z)


def shifted(cell: NDArray[np.int32], right: int, down: int) -> NDArray[np.int32]:
    """Return 64 x `cell` moved by `right`, `down` eighths of a pixel; one row and column more."""
    pad = ((1, 1), (1, 1)) + ((0, 0),) * (cell.ndim - 2)
    wide = np.pad(cell, pad)
    rows = wide[1:] * (8 - down) + wide[:-1] * down
    return rows[:, 1:] * (8 - right) + rows[:, :-1] * right


def in_frame(layer: NDArray[np.int32], left: int, top: int) -> tuple[slice, slice, NDArray]:
    """Return (rows, columns, the part of `layer`) where `layer` at (left, top) meets the frame."""
    y0, x0 = max(top, 0), max(left, 0)
    y1 = max(min(top + layer.shape[0], HEIGHT), y0)
    x1 = max(min(left + layer.shape[1], WIDTH), x0)
    return slice(y0, y1), slice(x0, x1), layer[y0 - top : y1 - top, x0 - left : x1 - left]


def mask_of(item: Placed) -> NDArray[np.bool_]:
    """Return bool [h,w]: the pixels that `item` covers, from pixel (left // 8, top // 8) on."""
    alpha = item.picture.bgra[item.phase, :, :, 3].astype(np.int32)
    return shifted(alpha, item.left % 8, item.top % 8) >= SOLID


def ground_truth() -> list[str]:
    """Return the lines of the MOT file: frame,id,left,top,width,height,1,class,visibility.

    Frames, ids and pixels count from 1 as MOTChallenge does. Visibility is the share of the
    object's pixels that are inside the frame and not covered by somebody nearer.
    """
    numbers = np.cumsum([actor.kind > 0 for actor in CAST])
    lines = []
    for frame in range(FRAMES):
        covered = np.zeros((HEIGHT, WIDTH), bool)
        found = []
        for item in reversed(far_to_near(frame)):
            mask = mask_of(item)
            y, x, part = in_frame(mask, item.left // 8, item.top // 8)
            box, kind = _box_row(part, x.start, y.start), CAST[item.row].kind
            if kind and box and min(box[2:]) >= SMALLEST:
                seen = int((part & ~covered[y, x]).sum()) / int(mask.sum())
                row = [frame + 1, int(numbers[item.row]), *box, 1, kind]
                found.append((row, f"{seen:.3f}"))
            covered[y, x] |= part
        lines += [",".join(map(str, [*row, seen])) for row, seen in sorted(found)]
    return lines


def _box_row(part: NDArray[np.bool_], left: int, top: int) -> list[int]:
    """Return [left, top, width, height] around the true pixels, counting from 1; [] if none."""
    ys, xs = np.flatnonzero(part.any(1)), np.flatnonzero(part.any(0))
    if not len(ys):
        return []
    return [
        left + int(xs[0]) + 1,
        top + int(ys[0]) + 1,
        int(xs[-1] - xs[0]) + 1,
        int(ys[-1] - ys[0]) + 1,
    ]
