"""A second model asked about the outlines of a first one: how far the two agree."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from delineate.core.frame import Frame
from delineate.core.manifest import ModelRecord
from delineate.core.resolve import FramePrompts
from delineate.predictors.capabilities import Capabilities
from delineate.predictors.frame_predictor import Candidates, Features, FramePredictor, Query
from delineate.preprocess.intensity import WindowRule

Mask = NDArray[np.bool_]
FrameBox = tuple[float, float, float, float]
TABLE: Final = Path(__file__).with_name("second_opinion.json")


class OpinionPrompt(StrEnum):
    """What the second model was given."""

    BOX = "box"  # the box that the first one answered, too
    OUTLINE = "outline"  # the box around the first one's outline


@dataclass(frozen=True)
class Opinion:
    """What a second model makes of an outline.

    agreement  Dice of the two outlines, 0 to 1
    """

    agreement: float
    asked: OpinionPrompt


def second_opinion(second: FramePredictor, features: Features, outline: Mask, box: FrameBox | None = None) -> Opinion:
    """Ask a second model, of whose making ``features`` are, about an outline (height, width) that is not empty.

    box  what the first model answered with it, where that was one box and nothing else
    """
    asked = OpinionPrompt.OUTLINE if box is None else OpinionPrompt.BOX
    (answer,) = second.decode(features, [Query(FramePrompts(box=box or box_around(outline)))])
    return Opinion(agreement(outline, answer.mask), asked)


def agreement(first: Mask, second: Mask) -> float:
    """Dice of two outlines, 0 to 1; 1 where both are empty."""
    total = int(first.sum()) + int(second.sum())
    return 2 * int((first & second).sum()) / total if total else 1.0


def box_around(mask: Mask) -> FrameBox:
    """The half-open box x0, y0, x1, y1 around a mask that is not empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


class OpinionMap(BaseModel):
    """The IoU that is expected of an outline: linear in what its model says of it and in the agreement (Dice)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    intercept: float
    said: float
    agreement: float

    def confidences(self, said: NDArray[np.float64], agreement: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of outlines (N,), 0 to 1."""
        return np.clip(self.intercept + self.said * said + self.agreement * agreement, 0, 1)

    def confidence(self, said: float, agreement: float) -> float:
        """Of one outline, 0 to 1."""
        return float(self.confidences(np.array(said), np.array(agreement)))


class OpinionTable(BaseModel):
    """What is made of two models' agreement, and how that was measured.

    first, second   names of the models
    maps            by what the second one was given
    disagree_below  agreement from which down an outline is to be looked at
    measured        date, version and command
    models          sha256 of the weights that were measured
    errors          mean distance of the confidence from the true IoU, by what the second was given: before, and after,
                    every data set mapped by what was fitted on the others
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["delineate-second-opinion/1"] = "delineate-second-opinion/1"
    first: str
    second: str
    maps: dict[OpinionPrompt, OpinionMap]
    disagree_below: float
    measured: dict[str, str]
    models: dict[str, str]
    errors: dict[OpinionPrompt, tuple[float, float]]


@cache
def opinion_table() -> OpinionTable:
    """The table that ships."""
    return OpinionTable.model_validate_json(TABLE.read_bytes())


@dataclass(frozen=True)
class OpinionPair:
    """Two models on the same frames: the first answers, the second can be asked what it makes of that."""

    first: FramePredictor
    second: FramePredictor

    @property
    def record(self) -> ModelRecord:
        one, other = self.first.record, self.second.record
        return one.model_copy(
            update={
                "name": f"{one.name}+{other.name}",
                "sha256": hashlib.sha256((one.sha256 + other.sha256).encode()).hexdigest(),
                "license": " and ".join(dict.fromkeys((one.license, other.license))),
            }
        )

    @property
    def capabilities(self) -> Capabilities:
        return self.first.capabilities

    @property
    def window_rule(self) -> WindowRule:
        return self.first.window_rule

    def encode(self, frame: Frame) -> tuple[Features, Features]:
        return self.first.encode(frame), self.second.encode(frame)

    def decode(self, features: tuple[Features, Features], queries: Sequence[Query]) -> list[Candidates]:
        return self.first.decode(features[0], queries)

    def opinion(self, features: tuple[Features, Features], outline: Mask, box: FrameBox | None = None) -> Opinion:
        """What the second model makes of an outline on the encoded frame."""
        return second_opinion(self.second, features[1], outline, box)
