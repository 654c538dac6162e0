"""Positions and speeds as files: CSV, Parquet (GeoParquet with an origin), GeoJSON."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.archive.formats._json import write_array
from pipeline.archive.ground.speeds import GroundTracks
from pipeline.core.atomic_file import replacing
from pipeline.core.errors import OutputError, UsageError
from pipeline.core.homography import Homography, Origin
from pipeline.core.output_columns import Column, utc_text
from pipeline.core.parquet_file import import_pyarrow

COLUMNS = (
    Column("source", "text", "", "name of the camera or video"),
    Column("frame", "int64", "", "number of the frame, from 0"),
    Column("pts_s", "float64", "s", "time from the start of the file"),
    Column("utc", "time", "UTC", "when the picture was taken; empty where nothing says it"),
    Column("track_id", "int64", "", "number of the track"),
    Column("class_name", "text", "", "name of the class"),
    Column("x_m", "float64", "m", "to the right of the plane's y axis"),
    Column("y_m", "float64", "m", "along the plane's y axis"),
    Column("x_sd_m", "float64", "m", "standard deviation of `x_m`"),
    Column("y_sd_m", "float64", "m", "standard deviation of `y_m`"),
    Column("speed_mps", "float64", "m/s", "speed over the ground"),
    Column("speed_sd_mps", "float64", "m/s", "standard deviation of `speed_mps`"),
    Column("speed_kmh", "float64", "km/h", "the same speed"),
    Column("heading_deg", "float64", "degrees", "clockwise from north; without origin from y"),
    Column("heading_sd_deg", "float64", "degrees", "standard deviation of `heading_deg`"),
    Column("lat", "float64", "degrees", "north, WGS84; empty without an origin"),
    Column("lon", "float64", "degrees", "east, WGS84; empty without an origin"),
    Column(
        "quality", "text", "",
        "`measured`, `interpolated` between measured boxes, or why there is no position: "
        "`predicted` box, box `cut` by the picture's edge, above the `horizon`, `unsure`",
    ),
)  # fmt: skip
_SUFFIXES = (".csv", ".parquet", ".geojson")
_DIGITS = {"pts_s": 6, "lat": 8, "lon": 8, "heading_deg": 1, "heading_sd_deg": 1, "speed_kmh": 2}
_USUAL_DIGITS = 3
_CHUNK = 50_000
_GEO_VERSION = "1.1.0"

Arrays = Mapping[str, NDArray[Any]]
FeaturesOf = Callable[[Arrays], Iterator[dict[str, Any]]]


def rows_of(tracks: GroundTracks, origin: Origin | None) -> dict[str, NDArray[Any]]:
    """Return the columns as rounded arrays of N, NaN for unknown values."""
    table, names = tracks.table, tracks.sequence.class_names
    found, number = np.unique(table.class_id, return_inverse=True)
    labels = [names.get(n, str(n) if n >= 0 else "object") for n in found.tolist()]
    degrees = np.full((len(table), 2), np.nan) if origin is None else origin.lon_lat_of(tracks.xy)
    columns: dict[str, NDArray[Any]] = {
        "source": np.full(len(table), tracks.sequence.name),
        "frame": table.frame,
        "pts_s": tracks.t,
        "utc": table.utc_s,
        "track_id": table.track_id,
        "class_name": np.array(labels or [""])[number] if len(table) else np.array([], "U1"),
        "x_m": tracks.xy[:, 0],
        "y_m": tracks.xy[:, 1],
        "x_sd_m": tracks.xy_sd[:, 0],
        "y_sd_m": tracks.xy_sd[:, 1],
        "speed_mps": tracks.speed,
        "speed_sd_mps": tracks.speed_sd,
        "speed_kmh": tracks.speed * 3.6,
        "heading_deg": tracks.heading,
        "heading_sd_deg": tracks.heading_sd,
        "lat": degrees[:, 1],
        "lon": degrees[:, 0],
        "quality": tracks.quality,
    }
    for column in COLUMNS:
        if column.type == "float64":
            digits = _DIGITS.get(column.name, _USUAL_DIGITS)
            columns[column.name] = np.round(columns[column.name], digits)
    return columns


def check_suffix(path: Path) -> None:
    """Raise UsageError for an unsupported suffix, or one whose library is missing."""
    if path.suffix.lower() not in _SUFFIXES:
        raise UsageError(f"{path}: want a file called {', '.join(_SUFFIXES)}")
    if path.suffix.lower() == ".parquet":
        import_pyarrow(str(path))


def check_output(path: Path, homography: Homography) -> None:
    """Raise UsageError as `check_suffix`, and for a map without an origin."""
    check_suffix(path)
    if path.suffix.lower() == ".geojson" and homography.origin is None:
        raise UsageError(f"{path}: a map needs the homography's origin: calibrate with --origin")


def write_speeds(path: Path, parts: Sequence[Arrays]) -> None:
    """Write the result of `rows_of` for each source in the suffix's format; raises OutputError."""
    write_columns(path, COLUMNS, joined(parts), _features)


def joined(parts: Sequence[Arrays]) -> Arrays:
    """Return the rows of the tables one after the other."""
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def write_columns(
    path: Path, columns: Sequence[Column], arrays: Arrays, features: FeaturesOf
) -> None:
    """Write named arrays in the suffix's format, `features` as GeoJSON; raises OutputError.

    In Parquet the columns `lon` and `lat` become the geometry.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial:
            if path.suffix.lower() == ".csv":
                _write_csv(partial, arrays)
            elif path.suffix.lower() == ".parquet":
                _write_parquet(partial, columns, arrays)
            else:
                _write_geojson(partial, features(arrays))
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from None


def _write_csv(path: Path, columns: Arrays) -> None:
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for first in range(0, len(columns["frame"]), _CHUNK):
            part = slice(first, first + _CHUNK)
            writer.writerows(
                zip(*(_texts(name, values[part]) for name, values in columns.items()), strict=True)
            )


def _texts(name: str, values: NDArray[Any]) -> list[Any]:
    if name == "utc":
        return [utc_text(each) if math.isfinite(each) else "" for each in values.tolist()]
    if values.dtype.kind != "f":
        return list(values.tolist())
    return ["" if math.isnan(each) else each for each in values.tolist()]


def _write_parquet(path: Path, columns: Sequence[Column], found: Arrays) -> None:
    """Write a table; with degrees in it as GeoParquet (version 1.1.0, points as WKB)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrays = {}
    for column in columns:
        values = found[column.name]
        if column.type == "time":
            known = np.isfinite(values)
            stamps = np.round(np.where(known, values, 0) * 1000).astype(np.int64)
            arrays[column.name] = pa.array(stamps, pa.timestamp("ms", "UTC"), mask=~known)
        elif column.type == "text":
            # Not a dictionary: pandas makes categories of it, which sort by their first row and
            # before version 3 give groups for all their combinations.
            arrays[column.name] = pa.array(values, pa.string())
        else:
            arrays[column.name] = pa.array(values, from_pandas=True)
    metadata = None
    lon_lat = np.column_stack([found["lon"], found["lat"]])
    if np.isfinite(lon_lat).any():
        arrays["geometry"] = _wkb(lon_lat)
        metadata = {"geo": json.dumps(geo_metadata(lon_lat))}
    table = pa.table(arrays).replace_schema_metadata(metadata)
    pq.write_table(table, path, compression="zstd", row_group_size=1 << 17)


def geo_metadata(lon_lat: NDArray[np.float64]) -> dict[str, Any]:
    """Return GeoParquet's `geo` metadata of a column `geometry` of points in WGS84."""
    box = [*np.nanmin(lon_lat, axis=0).tolist(), *np.nanmax(lon_lat, axis=0).tolist()]
    about = {"encoding": "WKB", "geometry_types": ["Point"], "bbox": box}
    return {"version": _GEO_VERSION, "primary_column": "geometry", "columns": {"geometry": about}}


def _wkb(lon_lat: NDArray[np.float64]) -> Any:
    """Return points as well-known binary (OGC 06-103r4, section 8.2): order, type 1, x, y."""
    import pyarrow as pa

    known = np.isfinite(lon_lat[:, 0])
    form = np.dtype([("order", "u1"), ("type", "<u4"), ("x", "<f8"), ("y", "<f8")])
    points = np.empty(int(known.sum()), form)
    points["order"], points["type"] = 1, 1
    points["x"], points["y"] = lon_lat[known].T
    ends = np.concatenate([[0], np.cumsum(known) * form.itemsize]).astype(np.int32)
    bits = np.packbits(known, bitorder="little").tobytes()
    buffers = [pa.py_buffer(bits), pa.py_buffer(ends.tobytes()), pa.py_buffer(points.tobytes())]
    return pa.Array.from_buffers(pa.binary(), len(known), buffers)


def _write_geojson(path: Path, features: Iterator[dict[str, Any]]) -> None:
    """Write features as RFC 7946 has them."""
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
        file.write('{"type":"FeatureCollection",\n"features":')
        write_array(file, features)
        file.write("}\n")


def _features(columns: Arrays) -> Iterator[dict[str, Any]]:
    """Yield a line for each track, with times, speeds and errors of its points."""
    ids, known = columns["track_id"], np.isfinite(columns["lon"])
    new = np.diff(ids, prepend=-1) != 0
    new[1:] |= columns["source"][1:] != columns["source"][:-1]
    starts = np.flatnonzero(new)
    for a, b in zip(starts.tolist(), [*starts[1:].tolist(), len(ids)], strict=True):
        rows = np.arange(a, b)[known[a:b]]
        # Rows without identity are not one track: a point each.
        for part in [rows] if ids[a] else rows[:, None]:
            if len(part):
                yield _feature(columns, part)


def _feature(columns: Arrays, rows: NDArray[np.int64]) -> dict[str, Any]:
    part = {name: values[rows] for name, values in columns.items()}
    line = np.column_stack([part["lon"], part["lat"]]).tolist()
    is_utc = bool(np.isfinite(part["utc"]).all())
    geometry = {"type": "LineString", "coordinates": line}
    if len(line) == 1:
        geometry = {"type": "Point", "coordinates": line[0]}
    speeds = part["speed_mps"]
    median = float(np.nanmedian(speeds)) if np.isfinite(speeds).any() else None
    properties = {
        "source": str(part["source"][0]),
        "track_id": int(part["track_id"][0]),
        "class_name": str(part["class_name"][0]),
        "median_speed_mps": None if median is None else round(median, _USUAL_DIGITS),
        "times": _texts("utc", part["utc"]) if is_utc else part["pts_s"].tolist(),
        **{name: _nulls(part[name]) for name in ("speed_mps", "speed_sd_mps", "x_sd_m", "y_sd_m")},
    }
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def _nulls(values: NDArray[np.float64]) -> list[float | None]:
    return [None if math.isnan(each) else each for each in values.tolist()]
