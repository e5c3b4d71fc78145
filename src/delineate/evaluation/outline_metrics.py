"""The table of outline metrics: numbers on how well the mask of one structure matches the true one.

Other distributions add theirs by entry points of the group ``delineate.metrics``; every protocol that scores outlines
measures and lists them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from delineate.core.errors import InputError
from delineate.core.registry import Registry
from delineate.evaluation.column import Column
from delineate.evaluation.metrics import NSD_TOLERANCE, Metric, dice, iou
from delineate.evaluation.surface import SurfaceDistances, mask_pair


@dataclass(frozen=True, eq=False)
class MaskPair:
    """What an outline metric is given.

    Parameters
    ----------
    truth, predicted
        Masks of one structure in one image (height, width) or one volume (three axes), of one shape.
    spacing
        Millimeters along the same axes; 1 where no spacing is known.
    """

    truth: NDArray[np.bool_]
    predicted: NDArray[np.bool_]
    spacing: tuple[float, ...]

    @cached_property
    def distances(self) -> SurfaceDistances:
        """Distances between the two surfaces, computed once for all metrics."""
        return SurfaceDistances.between(self.truth, self.predicted, self.spacing)

    @property
    def both_empty(self) -> bool:
        """Whether there is nothing to outline, and nothing was outlined."""
        return not self.truth.any() and not self.predicted.any()


@dataclass(frozen=True)
class OutlineMetric:
    """One number for one structure.

    Parameters
    ----------
    name
        Key in results, such as ``dice``.
    title
        Heading of its column in tables.
    score
        Gives the number; NaN where it is undefined, which means leave out. Either mask may be empty.
    low
        Whether less is better; a missed structure then counts as infinite unless ``worst`` says otherwise.
    digits
        Decimals in tables.
    worst
        What a structure gets that a predictor failed on; None: 0, or infinite where less is better.
    """

    name: str
    title: str
    score: Callable[[MaskPair], float]
    low: bool = False
    digits: int = 3
    worst: float | None = None

    @property
    def column(self) -> Column:
        """Its column in tables."""
        return Column(self.name, self.title, self.low, self.digits, worst=self.worst)


def _nsd(pair: MaskPair) -> float:
    return 1.0 if pair.both_empty else pair.distances.within(NSD_TOLERANCE)


def _hd95(pair: MaskPair) -> float:
    return 0.0 if pair.both_empty else pair.distances.hausdorff(0.95)


BUILT_IN = (
    OutlineMetric(Metric.DICE, "Dice", lambda pair: dice(pair.truth, pair.predicted)),
    OutlineMetric(Metric.IOU, "IoU", lambda pair: iou(pair.truth, pair.predicted)),
    OutlineMetric(Metric.NSD, "NSD at 2", _nsd),
    OutlineMetric(Metric.HD95, "HD95 (mm or px)", _hd95, low=True, digits=1),
)
OUTLINE_METRICS: Registry[OutlineMetric] = Registry("delineate.metrics", OutlineMetric, (f"{__name__}:BUILT_IN",))


def outline_scores(
    truth: NDArray[np.bool_], predicted: NDArray[np.bool_], spacing: tuple[float, ...]
) -> dict[str, float]:
    """Every metric of the table for one structure in one image or one volume."""
    pair = MaskPair(*mask_pair(truth, predicted), spacing)
    return {str(metric.name): _scored(metric, pair) for metric in OUTLINE_METRICS.values()}


def _scored(metric: OutlineMetric, pair: MaskPair) -> float:
    """A metric's number; InputError, which counts against no predictor, if the metric itself fails."""
    try:
        return float(metric.score(pair))
    except (Exception, SystemExit) as error:
        raise InputError(
            "E-METRIC",
            f'The metric "{metric.name}" failed: {type(error).__name__}: {error}.',
            "Mend it, or uninstall the package it comes from: nothing of the predictor is wrong.",
        ) from error


def added_columns() -> tuple[Column, ...]:
    """Columns of the metrics that did not come with the package."""
    own = {str(metric.name) for metric in BUILT_IN}
    return tuple(metric.column for name, metric in OUTLINE_METRICS.items() if name not in own)
