"""The configuration file: what is read, what overrides what, and what a mistake is answered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.config.build import effective
from pipeline.config.resolve import resolve_config
from pipeline.config.schema import Config, load_config, parse_assignment
from pipeline.core.errors import ConfigError
from pipeline.core.yaml_file import dump


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_no_file_gives_the_defaults() -> None:
    assert load_config(None) == Config()


def test_an_empty_file_gives_the_defaults(tmp_path: Path) -> None:
    assert load_config(write(tmp_path, "# nothing yet\n")) == Config()


def test_a_bare_name_is_a_plugin_without_options(tmp_path: Path) -> None:
    config = load_config(
        write(tmp_path, "tracker: none\nsinks: [csv, {kind: mot, coasting: true}]")
    )
    assert (config.tracker.kind, config.tracker.options) == ("none", {})
    assert [(sink.kind, sink.options) for sink in config.sinks] == [
        ("csv", {}),
        ("mot", {"coasting": True}),
    ]


@pytest.mark.parametrize(
    ("text", "changes", "key", "value"),
    [
        ("detector: {kind: yolo, conf: 0.4}", {"detector.conf": 0.1}, "detector.conf", 0.1),
        ("detector: {kind: yolo, conf: 0.4}", {"detector.iou": 0.1}, "detector.conf", 0.4),
        ("detector: yolo", {"detector.conf": 0.1}, "detector.conf", 0.1),
        ("", {"detector.conf": 0.1, "detector.kind": "replay"}, "detector.kind", "replay"),
        ("tracker: {kind: sort, max_age_s: 9}", {"tracker.kind": "none"}, "tracker.options", {}),
        (
            "tracker: {kind: sort, max_age_s: 9}",
            {"tracker.kind": "sort"},
            "tracker.max_age_s",
            9,
        ),
        ("detector: {conf: 0.5}", {}, "detector.kind", "yolo"),
        # `--tracker NAME` dropped the file's options where the file left the kind to the default.
        ("tracker: {max_age_s: 9}", {"tracker.kind": "trackline"}, "tracker.max_age_s", 9),
        ("detector: {conf: 0.5}", {"detector.kind": "yolo"}, "detector.conf", 0.5),
        ("tracker: {max_age_s: 9}", {"tracker.kind": "none"}, "tracker.options", {}),
        # In whatever order they are given, a kind comes before its options.
        ("", {"tracker.max_age_s": 9, "tracker.kind": "ocsort"}, "tracker.max_age_s", 9),
        # `--set sinks.0.crf=18` without a file: "sinks: input should be a valid tuple".
        ("", {"sinks.0.crf": 18}, "sinks.0.crf", 18),
        ("", {"sinks.0.crf": 18}, "sinks.1.kind", "csv"),
        ("sinks: [csv]", {"sinks.0.x": 1}, "sinks.0.kind", "csv"),
        ("", {"tracker.max_age_s": 2}, "tracker.kind", "trackline"),
        ("run: {max_frames: 5}", {"run.output": "there"}, "run.max_frames", 5),
        ("sources: [{kind: file, path: a}]", {"sources.0.name": "x"}, "sources.0.name", "x"),
    ],
)
def test_the_command_line_overrides_the_file(
    tmp_path: Path, text: str, changes: dict[str, Any], key: str, value: Any
) -> None:
    found: Any = load_config(write(tmp_path, text), changes)
    for part in key.split("."):
        found = found[int(part)] if part.isdigit() else getattr(found, part)
    assert found == value


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("detektor: yolo", ["unknown key 'detektor'", "did you mean detector", "sources", "run"]),
        ("run: {max_frame: 3}", ["run: unknown key 'max_frame'", "did you mean max_frames"]),
        # "trackline: : unknown key 'conf'", and no word of where it belongs.
        ("conf: 0.3", ["unknown key 'conf'; did you mean detector.conf?"]),
        ("max_age_s: 3", ["unknown key 'max_age_s'; did you mean tracker.max_age_s?"]),
        ("max_frames: 3", ["unknown key 'max_frames'; did you mean run.max_frames?"]),
        ("max-frames: 3", ["unknown key 'max-frames' (known: "]),
        ("run: {max-frames: 3}", ["run: unknown key 'max-frames'; did you mean max_frames"]),
        # Pydantic's words: "input should be a valid tuple", "instance of PluginChoice".
        ("sources: one.mp4", ["sources: want a list, got 'one.mp4'"]),
        ("sources: [5]", ["sources.0: want text or a name or a section, got 5"]),
        ("sources: [{name: a}]", ["sources.0.kind: needed but not given"]),
        ("sinks: {kind: csv}", ["sinks: want a list, got a section"]),
        ("tracker: [sort]", ["tracker: want a name or a section, got a list"]),
        ("run: 3", ["run: want a section, got 3"]),
        ("run: {output: 3}", ["run.output: want a path, got 3"]),
        # The first one was dropped without a word.
        (
            "tracker: {max_age_s: 9}\ntracker: sort",
            ["config.yaml:2", "key 'tracker' is there twice"],
        ),
        ("run: {output: a, output: b}", ["config.yaml:1", "key 'output' is there twice"]),
        ("a: 2026-13-45", ["config.yaml: not valid YAML: month must be in 1..12"]),
        ("a: \x01", ["config.yaml: not valid YAML: unacceptable character"]),
        ("[" * 5000, ["config.yaml: sections are nested too deeply"]),
        ("run: {max_frames: 0}", ["run.max_frames", "want 1 or more", "got 0"]),
        ("run: {max_frames: many}", ["run.max_frames: want a whole number", "'many'"]),
        ("sinks: [{coasting: true}]", ["sinks.0.kind: needed but not given"]),
        ("sources: {kind: file}", ["sources"]),
        ("- a\n- b\n", ["want sections", "got a list"]),
        ("just words", ["want sections", "'just words'"]),
        ("run:\n  max_frames: [1\n", ["config.yaml:3", "not valid YAML"]),
        ("a: b: c", ["config.yaml:1", "not valid YAML"]),
    ],
)
@pytest.mark.slow
def test_a_mistake_is_one_line_that_says_where_and_what(
    tmp_path: Path, text: str, says: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, text))
    message = str(caught.value)
    assert "\n" not in message
    assert not message.startswith(":")
    for part in says:
        assert part in message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.yaml: cannot be read"):
        load_config(tmp_path / "absent.yaml")


def test_a_video_given_as_configuration_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    path.write_bytes(b"\x00\xff\xfe\x80")
    with pytest.raises(ConfigError, match="not a text file"):
        load_config(path)


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("detector.conf=0.3", ("detector.conf", 0.3)),
        ("detector.classes=[person, car]", ("detector.classes", ["person", "car"])),
        ("run.output=", ("run.output", None)),
        ("run.output=a=b", ("run.output", "a=b")),
    ],
)
def test_set_reads_its_value_as_yaml(text: str, pair: tuple[str, Any]) -> None:
    assert parse_assignment(text) == pair


@pytest.mark.parametrize("text", ["detector.conf", "=3", "a=[1"])
def test_set_refuses_what_is_no_assignment(text: str) -> None:
    with pytest.raises(ConfigError, match="--set"):
        parse_assignment(text)


@pytest.mark.parametrize(
    "key",
    [
        "sources.0.name", "sources.x.name", "run.max_frames.deep", "run.output.deep",
        "sinks.9.crf", "", ".kind", "detector.",
    ],
)  # fmt: skip
def test_set_refuses_a_path_that_leads_nowhere(tmp_path: Path, key: str) -> None:
    path = write(tmp_path, "sources: []\nrun: {max_frames: 3, output: x}")
    with pytest.raises(ConfigError):
        load_config(path, {key: 1})


def test_a_dumped_configuration_reads_back_the_same(tmp_path: Path) -> None:
    config = load_config(None, {"run.max_frames": 7, "sources": ["straße.mp4"]})
    assert load_config(write(tmp_path, dump(config.model_dump(mode="json")))) == config


def test_a_key_below_an_optional_section_lists_the_known_ones() -> None:
    """`tracker.frames: unknown key 'max_ages' (known: )` once listed nothing."""
    from pipeline.core.options import validated
    from pipeline.trackers import sort

    with pytest.raises(ConfigError, match=r"tracker\.frames: .*did you mean max_age"):
        validated(sort.Options, {"frames": {"max_ages": 3}}, "tracker")


def test_two_problems_of_a_file_are_both_reported(tmp_path: Path) -> None:
    """One in a section must not hide one in another."""
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, "sources: [{name: a}]\ndetector: 5\nrun: {max_frames: x}"))
    for place in ("sources.0.kind: ", "detector: ", "run.max_frames: "):
        assert place in str(caught.value)


def test_a_list_that_must_not_be_empty_says_so() -> None:
    """It said "tuple should have at least 1 item after validation, not 0"."""
    from pipeline.core.options import validated
    from pipeline.detectors import yolo

    with pytest.raises(ConfigError, match=r"detector\.classes: want at least 1$"):
        validated(yolo.Options, {"classes": []}, "detector")


@pytest.mark.parametrize(
    ("tracker", "detector", "conf"),
    [
        ("trackline", {}, 0.1),
        ({"kind": "bytetrack", "low_score": 0.05}, {}, 0.05),
        ("sort", {}, 0.25),
        ("none", {}, 0.25),
        ("trackline", {"conf": 0.4}, 0.4),
    ],
)
def test_doubtful_boxes_go_to_trackers_that_make_use_of_them(
    tracker: Any, detector: dict[str, Any], conf: float
) -> None:
    """Two-stage trackers were given nothing below the detector's usual threshold."""
    config = Config.model_validate({"tracker": tracker, "detector": detector})
    assert effective(resolve_config(config))["detector"]["conf"] == conf
