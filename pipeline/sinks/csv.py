"""Sink: one table of all tracks of all sources, OUT/tracks.csv, with a header row.

Its columns, with their types and meanings, are in core/output_columns.py, as are those of JSONL and
Parquet.
"""

from __future__ import annotations

from pipeline.core.options import OptionsModel
from pipeline.core.output_columns import TRACK_NAMES, track_rows
from pipeline.sinks._table import TableSink

FILE_NAME = "tracks.csv"


class Options(OptionsModel):
    """The CSV table has no options."""


def build(options: Options) -> TableSink:  # noqa: ARG001 - every plug-in takes its options
    """Return the sink, one row per track and frame; nothing is opened yet."""
    return TableSink(FILE_NAME, TRACK_NAMES, track_rows)
