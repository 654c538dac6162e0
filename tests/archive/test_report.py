"""The report's page: its counts are those of `trackline count` and of the dataset's events."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from support.batch_jobs import ZONES, job, lay_out

from pipeline.archive.dataset.reader import open_dataset
from pipeline.archive.report.page import clock
from pipeline.archive.report.summary import Span
from pipeline.cli.main import main
from pipeline.core.output_columns import TRACK_NAMES

HOSTILE = "<script>alert(1)</script>\"'&amp;\u202e"


class Tables(HTMLParser):
    """The tables of a page by their class, rows of texts; and all tags and attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.all_tables: list[list[list[str]]] = []
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str | None]] = []
        self._rows: list[list[str]] = []
        self._in_cell = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += attrs
        if tag == "table":
            self._rows = []
            self.all_tables.append(self._rows)
            self.tables.setdefault(dict(attrs).get("class") or "", self._rows)
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("td", "th"):
            self._rows[-1].append("")
        self._in_cell = tag in ("td", "th") or (tag == "a" and self._in_cell)

    def handle_endtag(self, tag: str) -> None:
        self._in_cell = False

    def handle_data(self, data: str) -> None:
        if self._in_cell:
            self._rows[-1][-1] += data

    def counts(self) -> dict[tuple[str, ...], int]:
        rows = self.tables.get("counts", [[]])[1:]
        return {tuple(row[:4]): int(row[4]) for row in rows}


def walkers(path: Path, *, source: str = "door", name: str = "person", frames: int = 100) -> Path:
    """Write tracks: one walks to the right, one to the left, a third stays; 10 fps, no UTC."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, TRACK_NAMES, restval="")
        writer.writeheader()
        for index in range(frames):
            for track_id, x in ((1, 5 + 1.2 * index), (2, 120 - 1.1 * index), (3, 60.0)):
                box = {"x1": x - 4, "x2": x + 4, "y1": 20 * track_id, "y2": 20 * track_id + 16}
                about = {"class_id": 0, "class_name": name, "score": 0.9, "state": "matched"}
                size = {"width": 128, "height": 96, "epoch": 0}
                when = {"source": source, "frame": index, "pts_s": index / 10}
                writer.writerow({**when, "track_id": track_id, **about, **box, **size})
    return path


def zones(folder: Path, camera: str = "door", zone: str = "middle") -> Path:
    path = folder / "zones.yaml"
    path.write_text(ZONES.format(camera=camera, zone=zone), encoding="utf-8")
    return path


def report(tracks: Path, *arguments: str) -> str:
    out = tracks.parent / "report.html"
    assert main(["report", str(tracks), "-o", str(out), *arguments]) == 0
    return out.read_text("utf-8")


def keyed(rows: list[dict[str, Any]]) -> dict[tuple[str, ...], int]:
    names = ("area", "kind", "direction", "class_name")
    return {tuple(row[name] for name in names): row["count"] for row in rows}


def test_its_counts_are_those_of_trackline_count(tmp_path: Path, capsys) -> None:
    tracks, where = walkers(tmp_path / "tracks.csv"), zones(tmp_path)
    page = Tables(report(tracks, "--zones", str(where)))
    capsys.readouterr()
    assert main(["count", str(tracks), "--zones", str(where), "--json"]) == 0
    counted = keyed(json.loads(capsys.readouterr().out)["sources"]["door"]["counts"])
    assert page.counts() == counted
    assert counted["gate", "cross", "in", "person"] == 1
    assert counted["never", "cross", "in", ""] == 0
    in_bins = sum(int(cell) for row in page.tables["bins"][1:] for cell in row[1:])
    first_area = [key for key in counted if key[0] == "gate" and key[1] == "cross"]
    assert in_bins == sum(counted[key] for key in first_area)


@pytest.mark.slow
@pytest.mark.parametrize("gap_after", [None, 1])
def test_a_dataset_counted_again_gives_its_own_events(
    tmp_path: Path, gap_after: int | None
) -> None:
    """Over seams and behind a gap: the page with zones equals the job's table of events."""
    where = zones(tmp_path, "door")
    lay_out(tmp_path, gap_after=gap_after)
    job(tmp_path, tree={"zones": str(where)})
    dataset = tmp_path / "dataset"
    again = Tables(report(dataset, "--zones", str(where))).counts()
    stored = Tables(report(dataset / "tracks")).counts()
    names = ("area", "kind", "direction", "class_name")
    events = open_dataset(dataset).table("events").to_pylist()
    assert stored == Counter(tuple(row[name] for name in names) for row in events)
    assert {key: count for key, count in again.items() if count} == stored
    assert sum(stored.values()) >= 4


@pytest.mark.slow
@pytest.mark.parametrize("with_zones", [True, False])
def test_a_recording_that_could_not_be_read_is_a_warning(with_zones: bool, tmp_path: Path) -> None:
    """The report of a dataset with one was an internal error: its tracks were asked for, too."""
    paths = lay_out(tmp_path, count=3)
    paths[1].write_bytes(b"no video")
    job(tmp_path)
    given = ["--zones", str(zones(tmp_path))] if with_zones else []
    page = report(tmp_path / "dataset", *given)
    assert "1 of 3 recordings could not be read" in page
    assert paths[1].name in page


def test_it_needs_nothing_from_elsewhere_and_no_script(tmp_path: Path) -> None:
    tracks = walkers(tmp_path / "tracks.csv")
    page = report(tracks, "--zones", str(zones(tmp_path)))
    found = Tables(page)
    assert not re.search(r"https?://|@import|url\(", page)
    assert found.tags["script"] == found.tags["link"] == 0
    links = [value or "" for name, value in found.attributes if name in ("href", "src")]
    assert links
    assert all(link.startswith("data:image/jpeg;base64,") for link in links)


def test_names_from_files_stay_text(tmp_path: Path) -> None:
    tracks = walkers(tmp_path / "tracks.csv", source=HOSTILE, name=HOSTILE)
    page = report(tracks)
    found = Tables(page)
    assert found.tags["script"] == 0
    assert not any(name.startswith("on") for name, _ in found.attributes)
    assert "\u202e" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_pixels_are_not_called_speeds(tmp_path: Path) -> None:
    page = report(walkers(tmp_path / "tracks.csv"))
    assert "km/h" not in page
    assert "--homography" in page


def test_a_source_in_which_nothing_was_found_has_a_page(tmp_path: Path) -> None:
    (tmp_path / "tracks.csv").write_text(",".join(TRACK_NAMES) + "\n")
    about = {"delivered": 50, "dropped": 7, "size": [128, 96], "last": {"frame": 49, "pts_s": 4.9}}
    about["dropped_by_cause"] = {"overrun": 3, "unwanted": 4}
    (tmp_path / "report.json").write_text(json.dumps({"sources": {"door": about}}))
    page = report(tmp_path / "tracks.csv")
    assert "nothing was found" in page
    assert "3 frames dropped" in page


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["none.csv"], "no such file"),
        (["empty.csv"], "has no tracks"),
        (["newer"], "newer|schema"),
        (["tracks.csv", "--zones", "other.yaml"], "no camera 'door'"),
        (["tracks.csv", "--zones", "outside.yaml"], "wholly outside the picture of 128x96"),
        (["tracks.csv", "--video", "none.mp4"], "none.mp4"),
        (["tracks.csv", "-o", "page.txt"], "want a file called .html"),
    ],
)
def test_mistakes_are_one_line(
    tmp_path: Path, arguments: list[str], words: str, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    walkers(tmp_path / "tracks.csv")
    (tmp_path / "empty.csv").write_text(",".join(TRACK_NAMES) + "\n")
    (tmp_path / "newer").mkdir()
    header = {"format": "trackline-dataset", "schema": 99, "options": {}}
    (tmp_path / "newer" / "dataset.json").write_text(json.dumps(header))
    (tmp_path / "other.yaml").write_text(ZONES.format(camera="yard", zone="middle"))
    outside = (
        "cameras:\n  door:\n    lines:\n      - {name: far, points: [[900, 900], [999, 999]]}\n"
    )
    (tmp_path / "outside.yaml").write_text(outside)
    assert main(["report", *arguments]) in (1, 2)
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert re.search(words, line)
    assert not (tmp_path / "report.html").exists()


def test_without_zones_a_runs_own_events_are_shown(tmp_path: Path, capsys) -> None:
    tracks, where = walkers(tmp_path / "tracks.csv"), zones(tmp_path)
    events = tmp_path / "events.csv"
    assert main(["count", str(tracks), "--zones", str(where), "--events", str(events)]) == 0
    counted = Tables(report(tracks, "--zones", str(where))).counts()
    assert Tables(report(tracks)).counts() == {key: n for key, n in counted.items() if n}


def test_with_a_homography_there_are_speeds(tmp_path: Path) -> None:
    """Ten pixels are a metre: 12 and 11 px/s are 4.3 and 4 km/h."""
    path = tmp_path / "homography.yaml"
    path.write_text("matrix: [[0.1, 0, 0], [0, 0.1, 0], [0, 0, 1]]\nsize: [128, 96]\n")
    page = Tables(report(walkers(tmp_path / "tracks.csv"), "--homography", str(path)))
    speeds = next(rows for rows in page.all_tables if "median, km/h" in rows[0])
    name, tracks, median, _ = speeds[1]
    assert (name, tracks) == ("person", "3")
    assert 3.5 < float(median.split()[0]) < 4.5


@pytest.mark.parametrize(
    ("start_s", "end_s", "is_utc", "bins", "label"),
    [
        (0.0, 6.0, False, 6, "0:03"),
        (0.0, 5.99, False, 6, "0:03"),
        (0.0, 0.0, False, 1, "0:03"),
        (86_400.0, 86_406.0, True, 6, "00:00:03"),
        (86_399.0, 86_405.0, True, 6, "1970-01-02 00:00:02"),
    ],
)
def test_bins_and_their_labels(
    start_s: float, end_s: float, is_utc: bool, bins: int, label: str
) -> None:
    """The last bin was empty where a video ends on a whole second; days filled up the axis."""
    span = Span(start_s, end_s, is_utc=is_utc)
    assert span.bin_count(1.0) == bins
    assert span.bin_of(end_s, 1.0) == bins - 1
    assert clock(span.bin_start(3, 1.0), span) == label


def test_several_sources_have_a_table_before_them(tmp_path: Path) -> None:
    walkers(tmp_path / "a.csv", source="a")
    rows = walkers(tmp_path / "b.csv", source="b").read_text().partition("\n")[2]
    both = tmp_path / "both.csv"
    both.write_text((tmp_path / "a.csv").read_text() + rows)
    page = Tables(report(both))
    assert [row[0] for row in page.all_tables[0]] == ["source", "a", "b"]
    links = [value for name, value in page.attributes if name == "href" and value[:1] == "#"]
    places = {value for name, value in page.attributes if name == "id"}
    assert len(links) == 2
    assert {link[1:] for link in links} == places
