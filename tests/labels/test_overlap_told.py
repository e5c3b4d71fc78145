"""What a label map has no room for is told, by name and number; labels are never folded into other numbers."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import tifffile
from PIL import Image

from delineate.core.errors import InputError
from delineate.core.rle import Rle
from delineate.core.scan import Scan
from delineate.core.segmentation import Segmentation
from delineate.io.saving import overlap_notices, save
from delineate.labels.reading import open_segmentation
from delineate.verbs.clean import CleanRequest, clean
from delineate.verbs.combine import CombineRequest, combine
from delineate.verbs.convert import ConvertRequest, convert


@pytest.fixture
def nested(tmp_path: Path) -> Path:
    """A tumor that lies whole in a liver, which comes later; and a spleen beside them."""
    outlines = Segmentation.empty(scan := Scan.from_volume(np.zeros((20, 20, 3), np.int16)))
    for name, box in (("tumor", (5, 9)), ("liver", (2, 15)), ("spleen", (16, 19))):
        mask = np.zeros((20, 20), bool)
        mask[box[0] : box[1], box[0] : box[1]] = True
        outlines = outlines.adding(name).with_masks(name, {1: Rle.encode(mask)})
    save(outlines, tmp_path / "nested.seg.nrrd", scan)
    return tmp_path / "nested.seg.nrrd"


def told(notices: object) -> str:
    return " ".join(str(n) for n in notices if n.code in ("W-LABELS-OVERLAP", "W-SEGMENTS-OVERLAP"))  # type: ignore[attr-defined]


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".mha", ".tif", ".npz", ""])
def test_formats_with_one_label_a_voxel(nested: Path, ending: str) -> None:
    result = convert(ConvertRequest(input=nested, output=nested.with_name(f"out{ending}"), kind="labels"))
    assert "tumor loses 16 of 16" in told(result.notices)
    assert "liver" not in told(result.notices) and "spleen" not in told(result.notices)
    found = open_segmentation(nested.with_name(f"out{ending}")).segmentation
    assert found["tumor"].area == 0


@pytest.mark.parametrize("ending,split", [(".seg.nrrd", False), (".json", False), (".nii.gz", True)])
def test_formats_in_which_structures_stay_whole(nested: Path, ending: str, split: bool) -> None:
    output = nested.with_name(f"out{ending}")
    result = convert(ConvertRequest(input=nested, output=output, kind="labels", split=split))
    assert not told(result.notices)
    file = nested.with_name("out_tumor.nii.gz") if split else output
    assert open_segmentation(file).segmentation["tumor"].area == 16


def test_every_verb_that_writes_labels_tells(nested: Path) -> None:
    out = nested.parent
    assert "tumor loses" in told(clean(CleanRequest(input=nested, largest=True, output=out / "c.nii.gz")).notices)
    for name, low in (("tumor", 3), ("liver", 1)):
        voxels = np.zeros((9, 9, 9), np.uint8)
        voxels[low:6, low:6, low:6] = 1
        nib.save(nib.Nifti1Image(voxels, np.eye(4)), out / f"{name}.nii.gz")
    request = CombineRequest(inputs=(out / "tumor.nii.gz", out / "liver.nii.gz"), output=out / "both.nii.gz")
    assert "tumor loses 27 of 27" in told(combine(request).notices)


def test_a_locked_structure_loses_nothing(nested: Path) -> None:
    from dataclasses import replace

    outlines = open_segmentation(nested).segmentation
    locked = outlines.replacing(replace(outlines["tumor"], locked=True))
    assert "liver loses 16 of 169" in told(overlap_notices(locked, {Path("a.nii"): None}))


def test_labels_of_a_folder_may_need_more_bits_on_a_later_frame(tmp_path: Path) -> None:
    labels = np.zeros((9, 9), np.uint16)
    labels[2:4] = 3
    Image.fromarray(labels.astype(np.uint8)).save(tmp_path / "0.png")
    labels[5:7] = 300
    Image.fromarray(labels).save(tmp_path / "1.png")
    assert {o.label: o.area for o in open_segmentation(tmp_path).segmentation.objects} == {3: 36, 300: 18}


@pytest.mark.parametrize("first", [np.uint8, np.float32])
def test_fractions_in_a_folder_are_no_labels(tmp_path: Path, first: type) -> None:
    shares = np.full((9, 9), 0.75, np.float32)
    tifffile.imwrite(tmp_path / "0.tif", np.zeros((9, 9), first))
    tifffile.imwrite(tmp_path / "1.tif", shares)
    with pytest.raises(InputError, match=r"no whole numbers|fractions"):
        open_segmentation(tmp_path)
    if first is np.float32:
        assert open_segmentation(tmp_path, threshold=0.5).segmentation.objects[0].area == 81


@pytest.mark.parametrize("ids", [(0, 1), (1, 0), ("a", 1), (99_999, 2, 1), (0, 1, 2, 3)], ids=str)
def test_categories_of_any_id_get_labels_of_their_own(tmp_path: Path, ids: tuple[int | str, ...]) -> None:
    boxes = [[k * 5, 1, k * 5 + 3, 1, k * 5 + 3, 5, k * 5, 5] for k in range(len(ids))]
    content = {
        "images": [{"id": 1, "width": 20, "height": 10}],
        "categories": [{"id": one, "name": f"n{one}"} for one in ids],
        "annotations": [
            {"image_id": 1, "category_id": one, "segmentation": [box]} for one, box in zip(ids, boxes, strict=True)
        ],
    }
    (tmp_path / "a.json").write_text(json.dumps(content))
    found = open_segmentation(tmp_path / "a.json").segmentation
    assert [o.area for o in found.objects] == [12] * len(ids)
    assert all(o.label == one for o, one in zip(found.objects, ids, strict=True) if one in (1, 2, 3))


def test_crowds_of_a_coco_file_are_told(tmp_path: Path) -> None:
    crowd = {"image_id": 1, "category_id": 1, "segmentation": {"size": [3, 4], "counts": [2, 5, 5]}, "iscrowd": 1}
    images, categories = [{"id": 1, "width": 4, "height": 3}], [{"id": 1, "name": "x"}]
    content = {"images": images, "categories": categories, "annotations": [crowd]}
    (tmp_path / "a.json").write_text(json.dumps(content))
    assert "W-COCO-CROWDS" in {n.code for n in open_segmentation(tmp_path / "a.json").scan.notices}
