"""What re-identification by looks brings on the sample clip, whose truth is exact.

    python benchmarks/embedder_gain.py [MODEL.onnx ...] [--every 1 2 3] [--embedder appearance]

For each model (the built-in one without any), group of classes and share of the frames: HOTA, IDF1,
switches and ids of the default tracker without and with the embedder. Needs the extra `eval`.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from frame_rate import thinned_frames, thinned_truth
from quality_versus_ultralytics import GROUPS, ROOT, write_truth

from pipeline.config.build import make_detector, tracker_factory
from pipeline.config.schema import load_config
from pipeline.core.data import Frame
from pipeline.core.interfaces import NeedsOpening
from pipeline.sources import file
from pipeline.tools.evaluate.scoring import score
from pipeline.tools.evaluate.tracking import Seen, follow
from pipeline.tools.evaluate.truth import load_truth

CLIP = ROOT / "samples" / "street.mp4"


def detected(model: str | None, clip: Path = CLIP) -> tuple[Seen, dict[int, str]]:
    """Return a clip's frames with all detections that the default tracker uses, and the names."""
    detector = make_detector(load_config(None, {"detector.model": model} if model else {}))
    source = file.build(file.Options(path=str(clip)))
    names, seen = detector.open(), []
    source.open()
    while (frame := source.read()) is not None:
        [found] = detector.detect([frame])
        copied = Frame(frame.image.copy(), frame.source, frame.index, frame.pts_s, 0.0)
        seen.append((copied, found))
    source.close()
    detector.close()
    return seen, dict(names)


def figures(embedder: str | None, truth, seen: Seen) -> str:
    """Return what the default tracker gets with this embedder, as text."""
    tracker = tracker_factory(load_config(None, {"tracker.embedder": embedder}))()
    assert isinstance(tracker, NeedsOpening)
    tracker.open()
    tracks = follow(tracker, seen)
    tracker.close()
    found = score({"street": truth}, {"street": tracks})["street"]
    ids = len(np.unique(tracks.track_id))
    return f"{found['HOTA']:8.1f} {found['IDF1']:6.1f} {found['IDSW']:5.0f} {ids:5d}"


def main() -> None:
    """Print a line for each model, group and share of the frames."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("models", nargs="*", default=[None], metavar="MODEL")
    parser.add_argument("--every", nargs="+", type=int, default=[1, 2, 3], metavar="N")
    parser.add_argument("--embedder", default="appearance")
    given = parser.parse_args()
    head = f"{'HOTA':>8} {'IDF1':>6} {'IDSW':>5} {'ids':>5}"
    print(f"{'':34}{head}{head}   (without, with {given.embedder})")
    for model in given.models:
        frames, names = detected(model)
        for group, (number, classes) in GROUPS.items():
            with tempfile.TemporaryDirectory() as folder:
                written = write_truth(CLIP, number, Path(folder, group))
                [truth] = load_truth(written, "mot").values()
            wanted = [each for each, name in names.items() if name in classes]
            seen = [(frame, found[np.isin(found.class_id, wanted)]) for frame, found in frames]
            for every in given.every:
                left = np.arange(len(seen)) % every == 0
                part = thinned_truth(truth, left), thinned_frames(seen, left)
                label = f"{Path(model or 'builtin').name}, {group}, 1/{every}"
                columns = [figures(each, *part) for each in (None, given.embedder)]
                print(f"{label:34}", *columns, sep="", flush=True)


if __name__ == "__main__":
    main()
