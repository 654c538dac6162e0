"""Reader of a dataset: a snapshot of the segments committed when it was opened."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.archive.dataset.header import has_header, read_header
from pipeline.archive.dataset.layout import Manifest, read_manifest, read_manifests
from pipeline.archive.dataset.schema import PARTITIONS, TABLES, partition_value
from pipeline.archive.remote import is_remote, place_of, reaching, store_of
from pipeline.core.dataset_folder import dataset_at
from pipeline.core.errors import UsageError
from pipeline.core.output_columns import EXTRA_COLUMNS
from pipeline.core.parquet_file import arrow_schema, import_pyarrow, with_constants
from pipeline.core.paths import home_path

BATCH_ROWS = 1 << 16


@dataclass(frozen=True, slots=True)
class Dataset:
    """Snapshot of a dataset when it was opened; a job that keeps writing does not change it."""

    path: Path
    options: Mapping[str, Any]
    manifests: Mapping[str, Manifest]

    def segments(self, camera: str | None = None) -> list[Manifest]:
        """Return the committed segments, of one camera if named, by camera, day and name."""
        found = [one for one in self.manifests.values() if camera in (None, one.camera)]
        return sorted(found, key=lambda one: (one.camera, one.date, one.segment))

    def cameras(self) -> list[str]:
        """Return the cameras that have a segment."""
        return sorted({one.camera for one in self.manifests.values()})

    def batches(
        self,
        name: str,
        columns: Sequence[str] | None = None,
        camera: str | None = None,
        segments: Collection[str] | None = None,
    ) -> Iterator[Any]:
        """Yield a table's rows as pyarrow tables, segment by segment, in bounded memory.

        `camera` and `date` are added as last columns; `segments` are those to read, None for all.
        Raises UsageError for an unknown table, column or camera, and if a part is missing or
        damaged.
        """
        names = self._checked(name, columns)
        if camera is not None and camera not in self.cameras():
            raise UsageError(
                f"{self.path}: has no camera '{camera}' (there are: {', '.join(self.cameras())})"
            )
        import pyarrow as pa
        import pyarrow.parquet as pq

        own = [each for each in names if each in TABLES[name].names]
        text = [column.name for column in TABLES[name].columns if column.type == "text"]
        # An older dataset lacks these.
        new = {column.name: column for column in EXTRA_COLUMNS if column.name in own}
        for manifest in self.segments(camera):
            if segments is not None and manifest.segment not in segments:
                continue
            part = self.path / manifest.parts[name].path
            folder = {"camera": manifest.camera, "date": manifest.date}
            try:
                with _opened(part) as opened, pq.ParquetFile(opened, read_dictionary=text) as file:
                    there = set(file.schema_arrow.names)
                    wanted = [each for each in own if each in there]
                    for batch in file.iter_batches(BATCH_ROWS, columns=wanted):
                        table = pa.Table.from_batches([batch])
                        for column in new.values():
                            if column.name not in there:
                                nulls = pa.nulls(table.num_rows, arrow_schema([column])[0].type)
                                table = table.append_column(column.name, nulls)
                        yield with_constants(table, folder).select(names)
            except FileNotFoundError:
                raise UsageError(f"{part}: {self._why_gone(manifest)}") from None
            except (OSError, pa.ArrowException) as error:
                reason = str(error).splitlines()[0]
                raise UsageError(f"{part}: cannot be read: {reason}") from None

    def table(
        self, name: str, columns: Sequence[str] | None = None, camera: str | None = None
    ) -> Any:
        """Return a table's rows as one pyarrow table, with `camera` and `date` as last columns."""
        import pyarrow as pa

        tables = list(self.batches(name, columns, camera))
        if not tables:
            schema = arrow_schema([*TABLES[name].columns, *PARTITIONS])
            return schema.empty_table().select(self._checked(name, columns))
        return pa.concat_tables(tables).unify_dictionaries()

    def videos(self, camera: str | None = None) -> list[dict[str, Any]]:
        """Return the rows of `videos`, one per segment, of one camera if named."""
        rows: list[dict[str, Any]] = self.table("videos", camera=camera).to_pylist()
        return rows

    def _why_gone(self, manifest: Manifest) -> str:
        """Return why a part that existed when the dataset was opened is missing now."""
        if read_manifest(self.path, manifest.segment) != manifest:
            return "is gone: its segment was done anew meanwhile; open the dataset again"
        return (
            f"is missing, though segment {manifest.segment} has it; the same trackline batch again "
            f"makes the segment anew from {manifest.path}"
        )

    def folder_of(self, camera: str) -> str:
        """Return a camera's name in the folders, which other readers show."""
        return partition_value(camera)

    def _checked(self, name: str, columns: Sequence[str] | None) -> list[str]:
        if name not in TABLES:
            raise UsageError(f"{self.path}: no table '{name}' (there are: {', '.join(TABLES)})")
        known = [*TABLES[name].names, *(column.name for column in PARTITIONS)]
        for each in columns or ():
            if each not in known:
                raise UsageError(
                    f"{self.path}: {name} has no column '{each}' (it has: {', '.join(known)})"
                )
        return list(columns) if columns is not None else known


def open_dataset(path: Path | str) -> Dataset:
    """Open a dataset; raises UsageError if it is missing, damaged or has a newer schema."""
    import_pyarrow("a dataset")
    place = place_of(str(path)) if isinstance(path, str) else path
    header = read_header(place)
    return Dataset(place, header.get("options", {}), read_manifests(place))


def dataset_named(path: Path) -> Path | None:
    """Open the dataset at a path or address, given itself or by its table `tracks`.

    Returns None for other files on this machine. Raises UsageError for an address that is not a
    dataset: nothing else is read from stores.
    """
    if not is_remote(path):
        return dataset_at(home_path(path))
    for place in (path, path.parent) if path.name == "tracks" else (path,):
        if has_header(place):
            return place
    raise UsageError(f"{path}: is no dataset; other tracks are read from this machine only")


@contextmanager
def _opened(part: Path) -> Iterator[Any]:
    """Yield a part's source for pyarrow: its path, or an open file of its store."""
    if not is_remote(part):
        yield part
        return
    fs, name = store_of(part)
    with reaching(), fs.open(name, "rb") as file:
        yield file
