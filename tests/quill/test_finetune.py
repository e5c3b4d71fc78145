"""Quill learns from one's own pictures, from the model that ships, and what is kept is the file that was measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("onnx")
pytest.importorskip("accelerate")

from delineate.core.errors import ModelError
from delineate.core.resolve import FramePrompts
from delineate.predictors.frame_predictor import Query
from delineate.quill.predictor import QuillPredictor
from delineate.quill.train.finetune import quill_objective
from delineate.quill.train.recipe import RECIPE, options
from delineate.training.loop import LoopOptions
from delineate.training.recipes import recipe_for
from delineate.training.recipes.recipe import RecipeOverrides
from delineate.training.sam2_objective import dice_of
from training_discs import discs, tiny_predictor


@pytest.fixture
def own(tmp_path: Path) -> list:
    return discs(tmp_path / "data", 4)


def test_it_begins_as_the_model_that_ships(own: list, tmp_path: Path) -> None:
    recipe = replace(options(tmp_path / "out"), batch=4)
    objective, shipped = quill_objective(QuillPredictor(), own, recipe), QuillPredictor()
    scores = []
    for frame, masks in objective.testing.structures():
        for mask in masks:
            rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
            box = float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)
            found = shipped.decode(shipped.encode(frame), [Query(FramePrompts(box=box))])[0].mask
            scores.append(float(dice_of(found, mask)))
    assert objective.measure() == pytest.approx(float(np.mean(scores)), abs=0.01)


def test_what_is_better_is_kept_as_the_file_that_was_measured(own: list, tmp_path: Path) -> None:
    out = tmp_path / "out"
    recipe = replace(options(out), loop=LoopOptions(out, steps=1, rate=1e-4, every=1), batch=2)
    objective = quill_objective(QuillPredictor(), own, recipe)
    before = objective.measure()
    with torch.no_grad():  # spoiled, so that a step back to what it was is better
        for parameter in objective.host.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    assert objective.measure() != before
    losses = objective.loss(np.random.default_rng(0), 1)
    losses["total"].backward()
    assert all(p.grad is not None for p in objective.host.parameters()) and bool(losses["total"].isfinite())
    objective.keep(out)
    assert (out / "quill.onnx").read_bytes() == (out / "current.onnx").read_bytes()
    kept = QuillPredictor(out / "quill.onnx")
    assert kept.record.version.endswith("fine-tuned") and kept.glance == QuillPredictor().glance < kept._side


def test_the_recipe_runs_and_leaves_a_model_or_nothing(own: list, tmp_path: Path) -> None:
    wishes = RecipeOverrides(tmp_path / "out", steps=2, every=1, batch=2, rate=1e-4, probe=False)
    outcome = RECIPE.run(QuillPredictor(), own, wishes, None)
    assert outcome.best >= outcome.before > 0.8 and not (tmp_path / "out" / "current.onnx").exists()
    assert outcome.weights in (None, tmp_path / "out" / "quill.onnx")
    assert outcome.weights is None or outcome.weights.is_file()


def test_it_is_what_quill_gets_and_takes_no_wish_it_cannot_fulfil(tmp_path: Path) -> None:
    assert recipe_for(None, QuillPredictor()).name == "quill" and recipe_for(None, tiny_predictor()).name == "quick"
    with pytest.raises(ModelError, match="another shape"):
        recipe_for("medsam", QuillPredictor())
    wishes = RecipeOverrides(tmp_path, teacher="somebody")
    with pytest.raises(ModelError, match="without a teacher"):
        RECIPE.options(wishes)
    with pytest.raises(ModelError, match="not planned"):
        RECIPE.within(QuillPredictor(), RecipeOverrides(tmp_path), "8GB")
