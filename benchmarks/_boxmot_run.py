"""Drives a tracker of BoxMOT; run by an interpreter that has it, with numpy and nothing of ours.

    python _boxmot_run.py GIVEN.npz TAKEN.npz ByteTrack|OcSort '{"option": value}'

GIVEN holds a sequence per name, rows f64[N,6]: frame, xyxy, score, the first of them with the
number of frames; TAKEN gets rows f64[N,7]: frame, xyxy, id, score.
"""

import json
import sys

import boxmot
import numpy as np

PICTURE = np.zeros((1080, 1920, 3), np.uint8)


def main(given: str, taken: str, kind: str, options: str) -> None:
    """Run every sequence with a fresh tracker."""
    tracks = {}
    with np.load(given) as sequences:
        for name in sequences.files:
            rows = sequences[name]
            tracker = getattr(boxmot, kind)(**json.loads(options))
            out = [np.empty((0, 7))]
            for number in range(int(rows[0, 0])):
                seen = rows[1:][rows[1:, 0] == number, 1:]
                seen = np.concatenate((seen, np.zeros((len(seen), 1))), 1)
                found = np.asarray(tracker.update(seen, PICTURE)).reshape(-1, 8)[:, :6]
                out.append(np.concatenate((np.full((len(found), 1), number), found), 1))
            tracks[name] = np.concatenate(out)
    np.savez(taken, **tracks)


if __name__ == "__main__":
    main(*sys.argv[1:])
