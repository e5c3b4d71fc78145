"""SAM 2-shaped systems learn to follow, every recipe runs, and what it saves opens as the system does."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("transformers")
pytest.importorskip("accelerate")

from delineate.checkpoints.adapter_file import AdapterKind
from delineate.checkpoints.loading import load_all, put_adapter
from delineate.checkpoints.reading import read_weights
from delineate.core.errors import InputError, ModelError
from delineate.memory.policies import EfficientFramePruning
from delineate.training.encoder_adapters import AdapterOptions
from delineate.training.layer_rates import EVERYTHING, LayerRates, Sam2Part, parameter_groups, part_of
from delineate.training.loop import LoopOptions
from delineate.training.recipes import biosam2, medsam2, sam2, surgical_sam2
from delineate.training.recipes.recipe import Recipe, RecipeOverrides
from delineate.training.run_files import LAST, read_arrays
from delineate.training.sam2_objective import Sam2Finetune, run_sam2, sam2_objective
from delineate.training.sequence_prompts import SequencePrompting
from delineate.training.sequences import SequenceOptions
from training_clips import disc_videos, tiny_sam2_predictor
from training_discs import tiny_predictor

RECIPES = {
    "sam2": sam2.RECIPE,
    "surgical_sam2": surgical_sam2.RECIPE,
    "medsam2_benchmark": medsam2.RECIPE,
    "medsam2": medsam2.FOLLOW_UP,
    "biosam2": biosam2.RECIPE,
}
OPTIONS = {
    "sam2": sam2.options,
    "surgical_sam2": surgical_sam2.options,
    "medsam2_benchmark": medsam2.options,
    "medsam2": medsam2.follow_up_options,
    "biosam2": biosam2.options,
}
ALL_HEADS = {"prompt_encoder", "mask_decoder", "memory_attention", "memory_encoder", "object_pointer_proj"}
LEARNS = {
    "sam2": ALL_HEADS | {"vision_encoder"},
    "surgical_sam2": ALL_HEADS | {"vision_encoder"},
    "medsam2_benchmark": {"vision_encoder", "mask_decoder"},
    "medsam2": ALL_HEADS | {"vision_encoder"},
    "biosam2": {"memory_attention", "mask_decoder"},
}


def test_it_learns_to_follow_a_moving_disc(tmp_path: Path) -> None:
    cases = disc_videos(tmp_path / "data", 5, frames=6)
    recipe = replace(
        sam2.options(tmp_path / "out"),
        loop=LoopOptions(tmp_path / "out", steps=20, rate=1e-3, every=10, weight_decay=0.0),
        rates=LayerRates(1e-3, 1e-3),
        clips=SequenceOptions(frames=4, objects=1),
        prompting=SequencePrompting(clicks=1),
    )
    one = tiny_sam2_predictor()
    objective = sam2_objective(one, cases, recipe)
    outcome = run_sam2(objective)
    print(f"Dice of held-out discs on six frames: {outcome.before:.3f} -> {outcome.best:.3f}")
    assert outcome.weights is not None and outcome.best > 0.85 > 0.3 > outcome.before
    other = tiny_sam2_predictor()
    load_all(other.network.host, read_weights(outcome.weights), outcome.weights.name)
    again = sam2_objective(other, cases, recipe)
    other.network.eval()
    assert again.measure() == pytest.approx(outcome.best, abs=1e-6)


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_train_their_parts_and_save_a_whole_system(name: str, tmp_path: Path) -> None:
    one = tiny_sam2_predictor(alive=True, policy=EfficientFramePruning() if name == "surgical_sam2" else None)
    host = one.network.host
    before = {key: value.clone() for key, value in host.state_dict().items()}
    wishes = RecipeOverrides(tmp_path / "out", steps=2, every=2, batch=2, rate=1e-4, precision="fp32")
    recipe: Recipe = RECIPES[name]
    lines: list[dict] = []
    outcome = recipe.run(one, disc_videos(tmp_path / "data", 4, frames=4, objects=2), wishes, lines.append)
    assert lines[-1]["step"] == 2 and np.isfinite(lines[-1]["loss"]) and 0 <= outcome.best <= 1
    learned = set(LEARNS[name])
    state, _ = read_arrays(tmp_path / "out" / LAST)
    now = {k.removeprefix("param/"): v for k, v in state.items() if k.startswith("param/")}
    changed = {key.split(".")[0] for key, value in now.items() if not torch.equal(value, before[key])}
    assert learned <= changed and (changed == learned or len(learned) > 2)
    if outcome.weights is not None:
        load_all(tiny_sam2_predictor().network.host, read_weights(outcome.weights), "best")


@pytest.mark.parametrize(("name", "kind"), [("sam2", "dora"), ("biosam2", "adalora")])
def test_adapters_learn_instead_of_the_encoder_and_give_the_same_system(name: str, kind: str, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    one, start = tiny_sam2_predictor(alive=True), tiny_sam2_predictor(alive=True)
    wishes = RecipeOverrides(
        tmp_path / "out", steps=16, every=2, batch=1, rate=3e-3, adapter=AdapterOptions(AdapterKind(kind), 2), frames=3,
        probe=False, precision="fp32",
    )  # fmt: skip
    outcome = RECIPES[name].run(one, disc_videos(tmp_path / "data", 4, frames=3), wishes, None)
    assert outcome.weights is not None, "nothing was better than before"
    merged, from_adapter = (copy.deepcopy(start.network.host) for _ in range(2))
    merged.load_state_dict(read_arrays(outcome.weights)[0])
    put_adapter(from_adapter, tmp_path / "out" / "adapter.safetensors")
    first, wanted = start.network.host.state_dict(), merged.state_dict()
    assert all(torch.equal(value, wanted[key]) for key, value in from_adapter.state_dict().items())
    changed = {key for key in wanted if not torch.equal(first[key], wanted[key])}
    encoder = [key for key in changed if key.startswith("vision_encoder.")]
    assert encoder and all(".attn." in key and key.endswith("weight") for key in encoder)
    assert LEARNS[name] - {"vision_encoder"} <= {key.split(".")[0] for key in changed}


@pytest.mark.parametrize("name", OPTIONS)
def test_published_figures(name: str, tmp_path: Path) -> None:
    recipe: Sam2Finetune = OPTIONS[name](tmp_path)
    figures = {
        "sam2": (5e-6, 3e-6, 8, 3, 2),
        "surgical_sam2": (5e-5, 5e-5, 8, 3, 1),
        "medsam2_benchmark": (6e-5, 6e-5, 1, 1, 0),
        "medsam2": (5e-5, 3e-5, 8, 5, 2),
        "biosam2": (1e-4, 1e-4, 1, 1, 0),
    }
    rates = recipe.rates or LayerRates(recipe.loop.rate, recipe.loop.rate)
    found = rates.rate, rates.encoder, recipe.clips.frames, recipe.clips.objects, recipe.prompting.corrected
    assert found == figures[name]


def test_rates_shrink_towards_the_pixels() -> None:
    host = tiny_sam2_predictor().network.host
    groups = parameter_groups(host, EVERYTHING, LayerRates(5e-6, 3e-6, 0.9, 0.1))
    count = sum(len(g["params"]) for g in groups)
    assert count == len(list(host.parameters())) == len({id(p) for g in groups for p in g["params"]})
    names = {id(p): name for name, p in host.named_parameters()}
    rates = {names[id(p)]: (g["lr"], g["weight_decay"]) for g in groups for p in g["params"]}
    depth = 8  # blocks of the tiny Hiera
    wanted = {
        "vision_encoder.backbone.patch_embed.projection.weight": (3e-6 * 0.9 ** (depth + 1), 0.1),
        "vision_encoder.backbone.blocks.0.attn.qkv.weight": (3e-6 * 0.9**depth, 0.1),
        "vision_encoder.backbone.blocks.7.attn.qkv.bias": (3e-6 * 0.9, 0.0),
        "vision_encoder.backbone.pos_embed": (3e-6, 0.1),
        "vision_encoder.neck.convs.0.weight": (3e-6, 0.1),
        "mask_decoder.conv_s0.weight": (5e-6, 0.1),
        "memory_temporal_positional_encoding": (5e-6, 0.1),
    }
    for name, (rate, decay) in wanted.items():
        assert rates[name] == (pytest.approx(rate), decay), name
    assert part_of("no_object_pointer") is Sam2Part.MEMORY


def test_kept_embeddings_give_the_same_loss(tmp_path: Path) -> None:
    cases = disc_videos(tmp_path / "data", 4, frames=4)
    one = tiny_sam2_predictor(alive=True)
    heads = tuple(part for part in EVERYTHING if part is not Sam2Part.ENCODER)
    base = Sam2Finetune(
        LoopOptions(tmp_path / "out", steps=1, rate=1e-4), parts=heads, clips=SequenceOptions(3, 1),
        prompting=SequencePrompting(pointed=1.0, box=1.0, clicks=0),
    )  # fmt: skip
    found = []
    for keep in (False, True):
        objective = sam2_objective(one, cases, replace(base, keep=keep))
        one.network.eval()
        found.append(float(objective.loss(np.random.default_rng(3), 1)["total"].detach()))
    assert found[1] == pytest.approx(found[0], rel=2e-2) and len(objective.kept) == 3  # half precision
    trained = {id(p) for group in objective.groups() for p in group["params"]}
    assert id(one.network.host.mask_decoder.conv_s0.weight) not in trained


def test_the_memory_of_other_images_fills_goes_on_and_is_emptied(tmp_path: Path) -> None:
    cases = disc_videos(tmp_path / "data", 8, frames=1)
    recipe = replace(biosam2.options(tmp_path / "out"), batch=1)
    objective = biosam2.objective(tiny_sam2_predictor(alive=True), cases, recipe)
    assert isinstance(objective, biosam2.CrossImageObjective) and len(objective.training) == 6
    rng, sizes = np.random.default_rng(0), []
    for step in range(1, 8):
        objective.loss(rng, step)["total"].backward()
        sizes.append(len(objective.bank.entries))
        assert not any(m.tokens is not None and m.tokens.requires_grad for m in objective.bank.entries)
    assert sizes == [1, 2, 3, 4, 5, 0, 1]
    other = biosam2.objective(tiny_sam2_predictor(alive=True), cases, recipe)
    assert isinstance(other, biosam2.CrossImageObjective)
    other.restore(objective.state())
    seeded = [np.random.default_rng(5) for _ in range(2)]
    losses = [float(o.loss(r, 8)["total"].detach()) for o, r in zip((objective, other), seeded, strict=True)]
    assert losses[0] == losses[1] and other.seen == objective.seen
    changed = sum(float(p.grad.abs().sum()) for p in objective.host.memory_attention.parameters())
    assert changed > 0


def test_what_cannot_be_trained_is_refused(tmp_path: Path) -> None:
    cases = disc_videos(tmp_path / "data", 1, frames=2)
    wishes = RecipeOverrides(tmp_path / "out", steps=1)
    with pytest.raises(InputError):
        sam2.RECIPE.run(tiny_sam2_predictor(), cases, wishes, None)
    with pytest.raises(ModelError, match="memory"):
        sam2.RECIPE.run(tiny_predictor(), disc_videos(tmp_path / "more", 4, frames=2), wishes, None)
    with pytest.raises(ModelError, match="kept"):
        Sam2Finetune(LoopOptions(tmp_path, steps=1, rate=1e-4), keep=True)
