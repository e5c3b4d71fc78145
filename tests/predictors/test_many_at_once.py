"""Many structures asked for at once: the answers of one at a time, in as few calls of the network as can be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from delineate.compute.engine import Engine, Precision
from delineate.core.frame import Frame
from delineate.core.manifest import ModelRecord
from delineate.core.resolve import FramePrompts
from delineate.predictors.frame_predictor import Query, ReferenceFrame
from delineate.predictors.sam import MaskPrompt, Multimask, SamBehavior, SamPredictor
from delineate.predictors.sam2 import Sam2Predictor
from delineate.preprocess.profiles import MEDSAM, SAM_MED2D_SCRIPTS
from tiny_networks import tiny_sam, tiny_sam2

SMALL_MEDSAM = replace(MEDSAM, side=256)
ENGINE = Engine(torch.device("cpu"), Precision.FP32)
RECORD = ModelRecord(name="tiny", version="1", sha256="", license="")


def disc() -> NDArray[np.bool_]:
    y, x = np.mgrid[:120, :160]
    return np.asarray(np.hypot(x - 60, y - 50) < 25)


def click(x: float, y: float, *more: tuple[float, float]) -> FramePrompts:
    points = np.array([(x, y), *more])
    return FramePrompts(points, np.array([True, *[False for _ in more]]))


def queries() -> list[Query]:
    return [
        Query(FramePrompts(box=(35, 25, 85, 75))),
        Query(click(60, 50)),
        Query(click(60, 50, (100, 100))),
        Query(FramePrompts(box=(10, 10, 40, 50))),
        Query(click(20, 90)),
        Query(click(60, 50), previous=disc()),
        Query(reference=ReferenceFrame(None, disc())),
        Query(click(70, 60), previous=disc()),
        Query(FramePrompts(click(60, 50).points, click(60, 50).labels, (35, 25, 85, 75))),
        Query(),
        Query(),
    ]


PREDICTORS = [
    pytest.param(lambda: SamPredictor(tiny_sam(), SamBehavior(SAM_MED2D_SCRIPTS), ENGINE, RECORD), 6, id="SAM"),
    pytest.param(
        lambda: SamPredictor(tiny_sam(), SamBehavior(SMALL_MEDSAM, Multimask.NEVER), ENGINE, RECORD),
        6,
        id="one mask only",
    ),
    pytest.param(
        lambda: SamPredictor(
            tiny_sam(), SamBehavior(SAM_MED2D_SCRIPTS, Multimask.ALWAYS, MaskPrompt.PROBABILITY), ENGINE, RECORD
        ),
        6,
        id="three masks always",
    ),
    pytest.param(lambda: Sam2Predictor(tiny_sam2(), ENGINE, RECORD), 5, id="SAM 2"),
]


@pytest.mark.parametrize(("build", "calls"), PREDICTORS)
def test_together_is_as_alone(build: Any, calls: int, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    predictor = build()
    picture = np.random.default_rng(0).integers(0, 255, (120, 160, 3), dtype=np.uint8)
    features = predictor.encode(Frame.of(picture))
    alone = [predictor.decode(features, [query])[0] for query in queries()]
    decode, counted = predictor.network.decode, []

    def counting(*arguments: Any, **named: Any) -> Any:
        counted.append(1)
        return decode(*arguments, **named)

    monkeypatch.setattr(predictor.network, "decode", counting)
    together = predictor.decode(features, queries())
    assert len(counted) == calls
    for one, other in zip(together, alone, strict=True):
        assert one.masks.shape == other.masks.shape and one.best == other.best
        np.testing.assert_allclose(one.logits, other.logits, atol=5e-4)  # rounding of another order of products
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-4)
        assert one.presence == pytest.approx(other.presence, abs=1e-5)
    assert predictor.decode(features, []) == []
