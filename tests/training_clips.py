"""Bright discs that move, as videos with labels, and tiny SAM 2s to train on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from delineate.compute.engine import Engine, Precision
from delineate.core.manifest import ModelRecord
from delineate.data.cases import Case, Task, Use
from delineate.memory.policies import FrameWindow, MemoryPolicy
from delineate.models.sam2 import Sam2, Sam2Shape
from delineate.predictors.sam2 import Sam2Predictor
from tiny_networks import TINY_HIERA, lively

SIDE = 128
CPU = Engine(torch.device("cpu"), Precision.FP32)


def disc_video(
    root: Path, name: str, frames: int = 8, seed: int = 0, side: int = SIDE, objects: int = 1, alike: bool = False
) -> Case:
    """A labeled video of discs on noise that drift; the second one is gone in the middle of it.

    alike  both look the same, stay, and do not touch: only memory tells them apart
    """
    rng = np.random.default_rng(seed)
    folders = root / name / "images", root / name / "labels"
    for folder in folders:
        folder.mkdir(parents=True)
    y, x = np.mgrid[:side, :side]
    places = rng.uniform(0.3, 0.7, (objects, 2)) * side
    drift = rng.uniform(-0.025, 0.025, (objects, 2)) * side
    if alike:
        places[:, 1] = rng.permutation([0.25, 0.75]) * side
    radii = rng.uniform(0.1, 0.16, objects) * side
    for t in range(frames):
        labels = np.zeros((side, side), np.uint8)
        for n in range(objects):
            if n == 1 and not alike and frames // 3 <= t < 2 * frames // 3:
                continue
            cy, cx = places[n] + t * drift[n]
            labels[(y - cy) ** 2 + (x - cx) ** 2 < radii[n] ** 2] = n + 1
        gray = 60 + 90 * (labels > 0) + (0 if alike else 40) * (labels == 2) + rng.normal(0, 10, labels.shape)
        Image.fromarray(gray.clip(0, 255).astype(np.uint8)).save(folders[0] / f"{t:03}.png")
        Image.fromarray(labels).save(folders[1] / f"{t:03}.png")
    names = {n + 1: f"disc {n + 1}" for n in range(objects)}
    return Case(name, "discs", "video", Task.VIDEO, *folders, names, Use.TRAIN, subject=name)


def disc_videos(root: Path, count: int, frames: int = 8, objects: int = 1, alike: bool = False) -> list[Case]:
    return [disc_video(root, f"video{n}", frames, n, objects=objects, alike=alike) for n in range(count)]


def tiny_sam2_predictor(alive: bool = False, side: int = SIDE, policy: MemoryPolicy | None = None) -> Sam2Predictor:
    """Fresh weights as the network is made, or random ones at which every part counts."""
    torch.manual_seed(0)
    network = Sam2(Sam2Shape(side=side, hiera=TINY_HIERA)).eval()
    if alive:
        lively(network)
    with torch.no_grad():  # objects are there, clearly
        network.host.mask_decoder.pred_obj_score_head.proj_out.bias.fill_(3.0)
    record = ModelRecord(name="tiny sam2", version="0", sha256="", license="")
    return Sam2Predictor(network, CPU, record, policy=policy or FrameWindow())
