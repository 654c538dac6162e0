"""Cameras added, changed and removed in a configuration file and its secrets."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("fastapi")
pytest.importorskip("ruamel.yaml")

from pipeline.config.build import make_sources
from pipeline.config.resolve import resolve_config
from pipeline.core.errors import ConfigError, OutputError
from pipeline.engine import DetectOptions
from pipeline.server.cameras.editor import CameraEditor, UnknownCameraError
from pipeline.server.cameras.file_change import ConflictError
from pipeline.server.cameras.forms import CameraForm
from pipeline.server.live.config_file import ConfigFile

PASSWORD = "p@ss/w${X}rd"
FILE = """\
# The house.
sources:
  # street
  - source: rtsp://viewer:${DOOR}@10.0.0.5/1?channel=2
    name: door   # by the bell
    transport: udp
  - rtsp://admin:literal@10.0.0.6/1
  - {kind: synthetic, name: fake, live: true}
# The rest.
sinks: [events]
"""


class Setup:
    """An editor of a file in a folder, and what the run would make of it."""

    def __init__(self, folder: Path, text: str | None = FILE, *addresses: str) -> None:
        self.path = folder / "cams.yaml"
        self.secrets = folder / "secrets.yaml"
        if text is not None:
            self.path.write_text(text)
            self.secrets.write_text("DOOR: secret1  # mine\n")
        self.file = ConfigFile(self.path, addresses, {})
        self.renamed: list[tuple[str, str]] = []
        self.editor = CameraEditor(self.file, self.renaming, lambda: {0: "person"})

    @contextmanager
    def renaming(self, old: str, new: str) -> Iterator[None]:
        if new == "refused":
            raise OutputError("zones.yaml: cannot be written")
        yield
        self.renamed.append((old, new))

    @property
    def urls(self) -> dict[str, str]:
        """What each camera of the file is connected to."""
        made = make_sources(resolve_config(self.file.load()))
        return {source.name: str(choice.options.get("url", "")) for source, choice in made}

    @property
    def sources(self) -> list[Any]:
        sources: list[Any] = yaml.safe_load(self.path.read_text())["sources"]
        return sources


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    return Setup(tmp_path)


def form(**values: Any) -> CameraForm:
    return CameraForm.model_validate(values)


def test_a_camera_is_added_and_its_password_kept_apart(setup: Setup) -> None:
    told = setup.editor.add(
        form(name="Back yard", address="rtsp://10.0.0.9/1", user="viewer", password=PASSWORD)
    )
    assert (told.name, told.user, told.has_password) == ("Back yard", "viewer", True)
    assert PASSWORD not in told.model_dump_json()
    text = setup.path.read_text()
    assert "pass" not in text.replace("PASSWORD", "")
    assert text.startswith(FILE.partition("# The rest.")[0])
    assert setup.sources[-1] == {
        "source": "rtsp://viewer:${CAMERA_BACK_YARD_PASSWORD}@10.0.0.9/1",
        "name": "Back yard",
    }
    assert setup.urls["Back yard"] == "rtsp://viewer:p%40ss%2Fw%24%7BX%7Drd@10.0.0.9/1"
    assert "# mine" in setup.secrets.read_text()
    assert stat.S_IMODE(setup.secrets.stat().st_mode) == 0o600


def test_a_file_that_is_not_there_is_made(tmp_path: Path) -> None:
    setup = Setup(tmp_path / "new", None)
    assert setup.file.load().sources == ()
    setup.editor.add(form(address="rtsp://a:b@10.0.0.9/1"))
    setup.editor.add(form(address="rtsp://10.0.0.9/2"))
    assert list(setup.urls) == ["10.0.0.9", "10.0.0.9-2"]
    for name in list(setup.urls):
        setup.editor.remove(name)
    assert setup.sources == []
    assert setup.secrets.read_text().strip() == "", "nothing of them stays"
    setup.path.unlink()
    with pytest.raises(ConfigError):
        setup.file.load()


@pytest.mark.parametrize(
    ("change", "url"),
    [
        ({"name": "gate"}, "rtsp://viewer:secret1@10.0.0.5/1?channel=2"),
        ({"address": "rtsp://10.0.0.5/1?channel=2"}, "rtsp://viewer:secret1@10.0.0.5/1?channel=2"),
        ({"password": "new"}, "rtsp://viewer:new@10.0.0.5/1?channel=2"),
        ({"user": "other"}, "rtsp://other:secret1@10.0.0.5/1?channel=2"),
        ({"user": "", "password": ""}, "rtsp://10.0.0.5/1?channel=2"),
        ({"address": "rtsp://10.0.0.5/2"}, "rtsp://viewer:secret1@10.0.0.5/2"),
        ({"address": "rtsp://evil/1", "password": "x"}, "rtsp://viewer:x@evil/1"),
        ({"address": "rtsp://evil/1", "user": ""}, "rtsp://evil/1"),
        ({"address": "rtsp://c/?token=t"}, "rtsp://c/?token=t") ,
    ],
)  # fmt: skip
def test_what_the_form_leaves_out_stays(setup: Setup, change: dict[str, Any], url: str) -> None:
    if change.get("address", "").startswith("rtsp://c"):
        change["user"] = ""
    setup.editor.change("door", form(**change))
    name = change.get("name", "door")
    assert setup.urls[name] == url
    assert setup.sources[0]["transport"] == "udp"
    assert "# street" in setup.path.read_text()
    for secret in ("secret1", "new", "token=t"):
        assert secret not in setup.path.read_text()
    assert setup.renamed == ([("door", name)] if name != "door" else [])


MAIN = "rtsp://10.0.0.5/main"


@pytest.mark.parametrize(
    ("change", "record"),
    [
        ({}, "rtsp://viewer:secret1@10.0.0.5/main"),
        ({"record": MAIN}, "rtsp://viewer:secret1@10.0.0.5/main"),
        ({"record": "rtsp://10.0.0.5/best"}, "rtsp://viewer:secret1@10.0.0.5/best"),
        ({"record": ""}, None),
        ({"password": "new"}, "rtsp://viewer:new@10.0.0.5/main"),
        ({"user": "", "password": ""}, MAIN),
        ({"address": "rtsp://10.0.0.5/2"}, "rtsp://viewer:secret1@10.0.0.5/main"),
        (
            {"address": "rtsp://10.0.0.9/1", "password": "x", "record": "rtsp://10.0.0.9/main"},
            "rtsp://viewer:x@10.0.0.9/main",
        ),
    ],
)
def test_the_main_stream_has_the_cameras_login(
    setup: Setup, change: dict[str, Any], record: str | None
) -> None:
    """A new password that only one of both had would have ended the clips unseen."""
    told = setup.editor.change("door", form(record=MAIN))
    assert (told.record, setup.editor.settings("door").record) == (MAIN, MAIN)
    assert setup.sources[0]["record"] == "rtsp://viewer:${DOOR}@10.0.0.5/main"
    setup.editor.change("door", form(**change))
    made = make_sources(resolve_config(setup.file.load()))
    options = next(choice.options for source, choice in made if source.name == "door")
    assert options.get("record") == record
    for secret in ("secret1", "new"):
        assert secret not in setup.path.read_text()


def test_a_main_stream_may_come_with_a_new_camera(setup: Setup) -> None:
    address = {"address": "rtsp://10.0.0.9/1", "user": "viewer", "password": PASSWORD}
    setup.editor.add(form(name="yard", record="rtsp://10.0.0.9/main", **address))
    assert setup.sources[-1]["record"] == "rtsp://viewer:${CAMERA_YARD_PASSWORD}@10.0.0.9/main"
    assert "record" not in setup.editor.options(form(), "yard"), "one stream is tried"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"record": "rtsp://evil/main"}, "own host"),
        ({"address": "rtsp://10.0.0.9/1", "password": "x"}, "own host"),
        ({"record": "http://10.0.0.5/main"}, "rtsp://"),
        ({"record": "rtsp://admin:x@10.0.0.5/main"}, "leave out the login"),
        ({"record": "rtsp://10.0.0.5/main?token=abcdef"}, "key"),
        ({"record": "${DOOR}"}, "configuration file"),
    ],
)
def test_a_main_stream_that_cannot_be_changes_nothing(
    setup: Setup, change: dict[str, Any], why: str
) -> None:
    setup.editor.change("door", form(record=MAIN))
    before = setup.path.read_text()
    with pytest.raises(ConfigError, match=why):
        setup.editor.change("door", form(**change))
    assert setup.path.read_text() == before


@pytest.mark.parametrize("change", [{"address": "rtsp://evil/1"}, {"address": "http://10.0.0.5/1"}])
def test_a_password_is_never_sent_to_another_host(setup: Setup, change: dict[str, Any]) -> None:
    """Whoever may change cameras could have had it sent to a machine of his."""
    with pytest.raises(ConfigError, match="password: belongs to the previous address"):
        setup.editor.change("door", form(**change))
    with pytest.raises(ConfigError, match="password: belongs to the previous address"):
        setup.editor.options(form(**change), "door")
    assert setup.path.read_text() == FILE


def test_a_key_that_is_hidden_stays_until_the_address_is_typed_again(setup: Setup) -> None:
    """The address was shown as `?channel=***&token=***`, and the stars were saved as the key."""
    address = "http://cam/v?channel=1&token=abc"
    shown = setup.editor.add(form(name="side", address=address)).address
    assert shown == "http://cam/v?channel=1&token=***"
    with pytest.raises(ConfigError, match="masked values"):
        setup.editor.change("side", form(address=shown.replace("=1", "=2")))
    setup.editor.change("side", form(address=shown, name="left"))
    assert setup.urls["left"] == address
    setup.editor.change("left", form(address=address.replace("=1", "=2")))
    assert setup.urls["left"] == address.replace("=1", "=2")
    assert "abc" not in setup.path.read_text()


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("rtsp://u:p@cam/1?n=1&code=${DOOR}", "rtsp://cam/1?n=1&code=***"),
        ("rtsp://cam/${DOOR}/1", "rtsp://cam/***/1"),
        ("rtsp://${DOOR}/1?n=1", "rtsp://secret1/1?n=1"),
        ("http://cam/v?n=1&pwd=x", "http://cam/v?n=1&pwd=***"),
    ],
)
def test_what_a_placeholder_stands_for_is_not_shown(
    tmp_path: Path, written: str, shown: str
) -> None:
    setup = Setup(tmp_path, f"sources: [{{source: '{written}', name: door}}]")
    assert setup.editor.settings("door").address == shown
    url = setup.urls["door"]
    setup.editor.change("door", form(address=shown, name="gate"))
    assert setup.urls["gate"] == url


def test_a_version_tells_nothing_of_the_password(tmp_path: Path) -> None:
    """It was a bare hash of the entry, in which a weak password could be found by trying."""
    setup = Setup(tmp_path)
    version = setup.editor.settings("10.0.0.6").version
    assert setup.editor.settings("10.0.0.6").version == version
    words = [sys.executable, "-c", _VERSION, str(setup.path)]
    other = subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    assert len(other) == len(version)
    assert other != version, "another process has another key"


_VERSION = """
import sys
from contextlib import nullcontext
from pathlib import Path
from pipeline.server.cameras.editor import CameraEditor
from pipeline.server.live.config_file import ConfigFile
file = ConfigFile(Path(sys.argv[1]), [], {})
print(CameraEditor(file, lambda old, new: nullcontext()).settings("10.0.0.6").version)
"""


def test_a_password_that_stood_in_the_file_is_not_shown_either(setup: Setup) -> None:
    told = setup.editor.settings("10.0.0.6")
    assert (told.address, told.user, told.has_password) == ("rtsp://10.0.0.6/1", "admin", True)
    assert "literal" not in told.model_dump_json()
    setup.editor.change("10.0.0.6", form(name="side", user="viewer"))
    assert setup.urls["side"] == "rtsp://viewer:literal@10.0.0.6/1"
    assert "literal" not in setup.path.read_text()


def test_what_is_detected_is_set_and_unset(setup: Setup) -> None:
    told = setup.editor.change("door", form(detect={"conf": 0.5, "classes": ["person"], "fps": 5}))
    assert told.detect == DetectOptions(conf=0.5, classes=("person",), fps=5)
    assert told.classes == ["person"]
    assert told.shared.conf is not None
    with pytest.raises(ConfigError, match="'cat'"):
        setup.editor.change("door", form(detect={"classes": ["cat"]}))
    setup.editor.change("door", form(detect=None))
    assert setup.path.read_text() == FILE


@pytest.mark.parametrize(
    ("before", "wanted", "is_open", "takes_sizes", "is_refused"),
    [
        (None, 960, True, False, True),
        (640, 960, True, False, True),
        (960, 960, True, False, False),
        (960, None, True, False, False),
        (None, 960, False, False, False),
        (None, 960, True, True, False),
    ],
)
def test_a_size_that_would_do_nothing_is_refused(
    tmp_path: Path,
    before: int | None,
    wanted: int | None,
    is_open: bool,
    takes_sizes: bool,
    is_refused: bool,
) -> None:
    """The page said "saved", and a network on a GPU ran on at its one size."""
    detect = "" if before is None else f"    detect: {{imgsz: {before}}}\n"
    text = FILE.replace("    transport", f"{detect}    transport")
    setup = Setup(tmp_path, text)
    editor = CameraEditor(
        setup.file,
        setup.renaming,
        lambda: {0: "person"} if is_open else {},
        lambda: takes_sizes,
    )
    assert editor.settings("door").takes_sizes == (takes_sizes or not is_open)
    wish = form(detect={"imgsz": wanted})
    new = form(address="rtsp://10.0.0.9/1", detect={"imgsz": wanted})
    if not is_refused:
        assert editor.change("door", wish).detect.imgsz == wanted
        return
    for act in (lambda: editor.change("door", wish), lambda: editor.add(new)):
        with pytest.raises(ConfigError, match=r"detect.imgsz: .* one size"):
            act()
    assert setup.path.read_text() == text


def test_a_change_made_by_hand_meanwhile_is_not_lost(setup: Setup) -> None:
    version = setup.editor.settings("door").version
    other = FILE.replace("name: fake", "name: other")
    setup.path.write_text(FILE.replace("sinks: [events]", "sinks: []"))
    setup.editor.change("door", form(name="gate", version=version))
    assert "sinks: []" in setup.path.read_text(), "of another section"
    setup.path.write_text(other.replace("transport: udp", "transport: tcp"))
    with pytest.raises(ConflictError):
        setup.editor.change("door", form(name="gate", version=version))
    assert "transport: tcp" in setup.path.read_text()


@pytest.mark.parametrize(
    "text", ["sources: [", "sources: {}\n", FILE.replace("udp", "carrier pigeon"), "sinks: 5\n"]
)
def test_a_broken_file_is_not_written_over(tmp_path: Path, text: str) -> None:
    setup = Setup(tmp_path, text)
    for act in (
        lambda: setup.editor.add(form(address="rtsp://u:pw@10.0.0.9/1")),
        lambda: setup.editor.change("door", form(name="x")),
        lambda: setup.editor.remove("door"),
    ):
        with pytest.raises(ConfigError):
            act()
    assert setup.path.read_text() == text
    assert setup.secrets.read_text() == "DOOR: secret1  # mine\n"


@pytest.mark.parametrize(
    ("act", "error"),
    [
        (lambda e: e.add(form(name="door", address="rtsp://a:b@c/1")), ConflictError),
        (lambda e: e.add(form(name="a\nb", address="rtsp://a:b@c/1")), Exception),
        (lambda e: e.add(form(name="x")), ConfigError),
        (lambda e: e.change("door", form(name="fake")), ConflictError),
        (lambda e: e.change("nothing", form(name="x")), UnknownCameraError),
        (lambda e: e.change("door", form(name="refused")), OutputError),
        (lambda e: e.change("door", form(address="rtsp://10.0.0.5/1?channel=***")), ConfigError),
        (lambda e: e.change("fake", form(address="rtsp://c/1")), ConfigError),
        (lambda e: e.change("door", form(address="file:///etc/passwd")), ConfigError),
        (lambda e: e.change("door", form(user="${DOOR}")), ConfigError),
        (lambda e: e.remove("nothing"), UnknownCameraError),
        (lambda e: e.options(form(address="/etc/passwd"), None), ConfigError),
    ],
)
def test_what_cannot_be_changes_nothing(setup: Setup, act: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        act(setup.editor)
    assert setup.path.read_text() == FILE
    assert setup.secrets.read_text().strip() == "DOOR: secret1  # mine"
    assert sorted(each.name for each in setup.path.parent.iterdir()) == [
        "cams.yaml",
        "secrets.yaml",
    ]


def test_cameras_of_the_command_line_stay_there(tmp_path: Path) -> None:
    setup = Setup(tmp_path, FILE, "rtsp://10.0.0.7/1")
    assert list(setup.urls) == ["10.0.0.7"], "in place of those in the file that is named"
    with pytest.raises(ConfigError, match="command line"):
        setup.editor.add(form(address="rtsp://10.0.0.9/1"))

    file = ConfigFile(None, ["rtsp://10.0.0.7/1"], {"run.output": str(tmp_path / "out")})
    editor = CameraEditor(file, lambda old, new: nullcontext())
    editor.add(form(address="rtsp://10.0.0.9/1"))
    assert [source for source, _ in _made(file)] == ["10.0.0.9", "10.0.0.7"]
    with pytest.raises(ConfigError, match="command line"):
        editor.remove("10.0.0.7")
    again = ConfigFile(None, [], {"run.output": str(tmp_path / "out")})
    assert [source for source, _ in _made(again)] == ["10.0.0.9"], "the next start has it"


def test_a_folder_that_cannot_be_written_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The form was offered, and refused once everything was typed."""
    setup = Setup(tmp_path)
    assert setup.file.fixed is None
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    assert setup.file.fixed == f"{setup.path}: its folder cannot be written to"
    with pytest.raises(ConfigError, match="cannot be written to"):
        setup.editor.add(form(address="rtsp://10.0.0.9/1"))
    assert setup.path.read_text() == FILE


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    setup = Setup(tmp_path / "file" / "below", None)
    with pytest.raises((OutputError, ConfigError)):
        setup.editor.add(form(address="rtsp://10.0.0.9/1"))


def _made(file: ConfigFile) -> list[tuple[str, Any]]:
    return [(s.name, choice) for s, choice in make_sources(resolve_config(file.load()))]
