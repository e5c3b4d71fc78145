"""A client of the MONAI Label protocol, as 3D Slicer's module (0.8) and OHIF's extension are."""

from __future__ import annotations

import gzip
import json
import warnings
from email import message_from_bytes
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from fastapi.testclient import TestClient

from serving import nifti

SLICER_BOUNDARY = "----------lImIt_of_THE_fIle_eW_$"


def slicer_form(fields: dict[str, str], files: dict[str, tuple[str, bytes]], boundary: str = SLICER_BOUNDARY) -> bytes:
    """A body as the client's own code writes it: no content types of fields, a line break more at the end."""
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    for name, (path, content) in files.items():
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{path}"\r\n'
        parts.append(f"{head}Content-Type: application/octet-stream\r\n\r\n".encode() + content + b"\r\n")
    return b"".join(parts) + f"--{boundary}--\r\n\r\n".encode()


def slicer(http: TestClient, method: str, path: str, fields: dict[str, str], **files: tuple[str, bytes]) -> Any:
    headers = {"content-type": f"multipart/form-data; boundary={SLICER_BOUNDARY}"}
    return http.request(method, path, content=slicer_form(fields, files), headers=headers)


def infer(http: TestClient, where: str, **params: Any) -> Any:
    given = {"label": "bar", "foreground": [], "background": [], "client_id": "x", "result_extension": ".nrrd"} | params
    return slicer(http, "POST", f"/infer/quill?{where}", {"params": json.dumps(given)})


def read_form(answer: Any) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Fields and files of an answer, read with the parser that the client uses, where this Python still has it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            import cgi
        except ImportError:
            return read_mime(answer)
    headers = {"content-type": answer.headers["content-type"], "content-length": answer.headers["content-length"]}
    found = cgi.FieldStorage(BytesIO(answer.content), headers, environ={"REQUEST_METHOD": "POST"})
    fields = {one.name: json.loads(one.value) for one in found.list if not one.filename}
    return fields, {one.filename: one.file.read() for one in found.list if one.filename}


def read_mime(answer: Any) -> tuple[dict[str, Any], dict[str, bytes]]:
    head = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode()
    parts = message_from_bytes(head + answer.content).get_payload()
    names = [(one.get_param("name", header="content-disposition"), one) for one in parts]
    fields = {name: json.loads(one.get_payload(decode=True)) for name, one in names if not one.get_filename()}
    return fields, {one.get_filename(): one.get_payload(decode=True) for _, one in names if one.get_filename()}


def nrrd(content: bytes) -> tuple[dict[str, str], np.ndarray]:
    """Header and voxels (i, j, k) of an answer, as OHIF takes them: inflated bytes of one octet a voxel."""
    head, _, body = content.partition(b"\n\n")
    fields = dict(line.split(": ", 1) for line in head.decode().splitlines() if ": " in line)
    assert fields["type"] in ("uint8", "unsigned char", "uchar")
    shape = tuple(int(size) for size in fields["sizes"].split())
    return fields, np.frombuffer(gzip.decompress(body), np.uint8).reshape(shape, order="F")


def datastore(tmp_path: Path, *axes: str) -> Path:
    root = tmp_path / "root"
    for one in axes:
        nifti(root / one, one)
    return root
