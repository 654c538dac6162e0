"""GeoJSON of positions and paths on the ground, by a homography: for QGIS, kepler.gl, web maps.

A box stands at the middle of its lower edge. With an origin in the homography positions are WGS84
degrees (RFC 7946), without one metres on the plane, which the file says.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.archive.formats._format import (
    Layout,
    label_of,
    tracks_of,
    usual_class,
)
from pipeline.archive.formats._json import write_array
from pipeline.core.errors import UsageError
from pipeline.core.homography import read_homography
from pipeline.core.options import OptionsModel
from pipeline.core.output_columns import utc_text
from pipeline.core.sequences import RecordedSequence
from pipeline.core.track_files import BoxTable

_DEGREES_DIGITS = 8  # about a millimetre
_METRES_DIGITS = 3


class Options(OptionsModel):
    """Options of the features."""

    homography: Path
    """File with the matrix from pixels to the ground plane; `--homography` sets it."""
    geometry: Literal["lines", "points"] = "lines"
    """lines: a LineString for each track; points: a Point for each box."""


def build(options: Options) -> GeoJsonFormat:
    """Return the format; raises ConfigError for a wrong homography."""
    return GeoJsonFormat(options)


class GeoJsonFormat:
    """Writes one FeatureCollection. Boxes that stand above the horizon are left out."""

    layout: Layout = "file"
    suffix = ".geojson"
    one_size = False
    needs_size = False

    def __init__(self, options: Options) -> None:
        self._lines = options.geometry == "lines"
        self._homography = read_homography(options.homography)

    def write(self, sequences: Iterable[RecordedSequence], path: Path) -> None:
        """Write the features a track at a time; raises OSError."""
        system = "WGS84" if self._homography.origin else "local metres"
        with path.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
            file.write(f'{{"type":"FeatureCollection","coordinate_system":"{system}",\n"features":')
            write_array(file, self._features(sequences))
            file.write("}\n")

    def _features(self, sequences: Iterable[RecordedSequence]) -> Iterator[dict[str, Any]]:
        for place, each in enumerate(sequences):
            if place:
                raise UsageError(
                    f"{each.name}: a homography is of one camera, and there are more sources: "
                    "choose with --source"
                )
            for track in tracks_of(each.table):
                positions = self._positions(each, track)
                if self._lines:
                    yield from _line(each, track, positions)
                else:
                    yield from _points(each, track, positions)

    def _positions(self, each: RecordedSequence, track: BoxTable) -> list[tuple[float, float]]:
        """Return a position per row, NaN above the horizon."""
        feet = np.column_stack([track.xyxy[:, [0, 2]].mean(axis=1), track.xyxy[:, 3]])
        if self._homography.size:
            video = np.array((each.video.width, each.video.height))
            own = np.where(track.size > 0, track.size, video)
            feet = feet * (np.array(self._homography.size) / own)
        found = self._homography.plane_of(feet)
        if self._homography.origin:
            return _pairs(self._homography.lon_lat_of(found).round(_DEGREES_DIGITS))
        return _pairs(found.round(_METRES_DIGITS))


def _pairs(positions: NDArray[np.float64]) -> list[tuple[float, float]]:
    return [(x, y) for x, y in positions.tolist()]


def _line(
    each: RecordedSequence, track: BoxTable, positions: list[tuple[float, float]]
) -> Iterator[dict[str, Any]]:
    """Yield the track as a line with its times, or as a point if it has one position."""
    rows = [row for row, (x, _) in enumerate(positions) if math.isfinite(x)]
    if not rows:
        return
    line = [positions[row] for row in rows]
    properties = {
        "source": each.name,
        "track_id": int(track.track_id[0]),
        "class_name": label_of(each.class_names, usual_class(track)),
        "score": round(float(track.score.mean()), 4),
        "first_frame": int(track.frame[rows[0]]),
        "last_frame": int(track.frame[rows[-1]]),
        "times": [_time(each, track, row) for row in rows],
    }
    geometry: dict[str, Any] = {"type": "LineString", "coordinates": line}
    if len(line) == 1:
        geometry = {"type": "Point", "coordinates": line[0]}
    yield {"type": "Feature", "geometry": geometry, "properties": properties}


def _points(
    each: RecordedSequence, track: BoxTable, positions: list[tuple[float, float]]
) -> Iterator[dict[str, Any]]:
    for row, position in enumerate(positions):
        if not math.isfinite(position[0]):
            continue
        properties = {
            "source": each.name,
            "track_id": int(track.track_id[row]),
            "class_name": label_of(each.class_names, int(track.class_id[row])),
            "score": round(float(track.score[row]), 4),
            "frame": int(track.frame[row]),
            "time": _time(each, track, row),
            "state": str(track.state[row]),
        }
        geometry = {"type": "Point", "coordinates": position}
        yield {"type": "Feature", "geometry": geometry, "properties": properties}


def _time(each: RecordedSequence, track: BoxTable, row: int) -> str | float:
    """Return UTC as ISO 8601 where it is known, else seconds since the video's start."""
    utc_s, pts_s = float(track.utc_s[row]), float(track.pts_s[row])
    if math.isfinite(utc_s):
        return utc_text(utc_s)
    return round(pts_s if math.isfinite(pts_s) else int(track.frame[row]) / each.video.fps, 6)
