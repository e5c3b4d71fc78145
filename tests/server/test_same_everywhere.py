"""The same prompts by command line, Python, HTTP, WebSocket and nnInteractive give the same outlines, bit for bit."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import httpx
import nibabel as nib
import numpy as np
import pytest

import warm
from delineate.core.prompts import Box, Point
from delineate.io.opening import open_scan
from delineate.server.interop import following
from delineate.session import Session
from delineate.systems import shipped_predictor
from serving import TOKEN, served

pytestmark = pytest.mark.stage
BOX, EXTRA = [14, 12, 41, 38, 5], [30.0, 24.0, 8.0]  # x0, y0, x1, y1 on slice 5; a click on slice 8


def noisy_ball(folder: Path) -> Path:
    i, j, k = np.indices((56, 50, 12)).astype(float)
    inside = ((i - 27) / 13) ** 2 + ((j - 25) / 12) ** 2 + ((k - 6) / 6.5) ** 2 < 1
    noise = np.random.default_rng(0).integers(-12, 13, inside.shape)
    image = nib.Nifti1Image((np.where(inside, 150, 40) + noise).astype(np.int16), np.eye(4))
    nib.save(image, folder / "ball.nii.gz")
    return folder / "ball.nii.gz"


def prompts() -> list[dict[str, Any]]:
    box = {"type": "box", "corners": BOX[:4], "frame": BOX[4]}
    return [{"event": "prompt", "object": "ball", "prompt": one} for one in (box, {"type": "point", "at": EXTRA})]


def exported(http: httpx.Client, session: str, place: Path) -> np.ndarray:
    place.write_bytes(http.get(f"/api/v1/sessions/{session}/export").content)
    return np.asarray(nib.load(place).dataobj) > 0


def by_python(file: Path) -> np.ndarray:
    session = Session(open_scan(file), shipped_predictor())
    session.prompt(Box(*BOX[:4], frame=BOX[4]), "ball")
    session.prompt(Point(*EXTRA), "ball")
    session.propagate()
    return session.segmentation.voxels("ball")


def by_command(file: Path, folder: Path) -> np.ndarray:
    words = ["--label", "ball", "--frame", "5", "--box", "14,12,41,38", "--frame", "8", "--point", "30,24"]
    ran = warm.delineate("segment", str(file), *words, "-o", "cli.nii.gz", cwd=folder)
    assert ran.returncode == 0, ran.stderr
    return np.asarray(nib.load(folder / "cli.nii.gz").dataobj) > 0


def by_http(http: httpx.Client, scan: str, folder: Path) -> np.ndarray:
    session = http.post("/api/v1/sessions", json={"scan": scan}).json()["id"]
    for action in prompts():
        assert http.post(f"/api/v1/sessions/{session}/events", json={"action": action}).status_code == 200
    job = http.post(f"/api/v1/sessions/{session}/follow", json={}).json()
    while job["state"] == "running":
        time.sleep(0.05)
        job = http.get(f"/api/v1/jobs/{job['job']}").json()
    return exported(http, session, folder / "http.nii.gz")


def by_socket(http: httpx.Client, scan: str, folder: Path) -> np.ndarray:
    from websockets.sync.client import connect

    session = http.post("/api/v1/sessions", json={"scan": scan}).json()["id"]
    address = f"ws://{http.base_url.netloc.decode()}/api/v1/sessions/{session}/live"
    with connect(address, additional_headers={"Authorization": f"Bearer {TOKEN}"}, proxy=None) as wire:
        for seq, action in enumerate(prompts(), 1):
            wire.send(json.dumps({"do": "act", "seq": seq, "action": action}))
        wire.send(json.dumps({"do": "follow", "seq": 9}))
        while True:
            message = wire.recv()
            found = json.loads(message) if isinstance(message, str) else {}
            assert found.get("kind") != "error", found
            if found.get("kind") == "progress" and found["state"] != "running":
                break
    return exported(http, session, folder / "ws.nii.gz")


def by_nninteractive(address: str, file: Path) -> np.ndarray:
    remote = pytest.importorskip("nnInteractive.inference.remote.remote_session")
    client = remote.nnInteractiveRemoteInferenceSession(address, api_key=TOKEN)
    array = np.ascontiguousarray(np.asarray(nib.load(file).dataobj).transpose(2, 1, 0))
    client.set_image(array[None], {"spacing": [1.0, 1.0, 1.0]})
    client.set_target_buffer(np.zeros(array.shape, np.uint8))
    x0, y0, x1, y1, k = BOX
    client.add_bbox_interaction([[k, k + 1], [y0, y1], [x0, x1]], True, run_prediction=False)
    client.add_point_interaction([int(n) for n in EXTRA[::-1]], True)
    found = np.asarray(client.target_buffer).transpose(2, 1, 0) > 0
    client.close()
    return found


def test_every_way_gives_the_same_voxels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "FOLLOW_SECONDS", 600.0)  # however busy the machine is
    file = noisy_ball(tmp_path)
    expected = by_python(file)
    assert expected.any(axis=(0, 1)).sum() > 6
    found = {"command line": by_command(file, tmp_path)}
    with served(tmp_path / "state", shipped_predictor()) as address:
        with httpx.Client(base_url=address, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60) as http:
            scan = http.post("/api/v1/scans", params={"name": "a.nii.gz"}, content=file.read_bytes()).json()["id"]
            found["HTTP"] = by_http(http, scan, tmp_path)
            found["WebSocket"] = by_socket(http, scan, tmp_path)
        found["nnInteractive"] = by_nninteractive(address, file)
    for way, voxels in found.items():
        assert np.array_equal(voxels, expected), (way, int((voxels != expected).sum()))
