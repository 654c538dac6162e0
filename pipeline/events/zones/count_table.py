"""Rows of the table of counts: what happened at each zone and line, zeros included."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.core.zone_counts import CountKey
from pipeline.events.zones.schema import CameraZones, Line


def count_rows(counts: Mapping[CountKey, int], camera: CameraZones | None) -> list[dict[str, Any]]:
    """Return one mapping per count: area, kind, direction, class_name, count.

    What can happen at a zone or line of `camera` and never did is there too, with a count of 0 and
    without a class name: a line that was never crossed was watched all the same.
    """
    found = {**counts}
    happened = {key[:3] for key in counts}
    for key in possible_counts(camera) if camera else ():
        if key[:3] not in happened:
            found[key] = 0
    return [{**key._asdict(), "count": count} for key, count in sorted(found.items())]


def possible_counts(camera: CameraZones) -> list[CountKey]:
    """Return the keys of all counts a camera can have, without class names."""
    found = []
    for area in camera.zones_and_lines:
        if isinstance(area, Line):
            found += [CountKey(area.name, "cross", way, "") for way in ("in", "out")]
        else:
            kinds = ("enter", "leave") if area.dwell_s is None else ("enter", "leave", "dwell")
            found += [CountKey(area.name, kind, "", "") for kind in kinds]
    if camera.appeared_rules is not None:
        found.append(CountKey("", "appeared", "", ""))
    return found
