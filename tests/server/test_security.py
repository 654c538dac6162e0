"""SecurityMiddleware: token, sessions, failed attempts, origins, host names, headers."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx")

from starlette.routing import Mount, WebSocketRoute
from starlette.testclient import TestClient, WebSocketDenialResponse
from support.fake_backend import CAMERAS, TOKEN, TRIANGLE, ServerParts

from pipeline.server.routes.system import without_secrets

HOST = "127.0.0.1:8642"
WS = f"ws://{HOST}"
BEARER = {"authorization": f"Bearer {TOKEN}"}
CSRF = {"x-trackline": "1"}
ZONES = "/api/cameras/yard/zones"


def client_of(made: ServerParts, address: str = "127.0.0.1", host: str = HOST) -> TestClient:
    return TestClient(made.app, base_url=f"http://{host}", client=(address, 50000))


@pytest.fixture
def made(tmp_path: Path) -> ServerParts:
    return ServerParts(tmp_path)


@pytest.fixture
def client(made: ServerParts) -> Iterator[TestClient]:
    with client_of(made) as client:
        yield client


@pytest.fixture
def module_client(module_made: ServerParts) -> TestClient:
    """A client without a token, of the server of this file."""
    return client_of(module_made)


@pytest.fixture(scope="module")
def module_open(tmp_path_factory: pytest.TempPathFactory) -> ServerParts:
    return ServerParts(tmp_path_factory.mktemp("open"), token=None)


@pytest.fixture
def open_client(module_open: ServerParts) -> TestClient:
    """Server without a token: open to clients on this machine."""
    return client_of(module_open)


# -- every route ----------------------------------------------------------------------------------


def walk(routes: Any) -> Iterator[Any]:
    """Every route, those of included routers too."""
    for route in routes:
        inner = getattr(route, "routes", None) or getattr(
            getattr(route, "original_router", None), "routes", None
        )
        if isinstance(route, Mount) or inner:
            yield from walk(inner)
        else:
            yield route


OPEN = {"/healthz", "/api/login", "/api/session", "/", "/index.html", "/app.js"}


@pytest.mark.slow
def test_every_route_wants_a_token(made: ServerParts, client: TestClient) -> None:
    """A new route is closed unless its path is in the list of open ones."""
    app: Any = made.app.app
    routes = list(walk(app.routes))
    paths = {route.path for route in routes}
    assert len(paths) > 15, "the walk sees nothing"
    assert {"/openapi.json", "/metrics", "/api/ws", "/api/config"} <= paths
    for route in routes:
        path = route.path.replace("{name:path}", "yard").replace("{event_id}", "1")
        path = path.replace("{job_id}", "x")
        if isinstance(route, WebSocketRoute) or not hasattr(route, "methods"):
            with (
                pytest.raises(WebSocketDenialResponse) as denied,
                client.websocket_connect(WS + path),
            ):
                pass
            assert denied.value.status_code == 401
            continue
        for method in {*route.methods, "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"}:
            status = client.request(method, path, headers=CSRF).status_code
            assert (status == 401) == (path not in OPEN), f"{method} {path}: {status}"


@pytest.mark.parametrize(
    "path",
    ["/api/cameras/", "//api/cameras", "/healthz/", "/healthz/../api/config", "/API/CAMERAS",
     "/%61pi/cameras", "/api/session/../cameras", "/index.html/../api/config", "/app.js%2f..%2fapi",
     "/../pyproject.toml", "/page/../options.py", "/.hidden"],
)  # fmt: skip
def test_other_spellings_of_open_paths_are_closed(module_client: TestClient, path: str) -> None:
    assert module_client.get(path).status_code == 401


def test_every_answer_has_the_headers(client: TestClient) -> None:
    for path in ("/", "/api/cameras", "/api/session", "/nothing"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == ("no-store" if "/api" in path else "no-cache")


# -- tokens and sessions --------------------------------------------------------------------------


def test_a_session_lasts_until_logout(client: TestClient) -> None:
    answer = client.post("/api/login", json={"token": TOKEN})
    assert answer.status_code == 204
    cookie = answer.headers["set-cookie"].lower()
    for part in ("httponly", "samesite=strict", "path=/", "max-age=604800"):
        assert part in cookie
    assert "secure" not in cookie
    assert client.get("/api/session").json()["signed_in"] is True
    assert client.get("/api/cameras").status_code == 200
    secret = client.cookies.get("trackline_0")
    assert client.post("/api/logout", headers=CSRF).status_code == 204
    client.cookies.set("trackline_0", secret or "")
    assert client.get("/api/cameras").status_code == 401, "the server forgets, not only the browser"


def test_a_cookie_of_https_is_secure(made: ServerParts) -> None:
    with TestClient(made.app, base_url=f"https://{HOST}") as client:
        answer = client.post("/api/login", json={"token": TOKEN})
        assert "secure" in answer.headers["set-cookie"].lower()


def test_a_session_expires(made: ServerParts, client: TestClient) -> None:
    client.post("/api/login", json={"token": TOKEN})
    now = made.clock()
    made.clock = lambda: now + 7 * 24 * 3600 + 1
    assert client.get("/api/cameras").status_code == 401


@pytest.mark.parametrize(
    "header", ["Bearer wrong", "Bearer", "Basic abc", "Bearer ä", f"Token {TOKEN}", TOKEN]
)
def test_a_wrong_token_is_refused(client: TestClient, header: str) -> None:
    headers = {"authorization": header.encode("latin-1")}
    assert client.get("/api/cameras", headers=headers).status_code == 401


def test_failed_attempts_are_limited_per_client(made: ServerParts, client: TestClient) -> None:
    for _ in range(5):
        assert client.post("/api/login", json={"token": "guess"}).status_code == 401
    answer = client.post("/api/login", json={"token": TOKEN})
    assert answer.status_code == 429
    assert 0 < int(answer.headers["retry-after"]) <= 61
    with client_of(made, "192.168.1.9") as other:
        assert other.post("/api/login", json={"token": TOKEN}).status_code == 204
    now = made.clock()
    made.clock = lambda: now + 61
    assert client.post("/api/login", json={"token": TOKEN}).status_code == 204


@pytest.mark.parametrize("path", ["/api/cameras", "/metrics", "/api/cameras/yard/snapshot.jpg"])
def test_wrong_bearer_tokens_are_limited_without_locking_others_out(
    made: ServerParts, client: TestClient, path: str
) -> None:
    """A program with last year's token, behind the same proxy, locked out all others."""
    made.show(1, "yard")
    for _ in range(5):
        assert client.get(path, headers={"authorization": "Bearer x"}).status_code == 401
    assert client.get(path, headers={"authorization": "Bearer x"}).status_code == 429
    assert client.get(path, headers=BEARER).status_code == 200


def basic(password: str, user: str = "any") -> dict[str, str]:
    return {"authorization": f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_pictures_accept_the_token_as_a_basic_password(
    made: ServerParts, client: TestClient, method: str
) -> None:
    """Home automation and players know no Bearer: name and password are all one can give them."""
    made.show(1, "yard")
    path = "/api/cameras/yard/snapshot.jpg"
    asked = client.request(method, path)
    assert asked.status_code == 401
    assert asked.headers["www-authenticate"].startswith("Basic ")
    assert client.request(method, path, headers=basic("wrong")).status_code == 401
    assert client.request(method, path, headers={"authorization": "Basic !"}).status_code == 401
    answer = client.request(method, path, headers=basic(TOKEN))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
    for elsewhere in ("/api/cameras", "/metrics", ZONES):
        refused = client.request(method, elsewhere, headers=basic(TOKEN))
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"].startswith("Bearer ")
    body = {"zones": [TRIANGLE]}
    assert client.put(ZONES, json=body, headers=basic(TOKEN)).status_code == 401


def test_head_of_a_stream_and_of_a_clip_is_answered(made: ServerParts, client: TestClient) -> None:
    """Players ask so before they open it; 405 was the end for some."""
    (made.backend.clips / "1.mp4").write_bytes(b"film")  # type: ignore[operator]
    stream = client.head("/api/cameras/yard/stream.mjpg", headers=basic(TOKEN))
    assert stream.status_code == 200
    assert stream.headers["content-type"].startswith("multipart/x-mixed-replace")
    video = client.head("/api/cameras/yard/stream.ts", headers=basic(TOKEN))
    assert (video.status_code, video.headers["content-type"]) == (200, "video/mp2t")
    clip = client.head("/api/events/1/clip.mp4", headers=BEARER)
    assert (clip.status_code, clip.headers["content-length"]) == (200, "4")
    assert client.head("/api/cameras/none/stream.mjpg", headers=BEARER).status_code == 404


CROSS = {"sec-fetch-site": "cross-site"}
LINK = {**CROSS, "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/api/cameras", {**CROSS, "sec-fetch-mode": "no-cors"}, 403),
        ("GET", "/api/cameras/yard/snapshot.jpg", {**CROSS, "sec-fetch-dest": "image"}, 403),
        ("GET", "/healthz", {**CROSS, "sec-fetch-mode": "cors"}, 403),
        ("GET", "/app.js", {**CROSS, "sec-fetch-dest": "script"}, 403),
        ("GET", "/", {**LINK, "sec-fetch-dest": "iframe"}, 403),
        ("HEAD", "/", CROSS, 403),
        ("POST", "/api/login", LINK, 403),
        ("GET", "/", LINK, 200),
        ("GET", "/", {"sec-fetch-site": "none", "sec-fetch-mode": "navigate"}, 200),
        ("GET", "/api/cameras", {"sec-fetch-site": "same-origin"}, 200),
    ],
)
@pytest.mark.slow
def test_cross_site_requests_are_refused(
    open_client: TestClient, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    """A foreign page could hold all viewer slots of a server without token: streams as images."""
    body = {"json": {"token": TOKEN}} if method == "POST" else {}
    assert open_client.request(method, path, headers=headers, **body).status_code == status


# -- pages of others ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"x-trackline": "0"}, 403),
        (CSRF, 200),
        ({**CSRF, "origin": f"http://{HOST}"}, 200),
        ({**CSRF, "origin": "http://evil.example"}, 403),
        ({**CSRF, "origin": "null"}, 403),
        ({**CSRF, "origin": "http://127.0.0.1:9999"}, 403),
        ({**CSRF, "sec-fetch-site": "cross-site"}, 403),
        ({**CSRF, "sec-fetch-site": "same-site"}, 403),
        ({**CSRF, "sec-fetch-site": "same-origin"}, 200),
    ],
)
@pytest.mark.parametrize("way", ["session", "open"])
@pytest.mark.slow
def test_changes_need_the_same_origin(
    module_client: TestClient,
    open_client: TestClient,
    way: str,
    headers: dict[str, str],
    status: int,
) -> None:
    asking = module_client if way == "session" else open_client
    if way == "session":
        asking.post("/api/login", json={"token": TOKEN})
    body = {"zones": [TRIANGLE]}
    assert asking.put(ZONES, json=body, headers=headers).status_code == status


def test_a_program_with_the_token_needs_no_header(client: TestClient) -> None:
    body = {"zones": [TRIANGLE]}
    assert client.put(ZONES, json=body, headers=BEARER).status_code == 200
    evil = {**BEARER, "origin": "http://evil.example"}
    assert client.put(ZONES, json=body, headers=evil).status_code == 403


def test_cross_site_sign_in_is_refused(client: TestClient) -> None:
    evil = {"origin": "http://evil.example"}
    assert client.post("/api/login", json={"token": TOKEN}, headers=evil).status_code == 403
    form = client.post("/api/login", data={"token": TOKEN})
    assert form.status_code == 422
    plain = client.post("/api/login", content=f'{{"token": "{TOKEN}"}}')
    assert plain.status_code == 422, "JSON without saying so is what a form can send"


@pytest.mark.parametrize("headers", [{"origin": "http://evil.example"}, {}, {"origin": "null"}])
def test_a_websocket_needs_the_same_origin(
    module_client: TestClient, headers: dict[str, str]
) -> None:
    """That it opens for our page and with the token is in test_viewers.py."""
    module_client.post("/api/login", json={"token": TOKEN})
    with (
        pytest.raises(WebSocketDenialResponse) as denied,
        module_client.websocket_connect(f"{WS}/api/ws", headers=headers),
    ):
        pass
    assert denied.value.status_code == 403


# -- names ----------------------------------------------------------------------------------------


def test_an_unknown_host_name_is_refused(made: ServerParts) -> None:
    with client_of(made, host="evil.example") as client:
        for path in ("/", "/api/session", "/healthz", "/api/cameras"):
            assert client.get(path, headers=BEARER).status_code == 421
        assert client.post("/api/login", json={"token": TOKEN}).status_code == 421


@pytest.mark.parametrize("address", ["192.168.1.9", "::ffff:10.0.0.1", "", "unix"])
def test_without_a_token_only_this_machine_gets_in(module_open: ServerParts, address: str) -> None:
    assert client_of(module_open, address).get("/api/cameras").status_code == 401
    assert client_of(module_open, "::1", "[::1]:80").get("/api/cameras").status_code == 200


@pytest.mark.parametrize("header", ["x-forwarded-for", "forwarded", "x-real-ip", "via"])
def test_without_a_token_a_proxy_is_not_this_machine(open_client: TestClient, header: str) -> None:
    """A proxy beside us passes on what the whole world asks it."""
    assert open_client.get("/api/cameras", headers={header: "8.8.8.8"}).status_code == 401
    assert open_client.get("/api/cameras").status_code == 200


def test_configuration_is_shown_without_secrets(client: TestClient) -> None:
    shown = client.get("/api/config", headers=BEARER)
    assert "geheim" not in shown.text
    assert shown.json()["web"]["token_file"] == "/etc/token"


@pytest.mark.parametrize(
    ("tree", "shown"),
    [
        ({"password": "x", "keys": 1}, {"password": "***", "keys": 1}),
        ({"mqtt": [{"password": "x"}]}, {"mqtt": [{"password": "***"}]}),
        ({"url": "http://a:b@c/?api_key=1&x=2"}, {"url": "http://***@c/?api_key=***&x=***"}),
        ({"secret": None, "api_key": ""}, {"secret": None, "api_key": ""}),
        ({"url": "postgresql://u:p@h/db"}, {"url": "postgresql://***@h/db"}),
        ({"path": "/live?my_key=1&n=2"}, {"path": "/live?my_key=***&n=2"}),
        ({"url": "http://u:${PW}@c/?t=${T}"}, {"url": "http://***@c/?t=${T}"}),
    ],
)
def test_secrets_are_found_wherever_they_are(tree: Any, shown: Any) -> None:
    assert without_secrets(tree) == shown


# -- sizes ----------------------------------------------------------------------------------------


def test_bodies_are_bounded(client: TestClient) -> None:
    large = {"token": "x" * 5000}
    assert client.post("/api/login", json=large).status_code == 413
    many = {"zones": [{**TRIANGLE, "name": "x" * 600_000}]}
    assert client.put(ZONES, json=many, headers=BEARER).status_code == 413


def test_a_duplicate_header_is_refused(client: TestClient) -> None:
    twice = [("origin", f"http://{HOST}"), ("origin", "http://evil.example")]
    assert client.get("/api/session", headers=twice).status_code == 400


def test_an_internal_error_shows_no_details(made: ServerParts) -> None:
    def broken() -> Any:
        raise RuntimeError("secret place")

    made.backend.status = broken  # type: ignore[method-assign]
    with client_of(made) as client:
        answer = client.get("/api/status", headers=BEARER)
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_names_are_never_html(made: ServerParts, client: TestClient) -> None:
    """A camera's name travels as JSON and nothing else."""
    made.show(1)
    name = CAMERAS[0]
    answer = client.get(f"/api/cameras/{name}x", headers=BEARER)
    assert answer.headers["content-type"] == "application/json"
    assert "<b>" not in answer.text
