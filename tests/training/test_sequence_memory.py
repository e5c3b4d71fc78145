"""The estimate of a clip's memory agrees with what is alive in training, and the plan changes no more than it must."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("transformers")

from delineate.core.errors import ModelError
from delineate.models.edge_tam import EdgeTam, EdgeTamShape
from delineate.models.efficient_tam import EfficientTam, TamShape
from delineate.models.sam import VitSize
from delineate.models.sam2 import Sam2, Sam2Shape
from delineate.training.activations import kept_bytes
from delineate.training.encoder_adapters import AdapterOptions
from delineate.training.layer_rates import Sam2Part
from delineate.training.recipes import biosam2, medsam2, sam2
from delineate.training.sam2_objective import Sam2Finetune, sam2_objective
from delineate.training.sequence_activations import of_encoder
from delineate.training.sequence_memory_plan import activations, estimated_sequences, planned_sequences
from live_memory import Live
from training_clips import disc_videos, tiny_sam2_predictor


def most(recipe: Sam2Finetune) -> Sam2Finetune:
    """With the prompts that need most, so that what is measured does not depend on the draw."""
    corrected = min(1, recipe.prompting.corrected)
    prompting = replace(recipe.prompting, pointed=1.0, box=1.0, most_starts=1, corrected=corrected, clicks=2)
    clips = replace(
        recipe.clips, frames=min(4, recipe.clips.frames), objects=min(2, recipe.clips.objects), augment=None
    )
    return replace(recipe, prompting=prompting, clips=clips, batch=1)


RECIPES = {"sam2": sam2.options, "medsam2_benchmark": medsam2.options, "biosam2": biosam2.options}


@pytest.mark.parametrize("checkpointing", [False, True], ids=["kept", "computed again"])
@pytest.mark.parametrize("name", RECIPES)
def test_the_formula_agrees_with_what_is_alive(name: str, checkpointing: bool, tmp_path: Path) -> None:
    recipe = replace(most(RECIPES[name](tmp_path)), checkpointing=checkpointing)
    make = biosam2.objective if name == "biosam2" else sam2_objective
    objective = make(tiny_sam2_predictor(), disc_videos(tmp_path / "data", 4, frames=4, objects=2), recipe)
    host = objective.host.train()
    if isinstance(objective, biosam2.CrossImageObjective):
        for step in range(2):
            objective.loss(np.random.default_rng(step), step)
        recipe = replace(recipe, others=len(objective.bank.entries))
    live = Live([*host.parameters(), *host.buffers()])
    with live:
        total = objective.loss(np.random.default_rng(5), 3)["total"]
        forwards = live.now()
        total.backward()
    gradients = sum(4 * p.numel() for p in host.parameters() if p.grad is not None)
    estimate = activations(objective.network, recipe, written_out=True)
    print(f"{name}: {estimate / 1e6:.1f} MB; {forwards / 1e6:.1f} kept, {(live.peak - gradients) / 1e6:.1f} at most")
    if checkpointing:
        assert live.peak - gradients < 1.1 * estimate < 1.5 * max(live.peak - gradients, 4e6)
    else:
        assert estimate == pytest.approx(forwards, rel=0.06)


def test_the_formula_agrees_for_encoders_that_are_no_hiera() -> None:
    for network, error in (
        (EfficientTam(TamShape(side=256, vit=VitSize(64, 3, 2, (2,)))), 0.08),
        (EdgeTam(EdgeTamShape(side=512)).eval(), 0.02),
    ):
        pixels = torch.randn(1, 3, network.side, network.side)

        def maps(network: Sam2 = network, pixels: torch.Tensor = pixels) -> torch.Tensor:
            found = network.host.vision_encoder(pixels)
            levels = found.fpn_hidden_states if isinstance(network, EdgeTam) else found[:1]
            return torch.stack([level.mean() for level in levels]).sum()

        kept = kept_bytes(maps, [*network.parameters(), *network.buffers()]) / 4
        assert of_encoder(network).total(checkpointing=False) == pytest.approx(kept, rel=error)


def test_a_plan_changes_no_more_than_it_must() -> None:
    with torch.device("meta"):
        network = Sam2(Sam2Shape(side=1024))
    wanted = replace(sam2.options(Path("out")), batch=2)
    assert planned_sequences(network, wanted, 1e12, gpu=True).recipe == wanted
    said = {gb: planned_sequences(network, wanted, gb * 1e9, gpu=True) for gb in (64, 48, 24, 16, 8, 4)}
    for gb, plan in said.items():
        print(gb, f"{plan.estimate.total / 1e9:.2f} GB", plan.changes)
        assert plan.estimate.total <= gb * 1e9
    assert said[8].recipe.checkpointing and said[8].recipe.loop.precision == "bf16"
    assert all(plan.recipe.batch * plan.recipe.loop.accumulate == 2 for plan in said.values())
    order = [len(plan.changes) for plan in said.values()]
    assert order == sorted(order)
    with pytest.raises(ModelError):
        planned_sequences(network, wanted, 1.5e9, gpu=True)
    frozen = estimated_sequences(network, replace(wanted, parts=(Sam2Part.DECODER,)), gpu=True)
    small = estimated_sequences(network, replace(wanted, adapter=AdapterOptions()), gpu=True)
    whole = estimated_sequences(network, wanted, gpu=True)
    assert frozen.activations < small.activations == whole.activations and small.moments < whole.moments
