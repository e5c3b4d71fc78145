"""The verb ``dataset synthesize``: labeled pictures from the synthetic engine, for systems to learn from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

from delineate.data.cases import EVERY_NUMBER, MANIFEST, Use
from delineate.io.outputs import Outputs
from delineate.quill.data.scene import Scene
from delineate.verbs.request import Progress, Request

DATASET = "synthetic"
SHARED = 0.05  # of a structure that an earlier one may cover: labels are one number a pixel


class SynthesizeDatasetRequest(Request):
    """Everything ``dataset synthesize`` needs to know."""

    output: Path = Field(description="New folder for pictures, labels and manifest.json.")
    count: int = Field(default=100, ge=1, description="Pictures.")
    size: int = Field(default=256, ge=64, le=352, description="Pixels along a side.")
    seed: int = Field(default=0, ge=0, description="The same seed gives the same pictures.")


@dataclass(frozen=True)
class SynthesizeDatasetResult:
    """How many pictures were written, and how many structures are in them."""

    pictures: int
    structures: int
    output: Path

    def as_json(self) -> dict[str, Any]:
        return {"pictures": self.pictures, "structures": self.structures}


def synthesize_dataset(request: SynthesizeDatasetRequest, progress: Progress | None = None) -> SynthesizeDatasetResult:
    """Write labeled pictures of made-up organs, cells, vessels and layers, which anything may be trained on.

    Raises OutputError for a folder that is there and not empty.
    """
    from delineate.quill.data.synthetic.scenes import synthetic_scene

    items, structures = [], 0
    with Outputs([request.output]) as outputs:
        folder = outputs.stage(request.output)
        folder.mkdir()
        for number in range(request.count):
            scene = synthetic_scene(np.random.default_rng((request.seed, number)), request.size)
            labels, name = label_map(scene), f"scene{number:05d}"
            Image.fromarray(np.round(scene.frames[0] * 255).astype(np.uint8)).save(folder / f"{name}.png")
            Image.fromarray(labels).save(folder / f"{name}_label.png")
            items.append(_item(name, scene.kind))
            structures += int(labels.max())
            if progress is not None:
                progress(number + 1, request.count)
        (folder / MANIFEST).write_text(json.dumps(items, indent=1))
    return SynthesizeDatasetResult(request.count, structures, request.output)


def label_map(scene: Scene) -> NDArray[np.uint8]:
    """The structures of a scene's first frame as numbers (H, W); of structures that overlap the smaller ones."""
    labels = np.zeros(scene.targets.shape[2:], np.uint8)
    for mask in sorted(scene.targets[:, 0], key=np.count_nonzero):
        if (mask & (labels > 0)).sum() <= SHARED * mask.sum():
            labels[mask & (labels == 0)] = labels.max() + 1
    return labels


def _item(name: str, kind: str) -> dict[str, Any]:
    return {
        "id": f"{DATASET}/{name}",
        "dataset": DATASET,
        "modality": kind,
        "task": "2d",
        "labels": {EVERY_NUMBER: "structure"},
        "image": f"{name}.png",
        "label": f"{name}_label.png",
        "use": Use.TRAIN.value,
        "subject": name,
    }
