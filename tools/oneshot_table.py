"""The tables of docs/how-to/one-example.md: ``python tools/oneshot_table.py``, on the data sets of ``$DELINEATE_DATA``.

Of each set, one structure: supports and targets are different subjects; of a volume the slice that shows most of it.
Baselines: the support's mask copied in place, each cell's nearest neighbor by features, and by intensities alone.
Without the structure: targets on which it was painted over, and pictures of another set of the same modality.

Each answer is a line in ``runs/oneshot/MODEL.jsonl`` as soon as it is there. A run that is begun again goes on; the
tables are those of all lines, and are written between the page's markers.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
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
from delineate.fewshot.pixel_look import is_scattered
from delineate.fewshot.placement import Placement, warped
from delineate.oneshot.calibration import calibrated, painted_over
from delineate.systems import BuildOptions, build
from tables import write

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "how-to" / "one-example.md"
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


def frames_of(name: str, most: int, cases: Sequence[Case]) -> list[Labeled]:
    """The first frames of a set, one a subject."""
    own = [case for case in cases if case.dataset == name]
    own = [case for case in own if case.use is Use.TEST] or own
    return [one for case in own[:most] if (one := labeled(case, SETS[name])) is not None]


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


@dataclass(frozen=True)
class Line:
    """An answer on one target.

    supports, target  numbers of frames of the set; of ``kind`` anatomy: the target's set and its frame
    kind              present, painted, anatomy, or the name of a baseline
    dice, coarse      refined, and by labels alone; 0 where the structure is not there
    limit             similarity from which on it counts as found
    seconds           of processor time
    confidence        ``Match.confidence``
    """

    set: str
    supports: tuple[int, ...]
    target: str
    kind: str
    dice: float = 0.0
    coarse: float = 0.0
    similarity: float = 0.0
    limit: float = 0.0
    seconds: float = 0.0
    confidence: float = 0.0

    @property
    def key(self) -> tuple[str, tuple[int, ...], str, str]:
        return self.set, self.supports, self.target, self.kind


def read_lines(file: Path) -> list[Line]:
    if not file.is_file():
        return []
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    return [Line(**{**row, "supports": tuple(row["supports"])}) for row in rows]


class Measurement:
    """Answers of one model on the sets, those in the file taken as they are."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.file = (
            ROOT / "runs" / "oneshot" / f"{options.model}{'-' + options.features if options.features else ''}.jsonl"
        )
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.done = {line.key for line in read_lines(self.file)}
        build_options = BuildOptions(threads=options.threads)
        self.predictor = build(options.model, build_options)
        named = options.features
        self.extractor = extractor_of(self.predictor if named is None else build(named, build_options))

    def on_set(self, name: str, frames: Sequence[Labeled], others: Mapping[str, Labeled]) -> None:
        """Every number of shots on the last frames of a set; supports are the first ones."""
        count = min(self.options.targets, max(1, len(frames) // 3))
        pool, targets = range(len(frames) - count), range(len(frames) - count, len(frames))
        for shots in self.options.shots:
            rounds = self.options.rounds if shots == 1 else 1
            for first in range(rounds if shots <= len(pool) else 0):
                chosen = tuple((first + n) % len(pool) for n in range(shots))
                asked = {(str(n), "present"): frames[n] for n in targets}
                if shots in self.options.absent and not first:
                    whole = [
                        n for n in targets if not is_scattered(frames[n].mask)
                    ]  # painted over, it would be elsewhere
                    asked |= {(str(n), "painted"): _without(frames[n]) for n in whole}
                    asked |= {(key, "anatomy"): one for key, one in others.items()}
                self._asked(name, chosen, frames, asked)
        if self.options.baselines:
            self._baselines(name, frames, pool[0], targets)

    def _asked(
        self, name: str, chosen: tuple[int, ...], frames: Sequence[Labeled], asked: Mapping[tuple[str, str], Labeled]
    ) -> None:
        open_ones = {key: one for key, one in asked.items() if (name, chosen, *key) not in self.done}
        if not open_ones:
            return
        supports = [Support(frames[n].frame, {name: frames[n].mask}) for n in chosen]
        matcher = Matcher(self.extractor, supports, self.predictor, MatchOptions(places=self.options.places))
        limit = calibrated(matcher)[name].similarity if len(chosen) in self.options.absent else 0.0
        for (target, kind), one in open_ones.items():
            began = time.process_time()
            match = matcher.match(one.frame)[name]
            seconds = time.process_time() - began
            there = kind == "present"
            dice = overlap(match.mask, one.mask) if there else 0.0
            coarse = overlap(match.coarse, one.mask) if there else 0.0
            self._keep(
                Line(name, chosen, target, kind, dice, coarse, match.similarity, limit, seconds, match.confidence)
            )

    def _baselines(self, name: str, frames: Sequence[Labeled], first: int, targets: Sequence[int]) -> None:
        missing = [n for n in targets if any((name, (first,), str(n), kind) not in self.done for kind in BASELINES)]
        if not missing:
            return
        support = frames[first]
        one = Descriptors.of(support.frame, self.extractor.features(support.frame))
        for n in missing:
            other = Descriptors.of(frames[n].frame, self.extractor.features(frames[n].frame))
            for kind, outline in BASELINES.items():
                dice = overlap(outline(support, frames[n], one, other), frames[n].mask)
                self._keep(Line(name, (first,), str(n), kind, dice))

    def _keep(self, line: Line) -> None:
        if line.key not in self.done:
            self.done.add(line.key)
            with self.file.open("a") as stream:
                stream.write(json.dumps(asdict(line)) + "\n")


def _without(one: Labeled) -> Labeled:
    return Labeled(painted_over(one.frame, one.mask), one.mask)


def others_of(name: str, frames: Mapping[str, Sequence[Labeled]], modality: Mapping[str, str]) -> dict[str, Labeled]:
    """Frames of other sets of the same modality, one each, two at most: they do not show the structure."""
    alike = (other for other in frames if other != name and frames[other] and modality[other] == modality[name])
    return {f"{other} {len(frames[other]) - 1}": frames[other][-1] for other in islice(alike, 2)}


def table_of(lines: Sequence[Line], baselines: bool = True) -> str:
    """Dice a set and method, with the number of targets, and processor seconds a target."""
    shots = sorted({len(line.supports) for line in lines if line.kind == "present"})
    heads = ["set", "targets", *(BASELINES if baselines else ())]
    heads += [f"{kind}, {n}" for n in shots for kind in ("coarse", "refined", "CPU s")]
    rows = []
    for name in (one for one in SETS if any(line.set == one for line in lines)):
        own = [line for line in lines if line.set == name]
        present = [line for line in own if line.kind == "present"]
        row = [float(len({line.target for line in present}))]
        row += [_mean([one.dice for one in own if one.kind == kind]) for kind in (BASELINES if baselines else ())]
        for n in shots:
            some = [one for one in present if len(one.supports) == n]
            row += [_mean([getattr(one, of) for one in some]) for of in ("coarse", "dice", "seconds")]
        rows.append((f"{name}{'' if name in TUNED else ' *'}", row))
    means = [float(np.nanmean([row[n] for _, row in rows])) for n in range(1, len(heads) - 1)]
    rows.append(("mean", [float("nan"), *means]))
    text = [f"| {label} | {'' if np.isnan(row[0]) else int(row[0])} | " + " | ".join(map(_cell, row[1:])) + " |"
            for label, row in rows]  # fmt: skip
    return "\n".join([f"| {' | '.join(heads)} |", "|---" * len(heads) + "|", *text])


def found_table(lines: Sequence[Line]) -> str:
    """How often the structure is rightly found, and rightly not, by number of supports."""
    told = [line for line in lines if line.limit]
    rows = [
        "| supports | shown, and found | painted over, and not found | other anatomy, and not found |",
        "|---" * 4 + "|",
    ]
    for shots in sorted({len(line.supports) for line in told}):
        cells = []
        for kind in ("present", "painted", "anatomy"):
            some = [one for one in told if len(one.supports) == shots and one.kind == kind]
            right = sum((one.similarity >= one.limit) == (kind == "present") for one in some)
            cells.append(f"{right} of {len(some)}")
        rows.append(f"| {shots} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")


def _cell(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="*", default=list(SETS))
    parser.add_argument("--model", default="quill")
    parser.add_argument("--features")
    parser.add_argument("--shots", nargs="*", type=int, default=[1, 3, 5])
    parser.add_argument("--targets", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=2, help="different single supports")
    parser.add_argument(
        "--absent", nargs="*", type=int, default=[1, 3], help="shots with targets that lack the structure"
    )
    parser.add_argument("--baselines", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--places", type=int, default=3)
    parser.add_argument("--most", type=int, default=12, help="frames of a set")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    cases = load_cases(DATA, (Task.IMAGE, Task.VOLUME), tuple(Use))
    frames = {name: frames_of(name, options.most, cases) for name in SETS}
    modality = {case.dataset: case.modality for case in cases}
    measurement = Measurement(options)
    for name in options.sets:
        measurement.on_set(name, frames[name], others_of(name, frames, modality))
        print(f"{name} is done", flush=True)
    lines = read_lines(measurement.file)
    label = "one-example" if measurement.file.stem == "quill" else f"one-example-{measurement.file.stem}"
    for part, text in ((label, table_of(lines, options.baselines)), (f"{label}-found", found_table(lines))):
        print(text, flush=True)
        write(PAGE, part, text)


if __name__ == "__main__":
    main()
