"""The table of docs/how-to/one-example.md: ``python tools/oneshot_table.py``, on the data sets of ``$DELINEATE_DATA``.

Of each set, one structure: supports and targets are different subjects; of a volume the slice that shows most of it.
Baselines: the support's mask copied in place, each cell's nearest neighbor by features, and by intensities alone.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from delineate.core.frame import Frame
from delineate.data.cases import Case, Task, Use, load_cases
from delineate.fewshot.candidates import overlap
from delineate.fewshot.descriptors import Descriptors
from delineate.fewshot.features import extractor_of
from delineate.fewshot.label_transfer import cosines, squared_distances
from delineate.fewshot.matcher import Matcher, MatchOptions, Support
from delineate.fewshot.placement import Placement, warped
from delineate.oneshot.calibration import calibrated, painted_over
from delineate.systems import BuildOptions, build

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("DELINEATE_DATA", ROOT.parent / "shared" / "data"))
SETS: Mapping[str, tuple[int, ...]] = {  # label values that make the structure; none: all of them
    "hippocampus_mri_msd": (1, 2),
    "cardiac_mri_acdc": (3,),
    "left_atrium_mri": (1,),
    "chest_xray_covid": (1,),
    "fetal_head_hc18": (1,),
    "breast_us_busi": (1,),
    "carotid_us_ccaus": (1,),
    "skin_lesion_isic2017": (1,),
    "faz_octa": (1,),
    "kidney_tumour_ct_kits19": (1,),
    "nuclei_dsb2018": (),
    "neurites_em_isbi2012": (),
    "polyp_kvasir": (),
}
TUNED = {"hippocampus_mri_msd", "cardiac_mri_acdc", "fetal_head_hc18", "breast_us_busi", "nuclei_dsb2018", "faz_octa"}
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Labeled:
    """A frame and the structure on it."""

    frame: Frame
    mask: Mask


def labeled(case: Case, values: Sequence[int]) -> Labeled | None:
    """The frame of a case that shows most of the structure."""
    opened = case.open()
    masks = {}
    for index, frame in enumerate(opened.frames):
        labels = np.asarray(opened.labels.pixels(index))
        masks[frame] = np.isin(labels, values) if values else labels > 0
    best = max(masks, key=lambda frame: int(masks[frame].sum()))
    return Labeled(opened.scan.frame(best), masks[best]) if masks[best].any() else None


def sets(names: Sequence[str], most: int) -> Iterator[tuple[str, list[Labeled]]]:
    """Each set with its first frames, one a subject."""
    cases = load_cases(DATA, (Task.IMAGE, Task.VOLUME), tuple(Use))
    for name in names:
        own = [case for case in cases if case.dataset == name]
        own = [case for case in own if case.use is Use.TEST] or own
        found = [one for case in own[:most] if (one := labeled(case, SETS[name])) is not None]
        yield name, found


def copied(support: Labeled, target: Labeled, _: Descriptors, __: Descriptors) -> Mask:
    return warped(support.mask, Placement(1.0, (0.5, 0.5), (0.5, 0.5)), target.frame.size, outside=0.0)


def nearest_by_features(support: Labeled, target: Labeled, one: Descriptors, other: Descriptors) -> Mask:
    return _nearest(cosines(other, one), support, one, other)


def nearest_by_intensity(support: Labeled, target: Labeled, one: Descriptors, other: Descriptors) -> Mask:
    return _nearest(-squared_distances(other.intensities, one.intensities), support, one, other)


def _nearest(likeness: NDArray[np.float32], support: Labeled, one: Descriptors, other: Descriptors) -> Mask:
    labels = one.mask(support.mask).ravel()[likeness.argmax(axis=1)]
    return np.asarray(other.grid.to_frame(labels.reshape(other.cells, other.cells)) > 0.5)


BASELINES: Mapping[str, Callable[[Labeled, Labeled, Descriptors, Descriptors], Mask]] = {
    "copied": copied,
    "nearest features": nearest_by_features,
    "nearest intensities": nearest_by_intensity,
}


def measured(name: str, frames: Sequence[Labeled], options: argparse.Namespace) -> dict[str, float]:
    """Mean Dice of a set by method, CPU seconds a target, and how often what is not there was not found."""
    build_options = BuildOptions(threads=options.threads)
    predictor = build(options.model, build_options)
    extractor = extractor_of(predictor if options.features is None else build(options.features, build_options))
    numbers: dict[str, list[float]] = defaultdict(list)
    pool = list(frames[: max(1, len(frames) - options.targets)])
    targets = frames[len(pool) :]
    for shots in options.shots:
        rounds = options.rounds if shots == 1 else 1
        for first in range(min(rounds, len(pool)) if shots <= len(pool) else 0):
            supports = [Support(one.frame, {name: one.mask}) for one in (pool[first:] + pool[:first])[:shots]]
            matcher = Matcher(extractor, supports, predictor, MatchOptions(places=options.places))
            _on_targets(name, shots, matcher, targets, numbers, options.absent and not first)
    for support in pool[: options.rounds]:
        one = Descriptors.of(support.frame, extractor.features(support.frame))
        for target in targets:
            other = Descriptors.of(target.frame, extractor.features(target.frame))
            for method, outline in BASELINES.items():
                numbers[method].append(overlap(outline(support, target, one, other), target.mask))
    return {"targets": len(targets)} | {method: float(np.mean(values)) for method, values in numbers.items()}


def _on_targets(
    name: str,
    shots: int,
    matcher: Matcher,
    targets: Sequence[Labeled],
    numbers: dict[str, list[float]],
    absent: bool,
) -> None:
    """What some supports give; with ``absent`` also how often the structure is found, and where it was painted over."""
    limit = calibrated(matcher)[name].similarity if absent else 0.0
    for target in targets:
        began = time.process_time()
        match = matcher.match(target.frame)[name]
        numbers[f"CPU s, {shots}"].append(time.process_time() - began)
        numbers[f"refined, {shots}"].append(overlap(match.mask, target.mask))
        numbers[f"coarse, {shots}"].append(overlap(match.coarse, target.mask))
        if absent:
            numbers[f"found, {shots}"].append(match.similarity >= limit)
            gone = matcher.match(painted_over(target.frame, target.mask))[name]
            numbers[f"not found, {shots}"].append(gone.similarity < limit)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", nargs="*", default=list(SETS))
    parser.add_argument("--model", default="quill")
    parser.add_argument("--features")
    parser.add_argument("--shots", nargs="*", type=int, default=[1, 3, 5])
    parser.add_argument("--targets", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=2, help="different single supports")
    parser.add_argument("--absent", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--places", type=int, default=3)
    parser.add_argument("--most", type=int, default=9, help="frames of a set")
    parser.add_argument("--threads", type=int, default=0)
    options = parser.parse_args()
    kinds = ("coarse", "refined", "found", "not found", "CPU s") if options.absent else ("coarse", "refined", "CPU s")
    columns = ["targets", *BASELINES, *(f"{kind}, {n}" for n in options.shots for kind in kinds)]
    print("| set | " + " | ".join(columns) + " |\n|" + "---|" * (len(columns) + 1), flush=True)
    rows = []
    for name, frames in sets(options.sets, options.most):
        rows.append(measured(name, frames, options))
        _print(f"{name}{'' if name in TUNED else ' *'}", rows[-1], columns)
    _print("mean", {c: float(np.mean([row[c] for row in rows if c in row] or [np.nan])) for c in columns}, columns)


def _print(name: str, row: Mapping[str, float], columns: Sequence[str]) -> None:
    cells = ["" if one not in row else f"{row[one]:.0f}" if one == "targets" else f"{row[one]:.2f}" for one in columns]
    print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
