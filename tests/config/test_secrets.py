"""No password is shown anywhere: not in files, errors, log lines, or what a command prints."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import rtsp_server
from support.rtsp_server import Camera
from support.tiny_networks import constant_network

from pipeline.cli import main as cli
from pipeline.config.build import build, effective, make_sources
from pipeline.config.resolve import resolve_config
from pipeline.config.schema import Config, load_config
from pipeline.config.secrets import (
    FILE_NAME,
    Secrets,
    UnknownSecretError,
    read_secrets,
    save_secret,
)
from pipeline.core.errors import ConfigError, SourceError, SourceLostError
from pipeline.core.options import validated
from pipeline.core.secret_masking import masked
from pipeline.core.secret_types import SecretUrl
from pipeline.sources import stream

pytestmark = pytest.mark.timeout(60)

PASSWORD = "hun%40ter2"
SPOKEN = "hun@ter2"
"""The password as a person writes it; PASSWORD is that within an address."""


def assert_hidden(text: str, *also: str) -> None:
    for secret in (PASSWORD, SPOKEN, "ter2", *also):
        assert secret not in text


# -- what is masked -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtsp://admin:hunter2@cam:554/1", "rtsp://admin:***@cam:554/1"),
        ("rtsp://hunter2@cam/1", "rtsp://***@cam/1"),
        ("rtsp://cam/1", "rtsp://cam/1"),
        ("rtsp://admin:hun@ter/2@cam/1", "rtsp://admin:***@cam/1"),
        ("rtsp://admin:hunter2@", "rtsp://admin:***@"),
        ("'rtsp://admin:hun'ter2@cam/1' is down", "'rtsp://admin:***@cam/1' is down"),
        ("http://cam/a?user=x&pwd=hunter2", "http://cam/a?user=***&pwd=***"),
        ("http://cam/a?hunter2 not there", "http://cam/a?*** not there"),
        ("http://cam/a?pwd=a@b", "http://***@***"),
        ("rtsp://cam/user=admin_password=hunter2_channel=1", "rtsp://cam/user=admin_password=***_channel=1"),
        ("rtsp://cam/user=admin_password=hun@hunter2_channel=1", "rtsp://***@***"),
        ("https://host/m.onnx?token=hunter2#sha256=ab", "https://host/m.onnx?token=***#sha256=ab"),
        ("rtsp://admin:${CAM}@cam/1?t=${T}", "rtsp://admin:${CAM}@cam/1?t=${T}"),
        ("a rtsp://u:p1@h/1, then http://u:p2@h", "a rtsp://u:***@h/1, then http://u:***@h"),
        ("conf=0.3, see https://host/path", "conf=0.3, see https://host/path"),
        ("GET /snap?cam_key=hunter2&n=1 failed", "GET /snap?cam_key=***&n=1 failed"),
        ("password=$hunter2, token=${A_B}/x", "password=*** token=${A_B}/x"),
        ("pwd=${A}hunter2", "pwd=***"),
        ("token=abc/hunter2", "token=***"),
        ("token=ab+c/hunter_2== is old", "token=*** is old"),
        ("rtsp://cam/token=hun/ter=_channel=1", "rtsp://cam/token=***_channel=1"),
        ("rtsp://cam/password=s3cr_et_channel=1/x", "rtsp://cam/password=***_channel=1/x"),
        ("rtsp://cam/password=s3c/r_et/user=a", "rtsp://cam/password=***/user=a"),
        ("password=s3cr_et_api_key=hunter2_x=", "password=***_api_key=***"),
        ("1rtsp://admin:hunter2@cam/1", "1rtsp://admin:***@cam/1"),
    ],
)  # fmt: skip
def test_masked(text: str, shown: str) -> None:
    assert masked(text) == shown
    assert masked(shown) == shown


def test_an_address_shows_its_password_only_when_asked_for() -> None:
    url = SecretUrl("rtsp://admin:hun ter2'@cam/1")
    options = stream.Options(url="rtsp://admin:hunter2@cam/1")
    for text in (str(url), repr(url), f"{url}", repr(options), str(options)):
        assert "ter2" not in text
    assert "hunter2" not in options.model_dump_json()
    assert options.url.reveal() == "rtsp://admin:hunter2@cam/1"
    assert options == stream.Options(url="rtsp://admin:hunter2@cam/1")
    assert options != stream.Options(url="rtsp://admin:another@cam/1")


def test_errors_and_log_lines_mask_by_themselves() -> None:
    address = "rtsp://admin:hunter2@cam/1"
    assert_hidden(str(SourceLostError(f"'{address}' is down")), "hunter2")
    record = logging.LogRecord("trackline", 30, "", 0, "cannot open %s", (address,), None)
    assert_hidden(cli.MaskingFormatter().format(record), "hunter2")


# -- where they come from -------------------------------------------------------------------------


def written(folder: Path, sources: Any, secrets: str | None = None) -> Path:
    path = folder / "cameras.yaml"
    path.write_text(json.dumps({"sources": sources, "sinks": ["csv"]}))
    if secrets is not None:
        file = folder / "secrets.yaml"
        file.write_text(secrets)
        file.chmod(0o600)
    return path


def address_of(config: Config) -> str:
    """Return what the only source connects to."""
    ((_, choice),) = make_sources(resolve_config(config))
    return str(choice.options["url"])


@pytest.mark.parametrize(
    "source",
    [
        "rtsp://admin:${CAM_PW}@cam/1?t=${CAM_PW}",
        {"source": "rtsp://admin:${CAM_PW}@cam/1?t=${CAM_PW}", "name": "door"},
        {"kind": "stream", "url": "rtsp://admin:${CAM_PW}@cam/1?t=${CAM_PW}"},
    ],
)
@pytest.mark.parametrize("place", ["environment", "file"])
def test_a_password_from_elsewhere_is_used_and_its_place_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: Any, place: str
) -> None:
    monkeypatch.delenv("CAM_PW", raising=False)
    if place == "environment":
        monkeypatch.setenv("CAM_PW", SPOKEN)
    file = f"CAM_PW: '{SPOKEN}'\n" if place == "file" else None
    config = load_config(written(tmp_path, [source], file))
    assert address_of(config) == f"rtsp://admin:{PASSWORD}@cam/1?t={PASSWORD}"
    shown = json.dumps(effective(resolve_config(config)))
    assert "rtsp://admin:${CAM_PW}@cam/1?t=${CAM_PW}" in shown
    assert_hidden(shown + repr(config))


def test_a_whole_address_and_a_host_may_come_from_elsewhere() -> None:
    secrets = Secrets({"CAM": "rtsp://admin:hunter2@cam:554/1", "HOST": "cam:554", "PIN": "0123"})
    assert secrets.filled("${CAM}") == "rtsp://admin:hunter2@cam:554/1"
    assert secrets.filled("rtsp://${HOST}/1") == "rtsp://cam:554/1"
    assert secrets.filled("rtsp://a:${PIN}@${HOST}/1") == "rtsp://a:0123@cam:554/1"
    assert secrets.filled({"a": ["${PIN}", 3]}) == {"a": ["0123", 3]}
    assert secrets.filled("$${PIN} $PIN {PIN}") == "${PIN} $PIN {PIN}"
    with pytest.raises(UnknownSecretError, match=r"\$\{NO_SUCH_NAME\}"):
        secrets.filled("${NO_SUCH_NAME}")


def test_a_whole_address_from_the_environment_is_a_camera(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAM_URL", "rtsp://admin:hunter2@cam:554/1")
    config = load_config(written(tmp_path, ["${CAM_URL}"]))
    assert address_of(config) == "rtsp://admin:hunter2@cam:554/1"
    assert [*build(resolve_config(config)).stats.sources] == ["cam"]
    assert "hunter2" not in json.dumps(effective(resolve_config(config)))


def test_what_is_wrong_with_secrets_is_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAD_URL", "rstp://admin:hunter2@cam/1")
    for source, told in [
        ({"kind": "stream", "url": "rtsp://a:${NO_PW}@cam/1"}, r"sources\.0\.url: '\$\{NO_PW\}'"),
        ({"kind": "stream", "url": "${BAD_URL}"}, r"sources\.0\.url: want an address"),
        ("clip-${NO_PW}.mp4", r"sources\.0: '\$\{NO_PW\}'"),
    ]:
        with pytest.raises(ConfigError, match=told) as caught:
            build(resolve_config(load_config(written(tmp_path, [source], "PIN: 0123"))))
        assert "hunter2" not in str(caught.value)
    path = written(tmp_path, ["rtsp://cam/1"], "CAM:\n  password: hunter2\n")
    with pytest.raises(ConfigError, match=r"secrets\.yaml: CAM: want text, got") as caught:
        load_config(path)
    assert "hunter2" not in str(caught.value)
    for secrets in ("CAM: *hunter2\n", "hunter2", "- hunter2"):
        written(tmp_path, ["rtsp://cam/1"], secrets)
        with pytest.raises(ConfigError, match="want lines of KEY: VALUE") as caught:
            load_config(path)
        assert "hunter2" not in str(caught.value)
    written(tmp_path, ["rtsp://cam/1"], "PIN: 0123")
    (tmp_path / "secrets.yaml").chmod(0o644)
    load_config(path)
    assert "other users can read it" in caplog.text


def test_an_unfilled_placeholder_is_no_address() -> None:
    with pytest.raises(SourceError, match=r"placeholder"):
        stream.build(stream.Options(url="rtsp://a:${CAM_PW}@cam/1"))


def test_other_mistakes_in_a_source_do_not_show_its_address() -> None:
    for tree in [
        {"sources": [{"kind": "stream", "url": "rtsp://a:hunter2@cam/1", "transport": "tpc"}]},
        {"sources": "rtsp://a:hunter2@cam/1"},
        {"sources": [{"kind": "file", "path": "rtsp://a:hunter2@cam/1", "threads": "two"}]},
        {"sources": [{"kind": "stream", "url": ["rtsp://a:hunter2@cam/1"]}]},
        {"detector": {"model": "https://a:hunter2@host/x.onnx", "conf": 7}, "sources": ["a.mp4"]},
    ]:
        with pytest.raises(ConfigError) as caught:
            build(resolve_config(validated(Config, tree, "")))
        assert "hunter2" not in str(caught.value)


# -- a whole run ----------------------------------------------------------------------------------


def run(*arguments: str | Path) -> tuple[int, str]:
    """Run the command in a process of its own and return its exit code and all it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", *map(str, arguments)],
        capture_output=True, text=True, timeout=50, cwd=Path(cli.__file__).parent.parent,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def network(tmp_path: Path) -> Path:
    one_box = np.array([[32], [24], [20], [10], [0.9], [0.0]], np.float32)[None]
    return constant_network(
        tmp_path / "one.onnx", one_box, metadata={"names": "{0: 'person', 1: 'car'}"}
    )


@pytest.mark.slow
def test_a_run_leaves_no_password_in_anything_it_writes(tmp_path: Path, network: Path) -> None:
    """Every file and every line printed is searched, the log of a lost camera included."""
    out = tmp_path / "out"
    with rtsp_server.running(Camera(login=("Digest", "admin", SPOKEN))) as camera:
        url = camera.url.replace("rtsp://", f"rtsp://admin:{PASSWORD}@") + "?token=query-secret"
        code, printed = run(
            "run", url, "--model", network, "-o", out, "--save", "video,csv,jsonl,mot",
            "--max-frames", "10", "--debug",
        )  # fmt: skip
        assert code == 0, printed
        _, wrong = run("check", written(tmp_path, [url]), "--debug")
    files = [file for file in out.rglob("*") if file.is_file()]
    assert {file.suffix for file in files} >= {".json", ".jsonl", ".csv", ".mp4", ".txt"}
    assert all("127.0.0.1" in text for text in (wrong, (out / "report.json").read_text()))
    for text in (printed, wrong, *(file.read_bytes().decode("latin-1") for file in files)):
        assert_hidden(text, "query-secret")
    assert not any("ter2" in file.name for file in files)


@pytest.mark.slow
@pytest.mark.parametrize("password", ["no-secret", "hunter2"])
def test_failures_do_not_show_it_either(tmp_path: Path, network: Path, password: str) -> None:
    url = f"rstp://admin:{password}@127.0.0.1:9/1"
    code, printed = run("run", url, "--model", network, "-o", tmp_path / "out", "--debug")
    assert code == 2
    assert "want an address that begins with rtsp://" in printed
    assert password not in printed


def test_a_models_address_is_reported_without_its_token(tmp_path: Path) -> None:
    tree = {"sources": ["a.mp4"], "detector": {"model": "https://host/m.onnx?token=hunter2"}}
    assert "hunter2" not in json.dumps(effective(resolve_config(validated(Config, tree, ""))))


@pytest.mark.parametrize(
    "before", [None, "", "# mine\nA: x  # kept\nB: 'y'", "{}", "A: >\n  x\n  y\n"]
)
@pytest.mark.parametrize("value", ["p@ss/w${A}rd", "no", "", "a: b # \"c'", "ünï\n", "\U0001f600"])
def test_a_secret_is_saved_for_its_owner_alone(
    tmp_path: Path, before: str | None, value: str
) -> None:
    """All else in the file stays as it is; what is read is what was saved."""
    path = tmp_path / FILE_NAME
    if before is not None:
        path.write_text(before)
        path.chmod(0o644)
    if before == "{}":
        with pytest.raises(ConfigError, match="one KEY per line"):
            save_secret(path, "CAM", value)
        return
    save_secret(path, "CAM", "old")
    save_secret(path, "CAM", value)
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_secrets(path).filled("${CAM}") == value
    assert (before or "") in path.read_text()
    save_secret(path, "CAM", None)
    assert path.read_text().rstrip("\n") == (before or "").rstrip("\n")
