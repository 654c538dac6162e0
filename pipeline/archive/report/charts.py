"""Charts of a report as inline SVG and HTML: bars over time, bars of a distribution, pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.archive.report.markup import Element, element, jpeg_uri
from pipeline.archive.report.picture import Picture, Shape

COLOURS = 6
"""Colours of classes in the style sheet; the last is for all others."""
OTHERS = "others"


def colours_of(classes: Sequence[str]) -> dict[str, int]:
    """Return {class: number of its colour}, the most frequent classes first."""
    return {name: min(place, COLOURS - 1) for place, name in enumerate(classes)}


def bars_over_time(
    title: str, bins: Mapping[str, Sequence[int]], labels: Sequence[str], colours: Mapping[str, int]
) -> Element:
    """Return stacked bars: {class: count in each bin}; labels stand below first, middle and last.

    Bars stretch with the page, and text does not.
    """
    count = max((len(values) for values in bins.values()), default=0)
    totals = [sum(values[k] for values in bins.values()) for k in range(count)]
    top = max([*totals, 1])
    bars = []
    for k in range(count):
        low = 0
        for name, values in bins.items():
            if values[k]:
                low += values[k]
                bars.append(
                    element(
                        "rect", element("title", f"{labels[k]}: {values[k]} {name}"),
                        x=f"{k + 0.08:.2f}", width="0.84", y=top - low, height=values[k],
                        class_=f"c{colours.get(name, COLOURS - 1)}",
                    )
                )  # fmt: skip
    svg = element(
        "svg", bars, viewBox=f"0 0 {max(count, 1)} {top}", preserveAspectRatio="none",
        role="img", aria_label=f"{title}: {sum(totals)} in all, at most {top} in one bar",
    )  # fmt: skip
    shown = dict.fromkeys([0, count // 2, count - 1] if count > 2 else range(count))
    return element(
        "figure",
        element("figcaption", element("b", title), f" · {sum(totals)}"),
        element("div", element("span", top, class_="top"), svg, class_="plot"),
        element("div", [element("span", labels[k]) for k in shown], class_="axis"),
    )


def legend(colours: Mapping[str, int]) -> Element:
    """Return which colour is which class."""
    own = [name for name, colour in colours.items() if colour < COLOURS - 1]
    rest = [name for name, colour in colours.items() if colour == COLOURS - 1]
    entries = [(name, colours[name]) for name in own]
    if rest:
        entries.append((rest[0] if len(rest) == 1 else OTHERS, COLOURS - 1))
    return element(
        "p",
        [element("span", element("i", class_=f"c{c}"), name, class_="key") for name, c in entries],
        class_="legend",
    )


def distribution(title: str, rows: Sequence[tuple[str, int]], note: str) -> Element:
    """Return horizontal bars, one per (label, count)."""
    top = max([count for _, count in rows] + [1])
    lines = [
        element(
            "div",
            element("span", label, class_="label"),
            element(
                "span", element("span", style=f"width:{100 * count / top:.1f}%", class_="bar"),
                class_="track",
            ),
            element("span", count, class_="count"),
            class_="row",
        )
        for label, count in rows
    ]  # fmt: skip
    caption = element("figcaption", element("b", title), f" · {note}")
    return element("figure", caption, element("div", lines, class_="rows"))


def with_paths(picture: Picture, caption: str) -> Element:
    """Return the frame with paths, zones and lines over it."""
    unit = picture.size[0] / 960
    paths: list[Element] = []
    for path in picture.paths:
        points = " ".join(f"{x:.0f},{y:.0f}" for x, y in path.tolist())
        paths.append(element("polyline", points=points, class_="path"))
        x, y = path[-1].tolist()
        paths.append(element("circle", cx=f"{x:.0f}", cy=f"{y:.0f}", r=f"{5 * unit:.1f}"))
    return _picture(picture, picture.frame, caption, paths)


def with_heat(picture: Picture, caption: str) -> Element:
    """Return the heat map with zones and lines over it."""
    return _picture(picture, picture.heat, caption, [])


def _picture(picture: Picture, jpeg: bytes, caption: str, more: list[Element]) -> Element:
    width, height = picture.size
    unit = width / 960
    image = element("image", href=jpeg_uri(jpeg), width=width, height=height)
    shapes = [each for shape in picture.shapes for each in _shape(shape, unit, picture.size)]
    svg = element(
        "svg", image, more, shapes, viewBox=f"0 0 {width} {height}", role="img",
        aria_label=caption, style=f"--u:{unit:.3f}px", class_="picture",
    )  # fmt: skip
    return element("figure", svg, element("figcaption", caption))


def _shape(shape: Shape, unit: float, size: tuple[int, int]) -> list[Element]:
    points = " ".join(f"{x:.0f},{y:.0f}" for x, y in shape.points)
    x = min(max(min(x for x, _ in shape.points) + 6 * unit, 4 * unit), size[0] * 0.85)
    y = min(max(min(y for _, y in shape.points) - 8 * unit, 40 * unit), size[1] - 8 * unit)
    tag, kind = ("polygon", "zone") if shape.is_zone else ("polyline", "line")
    return [
        element(tag, points=points, class_=kind),
        element("text", shape.name, x=f"{x:.0f}", y=f"{y:.0f}"),
    ]
