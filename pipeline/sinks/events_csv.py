"""Sink: one table of all zone and line events of all sources, OUT/events.csv, with a header row."""

from __future__ import annotations

from pipeline.core.options import OptionsModel
from pipeline.core.output_columns import EVENT_NAMES, event_rows
from pipeline.sinks._table import TableSink

FILE_NAME = "events.csv"


class Options(OptionsModel):
    """The event table has no options."""


def build(options: Options) -> TableSink:  # noqa: ARG001 - every plug-in takes its options
    """Return the sink, one row per event in the order of decision; nothing is opened yet."""
    return TableSink(
        FILE_NAME, EVENT_NAMES, lambda result, utc_of: event_rows(result.events, utc_of)
    )
