"""The report's page: one HTML file without scripts or external resources."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import numpy as np

from pipeline.archive.counting import Counted, Happened
from pipeline.archive.ground.summary import TrackSummary
from pipeline.archive.report.charts import (
    bars_over_time,
    colours_of,
    distribution,
    legend,
    with_heat,
    with_paths,
)
from pipeline.archive.report.markup import Child, Element, document, element, table
from pipeline.archive.report.sources import SourceReport
from pipeline.archive.report.style import STYLE
from pipeline.archive.report.summary import MAX_PATHS, Span

_WHOLE_PICTURE = "whole picture"
_DWELL_S = (0, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, math.inf)
_SPEED_KMH = (0, 2, 4, 6, 8, 10, 15, 20, 30, 40, 50, 60, 80, 100, 130, math.inf)


def page_of(title: str, sources: Iterable[SourceReport], program: str) -> str:
    """Return the whole page of a report about `title`."""
    parts, overview = [], []
    for number, source in enumerate(sources, 1):
        parts.append(_source(source, f"source-{number}"))
        overview.append(_overview_row(source, f"source-{number}"))
    if len(parts) > 1:
        parts.insert(0, table(("source", "recordings", "video", "tracks", "warnings"), overview))
    made = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    foot = element("footer", f"Made {made} by {program}. Counts are those of trackline count.")
    return document(f"Report: {title}", STYLE, [element("h1", title), *parts, foot])


def _overview_row(one: SourceReport, anchor: str) -> Sequence[Child]:
    facts, warnings = one.facts, len(one.facts.warnings)
    link = element("a", one.summary.name, href=f"#{anchor}")
    video = duration(facts.video_s)
    return link, facts.recordings, video, len(one.summary.tracks), warnings


def _source(one: SourceReport, anchor: str) -> Element:
    summary = one.summary
    classes = list(summary.tracks_by_class())
    more = sorted({event.key.class_name for event in (one.counted.events if one.counted else ())})
    colours = colours_of(list(dict.fromkeys([*classes, *more])))
    return element(
        "section",
        element("h2", summary.name),
        _tiles(one),
        _warnings(one.facts.warnings),
        _classes(one),
        _pictures(one),
        _busiest(one),
        _areas(one.counted, summary.span, colours),
        _speeds(one.speeds),
        id=anchor,
    )


def _tiles(one: SourceReport) -> Element:
    summary, facts, span = one.summary, one.facts, one.summary.span
    day = "" if not span.is_utc or span.crosses_days else f"{_moment(span.start_s, '%Y-%m-%d')}, "
    when = f"{day}{clock(span.start_s, span)} to {clock(span.end_s, span)}"
    figures = [
        (f"{facts.recordings}", "recording" if facts.recordings == 1 else "recordings"),
        (duration(facts.video_s), "of video"),
        (f"{facts.frames:,}", "frames"),
        (f"{summary.rows:,}", "rows"),
        (f"{len(summary.tracks):,}", "tracks"),
    ]
    tiles = [
        element("div", element("b", number), element("span", name), class_="tile")
        for number, name in figures
    ]
    zone = "UTC" if span.is_utc else "time from the start"
    return element("div", element("p", f"{when} ({zone})"), element("div", tiles, class_="tiles"))


def _warnings(warnings: Sequence[str]) -> Element:
    if not warnings:
        return element("p", "No quality warnings.", class_="good")
    items = [element("li", warning) for warning in warnings]
    return element("div", element("h3", "Quality"), element("ul", items), class_="warnings")


def _classes(one: SourceReport) -> Element:
    rows = []
    for name, tracks in one.summary.tracks_by_class().items():
        seconds = np.array([track.last_s - track.first_s for track in tracks])
        rows.append((name, len(tracks), f"{np.median(seconds):.1f} s", f"{seconds.max():.1f} s"))
    header = ("class", "tracks", "seen for, median", "longest")
    return element("div", element("h3", "Tracks"), table(header, rows) if rows else _nothing())


def _pictures(one: SourceReport) -> Element:
    picture, tracks = one.picture, len(one.summary.tracks)
    over = f"over a frame of {picture.video}" if picture.video else "no video was found"
    drawn = f"the {MAX_PATHS} longest of {tracks}" if tracks > MAX_PATHS else f"{tracks}"
    return element(
        "div",
        element("h3", "Where"),
        element(
            "div",
            with_paths(picture, f"Trajectories ({drawn}), a dot where each ends; {over}"),
            with_heat(picture, "Heat map: for how long objects stood where"),
            class_="pair",
        ),
    )


def _busiest(one: SourceReport) -> Element:
    summary = one.summary
    width = {1.0: "seconds", 10.0: "ten seconds"}.get(summary.busy_s, "minutes")
    rows = [(clock(at, summary.span), tracks, most) for at, tracks, most in summary.busiest()]
    header = ("from", "tracks", "most at once")
    shown = table(header, rows) if rows else _nothing()
    return element("div", element("h3", f"Busiest {width}"), shown)


# -- zones and lines ------------------------------------------------------------------------------


def _areas(counted: Counted | None, span: Span, colours: dict[str, int]) -> Element:
    title = element("h3", "Zones and lines")
    if counted is None or not (counted.rows or counted.events):
        return element(
            "div",
            title,
            element(
                "p", "No zones or lines of it: give them with ", element("code", "--zones"), "."
            ),
        )
    header = ("zone or line", "event", "direction", "class", "count")
    rows = [
        (
            row["area"] or _WHOLE_PICTURE,
            row["kind"],
            row["direction"],
            row["class_name"],
            int(row["count"]),
        )
        for row in counted.rows
    ]
    body: list[Element] = [title, table(header, rows, class_="counts")]
    still = [f"{zone}: {count}" for zone, count in counted.inside.items() if count]
    if still:
        body.append(element("p", f"Inside at the end: {', '.join(still)}"))
    happened = {event.key.class_name for event in counted.events}
    body.append(legend({name: c for name, c in colours.items() if name in happened}))
    for area in dict.fromkeys(row["area"] for row in counted.rows):
        events = [event for event in counted.events if event.key.area == area]
        body += _area(area, events, span, colours)
    return element("div", body)


def _area(
    area: str, events: Sequence[Happened], span: Span, colours: dict[str, int]
) -> list[Element]:
    parts: list[Element] = []
    width_s = span.bin_s()
    labels = [clock(span.bin_start(k, width_s), span) for k in range(span.bin_count(width_s))]
    shown: dict[str, dict[str, list[int]]] = {}
    for event in events:
        if event.key.kind in ("cross", "enter", "appeared"):
            way = event.key.direction or {"enter": "entered"}.get(event.key.kind, event.key.kind)
            by_class = shown.setdefault(way, {})
            values = by_class.setdefault(event.key.class_name, [0] * len(labels))
            values[span.bin_of(event.time_s, width_s)] += 1
    for way in sorted(shown):
        ordered = dict(sorted(shown[way].items(), key=lambda item: colours.get(item[0], 99)))
        parts.append(bars_over_time(f"{area or _WHOLE_PICTURE}: {way}", ordered, labels, colours))
    if shown:
        parts.append(_bins_table(shown, labels, duration(width_s)))
    stays = sorted(event.dwell_s for event in events if event.key.kind == "leave")
    if stays:
        note = (
            f"{len(stays)} stays, half of them longer than {np.median(stays):.1f} s, "
            f"a tenth than {np.quantile(stays, 0.9):.1f} s, the longest {stays[-1]:.1f} s"
        )
        parts.append(distribution(f"{area}: time inside", _histogram(stays, _DWELL_S, "s"), note))
    return parts


def _bins_table(
    shown: dict[str, dict[str, list[int]]], labels: Sequence[str], width: str
) -> Element:
    columns = [(way, name) for way in sorted(shown) for name in sorted(shown[way])]
    rows: list[Sequence[Child]] = []
    for k, label in enumerate(labels):
        counts = [shown[way][name][k] for way, name in columns]
        if any(counts):
            rows.append([label, *counts])
    header = ["from", *(f"{way}, {name}" if name else way for way, name in columns)]
    caption = element("summary", f"As a table, bins of {width}")
    return element("details", caption, table(header, rows, class_="bins"))


# -- speeds ---------------------------------------------------------------------------------------


def _speeds(speeds: Sequence[TrackSummary] | None) -> Element:
    title = element("h3", "Speeds")
    if speeds is None:
        option = element("code", "--homography")
        how = "Not known: pixels become metres with ", option, ", from trackline calibrate."
        return element("div", title, element("p", *how))
    known = [one for one in speeds if math.isfinite(one.median_speed)]
    if not known:
        return element("div", title, element("p", "No track's speed is known well enough."))
    rows: list[Sequence[Child]] = []
    for name, count in Counter(one.class_name for one in known).most_common():
        of_class = [one for one in known if one.class_name == name]
        kmh = np.array([one.median_speed for one in of_class]) * 3.6
        errors = np.array([one.median_speed_sd for one in of_class]) * 3.6
        error = f" ± {np.nanmedian(errors):.1f}" if np.isfinite(errors).any() else ""
        rows.append((name, count, f"{np.median(kmh):.1f}{error}", f"{np.quantile(kmh, 0.85):.1f}"))
    header = ("class", "tracks", "median, km/h", "85 % below, km/h")
    values = [one.median_speed * 3.6 for one in known]
    note = f"{len(known)} of {len(speeds)} tracks, the others not known well enough"
    chart = distribution("Median speed of each track", _histogram(values, _SPEED_KMH, "km/h"), note)
    return element("div", title, table(header, rows), chart)


def _histogram(values: Sequence[float], edges: Sequence[float], unit: str) -> list[tuple[str, int]]:
    """Return (label, count) of each bin, from the first to the last that is not empty."""
    counts = np.histogram(values, edges)[0].tolist()
    used = [k for k, count in enumerate(counts) if count]
    found = []
    for k in range(used[0], used[-1] + 1) if used else ():
        low, high = edges[k], edges[k + 1]
        label = f"{low:g}+ {unit}" if math.isinf(high) else f"{low:g} to {high:g} {unit}"
        found.append((label, counts[k]))
    return found


def _nothing() -> Element:
    return element("p", "Nothing was found.")


def clock(time_s: float, span: Span) -> str:
    """Format a moment for people, with the day if the axis covers more than one."""
    if not span.is_utc:
        whole = int(max(time_s, 0))
        hours, minutes, seconds = whole // 3600, whole // 60 % 60, whole % 60
        return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
    day = "%Y-%m-%d " if span.crosses_days else ""
    return _moment(time_s, day + ("%H:%M:%S" if span.seconds < 600 else "%H:%M"))


def _moment(unix_s: float, form: str) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime(form)


def duration(seconds: float) -> str:
    """Format a duration: 45 s, 12.5 min, 3.2 h; a larger unit is used from two of it on."""
    for size, name in ((86_400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {name}"
    return f"{seconds:.3g} s"
