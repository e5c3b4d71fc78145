"""MONAI Label without a person: a batch of images, their scores, the doubtful one first, what happened."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from fastapi.testclient import TestClient

from monailabel_client import datastore, infer, slicer
from scan_predictors import TwoThresholds
from serving import client, nifti, voxels


class Doubtful(TwoThresholds):
    """Less sure of volumes that are brighter outside."""

    def __init__(self) -> None:
        super().__init__(logits=True)

    def predict(self, scan):  # type: ignore[no-untyped-def]
        share = 0.1 if scan.pixels(0)[0, 0] > 15 else 1.0
        for frame, logits in super().predict(scan):
            yield frame, logits * share


def over(http: TestClient, path: str) -> dict:
    """The status of a task when it is over."""
    for _ in range(500):
        found = http.get(path).json()
        if found["status"] != "RUNNING":
            return found
        time.sleep(0.02)
    raise AssertionError(found)


def test_a_batch_is_outlined_scored_and_the_doubtful_one_is_next(tmp_path: Path) -> None:
    root = datastore(tmp_path, "LPS", "LAS", "RAI")
    import nibabel as nib

    nib.save(nib.Nifti1Image(voxels() + 20, nib.load(root / "RAI" / "bar.nii.gz").affine), root / "RAI" / "bar.nii.gz")
    with client(tmp_path / "state", Doubtful(), root=root) as http:
        assert http.get("/batch/infer/?check_if_running=true").status_code == 404
        assert http.get("/info/").json()["labels"] == ["gray", "bright"]
        begun = http.post("/batch/infer/quill?images=unlabeled").json()
        assert begun["status"] == "RUNNING" and begun["total"] == 3
        done = over(http, "/batch/infer")
        assert (done["status"], done["failed"]) == ("DONE", 0), done
        assert [one["image"] for one in done["details"]] == ["LAS/bar", "LPS/bar", "RAI/bar"]
        objects = http.get("/datastore/").json()["objects"]
        assert objects["LPS/bar"]["labels"]["original"]["info"]["params"]["label_names"]["bright"] == 2
        (tmp_path / "got.nii.gz").write_bytes(http.get("/datastore/label?label=LAS/bar&tag=original").content)
        assert np.array_equal(np.asarray(nib.load(tmp_path / "got.nii.gz").dataobj) == 2, voxels() == 200)
        assert http.get("/info/").json()["datastore"]["completed"] == 0  # nobody has looked at them
        assert http.post("/activelearning/doubtful", json={}).json()["id"] == "RAI/bar"
        half = (voxels() == 200) * 2
        half[:, :, 6:] = 0
        raw = ("label.bin", half.astype(np.uint8).tobytes(order="F"))
        params = {"params": '{"label_info": [{"name": "bright", "idx": 2}]}'}
        assert slicer(http, "PUT", "/datastore/label?image=LPS/bar", params, label=raw).status_code == 200
        assert http.post("/scoring/dice").json()["total"] == 1
        (scored,) = over(http, "/scoring/")["details"]
        whole, part = int((voxels() == 200).sum()), int((half > 0).sum())
        assert scored == {"image": "LPS/bar", "dice": {"bright": round(2 * part / (whole + part), 4)}}
        http.post("/scoring/confidence")
        assert len(over(http, "/scoring/")["details"]) == 3
        diary = http.get("/logs/?lines=50")
        assert diary.text.count("outlined an image of a batch") == 3 and "bar" not in diary.text
    with client(tmp_path / "state", Doubtful(), root=root) as http:  # what was learned is there after a restart
        assert http.post("/activelearning/doubtful", json={}).json()["id"] == "RAI/bar"


def test_one_that_cannot_be_read_does_not_end_the_batch(tmp_path: Path) -> None:
    root = datastore(tmp_path, "LPS")
    (root / "damaged.nii").write_bytes(b"no image")
    with client(tmp_path / "state", TwoThresholds(), root=root) as http:
        http.post("/batch/infer/quill?images=all")
        done = over(http, "/batch/infer")
        assert (done["status"], done["failed"], len(done["details"])) == ("ERROR", 1, 2)
        assert [one["image"] for one in done["details"] if "error" in one] == ["damaged"]
        assert http.delete("/batch/infer").json()["status"] == "ERROR"


def test_what_cannot_be_is_said(tmp_path: Path) -> None:
    with client(tmp_path / "state", root=datastore(tmp_path, "LPS")) as http:
        refused = http.post("/batch/infer/quill")
        assert refused.status_code == 422 and refused.json()["code"] == "E-SERVE-NO-CLASSES"
        for path in ("/batch/infer/other", "/scoring/other"):
            assert http.post(path).status_code == 404
        assert http.get("/logs/gpu").status_code == 404
        assert http.get("/logs/?lines=0").status_code == 422
        infer(http, "image=LPS/bar", foreground=[[12, 10, 4]])
        assert "outlined an image" in http.get("/logs/").text
        nifti(tmp_path / "root" / "more")
        assert http.post("/scoring/confidence").json()["total"] == 1
