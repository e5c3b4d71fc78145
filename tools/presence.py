"""How sure ``oneshot`` may be that a structure is there: ``python tools/presence.py`` prints weights and thresholds.

Learned from made-up pairs. A support is the first frame of a scene; a target is a later frame of it, turned, stretched,
moved and brightened as another patient would be. Without the structure: the same with it painted over, and a frame of
another scene of that style. Outlines that miss a structure (Dice below a half) are left out. Every pair is a line in
``runs/presence.jsonl`` as soon as it is there; a run that is begun again goes on. Twenty minutes of one core.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from delineate.core.frame import Frame
from delineate.fewshot.candidates import overlap
from delineate.fewshot.features import extractor_of
from delineate.fewshot.matcher import Matcher, Support
from delineate.fewshot.pixel_look import is_scattered
from delineate.fewshot.quality import EVIDENCE, LEAST
from delineate.oneshot.calibration import painted_over
from delineate.quill.data.synthetic import synthetic_scene
from delineate.systems import BuildOptions, build
from tables import ROOT

FILE = ROOT / "runs" / "presence.jsonl"
USED = ("coarse", "intensities", "contrast", "agreement", "back")
SIDE, FRAMES, SEED = 256, 6, 77
LEAST_PIXELS = 80  # of a structure
MISSED = 0.5
Pixels = NDArray[np.floating]
Mask = NDArray[np.bool_]


def frame_of(picture: Pixels) -> Frame:
    values = np.rint(255 * np.clip(picture, 0, 1)).astype(np.uint8)
    return Frame.of(values if np.ptp(values.astype(int), axis=2).max() > 3 else values[..., 0])


def another(rng: np.random.Generator, picture: Pixels, mask: Mask) -> tuple[Frame, Mask]:
    """Picture and mask as of another patient."""
    side, turn = len(mask), np.deg2rad(rng.normal(0, 10))
    turned = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    matrix = turned * np.exp(rng.normal(0, 0.15, 2))
    center = np.full(2, side / 2)
    offset = center - matrix @ (center + rng.normal(0, 0.06 * side, 2))
    channels = [ndimage.affine_transform(picture[..., c], matrix, offset, order=1, mode="nearest") for c in range(3)]
    moved = ndimage.affine_transform(mask.astype(np.float32), matrix, offset, order=1) > 0.5
    brighter = np.clip(np.stack(channels, 2), 0, 1) ** np.exp(rng.normal(0, 0.25))
    return frame_of(brighter + rng.normal(0, 0.01, brighter.shape)), moved


def lines(matcher_of: Callable[[Support], Matcher], first: int, last: int) -> Iterator[dict[str, object]]:
    """What was found on the targets of scenes ``first`` to ``last`` - 1."""
    others: dict[str, Frame] = {}
    for number in range(first, last):
        rng = np.random.default_rng([SEED, number])
        scene = synthetic_scene(rng, SIDE, FRAMES)
        chosen, later = int(rng.integers(len(scene.targets))), int(rng.integers(2, FRAMES))
        shown = scene.targets[chosen, 0]
        target, mask = another(rng, scene.frames[later], scene.targets[chosen, later])
        other, others[scene.kind] = others.get(scene.kind), target
        if shown.sum() < LEAST_PIXELS or is_scattered(shown):
            continue
        asked: dict[str, Frame] = {"other": other} if other is not None else {}
        if mask.sum() >= LEAST_PIXELS:
            asked |= {"present": target, "painted": painted_over(target, mask)}
        matcher = matcher_of(Support(frame_of(scene.frames[0]), {"structure": shown}))
        for kind, frame in asked.items():
            match = matcher.match(frame)["structure"]
            if match.evidence is not None:
                dice = overlap(match.mask, mask) if kind == "present" else 0.0
                yield {"scene": number, "kind": kind, "dice": dice, "evidence": match.evidence.tolist()}


def fitted(evidence: NDArray[np.float64], there: Mask, ridge: float = 2.0) -> NDArray[np.float64]:
    """Weights and, last, the offset of a logistic regression in which both answers count the same."""
    mean, scale = evidence.mean(axis=0), evidence.std(axis=0)
    x = np.column_stack([(evidence - mean) / scale, np.ones(len(there))])
    counts = np.where(there, 0.5 / there.mean(), 0.5 / (1 - there.mean()))
    damping, w = ridge * np.diag([1.0] * (x.shape[1] - 1) + [0.0]), np.zeros(x.shape[1])
    for _ in range(50):
        p = 1 / (1 + np.exp(-x @ w))
        slope = x.T @ (counts * (there - p)) - damping @ w
        w += np.linalg.solve(x.T @ ((counts * p * (1 - p))[:, None] * x) + damping, slope)
    return np.append(w[:-1] / scale, w[-1] - (w[:-1] * mean / scale).sum())


def report(file: Path) -> None:
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    kept = [row for row in rows if row["kind"] != "present" or row["dice"] >= MISSED]
    evidence = np.array([[row["evidence"][EVIDENCE.index(name)] for name in USED] for row in kept])
    evidence = np.log(np.clip(evidence, LEAST, 1))
    kinds = np.array([row["kind"] for row in kept])
    found = fitted(evidence, kinds == "present")
    print(dict(zip((*USED, "offset"), found.round(2).tolist(), strict=True)))
    sure = 1 / (1 + np.exp(-(evidence @ found[:-1] + found[-1])))
    print("| threshold | " + " | ".join(f"{kind}, found" for kind in sorted(set(kinds))) + " |")
    for limit in np.arange(0.4, 0.85, 0.05):
        counts = [f"{(sure[kinds == kind] >= limit).sum()} of {(kinds == kind).sum()}" for kind in sorted(set(kinds))]
        print(f"| {limit:.2f} | " + " | ".join(counts) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=400)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    quill = build("quill", BuildOptions(threads=options.threads))
    extractor = extractor_of(quill)
    FILE.parent.mkdir(parents=True, exist_ok=True)
    done = [json.loads(line)["scene"] for line in FILE.read_text().splitlines()] if FILE.is_file() else []
    with FILE.open("a") as stream:
        first = max(done, default=-1) + 1
        for line in lines(lambda support: Matcher(extractor, [support], quill), first, options.scenes):
            stream.write(json.dumps(line) + "\n")
            stream.flush()
    report(FILE)


if __name__ == "__main__":
    main()
