"""A tiny labeled collection: an image of disks, a volume of a ball, a clip of a moving square, written as files."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image


def _disks() -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.ogrid[:80, :100]
    labels = np.zeros((80, 100), dtype=np.uint8)
    for value, (y, x, radius) in enumerate([(20, 20, 12), (50, 70, 18), (60, 20, 9), (10, 90, 2)], 1):
        labels[(rows - y) ** 2 + (columns - x) ** 2 <= radius**2] = value
    return np.where(labels > 0, 200, 40).astype(np.uint8), labels


def _ball() -> tuple[np.ndarray, np.ndarray]:
    i, j, k = np.ogrid[:40, :48, :12]
    ball = (i - 20) ** 2 + (j - 24) ** 2 + (4 * (k - 6)) ** 2 <= 15**2
    return np.where(ball, 300, -50).astype(np.int16), ball.astype(np.uint8)


def _write(folder: Path, name: str, frames: dict[int, np.ndarray]) -> str:
    (folder / name).mkdir(parents=True)
    for index, frame in frames.items():
        Image.fromarray(frame).save(folder / name / f"{index:05d}.png")
    return name


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the collection, with its manifest.json."""
    root = tmp_path_factory.mktemp("collection")
    for name, array in zip(("disks.png", "disks_label.png"), _disks(), strict=True):
        Image.fromarray(array).save(root / name)
    for name, array in zip(("ball.nii.gz", "ball_label.nii.gz"), _ball(), strict=True):
        nib.save(nib.Nifti1Image(array, np.diag([1.0, 1.0, 4.0, 1.0])), root / name)
    squares = {}
    for index in range(6):
        squares[index] = np.zeros((48, 64), dtype=np.uint8)
        squares[index][10:30, 8 + 3 * index : 28 + 3 * index] = 1
    _write(root, "clip/frames", {index: 40 + 160 * square for index, square in squares.items()})
    _write(root, "clip/labels", {index: squares[index] for index in (1, 3, 5)})

    def item(task: str, dataset: str, image: str, label: str, labels: dict[str, str], use: str = "test") -> dict:
        about = {"id": f"{dataset}/{use}", "task": task, "dataset": dataset, "modality": "drawing"}
        return {**about, "image": image, "label": label, "labels": labels, "use": use}

    items = [
        item("2d", "disks", "disks.png", "disks_label.png", {"1..n": "disk"}),
        item("2d", "disks", "disks.png", "disks_label.png", {"1": "one", "2": "two"}, use="train"),
        item("3d", "ball", "ball.nii.gz", "ball_label.nii.gz", {"1": "ball"}),
        item("video", "clip", "clip/frames", "clip/labels", {"1": "square"}),
        {**item("dicom", "bare", "bare", "", {}), "label": None},
    ]
    (root / "manifest.json").write_text(json.dumps(items))
    return root
