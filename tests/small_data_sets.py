"""One small data set in each layout, written into a folder."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
from PIL import Image

from delineate.core.rle import Rle

DISC = (np.hypot(*(np.mgrid[:40, :50] - 20)) < 10).astype(np.uint8)
BLUE = np.zeros((40, 50, 3), np.uint8) + np.array([10, 20, 200], np.uint8)


def picture(path: Path, values: np.ndarray = DISC * 200) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def volume(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(values, np.diag([1.0, 1, 3, 1])), path)


def nnunet(root: Path) -> None:
    voxels = np.repeat(DISC.T[..., None], 4, axis=2).astype(np.int16)
    for n in range(2):
        volume(root / "imagesTr" / f"heart_{n:03}_0000.nii.gz", voxels * (50 + n))
        volume(root / "labelsTr" / f"heart_{n:03}.nii.gz", voxels)
    about = {"labels": {"background": 0, "heart": 1}, "channel_names": {"0": "MRI"}, "file_ending": ".nii.gz"}
    (root / "dataset.json").write_text(json.dumps(about))


def vos(root: Path) -> None:
    for t in range(3):
        picture(root / "JPEGImages" / "clip" / f"{t:05}.jpg", np.repeat(DISC[..., None] * 180, 3, axis=2))
        picture(root / "Annotations" / "clip" / f"{t:05}.png", DISC)


def sa_med2d(root: Path) -> None:
    stem = "ct_00--AbdomenCT1K--Case_00011--x_0041"
    picture(root / "images" / f"{stem}.png")
    picture(root / "masks" / f"{stem}--0002_000.png", DISC * 255)
    listed = {f"images/{stem}.png": [f"masks/{stem}--0002_000.png"]}
    (root / "SAMed2D_v1.json").write_text(json.dumps(listed))
    (root / "SAMed2D_v1_class_mapping_id.json").write_text(json.dumps({"AbdomenCT1K": {"liver": 1, "spleen": 2}}))


def camus(root: Path) -> None:
    folder = root / "patient0001"
    volume(folder / "patient0001_2CH_ED.nii.gz", DISC.T.astype(np.int16) * 90)
    volume(folder / "patient0001_2CH_ED_gt.nii.gz", DISC.T.astype(np.int16))


def folders(root: Path) -> None:
    for n in range(3):
        picture(root / "images" / f"{n}.png", DISC * (100 + n))
        picture(root / "masks" / f"{n}_mask.png", DISC)


def manifest(root: Path) -> None:
    picture(root / "a.png")
    picture(root / "a_label.png", DISC)
    item = {
        "id": "a", "dataset": "discs", "modality": "x", "task": "2d", "image": "a.png", "label": "a_label.png",
        "labels": {"1": "disc"}, "use": "test",
    }  # fmt: skip
    (root / "manifest.json").write_text(json.dumps([item]))


def coco(root: Path, split: str = "train2017") -> dict:
    """One picture of a square (polygon), a disc (runs) and a crowd; one picture without annotations."""
    for n in range(2):
        picture(root / split / f"slide_{n:03}.png", BLUE + n)
    runs = [int(n) for n in Rle.encode(DISC > 0).counts]
    square = [[30.0, 5.0, 40.0, 5.0, 40.0, 15.0, 30.0, 15.0]]
    whole = {"size": [40, 50], "counts": [0, 2000]}
    content = {
        "images": [{"id": n, "file_name": f"slide_{n:03}.png", "width": 50, "height": 40} for n in range(2)],
        "annotations": [
            {"id": 1, "image_id": 0, "category_id": 7, "segmentation": square, "iscrowd": 0},
            {"id": 2, "image_id": 0, "category_id": 9, "segmentation": {"size": [40, 50], "counts": runs}},
            {"id": 3, "image_id": 0, "category_id": 9, "segmentation": whole, "iscrowd": 1},
        ],
        "categories": [{"id": 7, "name": "square"}, {"id": 9, "name": "disc"}],
    }
    (root / "annotations").mkdir(exist_ok=True)
    (root / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))
    return content


def npz(path: Path, **arrays: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)


def endovis17(root: Path) -> None:
    for n in range(3):
        picture(root / "instrument_dataset_1" / "left_frames" / f"frame{n:03}.png", BLUE + n)
        for side, mask in (("Left", DISC), ("Right", np.roll(DISC, 15, 1))):
            folder = root / "instrument_dataset_1" / "ground_truth" / f"{side}_Prograsp_Forceps_labels"
            picture(folder / f"frame{n:03}.png", mask * 30)
        if n:
            picture(
                root / "instrument_dataset_1" / "ground_truth" / "Vessel_Sealer_labels" / f"frame{n:03}.png",
                DISC.copy(),
            )


def endovis18(root: Path) -> None:
    key = [
        {"name": "background-tissue", "color": [0, 0, 0], "classid": 0},
        {"name": "instrument-shaft", "color": [0, 255, 0], "classid": 1},
        {"name": "kidney", "color": [255, 55, 0], "classid": 2},
    ]
    root.mkdir(parents=True, exist_ok=True)
    (root / "labels.json").write_text(json.dumps(key))
    for n in range(3):
        picture(root / "seq_2" / "left_frames" / f"frame{n:03}.png", BLUE + n)
    for n in (0, 2):
        picture(root / "seq_2" / "labels" / f"frame{n:03}.png", DISC[..., None] * np.array([255, 55, 0], np.uint8))


def challenge(root: Path) -> None:
    """A picture as npz with its truth beside it."""
    npz(root / "imgs" / "2D_a.npz", imgs=BLUE)
    npz(root / "gts" / "2D_a.npz", gts=DISC)
