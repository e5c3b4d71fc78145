"""The MONAI Label protocol by recorded requests, byte for byte, over a bare socket."""

from __future__ import annotations

from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from monailabel_client import nrrd
from recorded_requests import recorded, sent
from serving import TOKEN, nifti, served, voxels

BAR = voxels() == 200


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    nifti(tmp_path / "root")
    with served(tmp_path / "state", root=tmp_path / "root", allow_origins=("http://localhost:3000",)) as found:
        yield found


def asked(address: str, name: str, file: bytes = b"") -> tuple[int, dict[str, str], bytes]:
    known = {"host": address.removeprefix("http://"), "token": TOKEN, "model": "quill", "image": "bar"}
    return sent(address, recorded(name, file, **known))


def outline(headers: dict[str, str], body: bytes) -> np.ndarray:
    """The file of a multipart answer."""
    whole = message_from_bytes(f"Content-Type: {headers['content-type']}\r\n\r\n".encode() + body)
    (content,) = [one.get_payload(decode=True) for one in whole.get_payload() if one.get_filename()]
    return nrrd(content)[1] > 0


def test_a_get_that_promises_a_body_is_answered_at_once(address: str) -> None:
    status, _, body = asked(address, "slicer-info-after-post")
    assert status == 200 and b'"Delineate"' in body


def test_slicers_clicks_and_roi_are_outlined(address: str) -> None:
    status, headers, body = asked(address, "slicer-infer")
    assert status == 200 and np.array_equal(outline(headers, body), BAR)
    status, headers, body = asked(address, "slicer-infer-roi")
    found = outline(headers, body)
    assert status == 200 and 2 * (found & BAR).sum() > 0.9 * (found.sum() + BAR.sum())


def test_ohif_reads_the_answer_from_its_own_origin(address: str) -> None:
    status, headers, body = asked(address, "ohif-infer")
    assert status == 200 and np.array_equal(nrrd(body)[1] > 0, BAR)
    assert headers["access-control-allow-origin"] == "http://localhost:3000"


def test_a_label_is_kept_and_the_clients_path_is_not(address: str, tmp_path: Path) -> None:
    status, _, body = asked(address, "slicer-submit", BAR.astype(np.uint8).tobytes(order="F"))
    assert status == 200, body
    (kept,) = (tmp_path / "state" / "labels").rglob("*.nii.gz")
    assert np.array_equal(np.asarray(nib.load(kept).dataobj) > 0, BAR)
    left = [path for path in (tmp_path / "state").rglob("*") if path.is_file()]
    assert not any("someone" in str(path) or b"someone" in path.read_bytes() for path in left)
