"""What recipes of systems with parts of their own need is counted, and fitted or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers")
pytest.importorskip("accelerate")

import torch

from delineate.core.errors import ModelError
from delineate.models.sizes import VitSizes
from delineate.systems import BuildOptions, build
from delineate.training.activations import forget_activations, kept_bytes
from delineate.training.class_finetune import policy_of
from delineate.training.finetune import TrainedPart
from delineate.training.memory_plan import FP32
from delineate.training.parts_memory_plan import LOSSES, kept_for
from delineate.training.prompt_policies import PromptPolicy
from delineate.training.recipes import RECIPES, RecipeOverrides, recipe_for
from narrow_systems import narrow_card, narrow_file, narrow_network

OPTIONS = BuildOptions(device="cpu", precision="fp32")
SMALL = VitSizes(width=32, depth=2, heads=2, global_blocks=(1,))
OWN = (
    "medical_sam_adapter", "medical_sam_adapter_sam2", "medical_sam_adapter_3d", "medical_sam_adapter_sam2_3d",
    "medivista_sam",
)  # fmt: skip


def narrow(system: str, folder: Path) -> Any:
    card = narrow_card(system, side=64, depth=3, **({} if "sam2" in system else {"vit": SMALL}))
    return build(f"{system}={narrow_file(folder, card, narrow_network(card, alive=False))}", OPTIONS)


@pytest.mark.parametrize("system", OWN)
def test_a_recipe_is_fitted_or_refused(system: str, tmp_path: Path) -> None:
    predictor = narrow(system, tmp_path)
    recipe = recipe_for(None, predictor)
    wishes = RecipeOverrides(tmp_path, batch=10)
    asked, plan = recipe.within(predictor, wishes, "500GB")
    one_answer = plan.estimate.activations
    assert plan.changes == () and asked.batch == 10 and not asked.checkpointing
    fixed = plan.estimate.total - 1.1 * plan.estimate.activations
    asked, plan = recipe.within(predictor, wishes, f"{int(fixed + 0.6 * plan.estimate.activations)}")
    assert plan.changes and asked.batch is not None and asked.batch * (asked.accumulate or 1) >= 10
    assert recipe.options(asked).checkpointing is asked.checkpointing
    assert getattr(plan.recipe, "part", TrainedPart.ENCODER) is TrainedPart.ENCODER
    if system == OWN[0]:
        clicked = RecipeOverrides(tmp_path, batch=10, prompt=PromptPolicy.SAM_ITERATIVE)
        more = recipe.within(predictor, clicked, "500GB")[1].estimate.activations
        assert more > 1.5 * one_answer  # eleven answers a step are kept, not one
        with pytest.raises(ModelError, match="the least is"):
            recipe.within(predictor, wishes, "1MB")


def test_what_is_counted_without_numbers_is_what_torch_keeps(tmp_path: Path) -> None:
    predictor = narrow("medivista_sam", tmp_path)
    network, policy = predictor.network, policy_of(predictor.record)

    def unit(one: Any) -> torch.Tensor:
        device = next(one.parameters()).device
        return one.classify(torch.zeros(3, 1, 64, 64, device=device), 3)

    plain, again = kept_for(network, policy, unit).values()
    policy.apply(network.train().host)
    weights = [*network.parameters(), *network.buffers()]
    losses = LOSSES * FP32 * unit(network).numel()
    assert plain - losses == pytest.approx(kept_bytes(lambda: unit(network), weights), rel=0.15) and again < plain
    forget_activations(network.host.vision_encoder)
    assert kept_bytes(lambda: unit(network), weights) < again


def test_what_cannot_be_planned_is_refused(tmp_path: Path) -> None:
    for name in ("alpnet", "quill"):
        with pytest.raises(ModelError) as told:
            RECIPES[name].within(None, RecipeOverrides(tmp_path), "8GB")
        assert told.value.code == "E-TRAIN-MEMORY"
