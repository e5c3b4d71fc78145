"""Who may ask: host, origin, token, size; and how the server may be reached."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from bright_predictor import BrightPredictor
from delineate.core.errors import InputError
from delineate.server.app import application
from serving import TOKEN, begin, client, picture, settings, upload


@pytest.fixture
def http(tmp_path: Path) -> Iterator[TestClient]:
    with client(tmp_path / "state", allow_origins=("https://viewer.example",), max_upload=5000, max_body=3000) as one:
        yield one


ADDRESSES = ["/api/v1/info", "/api/v1/openapi.json", "/capabilities", "/api/v1/scans/0123456789abcdef", "/claim"]


@pytest.mark.parametrize("path", ADDRESSES)
@pytest.mark.parametrize("given", ["", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x"])
def test_nothing_is_answered_without_the_token(http: TestClient, path: str, given: str) -> None:
    answer = http.get(path, headers={"Authorization": given})
    assert (answer.status_code, answer.json()["code"]) == (401, "E-SERVE-TOKEN")


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil:80", "", "10.0.0.1:8765"])
def test_another_host_is_refused(http: TestClient, host: str) -> None:
    assert http.get("/healthz", headers={"Host": host}).status_code == 400


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1234", "127.0.0.1:8765", "[::1]:8765"])
def test_this_machine_has_several_names(http: TestClient, host: str) -> None:
    assert http.get("/healthz", headers={"Host": host}).json() == {"ok": True}


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1.evil.example", "http://127.0.0.1:1"]
)
def test_another_origin_is_refused(http: TestClient, origin: str) -> None:
    answer = http.post("/api/v1/sessions", json={}, headers={"Origin": origin})
    assert (answer.status_code, answer.json()["code"]) == (403, "E-SERVE-ORIGIN")


def test_an_origin_that_was_named_may_ask(http: TestClient) -> None:
    named = {"Origin": "https://viewer.example"}
    answer = http.get("/api/v1/info", headers=named)
    assert answer.status_code == 200 and answer.headers["access-control-allow-origin"] == "https://viewer.example"
    before = http.options("/api/v1/sessions", headers=named | {"Access-Control-Request-Method": "POST"})
    assert before.status_code == 204 and "authorization" in before.headers["access-control-allow-headers"]
    assert "access-control-allow-origin" not in http.get("/api/v1/info").headers


def test_a_websocket_is_checked_as_any_request(http: TestClient) -> None:
    session = begin(http, upload(http, picture())["id"])["id"]
    address = f"ws://127.0.0.1/api/v1/sessions/{session}/live"
    for headers in ({"Authorization": ""}, {"Origin": "https://evil.example"}, {"Host": "evil.example"}):
        with pytest.raises(WebSocketDisconnect), http.websocket_connect(address, headers=headers) as socket:
            socket.receive_json()
    with http.websocket_connect(address) as socket:
        assert socket.receive_json()["kind"] == "state"


def test_the_page_exchanges_the_token_for_a_cookie(http: TestClient) -> None:
    plain = {"Authorization": ""}
    assert http.post("/api/v1/login", json={"token": "wrong"}, headers=plain).status_code == 401
    answer = http.post("/api/v1/login", json={"token": TOKEN}, headers=plain)
    assert (
        "samesite=strict" in answer.headers["set-cookie"].lower() and "httponly" in answer.headers["set-cookie"].lower()
    )
    assert http.get("/api/v1/info", headers=plain).status_code == 200


def test_too_much_is_refused_and_not_kept(http: TestClient, tmp_path: Path) -> None:
    assert http.post("/api/v1/scans", content=bytes(6000)).status_code == 413
    assert http.post("/api/v1/scans", content=(bytes(1000) for _ in range(6))).status_code == 413
    assert http.post("/api/v1/sessions", json={"scan": "x" * 4000}).status_code == 413
    assert not list((tmp_path / "state" / "scans").glob("new-*"))


def test_every_answer_carries_the_policy(http: TestClient) -> None:
    for answer in (http.get("/healthz"), http.get("/nowhere"), http.get("/api/v1/info", headers={"Authorization": ""})):
        assert "default-src 'self'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "example.org"])
def test_the_network_is_served_with_a_token_alone(tmp_path: Path, host: str) -> None:
    with pytest.raises(InputError, match="without a token"):
        settings(tmp_path, host=host, token="")
    assert not settings(tmp_path, host=host).is_loopback


def test_every_origin_is_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="one origin"):
        settings(tmp_path, allow_origins=("*",))


@pytest.mark.parametrize("model", ["/etc/passwd", "../x.pth", "sam2=/etc/passwd", "none", "", "x" * 5000])
def test_a_client_chooses_a_model_by_its_name_alone(tmp_path: Path, model: str) -> None:
    asked: list[str] = []

    def build(name: str) -> BrightPredictor:
        asked.append(name)
        return BrightPredictor()

    app = application(settings(tmp_path / "state", model=str(tmp_path / "mine.onnx")), build)
    with TestClient(app, "http://127.0.0.1", headers={"Authorization": f"Bearer {TOKEN}"}) as http:
        info = http.get("/api/v1/info").json()
        assert info["model"] == info["models"][0] == "mine.onnx" and str(tmp_path) not in str(info)
        scan = upload(http, picture())["id"]
        answer = http.post("/api/v1/sessions", json={"scan": scan, "model": model})
        if model:
            assert (answer.status_code, answer.json()["code"], asked) == (404, "E-SERVE-MISSING", [])
        assert begin(http, scan, model="mine.onnx")["model"] == "mine.onnx"
        assert asked == [str(tmp_path / "mine.onnx")]
