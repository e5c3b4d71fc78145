"""Models side by side by several protocols in one run, and what follows: which answers where, and how sure it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Final

import numpy as np

from delineate.core.errors import InputError
from delineate.core.frame import ModalityName
from delineate.core.scan import ScanKind
from delineate.core.terminal_text import command
from delineate.evaluation.calibration import Calibration, Opinions
from delineate.evaluation.flow import FLOW
from delineate.evaluation.metrics import Metric
from delineate.evaluation.opinion_protocol import AGREEMENT, FOLLOWED
from delineate.evaluation.picture_protocols import SAID
from delineate.evaluation.predictors import pair_named
from delineate.evaluation.runner import EvaluateOptions, Progress, chosen_cases, evaluate, unlearned
from delineate.evaluation.statistics import Structure, estimate
from delineate.evaluation.tables import EvaluationReport
from delineate.predictors.capabilities import PromptKind
from delineate.predictors.second_opinion import OpinionPrompt, OpinionTable
from delineate.systems.routing import Route, RoutingTable

BOXES, OPINION, VOLUMES, VIDEOS, ROBUST = "box-sloppy", "second-opinion", "volume-box", "video-mask", "picture-robust"
FOLLOWED_OPINION: Final = "second-opinion-followed"
DISAGREE: Final = 0.8  # Dice of two models' outlines from which down one has to be looked at
_MODALITIES: Final = (  # words of a data set's own modality, and what that is here; the first that is found counts
    ("microscopy", ModalityName.MICROSCOPY), ("histopathology", ModalityName.MICROSCOPY),
    ("ultrasound", ModalityName.ULTRASOUND), ("x-ray", ModalityName.XRAY), ("fundus", ModalityName.FUNDUS),
    ("dermoscopy", ModalityName.DERMOSCOPY), ("endoscopy", ModalityName.ENDOSCOPY),
    ("colonoscopy", ModalityName.ENDOSCOPY), ("pet", ModalityName.PET), ("mr", ModalityName.MR),
    ("ct", ModalityName.CT),
)  # fmt: skip


@dataclass(frozen=True)
class Part:
    """One protocol of a comparison.

    baselines  measured beside the models
    thirds     of the wished number of cases of a data set: what takes longer is measured on fewer
    bounded    whether scans of many frames are left out
    routed     the kind of prompt and of following that it says which model is better for; None: it does not
    """

    protocol: str
    baselines: tuple[str, ...] = ()
    thirds: int = 3
    bounded: bool = False
    routed: tuple[PromptKind, ScanKind] | None = None


_BOXED: Final = ("ellipse", "grabcut")
PARTS: Final = (
    Part(BOXES, _BOXED, routed=(PromptKind.BOX, ScanKind.IMAGE)),
    Part(OPINION, thirds=2),
    Part(VIDEOS, (*_BOXED, FLOW), 2, bounded=True, routed=(PromptKind.MASK, ScanKind.VIDEO)),
    Part(VOLUMES, _BOXED, 1, bounded=True, routed=(PromptKind.BOX, ScanKind.VOLUME)),
    Part(ROBUST, _BOXED, 1),
    Part(FOLLOWED_OPINION, thirds=1, bounded=True),
)


@dataclass(frozen=True)
class CompareOptions:
    """What is compared.

    models       the one that ships first; the second opinion is the second one's
    limit        cases of each data set for the quickest part, one structure of each; slower parts take a third or two
    most_frames  of volumes and videos: data sets whose first scan has more are not followed
    without      data sets that are left out, such as clips made of pictures of another one
    """

    data: Path | None = None
    follow_links: bool = False
    models: tuple[str, ...] = ("quill", "lite_medsam")
    limit: int = 3
    most_frames: int = 64
    without: tuple[str, ...] = ()
    seed: int = 0
    output: Path = Path("comparison")

    def __post_init__(self) -> None:
        if len(self.models) < 2:
            raise InputError("E-OPTION", "One model cannot be compared.", "Name two: --models quill,lite_medsam")

    @property
    def command(self) -> str:
        """The command that does it again, without folders."""
        words: list[object] = ["delineate", "bench", "compare", "--models", ",".join(self.models)]
        words += ["--limit", self.limit, "--most-frames", self.most_frames, "--seed", self.seed]
        return command(*words, *(["--without", ",".join(self.without)] if self.without else []))

    def part(self, part: Part) -> EvaluateOptions:
        """What a part measures. Raises InputError where no data set is left for it."""
        models = ("+".join(self.models[:2]),) if part.protocol in (OPINION, FOLLOWED_OPINION) else self.models
        wished = EvaluateOptions(
            data=self.data,
            follow_links=self.follow_links,
            protocol=part.protocol,
            predictors=(*models, *part.baselines),
            output=self.output,
            limit=max(1, -(-self.limit * part.thirds // 3)),
            structures=1,
            seed=self.seed,
        )
        first = {case.dataset: case for case in reversed(chosen_cases(wished))}
        kept = [name for name in first if name not in self.without]
        if part.bounded:
            kept = [name for name in kept if len(first[name].open().scan) <= self.most_frames]
        if not kept:
            raise InputError("E-EVAL-NO-CASES", f"No data set is left for {part.protocol}.", "Leave fewer out.")
        return replace(wished, datasets=tuple(sorted(kept)))


@dataclass(frozen=True, eq=False)
class Comparison:
    """Everything that was measured.

    reports     by protocol
    modalities  of each case by its key, as its data set says
    """

    options: CompareOptions
    reports: Mapping[str, EvaluationReport]
    modalities: Mapping[tuple[str, str], ModalityName]

    @property
    def models(self) -> tuple[str, ...]:
        return self.options.models

    @cached_property
    def measured_with(self) -> dict[str, str]:
        return {
            "date": f"{datetime.now(UTC):%Y-%m-%d}",
            "version": f"delineate {version('delineate')}",
            "command": self.options.command,
        }

    @property
    def hashes(self) -> dict[str, str]:
        """Of the weights that were measured."""
        records = self.reports[BOXES].records
        return {name: records[name].sha256 for name in self.models}

    @cached_property
    def routing(self) -> RoutingTable:
        """Which model is better on which scans, by kind of prompt."""
        routes = [
            route
            for part in PARTS
            if part.routed is not None and part.protocol in self.reports
            for model in self.models[1:]
            for modality in ModalityName
            if (route := self._route(part, model, modality)) is not None
        ]
        return RoutingTable(measured=self.measured_with, models=self.hashes, routes=tuple(routes))

    def _route(self, part: Part, model: str, modality: ModalityName) -> Route | None:
        assert part.routed is not None
        report = self.reports[part.protocol]
        own = self._values(report, model, modality)
        usual = self._values(report, self.models[0], modality)
        both = {at: (usual[at], own[at]) for at in own if at in usual}
        if modality is ModalityName.UNKNOWN or not both:
            return None
        difference, interval = estimate({at: theirs - ours for at, (ours, theirs) in both.items()})
        return Route(
            modality=modality,
            prompt=part.routed[0],
            through=part.routed[1],
            model=model,
            cases=len({(at[0], at[2]) for at in both}),
            subjects=len({at[1] for at in both}),
            datasets=tuple(sorted({at[0] for at in both})),
            mean_default=_rounded(estimate({at: pair[0] for at, pair in both.items()})[0]),
            mean=_rounded(estimate({at: pair[1] for at, pair in both.items()})[0]),
            difference=_rounded(difference),
            interval=(_rounded(interval[0]), _rounded(interval[1])) if np.isfinite(interval[0]) else None,
        )

    def _values(self, report: EvaluationReport, name: str, modality: ModalityName) -> dict[Structure, float]:
        """A predictor's headline on scans of a modality."""
        key = report.headline.key
        return {
            (m.dataset, m.subject, m.case, m.outcome.label): m.outcome.values[key]
            for m in report.measured
            if m.predictor == name and self.modalities.get(m.key) is modality
        }

    def opinions(self, kind: str) -> Opinions:
        """What the pair said of its outlines (``opinion_protocol.KINDS``)."""
        rows = self.reports[OPINION].answered
        keys = SAID, AGREEMENT, Metric.IOU
        said, agreement, reached = (np.array([m.outcome.values[f"{key}@{kind}"] for m in rows]) for key in keys)
        return Opinions(said, agreement, reached, np.array([m.dataset for m in rows]))

    @cached_property
    def asked(self) -> dict[OpinionPrompt, Opinions]:
        """The same by what the second model was given."""
        return {
            OpinionPrompt.BOX: self.opinions("box"),
            OpinionPrompt.OUTLINE: self.opinions("outline").joined(self.opinions("click")),
        }

    @cached_property
    def opinion_table(self) -> OpinionTable:
        """What the agreement of the first two models says."""
        errors = {
            how: (
                _rounded(Calibration.of(rows.said, rows.reached).apart),
                _rounded(Calibration.of(rows.left_out(), rows.reached).apart),
            )
            for how, rows in self.asked.items()
        }
        return OpinionTable(
            first=self.models[0],
            second=self.models[1],
            maps={how: rows.fitted() for how, rows in self.asked.items()},
            disagree_below=DISAGREE,
            measured=self.measured_with,
            models={name: self.hashes[name] for name in self.models[:2]},
            errors=errors,
        )


def followed_opinions(report: EvaluationReport) -> Opinions:
    """What a pair said of frames that a structure was followed to; a row a frame."""
    rows = [(m.dataset, m.outcome.values) for m in report.answered]
    keys = SAID, AGREEMENT, Metric.IOU
    asked = [
        (name, [values[f"{key}@{n}"] for key in keys])
        for name, values in rows
        for n in range(FOLLOWED)
        if np.isfinite(values[f"{SAID}@{n}"])
    ]
    said, agreement, reached = np.array([numbers for _, numbers in asked]).T.reshape(3, -1)
    return Opinions(said, agreement, reached, np.array([name for name, _ in asked]))


def compare(options: CompareOptions, progress: Progress | None = None) -> Comparison:
    """Measure the models by every part that the data has cases for; what was measured before is not measured again.

    Raises InputError without data, or where it has no single pictures or slices to ask on.
    """
    wished = [option for part in PARTS if (option := _possible(options, part)) is not None]
    counts = [len(unlearned(chosen_cases(one), one)[0]) * len(one.names) for one in wished]
    reports: dict[str, EvaluationReport] = {}
    modalities: dict[tuple[str, str], ModalityName] = {}
    for number, one in enumerate(wished):
        before = sum(counts[:number])
        told = None if progress is None else lambda done, _, before=before: progress(before + done, sum(counts))
        reports[one.protocol] = evaluate(one, told)
        modalities |= {case.key: modality_named(case.modality) for case in chosen_cases(one)}
    return Comparison(options, reports, modalities)


def _possible(options: CompareOptions, part: Part) -> EvaluateOptions | None:
    if part.protocol in (OPINION, FOLLOWED_OPINION) and pair_named("+".join(options.models[:2])) is None:
        return None
    try:
        return options.part(part)
    except InputError as error:
        if error.code != "E-EVAL-NO-CASES" or part.protocol == BOXES:
            raise
        return None


def modality_named(words: str) -> ModalityName:
    """What a data set's own modality, such as ``MRI FLAIR``, is here."""
    said = re.findall(r"[a-z-]+", words.lower())
    found = (name for word, name in _MODALITIES if any(one.startswith(word) for one in said))
    return next(found, ModalityName.UNKNOWN)


def _rounded(value: float) -> float:
    return round(float(value), 4)
