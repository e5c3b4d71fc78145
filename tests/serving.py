"""A server in this process, and clients of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import uvicorn
from fastapi.testclient import TestClient
from PIL import Image

from bright_predictor import BrightPredictor
from delineate.predictors.frame_predictor import Predictor
from delineate.server.app import application, listening
from delineate.server.settings import ServerSettings

TOKEN = "key"
FRAMES = 12


class SlowPredictor(BrightPredictor):
    """As the bright one, with time spent on every answer."""

    seconds = 0.02

    def decode(self, features: Any, queries: Any) -> Any:
        time.sleep(self.seconds)
        return super().decode(features, queries)


def settings(state: Path, **changes: Any) -> ServerSettings:
    return ServerSettings(**({"port": 0, "token": TOKEN, "state": state} | changes))


def client(state: Path, predictor: Predictor | None = None, **changes: Any) -> TestClient:
    """A client that has the token; use it in a ``with``."""
    shared = predictor or BrightPredictor()
    app = application(settings(state, **changes), lambda name: shared)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    return TestClient(app, "http://127.0.0.1", headers=headers, raise_server_exceptions=False)


@contextmanager
def served(state: Path, predictor: Predictor | None = None, **changes: Any) -> Iterator[str]:
    """A real server on a free port; its address."""
    shared, chosen = predictor or BrightPredictor(), settings(state, **changes)
    bound = listening(chosen)
    server = uvicorn.Server(uvicorn.Config(application(chosen, lambda name: shared), log_level="error"))
    thread = threading.Thread(target=server.run, args=([bound],), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)


def picture(value: int = 180) -> bytes:
    """PNG of a bright rectangle: columns 16 to 47, rows 16 to 39."""
    pixels = np.full((64, 64), 30, np.uint8)
    pixels[16:40, 16:48] = value
    stream = BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def voxels() -> np.ndarray:
    """A bright bar through all slices, which grows: (i, j, k)."""
    volume = np.full((40, 30, FRAMES), 10, np.int16)
    for k in range(FRAMES):
        volume[10 : 20 + k, 8:16, k] = 200
    return volume


def nifti(folder: Path, axes: str = "LPS") -> bytes:
    """The bar as a NIfTI file whose axes run towards these directions."""
    directions = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}
    affine = np.eye(4)
    affine[:3, :3] = 0
    for column, letter in enumerate(axes):
        row, sign = directions[letter]
        affine[row, column] = sign * (1.0, 1.5, 3.0)[column]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "bar.nii.gz"
    nib.save(nib.Nifti1Image(voxels(), affine), path)
    return path.read_bytes()


def upload(client: TestClient, content: bytes, name: str = "a.png") -> dict[str, Any]:
    answer = client.post("/api/v1/scans", params={"name": name}, content=content)
    assert answer.status_code == 201, answer.text
    return answer.json()


def begin(client: TestClient, scan: str, **more: Any) -> dict[str, Any]:
    answer = client.post("/api/v1/sessions", json={"scan": scan, **more})
    assert answer.status_code == 201, answer.text
    return answer.json()


def point(x: float, y: float, frame: int = 0, object: str = "bar", positive: bool = True) -> dict[str, Any]:
    prompt = {"type": "point", "at": [x, y], "frame": frame, "positive": positive}
    return {"event": "prompt", "object": object, "prompt": prompt}


def act(client: TestClient, session: str, action: dict[str, Any], **more: Any) -> dict[str, Any]:
    answer = client.post(f"/api/v1/sessions/{session}/events", json={"action": action, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


def followed(client: TestClient, session: str) -> dict[str, Any]:
    """The structures of a session, through all frames."""
    job = client.post(f"/api/v1/sessions/{session}/follow", json={}).json()
    while job["state"] == "running":
        time.sleep(0.01)
        job = client.get(f"/api/v1/jobs/{job['job']}").json()
    return job


def area(mask: dict[str, Any]) -> int:
    return sum(mask["counts"][1::2])
