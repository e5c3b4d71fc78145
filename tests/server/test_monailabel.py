"""The MONAI Label protocol, by requests as 3D Slicer's module (0.8) and OHIF's extension send them."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from delineate.core.grid import Grid
from delineate.core.scan import Scan
from delineate.server.interop.handed import in_file_order, is_left_handed, right_handed
from monailabel_client import SLICER_BOUNDARY, datastore, infer, nrrd, read_form, read_mime, slicer, slicer_form
from serving import FRAMES, TOKEN, client, nifti, voxels

BAR = voxels() == 200


def test_answers_are_read_alike_by_both_parsers(tmp_path: Path) -> None:
    with client(tmp_path / "state", root=datastore(tmp_path, "LPS")) as http:
        answer = infer(http, "image=LPS/bar", foreground=[[12, 10, 4]])
        fields, files = read_mime(answer)
        assert fields["params"]["label_names"] == {"bar": 1} and files == read_form(answer)[1]


def test_what_slicer_reads_of_the_server(tmp_path: Path) -> None:
    root = datastore(tmp_path, "LPS", "LAS")
    with client(tmp_path / "state", root=root) as http:
        info = http.get("/info/").json()
        assert not info.get("config") and info["trainers"] == {}
        assert info["models"]["quill"]["type"] == "deepgrow" and info["models"]["quill"]["dimension"] == 3
        assert info["datastore"] == {"total": 2, "completed": 0, "label_tags": {}}
        assert set(http.get("/datastore/?output=all").json()["objects"]) == {"LAS/bar", "LPS/bar"}
        assert http.get("/train/?check_if_running=true").status_code == 404


def test_the_token_is_the_password(tmp_path: Path) -> None:
    with client(tmp_path / "state") as http:
        http.headers.pop("authorization")
        assert http.get("/info/").status_code == 401
        assert http.get("/auth/").json()["enabled"]
        login = {"username": "me", "grant_type": "password"}
        assert http.post("/auth/token", data=login | {"password": "wrong"}).status_code == 401
        token = http.post("/auth/token", data=login | {"password": TOKEN}).json()["access_token"]
        given = {"Authorization": f"Bearer {token}"}
        assert http.get("/auth/token/valid", headers=given).status_code == 200
        assert http.get("/info/", headers=given).status_code == 200


def test_the_token_may_stand_in_the_address(tmp_path: Path) -> None:
    with client(tmp_path / "state") as http:
        http.headers.pop("authorization")
        assert http.get(f"/key/{TOKEN}/info/").json()["name"] == "Delineate"
        assert http.get(f"/key/{TOKEN}/auth/").status_code == 404
        assert http.get("/key/wrong/info/").status_code == 401
        evil = http.get(f"/key/{TOKEN}/info/", headers={"Origin": "https://evil.example"})
        assert evil.status_code == 403


def test_without_a_token_there_is_no_login(tmp_path: Path) -> None:
    with client(tmp_path / "state", token="") as http:
        assert http.get("/auth/").status_code == 404


@pytest.mark.parametrize("axes", ["LPS", "RAS", "LAS", "RAI"])
def test_clicks_on_what_was_sent_are_outlined_there(tmp_path: Path, axes: str) -> None:
    """The image is right-handed; clicks are in its indices, and so is the answer, with its geometry."""
    with client(tmp_path / "state", root=datastore(tmp_path, axes)) as http:
        sent = http.get("/datastore/image", params={"image": f"{axes}/bar"})
        assert 'filename="bar.nii.gz"' in sent.headers["content-disposition"]
        (tmp_path / "sent.nii.gz").write_bytes(sent.content)
        image = nib.load(tmp_path / "sent.nii.gz")
        assert np.linalg.det(image.affine[:3, :3]) > 0
        there = np.asarray(image.dataobj) == 200
        inside = [int(n) for n in np.argwhere(there)[len(np.argwhere(there)) // 2]]
        answer = infer(http, f"image={axes}%2Fbar", foreground=[inside], background=[[0, 0, 0]])
        fields, files = read_form(answer)
        assert fields["params"]["label_names"] == {"bar": 1}
        header, outline = nrrd(files["outline.nrrd"])
        assert np.array_equal(outline > 0, there)
        lps = np.array(json.loads(f"[{header['space directions'].replace(') (', '],[')[1:-1].join('[]')}]")).T
        assert np.allclose(lps, np.diag([-1, -1, 1]) @ image.affine[:3, :3])


def test_an_image_that_is_sent_comes_with_another_headers_boundary(tmp_path: Path) -> None:
    with client(tmp_path / "state") as http:
        body = slicer_form({"client_id": "x"}, {"files": ("C:\\Users\\me\\bar.nii.gz", nifti(tmp_path))}, "other")
        stale = {"content-type": f"multipart/form-data; boundary={SLICER_BOUNDARY}"}
        session = http.put("/session/", content=body, headers=stale).json()["session_id"]
        assert http.get(f"/session/{session}").json()["name"] == session
        assert http.get("/session/0123").json() == {}  # and then it is sent again
        fields, files = read_form(infer(http, f"image=bar&session_id={session}", foreground=[[12, 10, 4]]))
        assert fields["params"]["confidence"] > 0 and np.array_equal(nrrd(files["outline.nrrd"])[1] > 0, BAR)
        kept = [path.name for path in (tmp_path / "state" / "scans").rglob("*") if path.is_file()]
        assert kept == ["upload.nii.gz"]


def test_ohif_gets_bare_bytes(tmp_path: Path) -> None:
    with client(tmp_path / "state", root=datastore(tmp_path, "LPS")) as http:
        params = {"foreground": [[12, 10, 4]], "background": [], "result_compress": False, "restore_label_idx": False}
        answer = http.post(
            "/infer/quill", params={"image": "LPS/bar", "output": "image"}, files={"params": (None, json.dumps(params))}
        )
        assert np.array_equal(nrrd(answer.content)[1] > 0, BAR)


def test_a_box_comes_with_its_ends_in_any_order(tmp_path: Path) -> None:
    with client(tmp_path / "state", root=datastore(tmp_path, "LPS")) as http:
        _, files = read_form(infer(http, "image=LPS/bar", roi=[34, 9, 7, 17, 11, 0]))
        outline = nrrd(files["outline.nrrd"])[1] > 0
        assert 2 * (outline & BAR).sum() / (outline.sum() + BAR.sum()) > 0.9


def test_what_is_not_meant_alone_is_answered_empty(tmp_path: Path) -> None:
    with client(tmp_path / "state", root=datastore(tmp_path, "LPS")) as http:
        for clicks in ({}, {"background": [[12, 10, 4]]}):
            fields, files = read_form(infer(http, "image=LPS/bar", **clicks))
            assert fields["params"]["label_names"] and not nrrd(files["outline.nrrd"])[1].any()


@pytest.mark.parametrize("axes", ["LPS", "LAS"])
def test_labels_are_kept_on_the_grid_of_the_file(tmp_path: Path, axes: str) -> None:
    with client(tmp_path / "state", root=datastore(tmp_path, axes)) as http:
        id = f"{axes}/bar"
        (tmp_path / "sent.nii.gz").write_bytes(http.get("/datastore/image", params={"image": id}).content)
        image = nib.load(tmp_path / "sent.nii.gz")
        labels = (np.asarray(image.dataobj) == 200).astype(np.uint8) * 3
        nib.save(nib.Nifti1Image(labels, image.affine), tmp_path / "mine.nii.gz")
        params = {"params": json.dumps({"label_info": [{"name": "liver", "idx": 3}]})}
        file = ("/home/me/mine.nii.gz", (tmp_path / "mine.nii.gz").read_bytes())
        assert slicer(http, "PUT", f"/datastore/label?image={id}", params, label=file).json()["label"] == id
        (tmp_path / "kept.nii.gz").write_bytes(http.get("/datastore/label", params={"label": id}).content)
        kept, given = nib.load(tmp_path / "kept.nii.gz"), nib.load(tmp_path / "root" / axes / "bar.nii.gz")
        assert np.allclose(kept.affine, given.affine)
        assert np.array_equal(np.asarray(kept.dataobj), BAR * 3)
        listed = http.get("/datastore/?output=all").json()["objects"][id]["labels"]
        assert listed["final"]["info"]["params"]["label_names"] == {"liver": 3}
        assert http.get("/info/").json()["datastore"]["label_tags"] == {"final": 1}
        raw = ("label.bin", labels.tobytes(order="F"))
        assert slicer(http, "PUT", f"/datastore/label?image={id}&tag=ohif", {}, label=raw).status_code == 200
        (tmp_path / "raw.nii.gz").write_bytes(http.get("/datastore/label", params={"label": id, "tag": "ohif"}).content)
        assert np.array_equal(np.asarray(nib.load(tmp_path / "raw.nii.gz").dataobj), BAR * 3)


def test_the_next_scan_is_the_most_doubtful_one_without_labels(tmp_path: Path) -> None:
    with client(tmp_path / "state", root=datastore(tmp_path, "LAS", "LPS", "RAI")) as http:

        def following(strategy: str) -> str | None:
            return http.post(f"/activelearning/{strategy}", json={"client_id": "x"}).json().get("id")

        assert following("first") == "LAS/bar"
        infer(http, "image=RAI/bar", foreground=[[12, 10, 4]])
        assert following("doubtful") == "RAI/bar"
        for id in ("RAI/bar", "LAS/bar", "LPS/bar"):
            slicer(http, "PUT", f"/datastore/label?image={id}", {}, label=("label.bin", bytes(BAR.size)))
        assert following("doubtful") is None and following("first") is None


WRONG: list[tuple[str, str, bytes, int]] = [
    ("POST", "/infer/other?image=LPS/bar", slicer_form({"params": "{}"}, {}), 404),
    ("POST", "/infer/quill?image=none", slicer_form({"params": "{}"}, {}), 404),
    ("POST", "/infer/quill?image=../../etc/passwd", slicer_form({"params": "{}"}, {}), 404),
    ("POST", "/infer/quill?image=LPS/bar", b"", 400),
    ("POST", "/infer/quill?image=LPS/bar", b"--x\r\nContent-Disposition: nothing\r\n", 400),
    ("POST", "/infer/quill?image=LPS/bar", slicer_form({"params": "[1]"}, {}), 400),
    ("POST", "/infer/quill?image=LPS/bar", slicer_form({"params": '{"foreground": [[1]]}'}, {}), 400),
    ("POST", "/infer/quill?image=LPS/bar", slicer_form({"params": '{"foreground": [[900, 1, 1]]}'}, {}), 400),
    ("PUT", "/datastore/label?image=LPS/bar", slicer_form({}, {"label": ("label.bin", b"12")}), 422),
    ("PUT", "/datastore/label?image=LPS/bar", slicer_form({}, {"label": ("a.nii.gz", b"12")}), 422),
    ("PUT", "/datastore/label?image=LPS/bar&tag=../x", slicer_form({}, {"label": ("label.bin", bytes(BAR.size))}), 400),
    ("PUT", "/datastore/label?image=LPS/bar", slicer_form({}, {}), 400),
    ("PUT", "/session/", slicer_form({}, {"files": ("a.nii.gz", b"no image")}), 422),
    ("POST", "/activelearning/other", b"{}", 404),
    ("GET", "/datastore/label?label=LPS/bar&tag=original", b"", 404),
]


def test_wrong_requests_are_refused_in_words(tmp_path: Path) -> None:
    with client(tmp_path / "state", root=datastore(tmp_path, "LPS")) as http:
        for method, path, body, status in WRONG:
            answer = http.request(method, path, content=body)
            assert answer.status_code == status and answer.json()["code"].startswith("E-"), (path, body, answer.text)
        assert not list((tmp_path / "state" / "labels").rglob("*.nii.gz"))


def test_a_right_handed_copy_is_the_same_volume_in_space() -> None:
    grid = Grid((40, 30, FRAMES), np.array([[2.0, 0.3, 0, 5], [0, 1.5, 0, 6], [0, 0, -3.0, 7], [0, 0, 0, 1]]))
    scan = Scan.from_volume(voxels(), grid)
    copy = right_handed(scan)
    assert is_left_handed(scan) and not is_left_handed(copy)
    assert np.allclose(copy.grid.to_world((3, 4, 0)), grid.to_world((3, 4, FRAMES - 1)))
    assert np.array_equal(in_file_order(copy.voxels(), scan), voxels()) and right_handed(copy) is copy
