"""What this program wrote is known as its own, until anybody has changed it."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import delineate
from delineate.core.errors import OutputError
from delineate.core.rle import Rle
from delineate.core.segmentation import Segmentation
from delineate.io.opening import open_scan
from delineate.io.own_files import LISTING, is_own
from small_scans import clip, picture, snapshot


@pytest.mark.parametrize("name", ["a.png", "a.nii", "a.nii.gz", "a.seg.nrrd", "a.npz", "a.json"])
def test_every_format_says_that_this_program_wrote_it(tmp_path: Path, name: str) -> None:
    scan = open_scan(picture(tmp_path / "scan.png"))
    outlines = Segmentation.empty(scan).adding("a").with_masks("a", {0: Rle.encode(np.ones((64, 64), bool))})
    delineate.save(outlines, tmp_path / name, scan)
    assert is_own(tmp_path / name)
    delineate.save(outlines, tmp_path / name, scan, overwrite=True)
    with pytest.raises(OutputError) as caught:
        delineate.save(outlines, tmp_path / name, scan)
    assert caught.value.code == "E-OUTPUT-EXISTS" and "--overwrite" in caught.value.hint


def test_a_folder_of_masks_says_so_until_something_else_lies_in_it(tmp_path: Path) -> None:
    scan = open_scan(clip(tmp_path / "clip"))
    outlines = Segmentation.empty(scan).adding("a").with_masks("a", {0: Rle.encode(np.ones((64, 64), bool))})
    for overwrite in (False, True):
        delineate.save(outlines, tmp_path / "out", scan, overwrite=overwrite)
    assert is_own(tmp_path / "out")
    (tmp_path / "out" / "masks" / "thesis.txt").write_text("months of work")
    before = snapshot(tmp_path)
    with pytest.raises(OutputError, match=r"thesis\.txt") as caught:
        delineate.save(outlines, tmp_path / "out", scan, overwrite=True)
    assert caught.value.code == "E-OUTPUT-FOREIGN" and snapshot(tmp_path) == before


def resaved_png(path: Path) -> None:
    with Image.open(path) as image:
        pixels, info = np.array(image), image.info
    pixels[:5] = 1
    kept = PngInfo()
    kept.add_text("Software", str(info["Software"]))
    Image.fromarray(pixels).save(path, pnginfo=kept)


def resaved_nifti(path: Path) -> None:
    """nibabel keeps a header's texts and extensions."""
    image = nib.load(path)
    voxels = np.asarray(image.dataobj).copy()
    voxels[0, 0] = 0
    nib.save(nib.Nifti1Image(voxels, image.affine, image.header), path)


def one_byte_more(path: Path) -> None:
    with path.open("ab") as stream:
        stream.write(b"\n")


def one_byte_other(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


EDITS = [
    *[("o.png", edit) for edit in (resaved_png, one_byte_more, one_byte_other)],
    *[(f"o{end}", edit) for end in (".nii", ".nii.gz") for edit in (resaved_nifti, one_byte_more, one_byte_other)],
    *[(f"o{end}", edit) for end in (".seg.nrrd", ".npz", ".json") for edit in (one_byte_more, one_byte_other)],
]


@pytest.mark.parametrize(("name", "edit"), EDITS, ids=lambda one: one if isinstance(one, str) else one.__name__)
def test_what_somebody_edited_since_is_never_replaced(tmp_path: Path, name: str, edit: Callable[[Path], None]) -> None:
    scan = open_scan(picture(tmp_path / "scan.png"))
    outlines = Segmentation.empty(scan).adding("a").with_masks("a", {0: Rle.encode(np.ones((64, 64), bool))})
    delineate.save(outlines, tmp_path / name, scan)
    edit(tmp_path / name)
    before = snapshot(tmp_path)
    with pytest.raises(OutputError) as caught:
        delineate.save(outlines, tmp_path / name, scan, overwrite=True)
    assert caught.value.code == "E-OUTPUT-FOREIGN" and snapshot(tmp_path) == before


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nii", "a.png", "a.seg.nrrd", "a.npz"])
def test_a_mark_does_not_change_what_others_read(tmp_path: Path, name: str) -> None:
    scan = open_scan(picture(tmp_path / "scan.png"))
    drawn = np.zeros((64, 64), bool)
    drawn[5:20, 7:30] = True
    delineate.save(Segmentation.empty(scan).adding("a").with_masks("a", {0: Rle.encode(drawn)}), tmp_path / name, scan)
    readers: dict[str, Callable[[Path], Any]] = {
        ".png": lambda path: np.array(Image.open(path)),
        ".npz": lambda path: np.load(path)["segs"],
    }
    read = readers.get((tmp_path / name).suffix, lambda path: open_scan(path).pixels(0))(tmp_path / name)
    assert np.array_equal(read > 0, drawn)
    if name.endswith("gz"):
        subprocess.run(["gzip", "-t", tmp_path / name], check=True)
    if name.endswith("png"):
        with Image.open(tmp_path / name) as image:
            image.verify()


def added(folder: Path) -> None:
    (folder / "reviewed-by-anna").touch()


def renamed(folder: Path) -> None:
    (folder / "masks" / "00000.png").rename(folder / "masks" / "00000-good.png")


def new_folder(folder: Path) -> None:
    (folder / "sorted").mkdir()


def removed(folder: Path) -> None:
    (folder / "masks" / "00001.png").unlink()


def listed_too(folder: Path) -> None:
    """A listing that was edited is none."""
    (folder / "note.txt").write_text("mine")
    listing = folder / LISTING
    content = json.loads(listing.read_text())
    content["files"]["note.txt"] = hashlib.sha256(b"mine").hexdigest()
    listing.write_text(json.dumps(content))


@pytest.mark.parametrize("change", [added, renamed, new_folder, removed, listed_too])
def test_a_folder_somebody_worked_in_is_never_replaced(tmp_path: Path, change: Callable[[Path], None]) -> None:
    scan = open_scan(clip(tmp_path / "clip"))
    outlines = Segmentation.empty(scan).adding("a").with_masks("a", {0: Rle.encode(np.ones((64, 64), bool))})
    delineate.save(outlines, tmp_path / "out", scan)
    change(tmp_path / "out")
    before = snapshot(tmp_path)
    with pytest.raises(OutputError) as caught:
        delineate.save(outlines, tmp_path / "out", scan, overwrite=True)
    assert caught.value.code == "E-OUTPUT-FOREIGN" and snapshot(tmp_path) == before


def test_hand_written_prompts_are_nobodys_output(tmp_path: Path) -> None:
    scan = open_scan(picture(tmp_path / "scan.png"))
    prompts = tmp_path / "hand.json"
    prompts.write_text(json.dumps({"format": "delineate-prompts/1", "events": [], "done": 0}))
    outlines = Segmentation.empty(scan).adding("a").with_masks("a", {0: Rle.encode(np.ones((64, 64), bool))})
    with pytest.raises(OutputError):
        delineate.save(outlines, prompts, scan, overwrite=True)
