"""The REST interface: what it answers, that its description is true, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx")

import httpx
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient
from support.fake_backend import CAMERAS, TOKEN, TRIANGLE, ServerParts, serving

from pipeline.core.errors import StoreError

BEARER = {"authorization": f"Bearer {TOKEN}"}
HOST = "http://127.0.0.1:8642"
ZONES = "/api/cameras/yard/zones"


# -- cameras --------------------------------------------------------------------------------------


def test_a_camera_without_a_picture_has_none(client: TestClient) -> None:
    assert client.get("/api/cameras/yard").json()["state"] == "connecting"
    for what in ("tracks", "snapshot.jpg"):
        answer = client.get(f"/api/cameras/yard/{what}")
        assert (answer.status_code, answer.json()) == (404, {"detail": "there is no picture yet"})


@pytest.mark.parametrize(
    "what", ["", "/tracks", "/zones", "/snapshot.jpg", "/stream.mjpg", "/stream.ts"]
)
@pytest.mark.parametrize("name", ["unknown", "..", "%2e%2e%2fetc%2fpasswd", "a%00b", "%ff"])
@pytest.mark.slow
def test_an_unknown_camera_is_404(module_client: TestClient, name: str, what: str) -> None:
    answer = module_client.get(f"/api/cameras/{name}{what}")
    assert answer.status_code == 404
    assert answer.json()["detail"]


def test_a_name_with_a_slash_is_a_name(made: ServerParts, client: TestClient) -> None:
    made.show(5)
    assert "/" in CAMERAS[0]
    assert client.get(f"/api/cameras/{CAMERAS[0]}/tracks").json()["index"] == 5
    assert client.get(f"/api/cameras/{CAMERAS[0]}").json()["name"] == CAMERAS[0]


def test_a_lost_camera_is_tried_at_once(made: ServerParts, client: TestClient) -> None:
    assert client.post(f"/api/cameras/{CAMERAS[0]}/retry").status_code == 204
    assert client.post("/api/cameras/unknown/retry").status_code == 404
    assert made.backend.retried == [CAMERAS[0]]


# -- zones ----------------------------------------------------------------------------------------


def test_zones_are_counted_over_before_they_are_saved(
    made: ServerParts, client: TestClient
) -> None:
    answer = client.post(f"{ZONES}/preview", json={"size": [640, 480], "zones": [TRIANGLE]})
    assert answer.status_code == 200
    assert [(row["area"], row["count"]) for row in answer.json()["counts"]] == [("lawn", 4)]
    assert client.post(f"{ZONES}/preview", json={"zones": [TRIANGLE, TRIANGLE]}).status_code == 422
    assert made.backend.saved == {}


def test_zones_are_saved_and_returned(made: ServerParts, client: TestClient) -> None:
    body = {"size": [640, 480], "zones": [TRIANGLE], "lines": []}
    saved = client.put(ZONES, json=body)
    assert saved.status_code == 200
    assert client.get(ZONES).json() == saved.json()
    assert saved.json()["zones"][0]["name"] == "lawn"
    assert made.backend.saved["yard"].gone_s == 5, "what the page does not know stays"


@pytest.mark.parametrize(
    "body",
    [
        {"zones": [{**TRIANGLE, "name": f"z{n}"} for n in range(65)]},
        {"zones": [{"name": "a", "points": [[n, n * n] for n in range(65)]}]},
        {"zones": [{"name": "a", "points": [[0, 0], [1, 1]]}]},
        {"zones": [{"name": "a", "points": [[0, 0], ["NaN", 1], [5, 5]]}]},
        {"zones": [{"name": "a", "points": [[0, 0], [1e9, 1], [5, 5]]}]},
        {"zones": [{**TRIANGLE, "name": "../../etc/passwd\n"}]},
        {"zones": [TRIANGLE, TRIANGLE]},
        {"zones": [TRIANGLE], "path": "/etc/passwd"},
        [],
    ],
)  # fmt: skip
@pytest.mark.slow
def test_zones_that_cannot_be_are_refused_in_one_line(
    module_made: ServerParts, module_client: TestClient, body: Any
) -> None:
    answer = module_client.put(ZONES, json=body)
    assert answer.status_code == 422
    detail = answer.json()["detail"]
    assert detail
    assert "\n" not in detail
    assert not module_made.backend.saved


def test_a_zones_file_that_cannot_be_written_is_422(made: ServerParts, client: TestClient) -> None:
    made.backend.refuses = "zones.yaml: cannot be written: disk full"
    answer = client.put(ZONES, json={"zones": [TRIANGLE]})
    assert (answer.status_code, answer.json()["detail"]) == (422, made.backend.refuses)


# -- events and clips -----------------------------------------------------------------------------


def test_events_come_in_pages(client: TestClient) -> None:
    first = client.get("/api/events?limit=2").json()["events"]
    assert [event["id"] for event in first] == [5, 4]
    rest = client.get("/api/events?before_id=4").json()["events"]
    assert [event["id"] for event in rest] == [3, 2, 1]


def test_a_clip_is_given_in_parts(tmp_path: Path, client: TestClient) -> None:
    (tmp_path / "1.mp4").write_bytes(bytes(range(100)))
    url = "/api/events/1/clip.mp4"
    whole = client.get(url)
    assert (whole.status_code, len(whole.content)) == (200, 100)
    assert (whole.headers["content-type"], whole.headers["accept-ranges"]) == ("video/mp4", "bytes")
    part = client.get(url, headers={"range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, bytes(range(10, 20)))
    assert part.headers["content-range"] == "bytes 10-19/100"
    assert client.get(url, headers={"range": "bytes=200-"}).status_code == 416
    assert client.get("/api/events/2/clip.mp4").status_code == 404


@pytest.mark.parametrize("number", ["0", "-1", "x", "9" * 40, "1%2f..", "../1", "1e3"])
def test_a_clip_is_found_by_number_only(module_client: TestClient, number: str) -> None:
    assert module_client.get(f"/api/events/{number}/clip.mp4").status_code in (404, 422)


# -- the program ----------------------------------------------------------------------------------


def test_health_is_a_status(made: ServerParts, client: TestClient) -> None:
    assert client.get("/healthz").status_code == 200
    made.backend.ok = False
    assert (client.get("/healthz").status_code, client.get("/healthz").json()) == (
        503,
        {"ok": False, "keeping": False},
    )


def test_a_full_disk_is_reported_with_200(made: ServerParts, client: TestClient) -> None:
    """What restarts an unhealthy program would take the cameras' page away without need."""
    answer = client.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"ok": True, "keeping": False})
    made.backend.kept = None
    assert client.get("/healthz").json() == {"ok": True, "keeping": True}
    assert client.get("/api/deliveries").json()["keeping"] is None


def test_metrics_are_prometheus_text(made: ServerParts, client: TestClient) -> None:
    for index in range(4):
        made.show(index, "yard")
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    found = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    yard = ("camera", "yard")
    assert found["trackline_frames_dropped_total", yard, ("cause", "stale")] == 1
    assert found["trackline_camera_state", yard, ("state", "live")] == 1
    assert found["trackline_age_seconds_count", yard] == 4
    assert found["trackline_age_seconds_bucket", yard, ("le", "0.01")] == 0
    assert found["trackline_age_seconds_bucket", yard, ("le", "0.025")] == 4
    assert found["trackline_stage_seconds_sum", yard, ("stage", "infer")] == pytest.approx(0.016)
    assert found["trackline_queue_frames", yard] == 1
    door = ("target", "webhook:door")
    assert found["trackline_deliveries_total", door] == 7
    assert found["trackline_deliveries_waiting", door] == 12
    assert found["trackline_deliveries_waiting_seconds", door] > 1e8
    assert found["trackline_deliveries_failed", door] == 3
    assert found["trackline_events_kept",] == 0
    assert found["trackline_events_waiting",] == 2
    assert found["trackline_events_lost_total",] == 4
    assert found["trackline_clips_lost_total",] == 5


def test_deliveries_say_what_waits_and_why(client: TestClient) -> None:
    """That a receiver was away could be read in the log only."""
    answer = client.get("/api/deliveries").json()["deliveries"]
    assert [(one["target"], one["waiting"], one["problem"]) for one in answer] == [
        ("webhook:door", 12, "HTTP 503")
    ]


def test_unknown_values_of_a_lost_camera_are_null(made: ServerParts, client: TestClient) -> None:
    """A dashboard showed three people in the yard of a camera that was off since Friday."""
    for camera in CAMERAS:
        made.show(1, camera)
    assert client.get("/api/cameras/yard").json()["tracks"] == 2
    made.backend.lost.add("yard")
    lost = client.get("/api/cameras/yard").json()
    assert (lost["tracks"], lost["next_try_in_s"]) == (None, None)
    lines = client.get("/metrics").text.splitlines()
    for name in ("trackline_tracks", "trackline_zone_inside"):
        cameras = [line for line in lines if line.startswith(f"{name}{{")]
        assert len(cameras) == 1, "that of the camera that is live"
        assert 'camera="yard"' not in cameras[0]


def test_a_database_that_does_not_answer_is_503(made: ServerParts, client: TestClient) -> None:
    def ask(*_: Any) -> Any:
        raise StoreError("events database db: locked")

    made.backend.events = ask  # type: ignore[method-assign]
    answer = client.get("/api/events")
    assert (answer.status_code, answer.json()) == (503, {"detail": "events database db: locked"})
    assert client.get("/api/cameras").status_code == 200


# -- the page's files -----------------------------------------------------------------------------


def test_the_page_is_asked_for_once(client: TestClient) -> None:
    first = client.get("/app.js")
    assert first.headers["content-encoding"] == "gzip"
    again = client.get("/app.js", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get("/app.js", headers={"accept-encoding": "identity"}).text == first.text


# -- the description ------------------------------------------------------------------------------


@pytest.mark.slow
def test_every_route_is_described(made: ServerParts, client: TestClient) -> None:
    tree = client.get("/openapi.json").json()
    for path, methods in tree["paths"].items():
        for method, operation in methods.items():
            where = f"{method} {path}"
            assert operation.get("description"), where
            answers = operation["responses"]
            fine = next(
                answers[status] for status in ("200", "201", "202", "204") if status in answers
            )
            assert "content" in fine or "204" in answers, where
            if path not in ("/healthz", "/api/login", "/api/session"):
                assert operation["security"] == [{"token": []}], where
                assert answers["401"]["content"]["application/json"]["schema"], where
            assert "HTTPValidationError" not in json.dumps(operation), where
            assert "{" not in path or "404" in answers, (
                where
            )  # a name with a line break has no route


@pytest.mark.slow
def test_schemathesis_finds_no_violation(made: ServerParts, tmp_path: Path) -> None:
    """Requests made from the description, valid and not: no crash, nothing undescribed."""
    schemathesis = pytest.importorskip("schemathesis")
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import strategies as st
    from schemathesis import GenerationMode
    from schemathesis.specs.openapi.checks import positive_data_acceptance

    (tmp_path / "1.mp4").write_bytes(bytes(1000))
    made.show(1)
    seen = set()
    with serving(made) as address:
        tree = httpx.get(f"{address}/openapi.json", headers=BEARER, timeout=60).json()
        for methods in tree["paths"].values():
            for each in methods.values():
                each.pop("security", None)  # the walk over every route in test_security.py
        schema = schemathesis.openapi.from_dict(tree)
        schema.config.update(base_url=address)
        refusals = schema.config.checks.negative_data_rejection
        refusals.expected_statuses = [*refusals.expected_statuses, "413"]
        for result in schema.get_all_operations():
            operation = result.ok()
            if "/stream." in operation.path or "logout" in operation.path:
                continue  # never ends; ends the session
            seen.add(operation.label)
            valid_or_not = st.one_of(*(operation.as_strategy(mode) for mode in GenerationMode))

            @settings(
                max_examples=8, deadline=None, database=None, derandomize=True,
                phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck),
            )  # fmt: skip
            @given(case=valid_or_not)
            def check(case: Any) -> None:
                # JSON schema cannot say what a picture is, that no polygon crosses itself, or
                # that a point lies on a curve.
                uploads = (
                    "/api/images", "/api/videos", "/api/cameras", "/api/cameras/test",
                    "/api/push/subscriptions",
                )  # fmt: skip
                unsayable = case.path in uploads or case.path.endswith("/preview")
                beyond_schema = case.method == "PUT" or unsayable
                unsaid = [positive_data_acceptance] if beyond_schema else []
                case.call_and_validate(headers=BEARER, excluded_checks=unsaid)

            check()
    assert len(seen) >= 15
