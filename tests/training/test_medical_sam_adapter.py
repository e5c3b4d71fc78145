"""Medical SAM Adapter's recipe: adapters alone learn, the host stays, and what is kept opens."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("transformers")
pytest.importorskip("accelerate")

import torch

import small_data_sets
from delineate.core.errors import ModelError
from delineate.data.layouts import read_dataset
from delineate.systems import BuildOptions, build
from delineate.training.recipes import RecipeOverrides, recipe_for
from delineate.training.recipes.recipe import TrainedPart
from narrow_systems import narrow_card, narrow_file, narrow_network

OPTIONS = BuildOptions(device="cpu", precision="fp32")
SYSTEM = "medical_sam_adapter"


def test_adapters_learn_and_the_host_stays(tmp_path: Path) -> None:
    small_data_sets.folders(tmp_path / "data")
    cases = read_dataset(tmp_path / "data")[1]
    card = narrow_card(SYSTEM, side=64)
    model = narrow_file(tmp_path, card, narrow_network(card))
    predictor, before = build(f"{SYSTEM}={model}", OPTIONS), build(f"{SYSTEM}={model}", OPTIONS)
    wishes = RecipeOverrides(tmp_path / "run", steps=4, batch=2, every=4, rate=1e-2, held_out=0.34, probe=False)
    done = recipe_for(SYSTEM, predictor).run(predictor, cases, wishes, None)
    own = (".attention_output.", ".mlp_parallel.", ".hyper.", ".image_update.")
    now, then = predictor.network.host.state_dict(), before.network.host.state_dict()
    changed = {name for name in now if not torch.equal(now[name], then[name])}
    assert changed and all(any(part in name for part in own) for name in changed)
    if done.weights is not None:
        assert build(str(done.weights), OPTIONS).record.name == SYSTEM
    with pytest.raises(ModelError, match="lora, adalora"):
        recipe_for(SYSTEM, predictor).run(predictor, cases, RecipeOverrides(tmp_path, part=TrainedPart.DECODER), None)
