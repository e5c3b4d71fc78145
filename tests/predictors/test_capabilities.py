"""What predictors state they can do, against what they do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from delineate.compute.engine import Engine, Precision
from delineate.core.frame import Frame
from delineate.core.manifest import ModelRecord
from delineate.core.resolve import FramePrompts
from delineate.evaluation.baselines import BASELINES, BaselinePredictor
from delineate.predictors.capabilities import Capabilities, NetworkKind, PromptKind, Propagation, Scope
from delineate.predictors.frame_predictor import FramePredictor, Query
from delineate.predictors.sam import Multimask, SamBehavior, SamPredictor
from delineate.predictors.sam2 import Sam2Predictor
from delineate.preprocess.profiles import SAM
from delineate.quill.predictor import QuillPredictor
from tiny_networks import moving_frames, tiny_sam, tiny_sam2

CPU = Engine(torch.device("cpu"), Precision.FP32)
RECORD = ModelRecord(name="tiny", version="1", sha256="", license="")


def sam(multimask: Multimask) -> Callable[[], FramePredictor]:
    return lambda: SamPredictor(tiny_sam(), SamBehavior(replace(SAM, side=256), multimask), CPU, RECORD)


PREDICTORS = [
    pytest.param(QuillPredictor, id="quill"),
    pytest.param(sam(Multimask.AMBIGUOUS), id="sam"),
    pytest.param(sam(Multimask.NEVER), id="medsam"),
    pytest.param(lambda: Sam2Predictor(tiny_sam2(), CPU, RECORD), id="sam2"),
    *(pytest.param(lambda name=name: BaselinePredictor(name), id=name) for name in BASELINES),
]


@pytest.mark.parametrize("made", PREDICTORS)
def test_what_is_stated_is_so(made: Callable[[], FramePredictor]) -> None:
    predictor = made()
    stated = predictor.capabilities
    assert stated.scope is Scope.FRAME and stated.follows is not None and stated.prompts
    assert (stated.automatic is not None) == hasattr(predictor, "decode_clicks")
    assert stated.chain_options == hasattr(predictor, "follow")
    assert (stated.network not in (None, NetworkKind.QUILL)) == hasattr(predictor, "network")
    assert (stated.follows is Propagation.MEMORY) == hasattr(predictor, "policy")
    if PromptKind.POINT in stated.prompts:
        features = predictor.encode(Frame.of(moving_frames(1)[0]))
        (answer,) = predictor.decode(features, [Query(FramePrompts(np.array([[128.0, 128.0]]), np.array([True])))])
        assert stated.multimask == (len(answer.masks) > 1)


@pytest.mark.parametrize(
    ("scope", "follows"),
    [
        pytest.param(Scope.VOLUME, Propagation.CHAIN, id="a-volume-leaves-nothing-to-follow"),
        pytest.param(Scope.FRAME, None, id="a-frame-does"),
    ],
)
def test_capabilities_that_contradict_each_other_are_refused(scope: Scope, follows: Propagation | None) -> None:
    with pytest.raises(ValueError, match="single frames"):
        Capabilities(frozenset(), scope, follows)
