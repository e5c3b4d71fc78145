"""Answers of other libraries on random masks: surface-distance 0.1 (DeepMind), medpy 0.5.2, pycocotools 2.0.11.

Run once, with these installed: ``python tests/references/make_metrics.py``. Writes metrics.npz: for each pair of masks
their bits, shape and spacing, and the answers. The masks are drawn here.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import surface_distance as deepmind
from medpy.metric import binary as medpy
from pycocotools import mask as coco
from scipy.ndimage import gaussian_filter

np.Inf = np.inf  # type: ignore[attr-defined]  # surface-distance is older than NumPy 2

TOLERANCES = (0.0, 0.5, 1.0, 2.0, 3.3)
SPACINGS = {
    2: ((1.0, 1.0), (0.5, 2.0), (0.37, 0.41)),
    3: ((1.0, 1.0, 1.0), (0.5, 0.5, 5.0), (5.0, 0.5, 0.5), (0.7, 1.3, 2.1)),
}


def blob(rng: np.random.Generator, shape: tuple[int, ...], share: float) -> np.ndarray:
    noise = gaussian_filter(rng.normal(size=shape), 2)
    return noise > np.quantile(noise, 1 - share)


def pairs() -> list[tuple[np.ndarray, np.ndarray, tuple[float, ...]]]:
    rng, found = np.random.default_rng(7), []
    for axes, shape in ((2, (31, 26)), (3, (15, 17, 11))):
        for spacing in SPACINGS[axes]:
            for share in (0.02, 0.2, 0.6):
                truth = blob(rng, shape, share)
                found.append((truth, truth ^ (blob(rng, shape, 0.05) & blob(rng, shape, 0.3)), spacing))
                found.append((truth, blob(rng, shape, share), spacing))
            one, corner, full = (np.zeros(shape, bool) for _ in range(3))
            one[tuple(n // 2 for n in shape)] = True
            corner[(0,) * axes] = True
            full[:] = True
            found += [
                (one, corner, spacing),
                (full, one, spacing),
                (full, truth, spacing),
                (one, full & False, spacing),
            ]
    return found


def main() -> None:
    arrays: dict[str, np.ndarray] = {}
    for n, (truth, predicted, spacing) in enumerate(pairs()):
        distances = deepmind.compute_surface_distances(truth, predicted, spacing)
        nsd = [deepmind.compute_surface_dice_at_tolerance(distances, t) for t in TOLERANCES]
        hausdorff = [deepmind.compute_robust_hausdorff(distances, percent) for percent in (95, 100)]
        overlap = [
            deepmind.compute_dice_coefficient(truth, predicted),
            medpy.dc(predicted, truth),
            medpy.jc(predicted, truth),
        ]
        flat = [np.asfortranarray(mask.reshape(len(mask), -1).astype(np.uint8)) for mask in (truth, predicted)]
        iou = coco.iou([coco.encode(flat[1])], [coco.encode(flat[0])], [0])[0, 0]
        arrays[f"{n}_bits"] = np.packbits([truth, predicted])
        arrays[f"{n}_shape"], arrays[f"{n}_spacing"] = np.array(truth.shape), np.array(spacing)
        arrays[f"{n}_answers"] = np.array([*nsd, *hausdorff, *overlap, iou])
    np.savez_compressed(Path(__file__).with_name("metrics.npz"), tolerances=np.array(TOLERANCES), **arrays)


if __name__ == "__main__":
    main()
