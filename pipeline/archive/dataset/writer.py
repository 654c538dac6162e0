"""Writer of one segment: collects rows, writes checkpoints, commits everything at once."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.archive.dataset.files import move_into_place, remove_file, write_json
from pipeline.archive.dataset.layout import (
    PROGRESS,
    CameraState,
    Manifest,
    Part,
    part_path,
    read_manifest,
    read_state,
    work_folder,
    write_manifest,
    write_state,
)
from pipeline.archive.dataset.schema import (
    SCHEMA_VERSION,
    TABLES,
    VIDEO_COLUMNS,
    Segment,
)
from pipeline.archive.dataset.trajectories import Trajectories
from pipeline.archive.remote import is_remote
from pipeline.core.data import Result
from pipeline.core.errors import UsageError, WriteError, writing
from pipeline.core.output_columns import EXTRA_COLUMNS
from pipeline.core.parquet_file import (
    ROW_GROUP,
    PartWriter,
    TrackColumns,
    arrow_schema,
    event_table,
    import_pyarrow,
    table_of,
    with_constants,
)
from pipeline.core.state_json import from_json, to_json

BLOCK_ROWS = 1 << 14
"""Rows of `tracks` that are collected before they are encoded."""
STATUSES = ("ok", "partial", "failed")
_PIECES = ("tracks", "trajectories", "events")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Resume point: the last frame whose rows are stored (-1: none), and the caller's state."""

    frame: int
    frames: int
    state: Any


class SegmentWriter:
    """Writes the rows of one segment of a dataset that this job has locked.

    Rows become durable with `checkpoint` and part of the dataset with `commit`. A writer that
    resumes a segment after a kill has `resumed` set: results after its frame must be added again,
    in order. `previous` is the committed segment whose tracks continue in this one; trajectories it
    left open are continued. A track unseen for `memory_s` has ended; this must be at least the
    tracker's memory. All methods raise WriteError if writing to disk fails.
    """

    def __init__(
        self, dataset: Path, segment: Segment, *, previous: str = "", memory_s: float = 60.0
    ) -> None:
        import_pyarrow("a dataset")
        self.segment = segment
        self.resumed: Checkpoint | None = None
        self._dataset = dataset
        self._previous = previous
        self._memory_s = memory_s
        self._work = work_folder(self._dataset, segment.name)
        self._attempt = uuid.uuid4().hex[:8] if is_remote(dataset) else ""
        self._constant = {"segment": segment.name}
        self._rows = TrackColumns(self._constant, EXTRA_COLUMNS)
        # Rows since the last checkpoint: written as a piece once there are many, or then.
        self._held: dict[str, list[Any]] = {name: [] for name in _PIECES}
        self._writers: dict[str, PartWriter] = {}
        self._pieces: dict[str, list[str]] = {name: [] for name in _PIECES}
        self._counts = dict.fromkeys(_PIECES, 0)
        self._ids: set[int] = set()
        self._frame, self._frames = -1, 0
        open_tracks = read_state(self._dataset, previous).open_tracks if previous else {}
        with writing(self._work, WriteError):
            progress = self._resume()
        if progress is not None:
            open_tracks = progress["open_tracks"]
        self._trajectories = Trajectories(segment.name, segment.offset_s, open_tracks)

    # -- rows ------------------------------------------------------------------------------------

    def add(self, result: Result) -> None:
        """Add the tracks and events of the segment's next frame."""
        self._rows.add(result, self._utc_of)
        self._frame = result.frame.index
        self._frames += 1
        if result.events:
            table = with_constants(event_table(result.events, self._utc_of), self._constant)
            self._append("events", table)
        if len(self._rows) >= BLOCK_ROWS:
            self._take_rows()

    def checkpoint(self, state: Any) -> None:
        """Make all rows so far durable, with the caller's state (plain data) after them.

        After a kill the segment resumes from the newest checkpoint.
        """
        self._take_rows()
        self._append_trajectories(self._memory_s)
        for name in _PIECES:
            self._spill(name)
        with writing(self._work, WriteError):
            self._close_pieces()
            progress = {
                "segment": asdict(self.segment),
                "previous": self._previous,
                "schema": SCHEMA_VERSION,
                "pieces": self._pieces,
                "counts": self._counts,
                "frame": self._frame,
                "frames": self._frames,
                "track_ids": np.array(sorted(self._ids), np.int64),
                "open_tracks": self._trajectories.save_state(),
                "state": state,
            }
            write_json(self._work / PROGRESS, to_json(progress), indent=None)

    def commit(
        self,
        video: Mapping[str, Any],
        *,
        state: Any = None,
        carry: bool = False,
        notes: Mapping[str, Any] | None = None,
    ) -> Manifest:
        """Commit the segment, which makes all of it visible to readers; return its manifest.

        `video` has the columns of `videos` that only the caller knows (`status`, `reason`, `width`,
        ...); `report` may be a mapping. With `carry` the next segment of the camera continues from
        here: recently seen tracks stay open, and `state` is stored for it. `notes` are JSON of the
        job for the manifest.
        """
        row = self._video_row(video)
        self._take_rows()
        self._append_trajectories(self._memory_s if carry else 0)
        row |= {
            "tracks": self._counts["tracks"],
            "events": self._counts["events"],
            "track_ids": len(self._ids),
        }
        with writing(self._work, WriteError):
            self._close_pieces()
        parts = {name: self._write_part(name, self._read_pieces(name)) for name in _PIECES}
        videos = table_of(VIDEO_COLUMNS, [[row[column.name] for column in VIDEO_COLUMNS]])
        parts["videos"] = self._write_part("videos", iter([videos]))
        manifest = Manifest(
            self.segment.name,
            self.segment.camera,
            self.segment.date,
            self.segment.path,
            self.segment.hash,
            str(row["status"]),
            self._frames,
            max(self._ids, default=0),
            self._previous,
            parts,
            dict(notes or {}),
        )
        with writing(self._dataset, WriteError):
            open_tracks = self._trajectories.save_state() if carry else {}
            write_state(self._dataset, self.segment.name, CameraState(state, open_tracks))
            manifest = self._publish(manifest)
            shutil.rmtree(self._work, ignore_errors=True)  # if that fails, the next job does it
        return manifest

    def abort(self) -> None:
        """Discard the segment, checkpoints included; nothing of it gets into the dataset."""
        self.close()
        shutil.rmtree(self._work, ignore_errors=True)

    def close(self) -> None:
        """Close files, as after a failure; checkpoints stay for resuming."""
        self._held = {name: [] for name in _PIECES}
        for writer in self._writers.values():
            writer.abort()
        self._writers.clear()

    def _publish(self, manifest: Manifest) -> Manifest:
        """Write the manifest and return it, or the one that another attempt wrote before.

        With a store, a machine presumed lost may still be working: the first manifest counts.
        """
        try:
            write_manifest(self._dataset, manifest, is_new=is_remote(self._dataset))
        except FileExistsError:
            theirs = read_manifest(self._dataset, self.segment.name)
            if theirs is None:
                raise
            if theirs.parts != manifest.parts:  # else it is ours, and the response was lost
                for part in manifest.parts.values():
                    remove_file(self._dataset / part.path)
            return theirs
        return manifest

    # -- inside ----------------------------------------------------------------------------------

    def _utc_of(self, source: str, pts_s: float, captured_at: float) -> float | None:  # noqa: ARG002
        return None if self.segment.start_utc is None else self.segment.start_utc + pts_s

    def _resume(self) -> dict[str, Any] | None:
        """Go back to the newest checkpoint of this same segment, if any; drop later rows."""
        self._work.mkdir(parents=True, exist_ok=True)
        progress = self._progress()
        kept = {PROGRESS}
        if progress is not None:
            self._pieces = progress["pieces"]
            self._counts = progress["counts"]
            self._frame, self._frames = progress["frame"], progress["frames"]
            self._ids = set(progress["track_ids"].tolist())
            self.resumed = Checkpoint(self._frame, self._frames, progress["state"])
            kept |= {name for names in self._pieces.values() for name in names}
        for path in self._work.iterdir():
            if path.name not in kept or progress is None:
                path.unlink()
        return progress

    def _progress(self) -> dict[str, Any] | None:
        try:
            value = from_json(json.loads((self._work / PROGRESS).read_text("utf-8")))
        except (FileNotFoundError, ValueError, UsageError):
            return None  # none yet, or damaged: the segment is restarted
        same = {
            "segment": asdict(self.segment),
            "previous": self._previous,
            "schema": SCHEMA_VERSION,
        }
        if not isinstance(value, dict) or any(value.get(key) != same[key] for key in same):
            return None
        names = [name for each in value["pieces"].values() for name in each]
        return value if all((self._work / name).is_file() for name in names) else None

    def _take_rows(self) -> None:
        if not len(self._rows):
            return
        table = self._rows.take()
        self._trajectories.add(table)
        self._ids.update(np.unique(table["track_id"].to_numpy()).tolist())
        self._ids.discard(0)
        self._append("tracks", table)

    def _append_trajectories(self, unseen_s: float) -> None:
        rows = self._trajectories.end(unseen_s)
        if rows:
            self._append("trajectories", table_of(TABLES["trajectories"].columns, rows))

    def _append(self, name: str, table: Any) -> None:
        self._counts[name] += table.num_rows
        self._held[name].append(table)
        if sum(each.num_rows for each in self._held[name]) >= ROW_GROUP:
            self._spill(name)

    def _spill(self, name: str) -> None:
        """Write the collected rows to the current piece, or start one."""
        held, self._held[name] = self._held[name], []
        if not held:
            return
        with writing(self._work, WriteError):
            if name not in self._writers:
                piece = self._work / f"{name}-{len(self._pieces[name]) + 1:05}.parquet"
                self._writers[name] = PartWriter(
                    piece,
                    TABLES[name].columns,
                    piece.with_suffix(".part"),
                    durable=True,
                    compression="lz4",  # it is read once and written anew
                )
            for table in held:
                self._writers[name].write(table)

    def _close_pieces(self) -> None:
        for name in list(self._writers):
            writer = self._writers.pop(name)
            writer.commit()
            self._pieces[name].append(writer.path.name)

    def _read_pieces(self, name: str) -> Iterator[Any]:
        """Yield a table's rows: pieces, then those held; trajectories by track in any case."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns = TABLES[name].columns
        text = [column.name for column in columns if column.type == "text"]
        tables = []
        for piece in self._pieces[name]:
            with pq.ParquetFile(self._work / piece, read_dictionary=text) as file:
                for group in range(file.num_row_groups):
                    table = file.read_row_group(group).cast(arrow_schema(columns))
                    if name == "trajectories":
                        tables.append(table)
                    else:
                        yield table
        held, self._held[name] = self._held[name], []
        if name == "trajectories":
            tables += held
        else:
            yield from held
        if tables:
            yield pa.concat_tables(tables).unify_dictionaries().combine_chunks().sort_by("track_id")

    def _write_part(self, name: str, tables: Iterator[Any]) -> Part:
        path = part_path(self.segment, name, self._attempt)
        target = self._dataset / path
        local = self._work / f"{name}.parquet" if is_remote(target) else target
        with writing(target, WriteError):
            writer = PartWriter(
                local, TABLES[name].columns, self._work / f"{name}.whole", durable=local == target
            )
            try:
                for table in tables:
                    writer.write(table)
                size = writer.commit()
            finally:
                writer.abort()
            if local != target:
                move_into_place(local, target)
        return Part(path, writer.rows, size)

    def _video_row(self, video: Mapping[str, Any]) -> dict[str, Any]:
        segment = self.segment
        own = {
            "segment": segment.name,
            "path": segment.path,
            "hash": segment.hash,
            "utc": segment.start_utc,
            "offset_s": segment.offset_s,
            "frames": self._frames,
            "continues": self._previous,
        }
        counted = {"tracks", "events", "track_ids"}
        known = {column.name for column in VIDEO_COLUMNS} - {*own, *counted}
        if unknown := sorted(set(video) - known):
            raise ValueError(f"SegmentWriter.commit: no such column of videos: {unknown[0]}")
        if video.get("status", "ok") not in STATUSES:
            raise ValueError(f"SegmentWriter.commit: status is one of {', '.join(STATUSES)}")
        empty = {column.name: "" if column.type == "text" else 0 for column in VIDEO_COLUMNS}
        row: dict[str, Any] = {**empty, "status": "ok", **video, **own}
        row["source"] = row["source"] or segment.camera
        if not isinstance(row["report"], str):
            row["report"] = json.dumps(row["report"], ensure_ascii=False, default=str)
        return row
