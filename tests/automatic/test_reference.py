"""Automatic masks against a second, plain writing of the steps of SAM's and SAM 2's released generators."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from tiny_networks import moving_frames, tiny_sam, tiny_sam2

pytest.importorskip("transformers")

from delineate.automatic import AutomaticSettings, generate_masks
from delineate.compute.engine import Engine, Precision
from delineate.core.frame import Frame
from delineate.core.manifest import ModelRecord
from delineate.models.sam import SamPrompts
from delineate.predictors.sam import SamPredictor
from delineate.predictors.sam2 import Sam2Predictor
from delineate.predictors.sam_behavior import SamBehavior
from delineate.preprocess.profiles import SAM

CPU = Engine(torch.device("cpu"), Precision.FP32)
RECORD = ModelRecord(name="tiny", version="test", sha256="", license="")
PICTURE = moving_frames(1, 150)[0][:110]


@dataclass
class Kept:
    """One mask of the reference: on the whole picture, with its first and last column and row."""

    mask: NDArray[np.bool_]
    corners: tuple[int, int, int, int]
    iou: float
    stability: float
    crop: tuple[int, int, int, int]


class SamReference:
    """SAM's predictor: padded right and below, enlarged twice; small regions are removed at the end."""

    tidies = False

    def __init__(self) -> None:
        self.predictor = SamPredictor(tiny_sam(), SamBehavior(replace(SAM, side=256)), CPU, RECORD)

    def logits(self, part: NDArray[np.uint8], clicks: NDArray[np.float64], area: int) -> tuple[Tensor, Tensor]:
        features = self.predictor.encode(Frame.of(part))
        height, width = part.shape[:2]
        scale = 256 / max(height, width)
        inner = int(height * scale + 0.5), int(width * scale + 0.5)
        places = torch.tensor(clicks * (inner[1] / width, inner[0] / height), dtype=torch.float32)[:, None]
        prompts = SamPrompts(places, torch.ones(len(places), 1, dtype=torch.int64))
        low, iou = self.predictor.network.decode(features.embedding, prompts, multimask=True)
        whole = F.interpolate(low, (256, 256), mode="bilinear", align_corners=False)[..., : inner[0], : inner[1]]
        return F.interpolate(whole, (height, width), mode="bilinear", align_corners=False).flatten(0, 1), iou.flatten()


class Sam2Reference:
    """SAM 2's predictor: squared, enlarged once; small regions are removed from low-resolution logits before."""

    tidies = True

    def __init__(self) -> None:
        self.predictor = Sam2Predictor(tiny_sam2(), CPU, RECORD)

    def logits(self, part: NDArray[np.uint8], clicks: NDArray[np.float64], area: int) -> tuple[Tensor, Tensor]:
        features, network = self.predictor.encode(Frame.of(part)), self.predictor.network
        height, width = part.shape[:2]
        single = clicks.astype(np.float32) / np.array([width, height], np.float32) * np.float32(256)
        answer = network.decode(
            network.without_memory(features.maps),
            features.maps,
            torch.from_numpy(single)[:, None],
            torch.ones(len(single), 1, dtype=torch.int32),
            multimask=True,
            gated=False,
        )
        low = answer.logits.flatten(0, 1).numpy().copy()
        for one in low if area else ():
            holes, specks = (parts_up_to(region, area) for region in (one <= 0, one > 0))
            one[holes], one[specks] = 10, -10
        high = F.interpolate(torch.from_numpy(low)[:, None], (height, width), mode="bilinear", align_corners=False)
        return high[:, 0], answer.iou.flatten()


def parts_up_to(region: NDArray[np.bool_], area: int) -> NDArray[np.bool_]:
    parts, count = ndimage.label(region, structure=np.ones((3, 3)))
    small = np.zeros_like(region)
    for n in range(1, count + 1):
        if (parts == n).sum() <= area:
            small |= parts == n
    return small


def corners_of(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    rows, columns = np.nonzero(mask)
    return int(columns.min()), int(rows.min()), int(columns.max()), int(rows.max())


def suppressed(kept: list[Kept], scores: list[float], overlap: float) -> list[Kept]:
    """Greedy non-maximum suppression in float32, equal scores in their order."""
    chosen: list[Kept] = []
    for n in sorted(range(len(kept)), key=lambda n: (-np.float32(scores[n]), n)):
        if not any(float(box_iou(kept[n].corners, other.corners)) > overlap for other in chosen):
            chosen.append(kept[n])
    return chosen


def box_iou(a: tuple[int, ...], b: tuple[int, ...]) -> np.float32:
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(wide, 0) * max(high, 0)
    both = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return np.float32(shared) / np.float32(both) if both else np.float32("nan")


def parts_of(height: int, width: int, layers: int) -> list[tuple[int, tuple[int, int, int, int]]]:
    """Layer and part; in a layer column after column."""
    made = [(0, (0, 0, width, height))]
    for layer in range(1, layers + 1):
        count = 2**layer
        shared = int(512 / 1500 * min(height, width) * 2 / count)
        wide, high = ceil((shared * (count - 1) + width) / count), ceil((shared * (count - 1) + height) / count)
        for x in range(count):
            for y in range(count):
                x0, y0 = (wide - shared) * x, (high - shared) * y
                made.append((layer, (x0, y0, min(x0 + wide, width), min(y0 + high, height))))
    return made


def near_a_cut(corners: tuple[int, ...], part: tuple[int, ...], whole: tuple[int, ...]) -> bool:
    return any(abs(c - p) <= 20 and abs(c - w) > 20 for c, p, w in zip(corners, part, whole, strict=True))


def reference(reference: SamReference | Sam2Reference, settings: AutomaticSettings) -> list[Kept]:
    height, width = PICTURE.shape[:2]
    found: list[Kept] = []
    parts = parts_of(height, width, settings.crop_layers)
    for _, (x0, y0, x1, y1) in parts:
        steps = np.linspace(0.5, settings.points_per_side - 0.5, settings.points_per_side) / settings.points_per_side
        clicks = np.array([(x * (x1 - x0), y * (y1 - y0)) for y in steps for x in steps])
        with torch.inference_mode():
            logits, iou = reference.logits(PICTURE[y0:y1, x0:x1], clicks, settings.min_mask_region_area)
        here: list[Kept] = []
        for one, score in zip(logits.numpy(), iou.tolist(), strict=True):
            outer = (one > -settings.offset).sum()
            stability = float((one > settings.offset).sum() / outer) if outer else 0.0
            mask = np.zeros((height, width), bool)
            mask[y0:y1, x0:x1] = one > 0
            if score > settings.pred_iou_thresh and stability >= settings.stability_score_thresh and mask.any():
                kept = Kept(mask, corners_of(mask), score, stability, (x0, y0, x1, y1))
                if not near_a_cut(kept.corners, kept.crop, (0, 0, width, height)):
                    here.append(kept)
        found += suppressed(here, [one.iou for one in here], settings.overlap)
    if len(parts) > 1:
        sizes = [1 / np.float32((c[2] - c[0]) * (c[3] - c[1])) for c in (one.crop for one in found)]
        found = suppressed(found, [float(s) for s in sizes], settings.overlap)
    if settings.min_mask_region_area and not reference.tidies:
        found = regions_removed(found, settings)
    return found


def regions_removed(found: list[Kept], settings: AutomaticSettings) -> list[Kept]:
    changed = []
    for one in found:
        mask = one.mask | parts_up_to(~one.mask, settings.min_mask_region_area - 1)
        islands, count = ndimage.label(mask, structure=np.ones((3, 3)))
        sizes = [int((islands == n).sum()) for n in range(1, count + 1)]
        large = [n + 1 for n, size in enumerate(sizes) if size >= settings.min_mask_region_area] or [
            int(np.argmax(sizes)) + 1
        ]
        mask = np.isin(islands, large)
        changed.append((replace(one, mask=mask, corners=corners_of(mask)), float((mask == one.mask).all())))
    return suppressed([one for one, _ in changed], [score for _, score in changed], settings.overlap)


BASE = AutomaticSettings(points_per_side=5, pred_iou_thresh=0.3, stability_score_thresh=0.3, offset=0.02, overlap=1.0)
SETTINGS = {
    "one grid": BASE,
    "suppressed": replace(BASE, overlap=0.98),
    "parts of the picture": replace(BASE, points_per_side=3, crop_layers=1, overlap=0.98),
    "small regions": replace(BASE, min_mask_region_area=12),
}


@pytest.mark.parametrize("title", SETTINGS)
@pytest.mark.parametrize("family", [SamReference, Sam2Reference], ids=["SAM", "SAM 2"])
def test_the_same_masks_are_kept(family: type[SamReference | Sam2Reference], title: str) -> None:
    settings = SETTINGS[title]
    made = family()
    if family is SamReference:  # of random weights about 0, where SAM 2's are between 0 and 1
        settings = replace(settings, pred_iou_thresh=-0.2)
    wanted = sorted(reference(made, settings), key=lambda one: (-one.mask.sum(), one.iou))
    found = sorted(
        generate_masks(made.predictor, Frame.of(PICTURE), settings), key=lambda one: (-one.mask.area, one.iou)
    )
    assert len(wanted) == len(found) >= (6 if settings.overlap == 1 else 1)
    for one, other in zip(wanted, found, strict=True):
        assert (one.mask == other.mask.decode()).all()
        assert other.box == (*one.corners[:2], one.corners[2] + 1, one.corners[3] + 1) and other.crop == one.crop
        assert other.stability == pytest.approx(one.stability, abs=1e-6) and other.iou == pytest.approx(one.iou)


def test_stability_is_measured_on_the_picture_not_on_low_resolution_logits() -> None:
    made = Sam2Reference()
    clicks = np.array([[40.0, 50.0], [75.0, 60.0]])
    features = made.predictor.encode(Frame.of(PICTURE))
    _, _, stability = made.predictor.decode_clicks(features, clicks, 1.0)
    with torch.inference_mode():
        high, _ = made.logits(PICTURE, clicks, 0)
    wanted = ((high > 1).sum((1, 2)) / (high > -1).sum((1, 2))).numpy()
    np.testing.assert_allclose(stability, wanted, atol=1e-6)
