"""The empty street: a brick house front, two pavements and a road, from one photographed texture.

Each plane is drawn flat, in metres, and laid into the picture by the affine map that the
orthographic camera of `street_scene.py` gives it.
"""

from __future__ import annotations

import cv2
import numpy as np
from street_scene import HEIGHT, ORIGIN, PICTURES, RIGHT, SCALE, UP, WIDTH, Array

LEFT, LENGTH = -10.0, 30.0  # metres of the street that are drawn
FRONT_HEIGHT, DEPTH = 6.0, 20.0  # metres of house front and of ground
FAR_KERB, NEAR_KERB = 2.8, 10.5  # where the road begins and ends
FINE = 96.0  # pixels a metre of a drawn plane
GROUND_DEPTH = 40.0  # the same for the ground's depth, which the camera foreshortens


class Plane:
    """A rectangle of the world drawn flat: x to the right, the other axis downwards."""

    def __init__(self, down: float, fine_down: float, colour: Array) -> None:
        shape = (int(down * fine_down), int(LENGTH * FINE), 3)
        self.picture = np.ones(shape) * colour
        self.fine_down = fine_down

    def box(self, x: float, down: float, wide: float, high: float) -> Array:
        """Return the view of the pixels of a rectangle given in metres."""
        rows = slice(max(round(down * self.fine_down), 0), round((down + high) * self.fine_down))
        left = (x - LEFT) * FINE
        return self.picture[rows, max(round(left), 0) : max(round(left + wide * FINE), 0)]

    def laid(self, start: Array, down: Array) -> Array:
        """Return (picture f32 [H,W,3], covered f32 [H,W,1]) seen by the camera.

        `start` is the world point of the top left corner, `down` the world axis of the rows.
        """
        ones = np.ones((*self.picture.shape[:2], 1))
        flat = np.concatenate([self.picture, ones], axis=2).astype(np.float32)
        columns = []
        for axis, fine in ((np.array([1.0, 0, 0]), FINE), (down, self.fine_down)):
            columns.append(np.array([RIGHT @ axis, -(UP @ axis)]) * SCALE / fine)
        corner = np.array([RIGHT @ start, -(UP @ start)]) * SCALE + ORIGIN
        to_pixels = np.stack([*columns, corner], axis=1)
        flat = cv2.GaussianBlur(flat, (0, 0), 0.7)
        return cv2.warpAffine(flat, to_pixels, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR)


def _grain(shape: tuple[int, ...], size: tuple[int, int]) -> Array:
    """Return [H,W,1] of mean 1: the photograph of gravel in mirrored tiles of `size`."""
    grey = cv2.imread(str(PICTURES / "gravel.jpg"), cv2.IMREAD_GRAYSCALE)
    tile = cv2.resize(grey, size, interpolation=cv2.INTER_AREA).astype(float)
    tile = np.block([[tile, tile[:, ::-1]], [tile[::-1], tile[::-1, ::-1]]])
    times = (-(-shape[0] // tile.shape[0]), -(-shape[1] // tile.shape[1]))
    return (np.tile(tile, times)[: shape[0], : shape[1], None]) / tile.mean()


def _stains(rng: np.random.Generator, shape: tuple[int, ...], strength: float) -> Array:
    """Return [H,W,1] of mean about 1: large soft spots, as weather leaves them."""
    spots = np.zeros(shape[:2])
    for cells in (6, 14, 40):
        rough = rng.normal(0, 1, (cells, cells * 3))
        spots += cv2.resize(rough, shape[1::-1], interpolation=cv2.INTER_CUBIC)
    return (1 + strength * spots)[:, :, None]


def _window(front: Plane, x: float, down: float, wide: float, high: float) -> None:
    """Draw a window with frame, sill, lintel and a dim reflection of the sky."""
    front.box(x - 0.12, down - 0.22, wide + 0.24, 0.22)[:] = [150, 160, 168]
    front.box(x - 0.1, down + high, wide + 0.2, 0.1)[:] = [172, 180, 186]
    front.box(x, down, wide, high)[:] = [205, 210, 212]
    panes = max(round(wide / 0.9), 1)
    for k in range(panes):
        pane = front.box(x + 0.07 + k * wide / panes, down + 0.07, wide / panes - 0.14, high - 0.14)
        rows = np.linspace(0, 1, pane.shape[0])[:, None, None]
        columns = np.linspace(0, 1, pane.shape[1])[None, :, None]
        glow = np.clip(1.2 - np.abs(columns - 0.3 - 0.5 * rows) * 5, 0, 1) * 16
        pane[:] = np.array([74, 66, 58]) * (1.15 - 0.5 * rows) + glow
    front.box(x, down, wide, 0.06)[:] *= 0.75  # the lintel's shadow


def _door(front: Plane, x: float, colour: Array) -> None:
    """Draw a panelled door with a stone frame and a step."""
    base = FRONT_HEIGHT
    front.box(x - 0.16, base - 2.5, 1.32, 2.5)[:] = [158, 166, 172]
    front.box(x, base - 2.3, 1.0, 2.3)[:] = colour
    for down, high in ((2.15, 0.75), (1.25, 0.95)):
        front.box(x + 0.14, base - down, 0.72, high)[:] = colour * 0.72
        front.box(x + 0.17, base - down + 0.04, 0.69, high - 0.04)[:] = colour * 1.08
    front.box(x - 0.2, base - 0.12, 1.4, 0.12)[:] = [140, 146, 150]


def _bricks(rng: np.random.Generator, plane: Plane) -> None:
    """Fill `plane` with courses of bricks of 22 x 7.5 cm, each of its own tone."""
    for course in range(int(FRONT_HEIGHT / 0.075) + 1):
        for k in range(int(LENGTH / 0.22) + 2):
            tone = np.array([70.0, 86.0, 132.0]) * rng.normal(1, 0.1) + [0, 0, rng.normal(0, 7)]
            x = LEFT + (k - 0.5 * (course % 2)) * 0.22
            plane.box(x, course * 0.075, 0.205, 0.062)[:] = tone


def _front(rng: np.random.Generator) -> Plane:
    """Return the house front: bricks, a plinth, doors and two rows of windows."""
    front = Plane(FRONT_HEIGHT, FINE, np.array([112.0, 122.0, 132.0]))
    _bricks(rng, front)
    front.picture *= _stains(rng, front.picture.shape, 0.03)
    front.box(LEFT, FRONT_HEIGHT - 0.5, LENGTH, 0.5)[:] = [118, 126, 132]
    front.box(LEFT, FRONT_HEIGHT - 3.05, LENGTH, 0.16)[:] = [144, 152, 158]
    doors = [np.array(c, float) for c in ([52, 74, 40], [44, 44, 96], [86, 58, 38])]
    for k, x in enumerate(np.arange(LEFT + 0.6, LEFT + LENGTH - 3, 3.1)):
        _window(front, x + 0.35, 1.0, 1.3, 1.5)
        if k % 3 == 1:
            _door(front, x + 0.5, doors[k // 3 % 3])
        else:
            _window(front, x, 3.55, 1.9, 1.55)
    front.picture *= 0.75 + 0.25 * _grain(front.picture.shape, (160, 160))
    return front


def _ground(rng: np.random.Generator) -> Plane:
    """Return the ground: slabs, kerbs, asphalt and the dashed line between two lanes."""
    ground = Plane(DEPTH, GROUND_DEPTH, np.array([150.0, 156.0, 160.0]))
    for x in np.arange(LEFT, LEFT + LENGTH, 0.75):
        ground.box(x, 0, 0.025, DEPTH)[:] *= 0.8
    for z in np.arange(0, DEPTH, 0.75):
        ground.box(LEFT, z, LENGTH, 0.035)[:] *= 0.8
    slab = 1 + 0.025 * rng.normal(0, 1, (int(DEPTH / 0.75) + 1, int(LENGTH / 0.75) + 1))
    high, wide = ground.picture.shape[:2]
    rows = (np.arange(high) / GROUND_DEPTH / 0.75).astype(int)
    ground.picture *= slab[rows][:, (np.arange(wide) / FINE / 0.75).astype(int), None]
    ground.box(LEFT, FAR_KERB, LENGTH, NEAR_KERB - FAR_KERB)[:] = [88, 88, 90]
    for x in np.arange(LEFT, LEFT + LENGTH, 4.5):
        ground.box(x, 7.25, 2.4, 0.14)[:] = [205, 210, 212]
    for z, step in ((FAR_KERB - 0.18, 1), (NEAR_KERB, -1)):
        ground.box(LEFT, z, LENGTH, 0.18)[:] = [176, 182, 186]
        ground.box(LEFT, z + (0.18 if step > 0 else -0.1), LENGTH, 0.1)[:] *= 0.55
    grain = _grain(ground.picture.shape, (200, 90))
    ground.picture *= (0.82 + 0.18 * grain) * _stains(rng, ground.picture.shape, 0.018)
    for distance, dark in ((0.12, 0.6), (0.35, 0.85)):  # no light reaches the foot of the wall
        ground.box(LEFT, 0, LENGTH, distance)[:] *= dark
    return ground


def street(rng: np.random.Generator) -> Array:
    """Return BGR u8 [HEIGHT,WIDTH,3]: the street without anybody."""
    picture = np.zeros((HEIGHT, WIDTH, 3))
    forward, down = np.array([0.0, 0.0, 1.0]), np.array([0.0, -1.0, 0.0])
    planes = (
        (_ground(rng), np.array([LEFT, 0.0, 0.0]), forward),
        (_front(rng), np.array([LEFT, FRONT_HEIGHT, 0.0]), down),
    )
    for plane, start, axis in planes:
        seen = plane.laid(start, axis)
        covered = seen[:, :, 3:]
        picture = picture * (1 - covered) + seen[:, :, :3]
    return np.clip(picture, 0, 255).astype(np.uint8)
