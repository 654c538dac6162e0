"""The sink as a whole: kills, a database that goes away, what it costs, what it says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.event_results import START, UTC, event, result, run_info
from support.event_servers import eventually, postgres, webhook
from support.paths import ROOT, SUPPORT

from pipeline.config.build import build, effective
from pipeline.config.resolve import resolve_config
from pipeline.config.schema import load_config
from pipeline.core.errors import ConfigError, OutputError, StageError
from pipeline.core.secret_types import SecretUrl
from pipeline.events.delivery.outbox import Outbox
from pipeline.events.store.records import EventQuery, EventRecord
from pipeline.events.store.store import EventStore
from pipeline.sinks import events as plugin
from pipeline.sinks._mp4 import Mp4Writer


def started(output: Path, url: str, first: int, count: int) -> subprocess.Popen[str]:
    path = os.pathsep.join([str(SUPPORT), str(SUPPORT.parent)])
    return subprocess.Popen(
        [
            sys.executable,
            str(SUPPORT / "event_program.py"),
            str(output),
            url,
            str(first),
            str(count),
        ],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )


@pytest.mark.parametrize("by_s", [-3600, 3600])
def test_events_are_stored_with_the_time_of_the_system_clock(
    by_s: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small computer starts years off, until it finds a time server: with a start's offset, all
    events of that run would lie in 1970, and the last hours on the page be empty."""
    real = time.time
    sink = plugin.build(plugin.Options())
    sink.open(run_info(tmp_path, "gate"))
    sink.write(result(1, event(1)))
    monkeypatch.setattr(time, "time", lambda: real() + by_s)
    sink.write(result(2, event(2)))
    store = sink.store
    assert store is not None
    eventually(lambda: len(store.query()) == 2, "both kept")
    after, before = (kept.time for kept in sorted(store.query(), key=lambda kept: -kept.index))
    sink.close()
    assert after - before == pytest.approx(by_s + 0.1, abs=1)


@pytest.mark.slow
def test_kills_lose_nothing_that_was_kept_and_double_nothing_unmarked(tmp_path: Path) -> None:
    """Killed -9 three times while it keeps, records and delivers, against a server that fails."""
    kept: set[int] = set()
    with webhook() as hook:
        for round_number in range(3):
            hook.answers = [204, 500, 204]
            before = len(hook.requests)
            program = started(tmp_path, hook.url, 1000 * round_number, 1000)
            assert program.stdout is not None
            while len(hook.requests) < before + 4 + 3 * round_number:
                line = program.stdout.readline()
                assert line.startswith("kept"), f"ended by itself: {line!r}"
                kept.add(int(line.split()[1]))
            program.kill()
            rest = program.stdout.read().splitlines()
            kept.update(int(line.split()[1]) for line in rest if line.startswith("kept "))
            program.wait()
        hook.answers = []
        last = started(tmp_path, hook.url, 9000, 10)
        assert last.stdout is not None
        assert last.stdout.read().splitlines()[-1] == "closed"
        assert last.wait() == 0
        # What a short end left waiting is delivered by whoever comes next.
        sink = plugin.build(
            plugin.Options(webhooks=[{"url": hook.url, "name": "test", "secret": "key"}])  # type: ignore[list-item]
        )
        sink.open(run_info(tmp_path, "gate"))
        store = sink.store
        assert store is not None
        outbox = Outbox(store, "webhook:test")
        eventually(lambda: set(outbox.states()) == {"sent"}, "everything delivered")
        sink.close()
    stored = {one.track_id: one.uid for one in store.query(EventQuery(limit=10_000))}
    assert kept <= set(stored)
    assert len(kept) > 30
    heard: Counter[str] = Counter()
    for headers, _ in hook.requests:
        uid = headers["webhook-id"]
        heard[uid] += 1
        assert heard[uid] == 1 or int(headers["trackline-attempt"]) > 1, "twice, and unmarked"
    told = {json.loads(body)["uid"] for _, body in hook.requests}
    assert told == set(stored.values()), "lost, or delivered and not kept"
    of_clips = {uid.removesuffix("-clip") for uid in heard if uid.endswith("-clip")}
    assert of_clips == {one.uid for one in store.query(EventQuery(limit=10_000)) if one.clip}
    assert store.unfinished_clips() == []
    files = set((tmp_path / "clips").rglob("*.mp4"))
    assert {
        store.clip_path(one.id) for one in store.query(EventQuery(limit=10_000)) if one.clip
    } <= files


@pytest.mark.slow
def test_a_database_that_goes_away_costs_no_event_and_no_time(tmp_path: Path) -> None:
    with postgres() as cluster:
        sink = plugin.build(plugin.Options(database=SecretUrl(cluster.url), clips=False))
        sink.open(run_info(tmp_path, "gate"))
        store = sink.store
        assert store is not None
        sink.write(result(0, event(0)))
        eventually(lambda: len(store.query()) == 1, "the first")
        cluster.stop()
        for index in range(1, 200):
            sink.write(result(index, event(index)))  # would wait for ever: nobody starts it before
        cluster.start()
        eventually(lambda: len(store.query(EventQuery(limit=300))) == 200, "all events")
        sink.close()


@pytest.mark.slow
def test_events_of_cameras_kept_by_others_are_delivered_too(tmp_path: Path) -> None:
    """The live server keeps "lost" and "live" through a store of its own."""
    with webhook() as hook:
        options = plugin.Options(webhooks=[{"url": hook.url, "kinds": ["lost"]}])  # type: ignore[list-item]
        sink = plugin.build(options)
        sink.open(run_info(tmp_path, "gate"))
        server = EventStore(str(tmp_path / "events.db"), tmp_path / "clips")
        kinds = ("lost", "live")
        server.add([EventRecord(time=time.time(), kind=kind, camera="gate") for kind in kinds])
        eventually(lambda: hook.requests, "the event")
        sink.close()
    assert [json.loads(body)["kind"] for _, body in hook.requests] == ["lost"]


@pytest.mark.slow
def test_what_waits_from_the_last_run_is_delivered_without_a_new_event(tmp_path: Path) -> None:
    with webhook() as hook:
        hook.usual = 500
        options = plugin.Options(webhooks=[{"url": hook.url}])  # type: ignore[list-item]
        for attempt in range(2):
            sink = plugin.build(options)
            sink.open(run_info(tmp_path, "gate"))
            if attempt == 0:
                sink.write(result(0, event(0)))
                eventually(lambda: hook.requests, "the first try")
            else:
                eventually(lambda: len(hook.requests) > 1, "the second try")
            sink.close()
            hook.usual = 204
    assert len(set(hook.uids)) == 1


@pytest.mark.slow
def test_undelivered_events_are_reported_without_secrets(tmp_path: Path) -> None:
    """Only the log said that a receiver was down; what waits and what failed must be asked for."""
    with webhook() as hook:
        hook.answers = [404]
        hook.usual = 503
        url = f"http://user:hunter2@127.0.0.1:{hook.port}/hunter2?key=hunter2"
        options = plugin.Options(webhooks=[{"url": url, "name": "door"}], clips=False)  # type: ignore[list-item]
        sink = plugin.build(options)
        assert sink.delivery_status() == []
        sink.open(run_info(tmp_path, "gate"))
        for index in range(3):
            sink.write(result(index, event(index)))
        counts = lambda: [(s.queue.waiting, s.queue.failed) for s in sink.delivery_status()]  # noqa: E731
        eventually(lambda: counts() == [(2, 1)], "one refused, two waiting")
        eventually(lambda: sink.delivery_status()[0].problem, "why")
        (door,) = sink.delivery_status()
        assert (door.target, door.problem, door.delivered) == ("webhook:door", "HTTP 503", 0)
        assert door.queue.failure == "HTTP 404"
        assert door.queue.waiting_since == pytest.approx(UTC + START + 0.1, abs=0.01)
        assert door.queue.failed_at is not None
        assert door.address == f"http://***@127.0.0.1:{hook.port}/***"
        assert "hunter2" not in repr(door)
        hook.usual = 204
        eventually(lambda: counts() == [(0, 1)], "the others, later")
        assert [(s.delivered, s.problem) for s in sink.delivery_status()] == [(2, "")]
        sink.close()
        assert sink.delivery_status() == []


def test_the_database_and_the_encoder_have_threads_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `write` does on its thread is a small JPEG."""
    worked: dict[str, set[str]] = {"add": set(), "encode": set()}

    def noted(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            worked[name].add(threading.current_thread().name)
            return work(*arguments)

        return call

    monkeypatch.setattr(EventStore, "add", noted("add", EventStore.add))
    monkeypatch.setattr(Mp4Writer, "encode", noted("encode", Mp4Writer.encode))
    sink = plugin.build(plugin.Options())
    sink.open(run_info(tmp_path, "gate"))
    for index in range(20):
        sink.write(result(index, event(index), size=(720, 1280)))
    sink.close()
    assert all(worked.values()), worked
    assert threading.current_thread().name not in worked["add"] | worked["encode"]
    assert not worked["add"] & worked["encode"]


def test_a_thread_that_fails_fails_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = plugin.build(plugin.Options(clips=False))
    sink.open(run_info(tmp_path, "gate"))

    def broken(*records: object) -> None:
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr(sink.store, "add", broken)
    sink.write(result(0, event(0)))

    def raises() -> bool:
        try:
            sink.write(result(0))
        except StageError as error:
            return "a mistake of ours" in str(error)
        return False

    eventually(raises, "the failure")
    sink.close()


@pytest.mark.parametrize(
    ("options", "kind", "text"),
    [
        ({"database": "mysql://u:hunter2@h/d"}, ConfigError, "want a file's path"),
        ({"database": "postgresql://u:hunter2@127.0.0.1:1/d"}, OutputError, "127.0.0.1"),
        ({"database": "/no/such/folder/events.db"}, OutputError, "/no/such/folder"),
        (
            {"webhooks": [{"url": "http://h/hunter2"}, {"url": "http://h/hunter2"}]},
            ConfigError,
            "same name or address",
        ),
    ],
)
def test_what_cannot_work_is_one_line_at_the_start_and_leaves_nothing(
    tmp_path: Path, options: dict[str, object], kind: type[Exception], text: str
) -> None:
    sink = plugin.build(plugin.Options(**options))  # type: ignore[arg-type]
    with pytest.raises(kind, match=text) as caught:
        sink.open(run_info(tmp_path / "out", "gate"))
    sink.close()
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_the_options_show_no_secret(tmp_path: Path) -> None:
    """They are written into report.json, and printed by `trackline check`."""
    options = plugin.Options(
        database=SecretUrl("postgresql://u:hunter2@h/d"),
        webhooks=[{"url": "https://h/hunter2", "secret": "hunter2", "authorization": "hunter2"}],  # type: ignore[list-item]
    )
    shown = f"{options.model_dump(mode='json')} {options.model_dump_json()} {options!r}"
    assert "hunter2" not in shown
    assert "postgresql://u:***@h/d" in shown


def test_passwords_come_from_the_environment_or_the_secrets_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sink gets the values; what is shown of the configuration keeps their names."""
    (tmp_path / "secrets.yaml").write_text("DB_PASSWORD: hunter2\n")
    (tmp_path / "secrets.yaml").chmod(0o600)
    (tmp_path / "run.yaml").write_text(
        "sources: [{kind: synthetic}]\n"
        "sinks:\n"
        "- kind: events\n"
        "  database: postgresql://u:${DB_PASSWORD}@127.0.0.1:1/d\n"
        "  mqtt: {host: h, username: u, password: '${MQTT_PASSWORD}'}\n"
    )
    monkeypatch.setenv("MQTT_PASSWORD", "hunter3")
    config = load_config(tmp_path / "run.yaml")
    given: list[plugin.Options] = []
    with monkeypatch.context() as patched:
        patched.setattr(plugin, "build", given.append)
        build(resolve_config(config))
    assert given[0].mqtt is not None
    assert given[0].mqtt.password == "hunter3"
    assert given[0].database is not None
    assert given[0].database.reveal() == "postgresql://u:hunter2@127.0.0.1:1/d"
    shown = str(effective(resolve_config(config)))
    assert "hunter" not in shown
    assert "u:${DB_PASSWORD}@" in shown
    assert "'${MQTT_PASSWORD}'" in shown
    monkeypatch.delenv("MQTT_PASSWORD")
    with pytest.raises(ConfigError, match=r"sinks\.0\.mqtt: '\$\{MQTT_PASSWORD\}'"):
        build(resolve_config(config))


@pytest.mark.slow
def test_without_the_extra_the_error_says_how_to_get_it(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "sys.modules['sqlalchemy'] = None\n"
        "from pathlib import Path\n"
        "from pipeline.core.errors import MissingExtraError\n"
        "from pipeline.core.interfaces import RunInfo\n"
        "from pipeline.sinks import events\n"
        "sink = events.build(events.Options())\n"
        "try: sink.open(RunInfo(Path(sys.argv[1]), {}, {}, 0.0))\n"
        "except MissingExtraError as error: print(error)\n"
        "sink.close()\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.startswith("events: needs SQLAlchemy: ")
    assert done.stdout.endswith("install -e '.[live]'\n")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "events.db").write_text("my diary\n" * 1000)
    sink = plugin.build(plugin.Options())
    with pytest.raises(OutputError, match="not a database"):
        sink.open(run_info(tmp_path, "gate"))
    sink.close()
    assert (tmp_path / "events.db").read_text().startswith("my diary")


def test_two_programs_never_share_a_database(tmp_path: Path) -> None:
    """The second would finish clips that the first still records, and deliver its events."""
    first, second = plugin.build(plugin.Options()), plugin.build(plugin.Options())
    first.open(run_info(tmp_path, "gate"))
    try:
        with pytest.raises(OutputError, match=r"events\.db: another Trackline keeps its events"):
            second.open(run_info(tmp_path, "gate"))
        second.close()
        assert first.store is not None
        assert first.store.query() == []
    finally:
        first.close()
    second.open(run_info(tmp_path, "gate"))
    second.close()
    assert not tmp_path.exists() or list(tmp_path.iterdir()) == []
