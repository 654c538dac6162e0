"""The report page of three jobs, and whether its counts are those of `trackline count`.

python benchmarks/report_pages.py ../shared/video [--work FOLDER] [--network SIZE]

The jobs: the plaza video, the two of a junction, and the 40 recordings of batch_kill.py. The pages
stay in FOLDER to be looked at; datasets that are there already are not made again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path

from batch_kill import ZONES, cut

Counts = dict[tuple[str, ...], int]

PLAZA = """cameras:
  plaza:
    size: [768, 576]
    zones: [{name: middle, points: [[200, 100], [600, 100], [600, 560], [200, 560]], dwell_s: 2}]
    lines: [{name: across, points: [[384, 0], [384, 576]]}]
"""
JUNCTION = """cameras:
  junction:
    size: [800, 600]
    zones: [{name: crossing, points: [[100, 200], [700, 200], [700, 560], [100, 560]]}]
    lines: [{name: across, points: [[400, 100], [400, 600]]}]
"""
SINGLE = {
    "plaza": (["plaza_walkers.avi"], PLAZA),
    "junction": (["junction_cars_cyclist.mp4", "junction_cars_truck.mp4"], JUNCTION),
}


def main() -> int:
    """Print a line for each page; exit code 1 where a count differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("videos", type=Path)
    parser.add_argument("--work", type=Path, help="folder for datasets and pages, which stay")
    parser.add_argument("--network", type=int, default=320, metavar="SIZE", help="--imgsz")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as text:
        root = args.work or Path(text)
        same = [compared(root / name, args.network) for name in lay_out(args.videos, root)]
    return 0 if all(same) else 1


def lay_out(videos: Path, root: Path) -> Iterator[str]:
    """Yield the names of the jobs, whose folders hold recordings and zones."""
    for name, (files, zones) in SINGLE.items():
        folder = root / name / "videos" / name
        folder.mkdir(parents=True, exist_ok=True)
        for file in files:
            link = folder / file
            if not link.exists():
                link.symlink_to((videos / file).resolve())
        (root / name / "zones.yaml").write_text(zones)
        yield name
    folder = root / "forty"
    if not (folder / "videos").is_dir():
        cut(videos, folder, detect=False)
    (folder / "zones.yaml").write_text(ZONES)
    yield "forty"


def compared(folder: Path, size: int) -> bool:
    """Make a dataset and its page; print whether the counts in it are those of `count`."""
    dataset, zones, page = folder / "dataset", folder / "zones.yaml", folder / "report.html"
    trackline("batch", folder / "videos", "-o", dataset, "--imgsz", size, "--timezone", "UTC")
    trackline("report", dataset, "--zones", zones, "-o", page)
    counted = json.loads(trackline("count", dataset, "--zones", zones, "--json"))["sources"]
    names = ("area", "kind", "direction", "class_name")
    want = {
        source: {tuple(row[name] for name in names): row["count"] for row in found["counts"]}
        for source, found in counted.items()
    }
    shown = Page(page.read_text("utf-8")).counts
    same = shown == want
    events = sum(count for each in want.values() for count in each.values())
    kib = page.stat().st_size // 1024
    print(
        f"{folder.name}: {len(want)} cameras with zones, {events} events in "
        f"{sum(map(len, want.values()))} counts; {'the same' if same else 'DIFFERENT'} in the page "
        f"of {kib} KiB: {page}",
        flush=True,
    )
    return same


def trackline(*words: object) -> str:
    """Run the command and return what it prints; ends the program where it fails."""
    command = [sys.executable, "-m", "trackline", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return done.stdout


class Page(HTMLParser):
    """The counts that a report shows: {source: {(area, event, direction, class): count}}."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.counts: dict[str, Counts] = {}
        self._source = ""
        self._in_counts = False
        self._cells: list[str] = []
        self._tag = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        """Note where we are."""
        self._tag = tag
        if tag == "table":
            self._in_counts = ("class", "counts") in attrs
        elif tag == "h2":
            self._source = ""
        elif tag == "tr":
            self._cells = []
        elif tag == "td":
            self._cells.append("")

    def handle_endtag(self, tag: str) -> None:
        """Take a row that ends."""
        self._tag = ""
        if tag == "tr" and self._in_counts and self._cells:
            *key, count = self._cells
            self.counts.setdefault(self._source, {})[tuple(key)] = int(count)

    def handle_data(self, data: str) -> None:
        """Take the text of a cell or heading."""
        if self._tag == "td":
            self._cells[-1] += data
        elif self._tag == "h2":
            self._source += data


if __name__ == "__main__":
    raise SystemExit(main())
