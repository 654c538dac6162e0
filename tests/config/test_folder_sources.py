"""Folders and patterns: what is found in them, what is left out, and what cannot be read."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest
from support.fakes import FakeSource, FakeTracker, Setup, fails, frames
from support.tiny_networks import one_box_network
from support.tiny_videos import cut, noise_picture, write_video

from pipeline.cli.main import main
from pipeline.config.build import build, effective, make_sources
from pipeline.config.resolve import ResolvedConfig, resolve_config
from pipeline.config.schema import Config
from pipeline.core.errors import ConfigError, ModelError, SourceBrokenError, SourceError, UsageError
from pipeline.core.options import validated
from pipeline.engine import Pipeline
from pipeline.engine.options import RunOptions
from pipeline.models.resolve import resolve

PICTURES = [noise_picture(n) for n in range(4)]


def config_of(*sources: Any) -> ResolvedConfig:
    tree = {"sources": [str(s) if isinstance(s, Path) else s for s in sources], "sinks": ["csv"]}
    return resolve_config(validated(Config, tree, ""))


def found(*sources: Any) -> list[tuple[str, str]]:
    listed = effective(config_of(*sources))["sources"]
    return [(each["kind"], Path(each["path"]).name) for each in listed]


def opened_files(config: ResolvedConfig) -> list[str]:
    """Open every source and return the names of the files they read."""
    files = []
    for source, _ in make_sources(config):
        files.append(Path(source.open().file or "").name)
        source.close()
    return files


def video(path: Path, codec: str = "libx264", pixels: str = "yuv420p") -> Path:
    return write_video(path, PICTURES, codec=codec, pixels=pixels)


def renamed(path: Path, suffix: str) -> Path:
    """Write a Matroska file whose name says something else."""
    return video(path.with_suffix(".mkv")).rename(path.with_suffix(suffix))


def picture(path: Path, suffix: str) -> Path:
    path.write_bytes(bytes(cv2.imencode(suffix, PICTURES[0])[1]))
    return path


READ: dict[str, tuple[Callable[[Path], Any], str]] = {
    "h264": (lambda d: video(d / "a.h264"), "file"),
    "gif": (lambda d: video(d / "a.gif", "gif", "rgb8"), "file"),
    "mxf": (lambda d: video(d / "a.mxf", "mpeg2video"), "file"),
    "y4m": (lambda d: video(d / "a.y4m", "wrapped_avframe"), "file"),
    "jfif": (lambda d: picture(d / "a.jfif", ".jpg"), "images"),
    "avif": (lambda d: picture(d / "a.avif", ".avif"), "images"),
    "a recorder's own suffix": (lambda d: renamed(d / "a", ".recorded"), "file"),
    "no suffix": (lambda d: renamed(d / "a", ""), "file"),
    "a picture without suffix": (lambda d: picture(d / "a", ".png"), "images"),
}


@pytest.mark.parametrize("kind", list(READ))
def test_what_can_be_read_is_found_by_content(kind: str, tmp_path: Path) -> None:
    """A folder left out HEIC, AVIF, JFIF, GIF, Y4M and H264 files without a word: 2 of 7 done."""
    make, plugin = READ[kind]
    make(tmp_path)
    assert [each[0] for each in found(tmp_path)] == [plugin]
    assert not config_of(tmp_path).left_out


@pytest.mark.parametrize(
    ("option", "value", "kinds"),
    [
        ("max_fps", 5.0, {"file"}),
        ("keyframes_only", True, {"file"}),
        ("start", "2024-05-01T12:00:00Z", {"file"}),
        ("sequence", True, {"images"}),
        ("max_megapixels", 20.0, {"file", "images"}),
    ],
)
def test_an_option_reaches_what_has_it(
    tmp_path: Path, option: str, value: object, kinds: set[str]
) -> None:
    """A folder of videos with one picture in it was refused: `max_fps` is none of pictures'."""
    video(tmp_path / "a.mkv")
    picture(tmp_path / "poster.jpg", ".jpg")
    listed = effective(config_of({"source": str(tmp_path), option: value}))["sources"]
    assert {each["kind"] for each in listed if each.get(option) == value} == kinds
    with pytest.raises(ConfigError, match=r"unknown key 'max_fpss'; did you mean max_fps\?"):
        found({"source": str(tmp_path), "max_fpss": 5})


def link_to_itself(path: Path) -> None:
    path.symlink_to(path.name)


def unix_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))


LEFT_OUT: dict[str, tuple[Callable[[Path], Any], str]] = {
    "text": (lambda d: (d / "notes.txt").write_text("frame 1\n" * 900), ".txt"),
    "letters cut by the end of the head": (
        lambda d: (d / "notes.txt").write_text("x" + "ü" * 4000, "utf-8"),
        ".txt",
    ),
    "UTF-16": (lambda d: (d / "notes.txt").write_text("frame 1\n" * 900, "utf-16"), ".txt"),
    "bytes": (lambda d: (d / "a.db").write_bytes(bytes(range(256)) * 90), ".db"),
    "zero bytes": (lambda d: (d / "lock").touch(), "without suffix"),
    "subfolder": (lambda d: (d / "x.mp4").mkdir(), "subfolder"),
    "named pipe": (lambda d: os.mkfifo(d / "pipe.mp4"), "named pipe"),
    "socket": (lambda d: unix_socket(d / "s.mp4"), "socket"),
    "broken link": (lambda d: (d / "gone.mp4").symlink_to("nowhere"), "broken link"),
    "link to itself": (lambda d: link_to_itself(d / "loop.mp4"), "broken link"),
    "device": (lambda d: (d / "null.mp4").symlink_to("/dev/null"), "device"),
}


@pytest.mark.skipif(os.name != "posix", reason="links, pipes and devices as on POSIX systems")
@pytest.mark.parametrize("pattern", ["", "*"])
@pytest.mark.parametrize("kind", list(LEFT_OUT))
@pytest.mark.timeout(30)
def test_what_is_left_out_is_counted_and_never_opened(
    kind: str, pattern: str, tmp_path: Path
) -> None:
    make, what = LEFT_OUT[kind]
    video(tmp_path / "a.mkv")
    make(tmp_path)
    assert found(tmp_path / pattern) == [("file", "a.mkv")]
    (counts,) = config_of(tmp_path / pattern).left_out.values()
    assert counts == {what: 1}


def test_a_pattern_takes_what_it_names(tmp_path: Path) -> None:
    """`run '*.h264'` said "holds no pictures and no videos", beside files that could be read."""
    (tmp_path / "a.raw").write_bytes(b"no video")
    assert found(tmp_path / "*.raw") == [("file", "a.raw")]
    with pytest.raises(UsageError, match=r"no videos \(.*there are: 1 \.raw"):
        build(config_of(tmp_path / "*"))


@pytest.mark.parametrize("how", ["recursive", "**"])
@pytest.mark.slow
def test_subfolders_are_read_on_request(how: str, tmp_path: Path) -> None:
    deep = tmp_path / "day" / "hour"
    deep.mkdir(parents=True)
    video(deep / "a.mkv")
    (deep / "circle").symlink_to(tmp_path)
    picture(deep / "b.png", ".png")
    top = tmp_path if how == "recursive" else tmp_path / "**"
    entry = {"source": str(top), "recursive": how == "recursive"}
    assert ("file", "a.mkv") in found(entry)
    pipeline = build(config_of(entry))
    assert len(pipeline.stats.sources) >= 2
    with pytest.raises(UsageError):
        build(config_of(tmp_path))


def test_a_name_like_a_secrets_place_is_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`${HOME}.mp4` in a folder was looked for as /root.mp4, `${X}.mp4` refused the whole run."""
    monkeypatch.setenv("FOLDER", str(tmp_path))
    for name in ("${HOME}.mkv", "${NOBODY}.mkv"):
        video(tmp_path / name)
    folder = found("${FOLDER}")
    assert folder == [("file", "${HOME}.mkv"), ("file", "${NOBODY}.mkv")]
    assert found("${FOLDER}/$${HOME}.mkv") == [("file", "${HOME}.mkv")]
    files = opened_files(config_of("${FOLDER}", "${FOLDER}/$${HOME}.mkv"))
    assert files == ["${HOME}.mkv", "${NOBODY}.mkv", "${HOME}.mkv"]


@pytest.mark.parametrize("name", ["~x.mkv", "~root", "~nobody-of-this-name/x.mkv"])
def test_a_tilde_that_is_nobodys_home_is_a_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`run '~x.mp4'` ended in an internal error: "Could not determine home directory"."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises((SourceError, ModelError)):
        build(config_of(name)).run()
    with pytest.raises(ModelError):
        resolve(f"~nobody-of-this-name/{name}.onnx")
    path = Path(name)
    path.parent.mkdir(exist_ok=True)
    video(path.with_suffix(".mkv")).rename(path)
    for written in (name, "."):
        assert opened_files(config_of({"source": written, "recursive": True})) == [path.name]


UNREADABLE: dict[str, Callable[[Path], Any]] = {
    "zero bytes": lambda path: path.touch(),
    "text": lambda path: path.write_text("not a video\n" * 100),
    "no moov": lambda path: cut(video(path.with_name("whole.mp4")), 0.5).rename(path),
    "noise": lambda path: path.write_bytes(os.urandom(5000)),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "card"
    folder.mkdir()
    for name in ("1.mp4", "3.mp4"):
        video(folder / name)
    return folder


def run(tmp_path: Path, *arguments: object) -> int:
    network = one_box_network(tmp_path / "one.onnx")
    out = ("-o", tmp_path / "out", "--model", network, "--save", "csv")
    return main(["run", *map(str, (*arguments, *out))])


@pytest.mark.parametrize("kind", list(UNREADABLE))
@pytest.mark.slow
def test_one_bad_file_of_a_folder_is_set_aside(
    kind: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A recording cut off by the power refused the whole card before its first frame."""
    UNREADABLE[kind](folder / "2.mp4")
    (folder / "whole.mp4").unlink(missing_ok=True)
    (folder / "notes.txt").write_text("x")
    assert run(tmp_path, folder) == 1
    shown = capsys.readouterr()
    assert "1 of 3 files could not be read: " in shown.err
    assert "2.mp4: " in shown.err.splitlines()[-1]
    assert f"left out of {folder}: 1 .txt" in shown.out
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["left_out"] == {str(folder): {".txt": 1}}
    assert "2.mp4: " in report["sources"]["2"]["broken"]
    done = {name: source["delivered"] for name, source in report["sources"].items()}
    assert done == {"1": 4, "2": 0, "3": 4}


@pytest.mark.parametrize("kind", list(UNREADABLE))
def test_a_bad_file_named_by_itself_is_refused(kind: str, folder: Path, tmp_path: Path) -> None:
    UNREADABLE[kind](folder / "2.mp4")
    assert run(tmp_path, folder / "1.mp4", folder / "2.mp4") == 2
    assert not (tmp_path / "out").exists()


def test_a_folder_of_nothing_but_bad_files_fails_naming_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "card"
    folder.mkdir()
    for number, make in enumerate(UNREADABLE.values()):
        make(folder / f"{number}.mp4")
    (folder / "whole.mp4").unlink()
    assert run(tmp_path, folder / "*.mp4") == 1
    (line,) = [each for each in capsys.readouterr().err.splitlines() if "could not" in each]
    assert "4 of 4 files could not be read: " in line
    assert all(f"{number}.mp4: " in line for number in range(4))


def optional_files(bad: FakeSource, **options: Any) -> Setup:
    """Return a run of two good files around a bad one, all of which it can do without."""
    sources = [FakeSource("first", frames(3)), bad, FakeSource("last", frames(3))]
    setup = Setup(*sources, **options)
    setup.pipeline = Pipeline(
        sources,
        setup.detector,
        FakeTracker,
        setup.sinks,
        options=RunOptions(**options),
        optional=[source.name for source in sources],
    )
    return setup


@pytest.mark.timeout(60)
@pytest.mark.parametrize("at_once", [1, 9])
@pytest.mark.parametrize(
    "script",
    [
        pytest.param(SourceError("bad: not a video"), id="at opening"),
        pytest.param(ValueError("bad: from a library"), id="an exception of a library's"),
        pytest.param([*frames(1), SourceError("bad: has vanished")], id="later"),
        pytest.param([*frames(1), KeyError("bad: assertion")], id="a library's, later"),
        pytest.param([*frames(1), SourceBrokenError("bad: breaks off")], id="breaks off"),
    ],
)
def test_whatever_one_file_does_the_others_are_read(script: Any, at_once: int) -> None:
    setup = optional_files(FakeSource("bad", script), files_at_once=at_once)
    fails(setup, SourceBrokenError, "1 of 3 files could not be read: .*bad: ")
    written = setup.sinks["table"].written
    assert (written["first"], written["last"]) == ([0, 1, 2], [0, 1, 2])


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_a_file_that_vanishes_before_its_turn_is_set_aside(tmp_path: Path) -> None:
    write_video(tmp_path / "1.mkv", PICTURES * 30)
    for name in ("2.mkv", "3.mkv"):
        video(tmp_path / name)
    network = one_box_network(tmp_path / "one.onnx")
    tree = {
        "sources": [str(tmp_path / "*.mkv")],
        "sinks": [],
        "detector": {"model": str(network)},
        "run": {"files_at_once": 1},
    }
    seen = []

    def look() -> None:
        for result in build(resolve_config(validated(Config, tree, ""))).results():
            if not seen:
                (tmp_path / "2.mkv").unlink()
            seen.append((result.frame.source, result.frame.index))

    with pytest.raises(SourceBrokenError, match=r"1 of 3 files .*2\.mkv: no such file"):
        look()
    assert sorted(seen) == [("1", index) for index in range(120)] + [
        ("3", index) for index in range(4)
    ]


@pytest.mark.slow
def test_what_the_run_writes_into_its_folder_is_no_source(folder: Path, tmp_path: Path) -> None:
    """The folder was listed anew for the report, which named the outputs as sources."""
    network = one_box_network(tmp_path / "one.onnx")
    assert main(["run", f"{folder}/**", "-o", f"{folder}/out", "--model", str(network)]) == 0
    report = json.loads((folder / "out" / "report.json").read_text())
    assert len(report["config"]["sources"]) == len(report["sources"]) == 2


@pytest.mark.parametrize(("videos", "refused"), [(1, False), (2, True), (3, True)])
@pytest.mark.parametrize("how", ["folder", "pattern"])
def test_several_videos_do_not_all_begin_at_one_time(
    how: str, videos: int, refused: bool, tmp_path: Path
) -> None:
    """`start` given to a folder of segments gave every row of every segment the same times."""
    for n in range(videos):
        write_video(tmp_path / f"{n}.mp4", PICTURES[:1])
    source = tmp_path if how == "folder" else tmp_path / "*.mp4"
    entry = {"source": str(source), "start": "2024-01-31T14:25:01Z"}
    if refused:
        with pytest.raises(ConfigError, match=rf"sources\.0\.start: .*{videos} videos"):
            found(entry)
    else:
        assert found(entry) == [("file", "0.mp4")]
