"""Draw a textured triangle mesh as a small cut-out: a z-buffer and deferred shading in numpy.

Light is a sun with a shadow map, a sky that is brighter overhead, and a sky reflection on paint
and glass (Fresnel after Schlick, 1994). Only `make_pictures.py` needs this.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from street_scene import SUN, TOWARD, Array, Bytes, on_screen

Rows = NDArray[np.int64]

OVERSAMPLING = 3
CREASE = 0.64  # cosine: edges sharper than about 50 degrees stay sharp


@dataclass(frozen=True)
class Material:
    """Linear `rgb` [3], `shine` (0 matt, 1 paint, 1.6 glass), and a linear `texture` or None."""

    name: str
    rgb: Array
    shine: float = 0.0
    texture: Array | None = None


@dataclass(frozen=True)
class Mesh:
    """`xyz` [V,3], `uv` [U,2], triangles as rows of both [T,3], and `material` rows [T]."""

    xyz: Array
    uv: Array
    faces: Rows
    uv_faces: Rows
    material: Rows
    materials: tuple[Material, ...]


class Cell(NamedTuple):
    """The rectangle of pixels a cut-out fills, relative to the pixel of its ground point."""

    left: int
    top: int
    width: int
    height: int


def raster(xyd: Array, width: int, height: int) -> tuple[Rows, Array]:
    """Return (triangle row or -1, depth) [H,W] of the nearest of triangles `xyd` [T,3,3]."""
    row = np.full((height, width), -1, np.int64)
    depth = np.full((height, width), -np.inf)
    low = np.maximum(np.ceil(xyd[:, :, :2].min(1) - 0.5), 0).astype(int)
    high = np.minimum(np.floor(xyd[:, :, :2].max(1) - 0.5), [width - 1, height - 1]).astype(int)
    for t in np.flatnonzero((high >= low).all(1)):
        (x0, y0), (x1, y1) = low[t], high[t]
        px, py = np.arange(x0, x1 + 1) + 0.5, np.arange(y0, y1 + 1)[:, None] + 0.5
        v, w = _shares(px, py, xyd[t, :, :2].T)
        d = xyd[t, 0, 2] * (1 - v - w) + xyd[t, 1, 2] * v + xyd[t, 2, 2] * w
        here = (slice(y0, y1 + 1), slice(x0, x1 + 1))
        nearer = (v >= -1e-9) & (w >= -1e-9) & (v + w <= 1 + 1e-9) & (d > depth[here])
        depth[here][nearer] = d[nearer]
        row[here][nearer] = t
    return row, depth


def _shares(px: Array, py: Array, corners: Array) -> tuple[Array, Array]:
    """Return the barycentric shares of the 2nd and 3rd of `corners` [2,3,...] at the pixels."""
    (ax, bx, cx), (ay, by, cy) = corners
    area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
    area = np.where(np.abs(area) < 1e-9, np.nan, area)  # no pixel lies in a flat triangle
    v = ((px - ax) * (cy - ay) - (cx - ax) * (py - ay)) / area
    w = ((bx - ax) * (py - ay) - (px - ax) * (by - ay)) / area
    return v, w


def corner_normals(mesh: Mesh) -> Array:
    """Return [T,3,3] unit normals, smooth across blunt edges."""
    a, b, c = (mesh.xyz[mesh.faces[:, k]] for k in range(3))
    flat = np.cross(b - a, c - a)
    total = np.zeros_like(mesh.xyz)
    for k in range(3):
        np.add.at(total, mesh.faces[:, k], flat)
    smooth = total / (np.linalg.norm(total, axis=1, keepdims=True) + 1e-12)
    flat = (flat / (np.linalg.norm(flat, axis=1, keepdims=True) + 1e-12))[:, None]
    corners = smooth[mesh.faces]
    return np.where((corners * flat).sum(-1, keepdims=True) > CREASE, corners, flat)


def lit(points: Array, normals: Array, albedo: Array, shine: Array, sunny: Array) -> Array:
    """Return linear colour [N,3] of surface `points` under sun and sky."""
    normals = np.where((normals @ TOWARD)[:, None] < 0, -normals, normals)
    facing = np.clip(normals @ TOWARD, 0, 1)
    sun = np.clip(normals @ SUN, 0, 1) * sunny
    sky = (0.5 + 0.5 * normals[:, 1]) * np.clip(0.5 + points[:, 1] / 0.9, 0, 1)
    light = sun[:, None] * [1.1, 1.03, 0.93] + sky[:, None] * [0.34, 0.38, 0.45] + 0.06
    mirror = 2 * facing[:, None] * normals - TOWARD
    up = mirror[:, 1:2]
    heaven = 0.95 - 0.55 * np.sqrt(np.clip(up, 0, 1)) * [1.0, 0.75, 0.45]
    seen = np.where(up > 0, heaven, 0.14 + 0.05 * up)
    glint = np.clip(mirror @ SUN, 0, 1) ** 180 * sunny * 6
    fresnel = shine * (0.05 + 0.75 * (1 - facing) ** 5)
    return albedo * light * (1 - fresnel[:, None]) + fresnel[:, None] * (seen + glint[:, None])


def _sunny(mesh: Mesh, points: Array) -> Array:
    """Return 0..1 for each of `points`: the share of a small disc that the sun reaches."""
    cell = 0.015 if np.ptp(mesh.xyz[:, 0]) < 2 else 0.03
    across = np.cross([0.0, 1.0, 0.0], SUN)
    across /= np.linalg.norm(across)
    axes = np.stack([across / cell, np.cross(SUN, across) / cell, SUN], axis=1)
    light = mesh.xyz @ axes
    low = np.array([*(light[:, :2].min(0) - 2), 0.0])
    wide, high = (np.ceil(np.ptp(light[:, :2], axis=0)) + 5).astype(int)
    _, depth = raster((light - low)[mesh.faces], wide, high)
    at = points @ axes - low
    free = np.zeros(len(points))
    for dx, dy in ((-0.7, -0.7), (0.7, -0.7), (-0.7, 0.7), (0.7, 0.7)):
        x = np.clip(at[:, 0] + dx, 0, wide - 1).astype(int)
        y = np.clip(at[:, 1] + dy, 0, high - 1).astype(int)
        free += (depth[y, x] < at[:, 2] + 0.04) / 4
    return free


def _surface(mesh: Mesh, triangle: Rows, weights: Array) -> tuple[Array, Array]:
    """Return (albedo [N,3], shine [N]) at barycentric `weights` [N,3] of `triangle` rows."""
    albedo, shine = np.empty((len(triangle), 3)), np.empty(len(triangle))
    uv = (mesh.uv[mesh.uv_faces[triangle]] * weights[:, :, None]).sum(1)
    for k, material in enumerate(mesh.materials):
        mine = mesh.material[triangle] == k
        albedo[mine], shine[mine] = material.rgb, material.shine
        if material.texture is not None and mine.any():
            high, wide = material.texture.shape[:2]
            x = np.floor(uv[mine, 0] % 1 * wide).astype(int) % wide
            y = np.floor((1 - uv[mine, 1] % 1) * high).astype(int) % high
            albedo[mine] *= material.texture[y, x]
    return albedo, shine


def cell_of(xyz: Array, margin: int = 3) -> Cell:
    """Return the pixels that `xyz` [V,3] and its shadow can touch, and a margin."""
    seen = np.concatenate([on_screen(xyz), on_screen(_on_ground(xyz))])[:, :2]
    left, top = np.floor(seen.min(0)).astype(int) - margin
    right, bottom = np.ceil(seen.max(0)).astype(int) + margin
    return Cell(int(left), int(top), int(right - left), int(bottom - top))


def _on_ground(xyz: Array) -> Array:
    """Return where the shadow of `xyz` falls on the plane y = 0."""
    return np.asarray(xyz - xyz[:, 1:2] / SUN[1] * SUN)


def cut_out(mesh: Mesh, cell: Cell) -> Bytes:
    """Return BGRA u8 [H,W,4] of `mesh` (metres, world axes), antialiased, not premultiplied."""
    wide, high = cell.width * OVERSAMPLING, cell.height * OVERSAMPLING
    seen = (on_screen(mesh.xyz) - [cell.left, cell.top, 0]) * [OVERSAMPLING, OVERSAMPLING, 1]
    row, _ = raster(seen[mesh.faces], wide, high)
    py, px = np.nonzero(row >= 0)
    triangle = row[py, px]
    v, w = _shares(px + 0.5, py + 0.5, seen[mesh.faces[triangle], :2].transpose(2, 1, 0))
    weights = np.stack([1 - v - w, v, w], axis=1)
    points = (mesh.xyz[mesh.faces[triangle]] * weights[:, :, None]).sum(1)
    normals = (corner_normals(mesh)[triangle] * weights[:, :, None]).sum(1)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-12
    albedo, shine = _surface(mesh, triangle, weights)
    large = np.zeros((high, wide, 4))
    large[py, px, :3] = np.clip(lit(points, normals, albedo, shine, _sunny(mesh, points)), 0, 1)
    large[py, px, 3] = 1
    blocks = large.reshape(cell.height, OVERSAMPLING, cell.width, OVERSAMPLING, 4)
    small = blocks.mean(axis=(1, 3))
    small[:, :, :3] = (small[:, :, 2::-1] / np.maximum(small[:, :, 3:], 1e-6)) ** (1 / 2.2)
    return (small * 255 + 0.5).astype(np.uint8)


def shadow(mesh: Mesh, cell: Cell) -> Bytes:
    """Return u8 [H,W]: where `mesh` keeps the sun from the ground, with a soft edge."""
    seen = on_screen(_on_ground(mesh.xyz)) - [cell.left, cell.top, 0]
    row, _ = raster(seen[mesh.faces], cell.width, cell.height)
    return cv2.GaussianBlur(np.where(row >= 0, 255, 0).astype(np.uint8), (0, 0), 1.6)
