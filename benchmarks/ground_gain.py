"""What `tracker.ground` (association on the ground plane) brings to the default tracker.

    python benchmarks/ground_gain.py ../shared/mot [--every 1 2 3]
        [--plaza ../shared/video/plaza_walkers.avi --models builtin ../shared/models/yolo11n.onnx]

HOTA, IDF1 and switches without and with it on sequences of standing cameras. Their
ground was not measured: a pinhole camera is fitted to the heights of the people detected, which are
taken for 1.7 m. With the plaza's video, whose calibration is published, the ids there too. Needs
the extra `eval`.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from embedder_gain import detected
from frame_rate import thinned_frames, thinned_truth
from scipy.optimize import least_squares

from pipeline.archive.ground.camera_model import ground_matrix
from pipeline.core.homography import Homography
from pipeline.core.sequences import load_sequences
from pipeline.core.yaml_file import dump
from pipeline.tools.evaluate.scoring import score
from pipeline.tools.evaluate.tracking import Seen, follow, recorded_frames
from pipeline.tools.evaluate.truth import load_truth
from pipeline.trackers import trackline

# Set, sequence, and from which score on its detector is sure enough to measure people by.
SEQUENCES = (
    ("MOT17-public", "MOT17-02-FRCNN", 0.9),
    ("MOT17-val-half", "MOT17-02-FRCNN", 0.9),
    ("MOT17-val-half-all-scores", "MOT17-02-FRCNN", 0.9),
    ("MOT15", "TUD-Stadtmitte", 0.6),
)
# The ground of the plaza from its camera's calibration by Tsai's method (PETS 2009, View_001).
PLAZA = (
    (0.004093276613029323, -0.04744516858898918, 6.891686764406604),
    (-0.011010781061331437, -0.03139057328249716, 9.387488017565262),
    (8.357610681288784e-05, 0.0015369031849186271, 0.08265054047072189),
)
PLAZA_SIZE = (768, 576)
PERSON_M, SD_LOG_HEIGHT = 1.7, 0.06
USUAL_FOCAL, SD_LOG_FOCAL, SD_ROLL = 0.87, 0.4, math.radians(2)
EDGE_PX = 3
MAX_PEOPLE, INDEPENDENT = 600, 200
"""So many boxes are fitted; as the same people come again and again, they count as so many."""


def fitted_ground(seen: Seen, size: tuple[int, int], min_score: float) -> np.ndarray:
    """Return f64[3,3] from pixels to metres of a camera before which people are PERSON_M high."""
    boxes = np.concatenate([found.xyxy[found.score > min_score] for _, found in seen])
    width, height = size
    whole = (boxes[:, 0] > EDGE_PX) & (boxes[:, 2] < width - EDGE_PX)
    boxes = boxes[whole & (boxes[:, 3] < height - EDGE_PX)].astype(float)
    boxes = boxes[:: max(1, len(boxes) // MAX_PEOPLE)]
    foot = np.stack([(boxes[:, 0] + boxes[:, 2]) / 2, boxes[:, 3], np.ones(len(boxes))])
    tall = boxes[:, 3] - boxes[:, 1]

    def away(values: np.ndarray) -> np.ndarray:
        """Return what the heights and the prior knowledge miss, in standard deviations."""
        on_ground = ground_matrix(values, size) @ foot
        camera_m = math.exp(values[3])
        over = np.array((*values[:3], math.log(max(camera_m - PERSON_M, 1e-3))))
        head = np.linalg.solve(ground_matrix(over, size), on_ground)
        shown = foot[1] - head[1] / head[2]
        below = (on_ground[2] > 0) & (head[2] > 0) & (shown > 1)
        off = np.where(below, np.log(tall / np.where(below, shown, 1)) / SD_LOG_HEIGHT, 20.0)
        robust = 2 * np.sqrt(np.log1p(off * off / 4))  # Cauchy's loss
        robust *= math.sqrt(min(1, INDEPENDENT / len(tall)))
        focal = (values[0] - math.log(USUAL_FOCAL * max(size))) / SD_LOG_FOCAL
        return np.array((*robust, focal, values[2] / SD_ROLL))

    starts = [
        (math.log(USUAL_FOCAL * max(size)), math.radians(tilt), 0.0, math.log(height_m))
        for tilt in (2, 6, 12, 25, 45)
        for height_m in (2, 3, 6, 12)
    ]
    best = min((least_squares(away, start) for start in starts), key=lambda found: found.cost)
    return ground_matrix(best.x, size)


def tracker(ground: Path | None) -> trackline.Trackline:
    """Return the default tracker, with the ground in a file or without."""
    return trackline.build(trackline.Options(ground=ground))


def write_ground(path: Path, matrix: Sequence, size: tuple[int, int]) -> Path:
    """Return the file, written as `trackline calibrate` writes it."""
    homography = Homography(matrix=np.asarray(matrix).tolist(), size=size)
    path.write_text(dump(homography.model_dump(mode="json", exclude_none=True)))
    return path


def on_sequences(root: Path, every: Sequence[int], folder: Path) -> None:
    """Print HOTA, IDF1 and switches of each sequence and share of its frames, and their means."""
    print(f"{'without, with ground':46}{'HOTA':^16}{'IDF1':^16}{'switches':^12}")
    rows = []
    for data, name, min_score in SEQUENCES:
        seen, truth = recorded_frames(root / data)[name], load_truth(root / data, "mot")[name]
        video = load_sequences([root / data], "det/det.txt")[name].video
        size = video.width, video.height
        matrix = fitted_ground(seen, size, min_score)
        ground = write_ground(folder / f"{data}-{name}.yaml", matrix, size)
        for n in every:
            left = np.arange(len(seen)) % n == 0
            part = {name: thinned_truth(truth, left)}
            frames = thinned_frames(seen, left)
            found = [
                score(part, {name: follow(tracker(each), frames)})[name] for each in (None, ground)
            ]
            rows.append([[each[key] for each in found] for key in ("HOTA", "IDF1", "IDSW")])
            print(line(f"{data}, {name[:14]}, 1/{n}", rows[-1]), flush=True)
    hota, idf1, switches = np.array(rows).transpose(1, 2, 0)
    print(line("mean; sum of switches", [hota.mean(1), idf1.mean(1), switches.sum(1)]))


def line(label: str, figures: Sequence) -> str:
    """Return one line of the table."""
    (hota, hota_with), (idf1, idf1_with), (switches, switches_with) = figures
    return (
        f"{label:46}{hota:8.2f}{hota_with:8.2f}{idf1:8.2f}{idf1_with:8.2f}"
        f"{switches:6.0f}{switches_with:6.0f}"
    )


def on_the_plaza(clip: Path, models: Sequence[str], every: Sequence[int], folder: Path) -> None:
    """Print how many ids the people on the plaza get, and how many of them last a second."""
    ground = write_ground(folder / "plaza.yaml", PLAZA, PLAZA_SIZE)
    for model in models:
        frames, names = detected(None if model == "builtin" else model, clip)
        person = next(each for each, name in names.items() if name == "person")
        seen = [(frame, found[found.class_id == person]) for frame, found in frames]
        for n in every:
            part = thinned_frames(seen, np.arange(len(seen)) % n == 0)
            counted = []
            for each in (None, ground):
                tracks = follow(tracker(each), part)
                ids = np.unique(tracks.track_id)
                seconds = [np.ptp(tracks.pts_s[tracks.track_id == one]) for one in ids]
                counted.append(f"{len(ids)} ids, {sum(each >= 1 for each in seconds)} of a second")
            label = f"{clip.name}, {Path(model).name}, 1/{n}"
            print(f"{label:46}{counted[0]} without, {counted[1]} with", flush=True)


def main() -> None:
    """Print the tables that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("folder", type=Path, help="folder with MOT15, MOT17-...")
    parser.add_argument("--every", nargs="+", type=int, default=[1, 2, 3], metavar="N")
    parser.add_argument("--plaza", type=Path, metavar="VIDEO", help="the plaza's video")
    parser.add_argument("--models", nargs="+", default=["builtin"], metavar="MODEL")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as text:
        on_sequences(given.folder, given.every, Path(text))
        if given.plaza:
            on_the_plaza(given.plaza, given.models, given.every, Path(text))


if __name__ == "__main__":
    main()
