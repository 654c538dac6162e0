"""What re-identification by looks brings on the sample clip, whose truth is exact.

    python benchmarks/embedder_gain.py [MODEL.onnx ...] [--every 1 2 3] [--embedder appearance]
        [--videos ../shared/video/plaza_walkers.avi ...]

For each model (the built-in one without any), group of classes and share of the frames: HOTA, IDF1,
switches and ids of the default tracker without and with the embedder. Of videos without a truth:
how many objects have an id for a second or more, and what the embedder costs. Needs the extra
`eval`.
"""

from __future__ import annotations

import argparse
import importlib
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from frame_rate import thinned_frames, thinned_truth
from quality_versus_ultralytics import GROUPS, ROOT, write_truth

from pipeline.config.build import make_detector, tracker_factory
from pipeline.config.schema import load_config
from pipeline.core.data import Detections, Frame, Image
from pipeline.core.interfaces import NeedsOpening
from pipeline.sources import file
from pipeline.tools.evaluate.scoring import score
from pipeline.tools.evaluate.tracking import Seen, follow
from pipeline.tools.evaluate.truth import load_truth
from pipeline.trackers import trackline

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


class CountingEmbedder:
    """An embedder that counts the boxes it looks at."""

    def __init__(self, name: str) -> None:
        plugin = importlib.import_module(f"pipeline.embedders.{name}")
        self._embedder = plugin.build(plugin.Options())
        self.min_similarity = self._embedder.min_similarity
        self.open, self.close = self._embedder.open, self._embedder.close
        self.boxes = 0

    def embed(self, image: Image, xyxy: np.ndarray) -> np.ndarray:
        """Return a unit vector for each box."""
        self.boxes += len(xyxy)
        return self._embedder.embed(image, xyxy)


def frames_of(video: Path) -> Iterator[Frame]:
    """Yield a video's frames, one at a time."""
    source = file.build(file.Options(path=str(video)))
    source.open()
    while (frame := source.read()) is not None:
        yield frame
    source.close()


def boxes_of(model: str | None, video: Path) -> tuple[list[Detections], dict[int, str]]:
    """Return the detections of each frame that the default tracker uses, and the class names."""
    detector = make_detector(load_config(None, {"detector.model": model} if model else {}))
    names = dict(detector.open())
    found = [detector.detect([frame])[0] for frame in frames_of(video)]
    detector.close()
    return found, names


def ids_and_cost(
    video: Path, found: list[Detections], names: dict[int, str], every: int, looks: str | None
) -> str:
    """Return how many objects have an id for a second, boxes looked at, and CPU time, as text."""
    embedder = CountingEmbedder(looks) if looks else None
    tracker = trackline.build(trackline.Options(), embedder)
    tracker.open()
    spent_s, boxes = 0.0, 0
    spans: dict[int, list[tuple[float, str]]] = defaultdict(list)
    for frame in frames_of(video):
        if frame.index % every:
            continue
        began = time.thread_time()
        tracks = tracker.update(frame, found[frame.index])
        spent_s += time.thread_time() - began
        for row in (tracks.detection >= 0).nonzero()[0].tolist():
            name = names[int(tracks.class_id[row])]
            spans[int(tracks.track_id[row])].append((frame.pts_s, name))
            boxes += 1
    tracker.close()
    lasting = [span for span in spans.values() if span[-1][0] - span[0][0] >= 1]
    usual = [Counter(name for _, name in span).most_common(1)[0][0] for span in lasting]
    ids = {group: sum(name in names for name in usual) for group, (_, names) in GROUPS.items()}
    text = ", ".join(f"{count} {group}" for group, count in ids.items())
    if embedder:
        text += f", {embedder.boxes} of {boxes} boxes looked at"
    return f"{text}, {spent_s * 1e3 * every / len(found):.2f} ms of CPU a frame"


def main() -> None:
    """Print a line for each model, group and share of the frames."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("models", nargs="*", default=[None], metavar="MODEL")
    parser.add_argument("--every", nargs="+", type=int, default=[1, 2, 3], metavar="N")
    parser.add_argument("--embedder", default="appearance")
    parser.add_argument("--videos", nargs="+", type=Path, default=[])
    given = parser.parse_args()
    for video in given.videos:
        for model in given.models:
            found, names = boxes_of(model, video)
            for every in given.every:
                print(f"{video.name}, {Path(model or 'builtin').name}, 1/{every}")
                for looks in (None, given.embedder):
                    print(
                        f"  {looks}: {ids_and_cost(video, found, names, every, looks)}", flush=True
                    )
    if given.videos:
        return
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
