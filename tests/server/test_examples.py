"""A structure of a labeled picture, a labeled scan, or a session, as the prompt for another frame."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from delineate.core.prompt_log import PromptLog
from delineate.core.rle import Rle
from delineate.systems import shipped_predictor
from serving import act, area, begin, client, nifti, picture, point, upload, voxels

SIDE = 96


def disc(x: float, y: float, radius: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A noisy bright disc on a dark picture, and its mask."""
    down, across = np.indices((SIDE, SIDE))
    mask = (across - x) ** 2 + (down - y) ** 2 < radius**2
    noise = np.random.default_rng(seed).integers(-8, 9, mask.shape)
    return (np.where(mask, 180, 50) + noise).astype(np.uint8), mask


def png(pixels: np.ndarray) -> bytes:
    stream = BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def overlap(changed: dict, mask: np.ndarray) -> float:
    found = Rle(*changed["size"], np.array(changed["counts"])).decode()
    return float(2 * (found & mask).sum() / (found.sum() + mask.sum()))


def test_an_uploaded_example_is_found_over_http_and_websocket(tmp_path: Path) -> None:
    shown, outlined = disc(40, 44, 17)
    target, wanted = disc(55, 50, 19, seed=1)
    with client(tmp_path / "state", shipped_predictor()) as http:
        files = {"image": ("a.png", png(shown)), "labels": ("b.png", png(outlined.astype(np.uint8)))}
        made = http.post("/api/v1/examples", files=files)
        assert made.status_code == 201, made.text
        prompt = made.json()["prompt"] | {"frame": 0}
        session = begin(http, upload(http, png(target))["id"])["id"]
        answer = act(http, session, {"event": "prompt", "object": "disc", "prompt": prompt})
        assert overlap(answer["changed"][0], wanted) > 0.85 and answer["score"] > 0
        log = http.get(f"/api/v1/sessions/{session}/export", params={"format": "log"}).content
        assert "example" in json.dumps(json.loads(log)) and PromptLog.model_validate_json(log)
        other = begin(http, upload(http, png(target))["id"])["id"]
        with http.websocket_connect(f"ws://127.0.0.1/api/v1/sessions/{other}/live") as socket:
            action = {"event": "prompt", "object": "disc", "prompt": prompt}
            socket.send_json({"do": "act", "seq": 1, "action": action})
            while (message := socket.receive_json())["kind"] != "answer":
                for _ in range(message["masks"]):
                    socket.receive_bytes()
            assert message["score"] == answer["score"]
        again = begin(http, upload(http, png(target))["id"], log=json.loads(log))
        assert again["changed"][0]["counts"] == answer["changed"][0]["counts"]
        left = [path.name for path in (tmp_path / "state" / "scans").iterdir()]
        assert len(left) == 1  # the example's files are not kept


def test_a_frame_of_a_session_is_the_example_for_another(tmp_path: Path) -> None:
    with client(tmp_path / "state", shipped_predictor()) as http:
        pictures = [disc(30 + 4 * k, 48, 15 + k, k) for k in range(6)]
        volume = np.stack([pixels.T for pixels, _ in pictures], axis=2)
        nib.save(nib.Nifti1Image(volume.astype(np.int16), np.eye(4)), tmp_path / "a.nii.gz")
        session = begin(http, upload(http, (tmp_path / "a.nii.gz").read_bytes(), "a.nii.gz")["id"])["id"]
        act(
            http,
            session,
            {"event": "prompt", "object": "disc", "prompt": {"type": "box", "corners": [14, 32, 47, 65], "frame": 0}},
        )
        made = http.post("/api/v1/examples/session", json={"session": session, "object": "disc"}).json()
        assert (made["object"], made["frame"]) == ("disc", 0)
        action = {"event": "prompt", "object": "disc", "prompt": made["prompt"] | {"frame": 5}}
        answer = act(http, session, action)
        (changed,) = [one for one in answer["changed"] if one["frame"] == 5]
        assert overlap(changed, pictures[5][1]) > 0.8
        elsewhere = begin(http, upload(http, png(pictures[3][0]))["id"])["id"]
        answer = act(http, elsewhere, action | {"prompt": made["prompt"] | {"frame": 0}})
        assert overlap(answer["changed"][0], pictures[3][1]) > 0.8


def test_the_structure_and_frame_of_a_labeled_volume_are_chosen(tmp_path: Path) -> None:
    labels = (voxels() == 200).astype(np.uint8)
    labels[0:3, 0:3, 2:4] = 7
    nib.save(nib.Nifti1Image(labels, np.diag([-1.0, -1.5, 3, 1])), tmp_path / "labels.nii.gz")
    files = {"image": ("a.nii.gz", nifti(tmp_path)), "labels": ("b.nii.gz", (tmp_path / "labels.nii.gz").read_bytes())}
    with client(tmp_path / "state") as http:
        largest = http.post("/api/v1/examples", files=files).json()
        assert largest["frame"] == 11 and area(largest["prompt"]) == int(labels[:, :, 11].sum())
        other = http.post("/api/v1/examples", files=files, data={"object": "7", "frame": "3"}).json()
        assert other["frame"] == 3 and area(other["prompt"]) == 9
        wrong = [
            http.post("/api/v1/examples", files=files, data={"object": "liver"}),
            http.post("/api/v1/examples", files=files, data={"object": "7", "frame": "9"}),
            http.post("/api/v1/examples", files=files, data={"frame": "x"}),
            http.post("/api/v1/examples", files=files | {"labels": ("b.png", picture())}),
            http.post("/api/v1/examples", files={"image": files["image"]}),
            http.post("/api/v1/examples", content=b"nothing"),
            http.post("/api/v1/examples/session", json={"session": "none", "object": "a"}),
        ]
        assert [one.status_code for one in wrong] == [422, 400, 422, 422, 400, 400, 404], [one.text for one in wrong]
        assert all(one.json()["code"].startswith("E-") for one in wrong)
        session = begin(http, upload(http, nifti(tmp_path), "a.nii.gz")["id"])["id"]
        act(http, session, point(12, 10, 4))
        answer = http.post("/api/v1/examples/session", json={"session": session, "object": "none"})
        assert answer.status_code == 400 and answer.json()["code"] == "E-EXAMPLE-FRAME"


@pytest.mark.parametrize("damage", ["picture", "counts"])
def test_a_damaged_example_is_refused_and_changes_nothing(tmp_path: Path, damage: str) -> None:
    with client(tmp_path / "state") as http:
        session = begin(http, upload(http, picture())["id"])
        prompt = {"type": "example", "picture": "AAAA", "height": 4, "width": 4, "counts": [16], "frame": 0}
        if damage == "counts":
            prompt |= {"counts": [3]}
        body = {"action": {"event": "prompt", "object": "a", "prompt": prompt}}
        answer = http.post(f"/api/v1/sessions/{session['id']}/events", json=body)
        assert answer.status_code in (400, 422) and answer.json()["hint"]
        assert http.get(f"/api/v1/sessions/{session['id']}").json()["revision"] == session["revision"]
