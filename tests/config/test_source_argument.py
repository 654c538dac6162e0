"""What a source given as text stands for, and what sources are called when names meet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.tiny_videos import noise_picture, write_video

from pipeline.config.build import build, effective
from pipeline.config.plugins import plugin
from pipeline.config.resolve import ResolvedConfig, resolve_config
from pipeline.config.schema import Config, load_config
from pipeline.core.errors import ConfigError, PipelineError, UsageError
from pipeline.core.options import validated


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def config_of(*sources: Any) -> ResolvedConfig:
    tree = {"sources": [str(s) if isinstance(s, Path) else s for s in sources], "sinks": ["csv"]}
    return resolve_config(validated(Config, tree, ""))


def chosen(*sources: Any) -> list[tuple[str, str]]:
    """Return the plug-in and the file or folder's own name of each source."""
    found = effective(config_of(*sources))["sources"]
    return [(each["kind"], Path(each["path"]).name) for each in found]


def names(*sources: Any) -> list[str]:
    return [*build(config_of(*sources)).stats.sources]


VIDEOS = [("file", "clip2.mp4"), ("file", "clip10.MKV")]


@pytest.mark.parametrize("written", ["in", "in/*", "in/c*", "**/in/*"])
def test_a_folder_or_a_glob_of_videos_is_one_source_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str
) -> None:
    """`run in/a` and `run 'in/a/*.mp4'` answered "matches no pictures": videos were never asked."""
    touch(*(tmp_path / "in" / n for n in ("clip10.MKV", "clip2.mp4", "notes.txt", "._clip2.mp4")))
    monkeypatch.chdir(tmp_path)
    assert chosen(written) == VIDEOS


def test_pictures_beside_videos_are_one_source(tmp_path: Path) -> None:
    touch(tmp_path / "2.png", tmp_path / "1.png", tmp_path / "clip.mp4")
    assert chosen(tmp_path) == [("images", tmp_path.name), ("file", "clip.mp4")]
    assert chosen(tmp_path / "*.png") == [("images", "*.png")]
    assert chosen(tmp_path / "1.png") == [("images", "1.png")]


@pytest.mark.parametrize("written", ["", "*.mp4", "nowhere/*"])
def test_neither_pictures_nor_videos_is_one_line_naming_both(tmp_path: Path, written: str) -> None:
    touch(tmp_path / "notes.txt")
    with pytest.raises(UsageError, match=r"no pictures \(.*\.png.*no videos \(.*\.mp4") as caught:
        build(config_of(tmp_path / written))
    assert "\n" not in str(caught.value)


def test_a_path_that_cannot_be_looked_at_is_one_line(tmp_path: Path) -> None:
    """Such a path ends in an OSError from pathlib itself, long before anything opens it."""
    with pytest.raises(UsageError, match="cannot be read: "):
        build(config_of(tmp_path / ("x" * 300)))


@pytest.mark.parametrize("name", ["clip[1].mp4", "shot[1].png", "what?.mp4"])
def test_a_file_with_a_pattern_in_its_name_is_that_file(tmp_path: Path, name: str) -> None:
    """`clip[1].mp4`, as browsers name a second download, was looked for as a pattern."""
    touch(tmp_path / name)
    assert [each[1] for each in chosen(tmp_path / name)] == [name]
    assert names(tmp_path / name) == [Path(name).stem]


def test_such_a_folder_is_that_folder(tmp_path: Path) -> None:
    touch(tmp_path / "day [1]" / "1.png")
    assert names(tmp_path / "day [1]") == ["day [1]"]


def test_a_video_with_a_pattern_in_its_name_is_read(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip[1].mp4", [noise_picture(n) for n in range(3)])
    (choice,) = effective(config_of(path))["sources"]
    source = plugin("sources", choice.pop("kind"), "").build(
        plugin("sources", "file", "").Options(**choice)
    )
    source.open()
    assert source.read() is not None
    source.close()


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (["a/street.mp4", "b/street.mp4"], ["street", "street-2"]),
        (["a/s.mp4", "b/s.mp4", "s-2.mp4"], ["s", "s-2", "s-2-2"]),
        (["s-2.mp4", "a/s.mp4", "b/s.mp4"], ["s-2", "s", "s-3"]),
        (["a/s.mp4", "b/s.mp4", {"source": "c.mp4", "name": "s-2"}], ["s", "s-3", "s-2"]),
        (["s.mp4", {"kind": "file", "path": "c.mp4", "name": "s"}], ["s-2", "s"]),
    ],
)
def test_names_count_up_until_they_are_free(written: list[Any], expected: list[str]) -> None:
    """`a/street.mp4 b/street.mp4 street-2.mp4` ended in a traceback, "names must differ"."""
    assert names(*written) == expected


def test_a_name_chosen_twice_is_a_mistake() -> None:
    twice = [{"source": "a.mp4", "name": "s"}, {"source": "b.mp4", "name": "s"}]
    with pytest.raises(UsageError, match=r"sources\.1\.name: 's' is there twice"):
        build(config_of(*twice))


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[31m", "a" * 201])
def test_a_name_that_no_line_could_show_is_refused(name: str) -> None:
    """It stands in log lines, addresses and on the page, whose routes know no line breaks."""
    with pytest.raises(UsageError, match=r"^sources\.0\.name: want printable text of at most"):
        build(config_of({"kind": "synthetic", "name": name}))


@pytest.mark.parametrize("text", ["", "  "])
def test_an_unset_variable_is_not_the_current_folder(text: str) -> None:
    """`run "$VIDEO"` with VIDEO unset processed every picture in the current folder."""
    with pytest.raises(ConfigError, match=r"sources\.0: want a file, folder, device or address"):
        build(config_of(text))


@pytest.mark.parametrize(
    "address",
    [
        "rtsp://admin:hunter2@cam.local:554/live?token=hunter2",
        "rtsp://admin:hunter2@[::1/live",
        "rtsp://admin:hunter2@",
    ],
)
def test_a_password_in_an_address_is_never_shown(address: str) -> None:
    """The whole address was printed, and from there went to logs and screenshots."""
    try:
        made = build(config_of(address))
    except PipelineError as error:
        shown = str(error)
    else:
        shown = f"{effective(config_of(address))} {[*made.stats.sources]}"
    assert "rtsp://" in shown
    assert "hunter2" not in shown


def test_options_of_a_source_given_as_text_reach_its_plugin(tmp_path: Path) -> None:
    """`--set sources.0.name=foo` made the path a plug-in's name: "cannot import 'in/one.mp4'"."""
    path = tmp_path / "config.yaml"
    path.write_text("sources: [in/one.mp4, in/two.mp4]")
    config = load_config(path, {"sources.0.name": "foo", "sources.0.threads": 2})
    first, second = effective(resolve_config(config))["sources"]
    assert (first["path"], first["name"], first["threads"]) == ("in/one.mp4", "foo", 2)
    assert (second["path"], second["name"]) == ("in/two.mp4", None)
    with pytest.raises(PipelineError, match=r"sources\.0: unknown key 'nam'; did you mean name"):
        build(resolve_config(load_config(path, {"sources.0.nam": "foo"})))
