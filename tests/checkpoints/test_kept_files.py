"""Files that are kept: changed, touched, damaged or missing, and what their records say."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from delineate.checkpoints import store
from delineate.checkpoints.download import Download
from delineate.checkpoints.store import State
from delineate.core.errors import ModelError
from weights_server import CONTENT, SHA256, kept_model, left

posix = pytest.mark.skipif(os.name != "posix", reason="rights and links of POSIX")


def test_a_changed_file_is_refused(models: Path, tmp_path: Path) -> None:
    path = kept_model(tmp_path)
    assert store.cached_path("medsam") == path
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(ModelError) as caught:
        store.cached_path("medsam")
    assert caught.value.code == "E-MODEL-CHANGED" and "models import FILE --system medsam" in caught.value.hint
    assert [found.state for found in store.verify()] == [State.CHANGED]
    store.import_checkpoint("medsam", path)  # the change was meant
    assert store.cached_path("medsam") == path and path.read_bytes() == CONTENT[:-1]


def test_a_changed_file_of_the_same_size_and_time_is_found_by_its_hash(models: Path, tmp_path: Path) -> None:
    path = kept_model(tmp_path)
    status = path.stat()
    path.write_bytes(bytes(len(CONTENT)))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert [found.state for found in store.verify()] == [State.CHANGED]
    with pytest.raises(ModelError) as caught:
        store.require_unchanged("medsam", hashlib.sha256(path.read_bytes()).hexdigest())
    assert caught.value.code == "E-MODEL-CHANGED"


def test_a_file_that_was_only_touched_or_copied_is_the_same(models: Path, tmp_path: Path) -> None:
    path = kept_model(tmp_path)
    os.utime(path, (1, 1))
    assert store.cached_path("medsam") == path
    assert json.loads((models / "medsam.json").read_text())["mtime_ns"] == 10**9


def test_a_record_of_an_earlier_version_is_read_and_completed(models: Path, tmp_path: Path) -> None:
    path = kept_model(tmp_path)
    record = {"file": "medsam.pth", "sha256": SHA256, "source": "model.pth"}
    (models / "medsam.json").write_text(json.dumps(record, indent=1))
    assert store.cached_path("medsam") == path
    assert json.loads((models / "medsam.json").read_text())["size"] == len(CONTENT)


def test_a_file_with_another_ending_replaces_the_earlier_one(models: Path, tmp_path: Path) -> None:
    kept_model(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"new")
    path = store.import_checkpoint("medsam", tmp_path / "model.safetensors")
    assert store.cached_path("medsam") == path and left(models) == ["medsam.json", "medsam.safetensors"]


DAMAGED = [
    pytest.param(b"{bad", id="no JSON"),
    pytest.param(b"", id="empty"),
    pytest.param(b"\xff\xfe", id="no text"),
    pytest.param(b"[" * 100_000, id="deep"),
    pytest.param(b"[1]", id="a list"),
    pytest.param(b'{"file": "medsam.pth"}', id="no hash"),
    pytest.param(b'{"file": "medsam.pth", "sha256": "12"}', id="short hash"),
    *(
        pytest.param(json.dumps({"file": name, "sha256": SHA256}).encode(), id=f"file {name!a}")
        for name in ("../evil.pt", "/etc/passwd", "a/b.pt", "..", ".", "", "..\\evil.pt", "C:evil.pt", "a\0b", "a\nb")
    ),
]


@pytest.mark.parametrize("record", DAMAGED)
def test_a_damaged_record_is_one_error_with_the_way_out(record: bytes, address: str, models: Path) -> None:
    models.mkdir()
    (models.parent / "evil.pt").write_bytes(CONTENT)
    (models / "medsam.json").write_bytes(record)
    (models / "other.json").write_text('{"file": "other.pt", "sha256": "' + SHA256 + '"}')
    (models / "other.pt").write_bytes(CONTENT)
    with pytest.raises(ModelError) as caught:
        store.cached_path("medsam")
    assert caught.value.code == "E-MODEL-RECORD" and "models pull medsam" in caught.value.hint
    assert [(found.name, found.state) for found in store.verify()] == [
        ("medsam", State.DAMAGED),
        ("other", State.INTACT),
    ]
    store.pull("medsam", Download(address, SHA256))
    assert [found.intact for found in store.verify()] == [True, True]


@posix
def test_a_kept_file_that_became_a_link_is_refused(models: Path, tmp_path: Path) -> None:
    path = kept_model(tmp_path)
    path.rename(tmp_path / "elsewhere.pth")
    path.symlink_to(tmp_path / "elsewhere.pth")
    with pytest.raises(ModelError, match="is a link"):
        store.cached_path("medsam")


def test_a_missing_file_is_none(models: Path, tmp_path: Path) -> None:
    kept_model(tmp_path).unlink()
    assert store.cached_path("medsam") is None
    assert [found.state for found in store.verify()] == [State.MISSING]
