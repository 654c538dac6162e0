"""Render the cut-outs in `samples/pictures/` from free 3-D models.

Run once; the clip itself needs only the pictures. The models come from the Debian package
sweethome3d-furniture 1.8-1 (README.md beside this file lists authors and licences):

    apt-get download sweethome3d-furniture && dpkg -x sweethome3d-furniture_*.deb models
    python samples/make_pictures.py models/usr/share/sweethome3d/furniture
"""

from __future__ import annotations

import io
import json
import sys
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from renderer import Cell, Material, Mesh, cell_of, cut_out, shadow
from street_scene import PICTURES, Array
from walk_cycle import posed, stride_of

PHASES = 16  # pictures of one walk cycle
QUALITY = 92  # of WebP's colours; alpha is kept exactly
GLASS = Material("glass", np.array([0.02, 0.025, 0.03]), 1.6)


@dataclass(frozen=True)
class Part:
    """One picture to make of `model` in `library`, turned by `turn` degrees about the vertical.

    Unturned, a model faces the viewer. `height` or `length` (metres) sets its size; `repaint`
    gives materials whose name holds its key another linear colour.
    """

    library: str
    model: str
    turn: float
    height: float = 0.0
    length: float = 0.0
    walks: bool = False
    repaint: tuple[tuple[str, tuple[float, float, float]], ...] = ()


RED = (("chapa_roja", (0.38, 0.02, 0.025)), ("neumaticos", (0.02, 0.02, 0.02)))
CANVAS = (("white-container", (0.06, 0.11, 0.16)),)

PARTS = {
    "man_denim": Part("Reallusion", "male01", 90, height=1.80, walks=True),
    "man_suit": Part("Reallusion", "male02", -90, height=1.78, walks=True),
    "man_checked": Part("Reallusion", "male03", -90, height=1.82, walks=True),
    "man_jumper": Part("Reallusion", "holdingMale01", 90, height=1.77, walks=True),
    "woman_orange": Part("Reallusion", "female01", -90, height=1.68, walks=True),
    "woman_pink": Part("Reallusion", "holdingFemale03", 90, height=1.70, walks=True),
    "boy": Part("Reallusion", "boyStanding", 90, height=1.66, walks=True),
    "woman_grey": Part("Reallusion", "holdingFemale01", 0, height=1.68, walks=True),
    "car_blue": Part("BlendSwap-CC-BY", "fordFocus", 90, length=4.36),
    "car_silver": Part("Scopia", "renault-scenic", -90, length=4.26),
    "car_red": Part("Scopia", "seat_leon", -90, length=4.3, repaint=RED),
    "bus": Part("Scopia", "cityBus", -90, length=11.0),
    "truck": Part("Scopia", "truck", 90, length=5.7, repaint=CANVAS),
    "lamp": Part("Scopia", "candelabre", 0, height=5.2),
    "bench": Part("BlendSwap-CC-0", "bench", 180, height=0.5),
    "bin": Part("BlendSwap-CC-0", "dustbin", 0, height=0.7),
}


def read_materials(archive: zipfile.ZipFile, path: str) -> dict[str, Material]:
    """Return {name: material} of one Wavefront .mtl file."""
    found: dict[str, Material] = {}
    now = Material("", np.full(3, 0.6))
    for line in archive.read(path).decode("latin-1").splitlines():
        key, _, rest = line.strip().partition(" ")
        if key == "newmtl":
            now = Material(rest, np.full(3, 0.6))
        elif key == "Kd":
            now = replace(now, rgb=np.array([float(v) for v in rest.split()[:3]]))
        elif key == "Ks" and now.shine == 0:
            now = replace(now, shine=float(float(rest.split()[0]) > 0.3))
        elif (key == "d" and float(rest) < 0.9) or (key == "Tr" and float(rest) > 0.1):
            now = replace(GLASS, name=now.name)
        elif key == "map_Kd":
            data = archive.read(path.rsplit("/", 1)[0] + "/" + rest.strip())
            bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
            now = replace(now, texture=(bgr[:, :, ::-1] / 255.0) ** 2.2)
        found[now.name] = now
    return found


def read_mesh(archive: zipfile.ZipFile, path: str) -> Mesh:
    """Return the triangles of one Wavefront .obj file with its materials."""
    known: dict[str, Material] = {}
    used: list[Material] = []
    xyz, uv, faces = [], [[0.0, 0.0]], []  # a face without texture points at uv row 0
    for line in io.StringIO(archive.read(path).decode("latin-1")):
        key, _, rest = line.strip().partition(" ")
        if key == "mtllib":
            known = read_materials(archive, path.rsplit("/", 1)[0] + "/" + rest.strip())
        elif key == "v":
            xyz.append([float(v) for v in rest.split()[:3]])
        elif key == "vt":
            uv.append([float(v) for v in rest.split()[:2]])
        elif key == "usemtl":
            used.append(known[rest.strip()])
        elif key == "f":
            ends = [(corner + "/0").split("/")[:2] for corner in rest.split()]
            corners = [(int(v) - 1, int(t or 0), len(used) - 1) for v, t in ends]
            faces += [(corners[0], corners[k], corners[k + 1]) for k in range(1, len(corners) - 1)]
    rows = np.array(faces)
    return Mesh(
        np.array(xyz), np.array(uv), rows[:, :, 0], rows[:, :, 1], rows[:, 0, 2], tuple(used)
    )


def upright(xyz: Array, part: Part) -> Array:
    """Return `xyz` in metres with its ground point, the middle of its base, at the origin."""
    low, high = xyz.min(0), xyz.max(0)
    base = [(low[0] + high[0]) / 2, low[1], (low[2] + high[2]) / 2]
    size = high - low
    scale = part.height / size[1] if part.height else part.length / size[2]
    return np.asarray((xyz - base) * scale)


def turned(xyz: Array, degrees: float) -> Array:
    """Return `xyz` turned about the vertical; 90 degrees turn front into right."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return xyz @ np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]])


def made(part: Part, library: Path) -> tuple[list[Mesh], float]:
    """Return (the mesh of every phase in world axes, metres walked per cycle)."""
    archive = zipfile.ZipFile(library / f"{part.library}.sh3f")
    path = next(n for n in archive.namelist() if n.endswith(f"/{part.model}.obj"))
    mesh = read_mesh(archive, path)
    paint = dict(part.repaint)
    materials = tuple(
        replace(m, rgb=np.array(next((v for k, v in paint.items() if k in m.name), m.rgb)))
        for m in mesh.materials
    )
    stand = upright(mesh.xyz, part)
    poses = [posed(stand, k / PHASES) for k in range(PHASES)] if part.walks else [stand]
    stride = stride_of(stand) if part.walks else 0.0
    turn = part.turn
    return [replace(mesh, xyz=turned(p, turn), materials=materials) for p in poses], stride


def main(library: Path) -> None:
    """Write every picture and the table of their phases, anchors and strides."""
    PICTURES.mkdir(exist_ok=True)
    table = {}
    for name, part in PARTS.items():
        meshes, stride = made(part, library)
        cell: Cell = cell_of(np.concatenate([mesh.xyz for mesh in meshes]))
        tops = [cut_out(mesh, cell) for mesh in meshes]
        bottoms = [np.zeros_like(top) for top in tops]
        for bottom, mesh in zip(bottoms, meshes, strict=True):
            bottom[:, :, 3] = shadow(mesh, cell)
        sheet = np.vstack([np.hstack(tops), np.hstack(bottoms)])
        _, data = cv2.imencode(".webp", sheet, [cv2.IMWRITE_WEBP_QUALITY, QUALITY])
        (PICTURES / f"{name}.webp").write_bytes(data.tobytes())
        anchor = [-cell.left, -cell.top]
        table[name] = {"phases": len(meshes), "anchor": anchor, "stride": round(stride, 4)}
        print(f"{name}: {sheet.shape[1]}x{sheet.shape[0]}, {len(data) / 1024:.0f} KiB")
    (PICTURES / "pictures.json").write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} FOLDER_WITH_SH3F_FILES")
    main(Path(sys.argv[1]))
