"""The files in deploy/: what they name exists, and nothing is open that need not be."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.paths import ROOT

from pipeline.cli.main import main

DEPLOY = ROOT / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
SERVICES = COMPOSE["services"]
OURS = ("trackline", "trackline-nvidia")
DASHBOARD = json.loads((DEPLOY / "grafana-dashboard.json").read_text("utf-8"))


def entrypoint() -> list[str]:
    """The command of the container file."""
    text = (DEPLOY / "Containerfile").read_text("utf-8").replace("\\\n", "")
    found = re.search(r"^ENTRYPOINT (\[.*\])$", text, re.MULTILINE)
    assert found
    command: list[str] = json.loads(found[1])
    return command


# -- compose --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_may_do_no_more_than_it_needs(name: str) -> None:
    service = SERVICES[name]
    assert re.search(r":[\w.-]*\w$", service["image"])
    assert not service["image"].endswith(":latest")
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["profiles"]
    assert all(str(port).startswith("127.0.0.1:") for port in service["ports"])


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_mounts_is_there(name: str) -> None:
    for volume in SERVICES[name].get("volumes", ()):
        source = volume.split(":")[0]
        if source.startswith("./"):
            assert source == "./config" or (DEPLOY / source).is_file(), volume
        else:
            assert source in COMPOSE["volumes"], volume
    for secret in SERVICES[name].get("secrets", ()):
        source = secret if isinstance(secret, str) else secret["source"]
        assert COMPOSE["secrets"][source]["file"].startswith("./secrets/")


@pytest.mark.parametrize("name", OURS)
def test_trackline_is_asked_whether_it_works(name: str) -> None:
    assert "http://127.0.0.1:8642/healthz" in SERVICES[name]["healthcheck"]["test"][-1]
    command = entrypoint()
    assert command[command.index("--port") + 1] == "8642"


@pytest.mark.parametrize("name", OURS)
def test_the_command_is_one_that_trackline_knows(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [*entrypoint(), *SERVICES[name]["command"]]
    assert command[0] == "trackline"
    with pytest.raises(SystemExit) as ended:
        main([*command[1:], "--help"])
    assert ended.value.code == 0
    known = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", capsys.readouterr().out))
    assert {each for each in command if each.startswith("-")} <= known


def test_extras_of_the_container_are_extras() -> None:
    tree = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    known = set(tree["project"]["optional-dependencies"])
    extras = SERVICES["trackline-nvidia"]["build"]["args"]["EXTRAS"].split(",")
    assert {"live", "web-push", *extras} <= known
    assert "ARG EXTRAS=live,web-push\n" in (DEPLOY / "Containerfile").read_text("utf-8")


def test_mediamtx_is_to_read_only_from_elsewhere() -> None:
    """Its own command publishes what Trackline shows; nobody else may publish."""
    tree = yaml.safe_load((DEPLOY / "mediamtx.yml").read_text("utf-8"))
    for user in tree["authInternalUsers"]:
        actions = {each["action"] for each in user["permissions"]}
        assert actions == ({"publish"} if user.get("ips") == ["127.0.0.1"] else {"read"})
    command = tree["paths"]["door-boxes"]["runOnDemand"]
    assert "/api/cameras/door/stream.ts -c copy -f rtsp rtsp://127.0.0.1:" in command
    assert SERVICES["mediamtx"]["image"].endswith("-ffmpeg")


def test_the_broker_lets_nobody_in_without_a_password() -> None:
    lines = (DEPLOY / "mosquitto.conf").read_text("utf-8").splitlines()
    assert "password_file /run/secrets/mosquitto_passwords" in lines
    assert "mosquitto_passwords" in SERVICES["mosquitto"]["secrets"]
    assert not any(line.startswith("allow_anonymous") for line in lines)


# -- dashboard ------------------------------------------------------------------------------------


def queries() -> Iterator[str]:
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"]
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["definition"]


def test_panels_have_their_own_ids_and_places() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids)) > 10
    taken = set[tuple[int, int]]()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        mine = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert max(x for x, _ in mine) < 24
        assert not mine & taken, panel["title"]
        taken |= mine


def test_every_query_goes_to_the_chosen_prometheus() -> None:
    assert DASHBOARD["templating"]["list"][0]["type"] == "datasource"
    asking: list[Any] = [
        each
        for panel in DASHBOARD["panels"]
        for each in (panel, *panel.get("targets", ()))
        if panel["type"] != "row"
    ]
    assert {each["datasource"]["uid"] for each in asking} == {"${datasource}"}


def test_every_metric_and_label_of_a_query_exists(tmp_path: Path) -> None:
    """A metric that was renamed leaves an empty panel, which looks like a quiet night."""
    pytest.importorskip("fastapi")
    pytest.importorskip("prometheus_client")
    from prometheus_client.parser import text_string_to_metric_families
    from support.fake_backend import ServerParts

    from pipeline.server.metrics import Metrics

    made = ServerParts(tmp_path)
    made.show(1)
    text = Metrics(made.backend, made.hub, lambda: 0).text().decode()
    suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
    names, labels = set[str](), {"le", "direction", "kind", "area", "class"}
    for family in text_string_to_metric_families(text):
        names |= {family.name + suffix for suffix in suffixes[family.type]}
        labels |= {label for sample in family.samples for label in sample.labels}
    asked = "\n".join(queries())
    assert set(re.findall(r"trackline_\w+", asked)) <= names
    grouped = re.findall(r"by \(([^)]*)\)", asked)
    assert {each.strip() for group in grouped for each in group.split(",")} <= labels
