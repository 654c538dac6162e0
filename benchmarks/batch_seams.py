"""Ids over seams: HOTA of recordings in pieces against the whole one.

python benchmarks/batch_seams.py ../shared

The plaza clip in 8 pieces is scored against the tracks of the whole clip; MOT15's sequences,
replayed in pieces on blank pictures, against their truth, beside the whole ones.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from _batch_pieces import Piece, pictures, write_detections, write_pieces

import pipeline
from pipeline.archive.batch.job import plan_job, run_job
from pipeline.archive.batch.options import BatchOptions
from pipeline.archive.dataset.reader import open_dataset
from pipeline.config.schema import Config
from pipeline.core.data import Detections
from pipeline.core.sequences import load_sequences
from pipeline.core.track_files import BoxTable
from pipeline.detectors import replay
from pipeline.tools.evaluate.scoring import COMBINED, score
from pipeline.tools.evaluate.truth import load_truth

PIECES = 8


def main() -> None:
    """Print HOTA and identity switches of pieces and wholes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shared", type=Path)
    parser.add_argument("--tracker", default="trackline")
    parser.add_argument("--only", choices=["plaza", "mot15"])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as text:
        if args.only != "mot15":
            plaza(args.shared / "video" / "plaza_walkers.avi", Path(text) / "plaza", args.tracker)
        if args.only == "plaza":
            return
        mot15(args.shared / "mot" / "MOT15", Path(text) / "mot15", args.tracker)


def plaza(path: Path, root: Path, tracker: str) -> None:
    """Score the pieces' tracks against those of the whole clip."""
    video = [*pictures(path)]
    found = [each.detections for each in pipeline.detect(path, imgsz=416, conf=0.1)]
    whole = track(root / "whole", {"plaza": (video, found, 1)}, tracker)["plaza"]
    write_truth(root / "truth" / "plaza", whole, len(video), 10.0, video[0][1].shape)
    truths = load_truth(root / "truth", "mot")
    cut = track(root / "cut", {"plaza": (video, found, PIECES)}, tracker)
    both = score(truths, {"plaza": whole}), score(truths, cut)
    print(f"plaza in {PIECES} pieces against the whole clip's tracks ({len(whole)} boxes):")
    show("whole", both[0][COMBINED])
    show("pieces", both[1][COMBINED])


def mot15(folder: Path, root: Path, tracker: str) -> None:
    """Score pieces and wholes against the truth."""
    truths = load_truth(folder, "mot")
    detector = replay.build(replay.Options(paths=(str(folder),)))
    detector.open()
    clips: dict[str, tuple[Any, list[Detections], int]] = {}
    for name, sequence in load_sequences([folder], replay.INNER).items():
        info = sequence.video
        # A shade for each piece: files of the same content are copies, and left out.
        size = info.height // 2 * 2, info.width // 2 * 2, 3
        shades = [np.full(size, 20 + 20 * n + len(clips), np.uint8) for n in range(PIECES + 1)]
        video = [
            (index / info.fps, shades[index * PIECES // info.length])
            for index in range(info.length)
        ]
        frames = [
            pipeline.Frame(image, name, index, seconds, 0.0)
            for index, (seconds, image) in enumerate(video)
        ]
        clips[name] = video, detector.detect(frames), PIECES
    whole = track(root / "whole", {n: (v, d, 1) for n, (v, d, _) in clips.items()}, tracker)
    cut = track(root / "cut", clips, tracker)
    print(f"MOT15 in {PIECES} pieces each, against the truth:")
    scores = score(truths, whole), score(truths, cut)
    for name in [*truths, COMBINED]:
        for way, each in zip(("whole", "pieces"), scores, strict=True):
            show(f"{name} {way}", each[name])


def show(name: str, figures: Mapping[str, float]) -> None:
    """Print one line."""
    print(
        f"  {name:24s} HOTA {figures['HOTA']:6.2f}  AssA {figures['AssA']:6.2f}  "
        f"IDF1 {figures['IDF1']:6.2f}  IDSW {figures['IDSW']:4.0f}",
        flush=True,
    )


def track(
    root: Path, clips: Mapping[str, tuple[Any, Sequence[Detections], int]], tracker: str
) -> dict[str, BoxTable]:
    """Return the tracks of clips in pieces, with the frames of the whole."""
    pieces: dict[str, list[Piece]] = {}
    for name, (video, found, count) in clips.items():
        pieces[name] = write_pieces(video, root / "videos" / name, "x", count)
        for number, piece in enumerate(pieces[name]):
            unique = piece.path.with_name(f"{name}-{number}_{piece.path.stem}.mp4")
            piece.path.rename(unique)
            pieces[name][number] = Piece(unique, piece.first, piece.count)
            part = found[piece.first : piece.first + piece.count]
            write_detections(root / "det" / f"{unique.stem}.txt", part)
    config = Config.model_validate(
        {"detector": {"kind": "replay", "paths": [str(root / "det")]}, "tracker": tracker}
    )
    # The name in front of the time would be one camera per piece.
    by_folder = r"videos/(?P<camera>[^/]+)/[^/]*_(?P<time>\d{8}_\d{6,9})"
    options = BatchOptions(
        (str(root / "videos"),), root / "dataset", group_by=by_folder, timezone="UTC"
    )
    run_job(plan_job(options, config), lambda _: None, lambda: False)
    dataset = open_dataset(root / "dataset")
    first = {str(piece.path): piece.first for each in pieces.values() for piece in each}
    return {name: table_of(dataset.table("tracks", camera=name), first) for name in clips}


def table_of(table: Any, first: Mapping[str, int]) -> BoxTable:
    """Return the matched rows with the frame numbers of the whole clip."""
    columns = {
        name: table[name].to_numpy(zero_copy_only=False)
        for name in ("frame", "track_id", "x1", "y1", "x2", "y2", "score")
    }
    text = {name: np.array(table[name].to_pylist()) for name in ("file", "state")}
    at = np.array([first[name] for name in text["file"].tolist()], np.int64)
    boxes = np.stack([columns[name] for name in ("x1", "y1", "x2", "y2")], 1).astype(float)
    kept = text["state"] == "matched"
    return BoxTable.of(
        (columns["frame"] + at)[kept],
        columns["track_id"][kept],
        boxes[kept],
        score=columns["score"][kept].astype(float),
    )


def write_truth(
    folder: Path, table: BoxTable, length: int, fps: float, shape: tuple[int, ...]
) -> None:
    """Write tracks as the truth of a sequence."""
    (folder / "gt").mkdir(parents=True)
    lines = [
        f"{frame + 1},{track_id},{x1:.2f},{y1:.2f},{x2 - x1:.2f},{y2 - y1:.2f},1,-1,-1,-1"
        for frame, track_id, (x1, y1, x2, y2) in zip(
            table.frame.tolist(), table.track_id.tolist(), table.xyxy.tolist(), strict=True
        )
    ]
    (folder / "gt" / "gt.txt").write_text("\n".join(lines) + "\n")
    (folder / "seqinfo.ini").write_text(
        f"[Sequence]\nname={folder.name}\nframeRate={fps:g}\nseqLength={length}\n"
        f"imWidth={shape[1]}\nimHeight={shape[0]}\n"
    )


if __name__ == "__main__":
    main()
