"""What an attacker would try: files elsewhere on the disk, other machines, headers that break the guard."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import pytest
from fastapi.testclient import TestClient

from delineate.server.guard import cookie_name
from serving import TOKEN, act, begin, client, picture, point


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A root with links that lead out of it, beside a secret."""
    (tmp_path / "secret.raw").write_bytes(bytes(range(64)) * 64)
    outside, root = tmp_path / "outside", tmp_path / "root"
    for folder in (outside, root / "folder" / "deeper", root / "own"):
        folder.mkdir(parents=True)
    (outside / "p.png").write_bytes(picture())
    (root / "folder" / "frame1.png").write_bytes(picture())
    (root / "folder" / "frame2.png").symlink_to(outside / "p.png")
    (root / "own" / "frame1.png").write_bytes(picture())
    (root / "own" / "frame2.png").symlink_to(root / "own" / "frame1.png")
    (root / "link").symlink_to(outside)
    (root / "p.png").symlink_to(outside / "p.png")
    (root / "round").symlink_to(root / "round")
    return tmp_path


@pytest.fixture
def server(place: Path) -> Iterator[TestClient]:
    with client(place / "state", root=place / "root") as found:
        yield found


OUT = [
    "../outside/p.png", "link/p.png", "link", "p.png", "folder", ".", "/etc/passwd", "folder/../../outside/p.png",
    "folder/frame2.png", "a\0b", "round", "x" * 400 + "/" + "y" * 400, "~/.ssh", "//etc/passwd", "\\\\host\\share",
]  # fmt: skip


@pytest.mark.parametrize("path", OUT)
def test_nothing_outside_the_root_is_opened(server: TestClient, place: Path, path: str) -> None:
    answer = server.post("/api/v1/scans/open", json={"path": path})
    assert answer.status_code in (403, 404) and answer.json()["code"].startswith("E-SERVE"), answer.text
    assert not list((place / "state" / "scans").iterdir())


def test_links_within_the_root_are_files(server: TestClient) -> None:
    assert server.post("/api/v1/scans/open", json={"path": "own"}).json()["frames"] == 2


HEAD = "NRRD0004\ntype: uint8\ndimension: 2\nsizes: 64 64\nencoding: raw\n"
META = "ObjectType = Image\nNDims = 2\nDimSize = 64 64\nElementType = MET_UCHAR\nElementDataFile = "


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.nhdr", HEAD + "data file: {secret}\n\n"),
        ("a.nrrd", HEAD + "data file: ../../../secret.raw\n\n"),
        ("a.nhdr", HEAD + "data file: LIST\n{secret}\n\n"),
        ("a.mhd", META + "{secret}\n"),
        ("a.mha", META + "../../../secret.raw\n"),
        ("a.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{address}/seg.ts\n#EXT-X-ENDLIST\n"),
        ("a.mp4", "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile://{secret}\n#EXT-X-ENDLIST\n"),
        ("a.ffconcat", "ffconcat version 1.0\nfile {secret}\n"),
        ("a.sdp", "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n"),
        ("a.svg", '<svg xmlns="http://www.w3.org/2000/svg"><image href="{address}/a.png"/></svg>'),
        ("a.eps", "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n({secret}) (r) file\n%%EOF\n"),
        ("a.xml", '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY e SYSTEM "file://{secret}">]><a>&e;</a>'),
    ],
    ids=lambda value: value if value.startswith("a.") else "",
)
def test_an_upload_reaches_no_other_file_and_no_other_machine(
    server: TestClient, place: Path, name: str, text: str
) -> None:
    asked: list[str] = []

    class Listener(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

    with http.server.HTTPServer(("127.0.0.1", 0), Listener) as listener:
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        content = text.format(secret=place / "secret.raw", address=f"http://127.0.0.1:{listener.server_port}")
        answer = server.post("/api/v1/scans", params={"name": name}, content=content.encode())
        listener.shutdown()
    assert answer.status_code in (415, 422) and not asked, answer.text
    assert not list((place / "state" / "scans").iterdir())


def test_an_archive_writes_nowhere_else(server: TestClient, place: Path) -> None:
    stream = BytesIO()
    with ZipFile(stream, "w") as archive:
        archive.writestr("../../../evil.png", picture())
    assert server.post("/api/v1/scans", params={"name": "a.zip"}, content=stream.getvalue()).status_code == 422
    assert not list(place.rglob("evil*"))


def test_names_of_structures_and_files_lead_nowhere(server: TestClient, place: Path) -> None:
    files = [("files", (f"../../../../evil{n}.png", picture(150 + n))) for n in range(2)]
    video = server.post("/api/v1/scans", files=files).json()["id"]
    session = begin(server, video)["id"]
    for name in ("../../../evil", "/abs/evil", "..", "a/b\\c", "<script>alert(1)</script>"):
        act(server, session, point(20, 20, object=name))
    for kind in ("frames", "npz", "json", "manifest", "log"):
        answer = server.get(f"/api/v1/sessions/{session}/export", params={"format": kind})
        assert answer.status_code == 200 and answer.headers["content-disposition"].startswith("attachment"), kind
        if kind == "frames":
            names = ZipFile(BytesIO(answer.content)).namelist()
            assert not any(".." in name or name.startswith("/") for name in names)
    assert not list(place.rglob("evil*"))


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://["}, 403), ({"Origin": "http://]:a"}, 403), ({"Origin": ""}, 403), ({"Origin": "://"}, 403),
        ({"Origin": "http://127.0.0.1\t"}, 403), ({"Host": "["}, 400), ({"Host": "127.0.0.1."}, 400),
        ({"Host": "127.0.0.1@evil.example"}, 400), ({"Cookie": 'a="\\"; ;;=;$'}, 401),
        ({"Authorization": "Bearer \xff"}, 401), ({"Authorization": "Bearer " + "a" * 9000}, 401),
    ],
)  # fmt: skip
def test_headers_that_break_a_parser_are_refused(server: TestClient, headers: dict[str, str], status: int) -> None:
    plain = {"Authorization": ""} | headers
    answer = server.get("/api/v1/info", headers={key: value.encode("latin-1") for key, value in plain.items()})
    assert (answer.status_code, answer.json()["status"]) == (status, status)


PATHS = [
    "/page/../app.py", "/page/%2e%2e/app.py", "/page/..%2f..%2fapp.py", "/page//etc/passwd", "/page/%00",
    "//etc/passwd", "/key//api/v1/info", "/key/%00/api/v1/info", "/key/wrong/api/v1/info",
    f"/key/{TOKEN[:-1]}/api/v1/info",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_addresses_that_lead_astray_give_nothing(server: TestClient, path: str) -> None:
    answer = server.get(path, headers={"Authorization": ""})
    assert answer.status_code in (401, 404) and answer.json()["code"].startswith("E-SERVE")


def test_every_port_has_a_cookie_of_its_own(server: TestClient) -> None:
    assert cookie_name("127.0.0.1:8765") != cookie_name("127.0.0.1:8766") != cookie_name("localhost")
    plain = {"Authorization": "", "Host": "127.0.0.1:8765"}
    answer = server.post("/api/v1/login", json={"token": TOKEN}, headers=plain)
    assert answer.headers["set-cookie"].startswith("delineate_token_8765=")
    sent = plain | {"Cookie": f"delineate_token_8766={TOKEN}"}
    assert server.get("/api/v1/info", headers=sent).status_code == 401
    sent = plain | {"Cookie": f"delineate_token_8766=other; delineate_token_8765={TOKEN}"}
    assert server.get("/api/v1/info", headers=sent).status_code == 200
