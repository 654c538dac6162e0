"""Commands that read tracks, given a dataset: on this machine and in a store, by camera too."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.batch_jobs import ZONES, job, lay_out, record
from support.ground_views import write_homography
from support.remote_stores import memory_store, new_bucket, s3_server

from pipeline.archive.dataset.reader import open_dataset
from pipeline.cli.main import main

pytest.importorskip("pyarrow")

FIXES = """<gpx version="1.1"><trk><trkseg>
<trkpt lat="52.0" lon="13.0"><time>2024-01-02T03:03:59Z</time></trkpt>
<trkpt lat="52.001" lon="13.0"><time>2024-01-02T03:04:03Z</time></trkpt>
<trkpt lat="52.002" lon="13.0"><time>2024-01-02T03:04:07Z</time></trkpt>
</trkseg></trk></gpx>
"""
VIDEO = "door_20240102_030401"
ANSWERS = {
    "report": (["report", "DATASET", "--zones", "zones.yaml", "-o", "OUT/a.html"], "a.html"),
    "convert": (["convert", "DATASET", "--to", "mot", "-o", "OUT"], f"{VIDEO}/gt/gt.txt"),
    "render": (["render", "DATASET", f"videos/door/{VIDEO}.mp4", "-o", "OUT"], f"{VIDEO}.mp4"),
    "clip": (
        ["clip", "DATASET", f"videos/door/{VIDEO}.mp4", "--track", "1", "-o", "OUT/a.mp4"], "a.mp4",
    ),
    "speeds": (
        ["speeds", "DATASET", "--homography", "h.yaml", "--source", "door", "-o", "OUT/a.csv"],
        "a.csv",
    ),
    "geotag": (["geotag", "DATASET", "--gps", "drive.gpx", "-o", "OUT/a.csv"], "a.csv"),
    "count": (
        ["count", "DATASET", "--zones", "zones.yaml", "--json", "--events", "OUT/a.csv"], "a.csv",
    ),
    "eval": (["eval", "--gt", "truth", "--tracks", "DATASET", "--json"], ""),
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a dataset of one camera of four recordings, and all that the commands want."""
    root = tmp_path_factory.mktemp("made")
    lay_out(root)
    (root / "zones.yaml").write_text(ZONES.format(camera="door", zone="middle"))
    job(root, tree={"zones": str(root / "zones.yaml")})
    write_homography(root / "h.yaml", origin={"lat": 52, "lon": 13})
    (root / "drive.gpx").write_text(FIXES)
    assert main(["convert", str(root / "dataset"), "--to", "mot", "-o", str(root / "truth")]) == 0
    return root


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with s3_server() as address:
        yield address


@pytest.fixture(params=["memory", "s3"])
def stored(request, made: Path) -> Iterator[str]:
    """The address of the dataset's copy in a store."""
    pytest.importorskip("upath")
    fsspec = pytest.importorskip("fsspec")
    if request.param == "s3":
        request.getfixturevalue("server")
        address = f"{new_bucket()}/set"
        fsspec.filesystem("s3").put(f"{made}/dataset/", f"{address}/", recursive=True)
        yield address
        return
    with memory_store() as folder:
        fsspec.filesystem("memory").put(f"{made}/dataset/", f"{folder}/set/", recursive=True)
        yield f"{folder}/set"


def answer(name: str, dataset: str, out: Path, capsys) -> tuple[str, str]:
    """Return what a command prints and its file, without places and the time."""
    out.mkdir()
    words, file = ANSWERS[name]
    replaced = {"DATASET": dataset}
    capsys.readouterr()
    assert main([replaced.get(word, word.replace("OUT", str(out))) for word in words]) == 0, (
        capsys.readouterr().err
    )
    printed = capsys.readouterr().out.replace(str(out), "OUT")
    content = (out / file).read_bytes().decode("latin-1") if file else ""
    if name == "report":
        content = re.sub(r"<title>.*?</title>|<h1>.*?</h1>|Made .* UTC", "", content)
    return printed, "" if name in ("render", "clip") else content


@pytest.mark.slow
@pytest.mark.parametrize("name", ANSWERS)
def test_a_dataset_in_a_store_gives_the_same_answers(
    name: str, stored: str, made: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    """Batch wrote datasets into stores, and no command but itself read them."""
    monkeypatch.chdir(made)
    here = answer(name, "dataset", tmp_path / "here", capsys)
    there = answer(name, stored, tmp_path / "there", capsys)
    assert there == here
    assert here[0] or here[1]


@pytest.mark.slow
def test_count_of_a_dataset_is_what_its_job_counted(made: Path, tmp_path: Path, capsys) -> None:
    """Over seams: the same events at the same moments as the job stored them."""
    capsys.readouterr()
    words = ["count", str(made / "dataset"), "--zones", str(made / "zones.yaml"), "--json"]
    assert main([*words, "--events", str(tmp_path / "events.csv")]) == 0
    counts = json.loads(capsys.readouterr().out)["sources"]["door"]["counts"]
    stored = open_dataset(made / "dataset").table("events").to_pylist()
    assert sum(each["count"] for each in counts) == len(stored) >= 4
    lines = (tmp_path / "events.csv").read_text().splitlines()[1:]
    utc = sorted(line.split(",")[3] for line in lines)
    assert [each[:23] for each in utc] == sorted(
        each["utc"].isoformat(timespec="milliseconds")[:23] for each in stored
    )
    frames = [int(line.split(",")[1]) for line in lines]
    assert max(frames) > 50  # counted on over the recordings, which have 25 each


# -- cameras and recordings -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def two_cameras(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a dataset of the cameras front and rear, whose files have the same names."""
    root = tmp_path_factory.mktemp("two")
    for camera in ("front", "rear"):
        (root / "videos" / camera).mkdir(parents=True)
        record(root, camera, VIDEO, 0 if camera == "front" else 5, frames=10)
    job(root, max_seam_s=0)
    write_homography(root / "h.yaml")
    return root


@pytest.mark.slow
@pytest.mark.parametrize("camera", ["front", "rear"])
@pytest.mark.parametrize("moved", [False, True])
@pytest.mark.parametrize("command", ["render", "clip"])
def test_a_video_is_found_by_its_path_where_names_are_equal(
    command: str, moved: bool, camera: str, two_cameras: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    """Front and rear dashcams name their files alike; the folder tells which is which."""
    video = two_cameras / "videos" / camera / f"{VIDEO}.mp4"
    if moved:
        (tmp_path / camera).mkdir()
        video = (tmp_path / camera / video.name).absolute()
        video.write_bytes((two_cameras / "videos" / camera / video.name).read_bytes())
    found: list[str] = []
    from pipeline.archive.render.tracks import VideoTracks

    real: Callable[..., None] = VideoTracks.check_video
    monkeypatch.setattr(
        VideoTracks, "check_video", lambda self, info: (found.append(self.name), real(self, info))
    )
    words = ["--track", "1"] if command == "clip" else []
    dataset = str(two_cameras / "dataset")
    assert main([command, dataset, str(video), "-o", str(tmp_path / "out.mp4"), *words]) == 0
    assert found
    assert all(name.startswith(camera) for name in found)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "sources"), [("rear-door", 1), ("door", 4), (VIDEO, 1), (None, 4)]
)  # fmt: skip
def test_speeds_of_a_camera_are_those_of_all_its_recordings(
    source: str | None, sources: int, made: Path, two_cameras: Path, tmp_path: Path, capsys
) -> None:
    root = two_cameras if source == "rear-door" else made
    words = ["speeds", str(root / "dataset"), "--homography", str(root / "h.yaml")]
    words += ["--source", source] if source else []
    assert main([*words, "-o", str(tmp_path / "a.csv")]) == 0
    lines = (tmp_path / "a.csv").read_text().splitlines()[1:]
    assert len({line.split(",")[0] for line in lines}) == sources


# -- mistakes: one line that says what is wrong ---------------------------------------------------

TRACKS = {
    "report": ["report", "TRACKS"],
    "convert": ["convert", "TRACKS", "--to", "mot", "-o", "out"],
    "render": ["render", "TRACKS", "a.mp4", "-o", "out"],
    "clip": ["clip", "TRACKS", "a.mp4", "--track", "1", "-o", "out"],
    "speeds": ["speeds", "TRACKS", "--homography", "h.yaml"],
    "geotag": ["geotag", "TRACKS", "--gps", "drive.gpx", "-o", "out.csv"],
    "count": ["count", "TRACKS", "--zones", "zones.yaml"],
    "eval": ["eval", "--gt", "truth", "--tracks", "TRACKS"],
}
WRONG = {
    "missing": ("nowhere", "nowhere: "),
    "missing.csv": ("nowhere.csv", "nowhere.csv: "),
    "empty folder": ("empty", "empty: no tracks.csv, "),
    "picture": ("a.png", "a.png: "),
    "no dataset in the store": ("memory://nowhere/set", "is no dataset; "),
    "camera": ("rtsp://cam/1", "is a camera"),
    "part of a dataset": ("dataset/tracks/camera=door", "part of the dataset"),
    "no recordings": ("bare", "bare: has no "),
    "newer": ("newer", "newer: has schema 99"),
}


@pytest.fixture
def bench(made: Path, tmp_path: Path, monkeypatch) -> Path:
    """The current folder, with everything that commands want but their tracks."""
    for name in ("h.yaml", "zones.yaml", "drive.gpx", "truth", "dataset"):
        (tmp_path / name).symlink_to(made / name)
    (tmp_path / "a.mp4").symlink_to(made / "videos" / "door" / f"{VIDEO}.mp4")
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    for name, schema in (("bare", 1), ("newer", 99)):
        (tmp_path / name).mkdir()
        header = {"format": "trackline-dataset", "schema": schema, "options": {}}
        (tmp_path / name / "dataset.json").write_text(json.dumps(header))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def mistake(words: list[str], capsys) -> str:
    """Return the one line that a wrong command ends with."""
    capsys.readouterr()
    assert main(words) == 2
    said = capsys.readouterr()
    assert said.err.count("\n") == 1, said.err
    return said.err


@pytest.mark.slow
@pytest.mark.parametrize("what", WRONG)
@pytest.mark.parametrize("name", TRACKS)
def test_wrong_tracks_are_one_line_about_them(name: str, what: str, bench: Path, capsys) -> None:
    given, message = WRONG[what]
    said = mistake([given if word == "TRACKS" else word for word in TRACKS[name]], capsys)
    assert message in said
    assert not (bench / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["render", "a.mp4"], "a.mp4: want tracks and the video they are of"),
        (["render", "nofile.mp4"], "nofile.mp4: want tracks and the video they are of"),
        (["clip", "dataset", "--track", "1"], "dataset: want tracks and the video they are of"),
        (["render", "dataset", "nofile.mp4"], "nofile.mp4: "),
        (["clip", "dataset", "nofile.mp4", "--track", "1"], "nofile.mp4: "),
        (["render", "dataset", "empty"], "empty: "),
        (["render", "dataset", "a.png"], "a.png: "),
        (["render", "a.mp4", "a.mp4"], "a.mp4: want tracks: "),
        (["render", "dataset", "s3://b/a.mp4"], "s3://b/a.mp4: want a file or folder on this"),
        (["clip", "dataset", "a.mp4", "--source", VIDEO, "--track", "99"], f"{VIDEO} has no track"),
        (["render", "dataset", "a.mp4"], "which source is a.mp4? say it with --source (there are:"),
        (["render", "dataset", "a.mp4", "--source", "dor"], "did you mean door?"),
        (["speeds", "dataset", "--homography", "h.yaml", "--source", "x"], "(known: door, door_20"),
        (["convert", "dataset", "--to", "mot", "-o", "s3://b/out"], "stores hold datasets"),
        (["report", "dataset", "-o", "memory://b/a.html"], "want a file or folder on this machine"),
        (["count", "dataset", "--zones", "zones.yaml", "--fps", "9"], "no --fps or --size"),
        (["count", "dataset", "--zones", "zones.yaml", "--camera", "x"], "has no camera 'x' of"),
        (["refine", "dataset"], "dataset: is a dataset, which this does not read"),
        (["refine", "s3://b/a.csv"], "s3://b/a.csv: want a file or folder on this machine"),
        (["tune", "--gt", "truth", "--detections", "dataset"], "dataset: is a dataset, which"),
        (["run", "a.mp4", "--detections", "dataset", "-o", "out"], "dataset: is a dataset, which"),
    ],
)
def test_other_mistakes_are_one_line(words: list[str], message: str, bench: Path, capsys) -> None:
    assert message in mistake(words, capsys)
    assert not (bench / "out").exists()
    assert not [*bench.glob("*:")]  # "s3:" was made as a folder
