"""Recipes of what a paper puts into SAM: its parts alone learn, the host stays, and what is kept opens."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

pytest.importorskip("transformers")
pytest.importorskip("accelerate")

import torch
from safetensors import safe_open

import small_data_sets
from delineate.checkpoints.system_file import read_card
from delineate.core.errors import ModelError
from delineate.data.cases import Case, Task, Use
from delineate.data.layouts import read_dataset
from delineate.models.sizes import NetworkSizes, VitSizes
from delineate.systems import BuildOptions, build
from delineate.training.adapted import ADAPTER
from delineate.training.finetune import Finetune, FinetuneObjective
from delineate.training.frames import FrameOptions, split_frames
from delineate.training.loop import BEST, LoopOptions, train
from delineate.training.recipes import RECIPES, RecipeOverrides, parts_recipe, recipe_for
from delineate.training.recipes.medical_sam_adapter_3d import SlicesObjective, prompted
from delineate.training.recipes.parts_recipe import PartsObjective
from delineate.training.recipes.recipe import TrainedPart
from delineate.training.sam2_objective import Sam2Objective
from delineate.training.slice_clips import SliceClips
from narrow_systems import narrow_card, narrow_file, narrow_network

OPTIONS = BuildOptions(device="cpu", precision="fp32")
MEDSA = (".attention_output.", ".mlp_parallel.", ".hyper.", ".image_update.")
BESIDE = ("resnet.", "inputs.", "bridges.", "embedding_encoder.", "mask_decoder.", "prompt_encoder.")
SMALL = VitSizes(width=32, depth=4, heads=2, global_blocks=(0, 1, 2, 3))


@pytest.mark.parametrize(
    ("system", "sizes", "own"),
    [
        pytest.param("medical_sam_adapter", {}, MEDSA, id="medical_sam_adapter"),
        pytest.param("medical_sam_adapter_sam2", {}, MEDSA, id="sam2"),
        pytest.param("medical_sam_adapter_3d", {"depth": 3}, (*MEDSA, ".attention_parallel."), id="3d"),
        pytest.param("medical_sam_adapter_sam2_3d", {"depth": 3}, (*MEDSA, ".attention_parallel."), id="3d-sam2"),
        pytest.param("sam_unet", {"vit": SMALL, "side": 64}, BESIDE, id="sam_unet"),
    ],
)
def test_parts_learn_and_the_host_stays(
    system: str, sizes: dict[str, Any], own: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if system.endswith("_3d"):
        cases = small_volumes(tmp_path / "data")
    else:
        small_data_sets.folders(tmp_path / "data")
        cases = read_dataset(tmp_path / "data")[1]
    card = narrow_card(system, **({"side": 64} | sizes))
    model = narrow_file(tmp_path, card, narrow_network(card))
    predictor, before = build(f"{system}={model}", OPTIONS), build(f"{system}={model}", OPTIONS)
    wishes = RecipeOverrides(tmp_path / "run", steps=2, batch=2, every=2, rate=1e-2, held_out=0.34, probe=False)
    for objective in (FinetuneObjective, SlicesObjective):
        monkeypatch.setattr(objective, "measure", later_is_better())
    done = recipe_for(None, predictor).run(predictor, cases, wishes, None)
    now, then = (getattr(one, "frames", one).network.host.state_dict() for one in (predictor, before))
    changed = {name for name in now if not torch.equal(now[name], then[name])}
    assert changed and all(any(part in name for part in own) for name in changed)
    if not system.endswith("_3d"):  # what is written beside a kept host of published size holds all that changed
        monkeypatch.setattr(parts_recipe, "cached_path", lambda _: tmp_path)
        monkeypatch.setattr(PartsObjective, "sizes", lambda _: NetworkSizes())
        recipe = recipe_for(None, predictor).options(wishes)
        PartsObjective(predictor, *split_frames(predictor, cases, recipe.frames), recipe).keep(tmp_path)
        with safe_open(tmp_path / ADAPTER, "np") as file:
            assert changed <= set(file.keys()) < set(now)
    if done.weights is not None:
        opened = build(str(done.weights), OPTIONS)
        assert opened.record.name == system and getattr(opened, "depth", None) == sizes.get("depth")
    with pytest.raises(ModelError, match="--variant lora, adalora"):
        recipe_for(None, predictor).run(predictor, cases, RecipeOverrides(tmp_path, part=TrainedPart.DECODER), None)


def test_adalora_loses_half_of_its_ranks_and_goes_on_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_data_sets.folders(tmp_path / "data")
    cases = read_dataset(tmp_path / "data")[1]
    card = narrow_card("medical_sam_adapter", "adalora", side=64)
    model = narrow_file(tmp_path, card, narrow_network(card, alive=False))
    ended, measure = [], later_is_better()
    for name, lengths in (("whole", (4,)), ("stopped", (2, 4))):
        predictor = build(f"medical_sam_adapter={model}", OPTIONS)
        for step in lengths:
            objective = PartsObjective(
                predictor,
                *split_frames(predictor, cases, FrameOptions(held_out=0.34)),
                Finetune(LoopOptions(tmp_path / name, 4, 1e-2, every=2, resume=step > 2), TrainedPart.ENCODER, batch=2),
            )
            monkeypatch.setattr(objective, "measure", partial(measure, objective))
            if name == "stopped" and step == 2:
                with pytest.raises(KeyboardInterrupt):
                    train(objective, objective.recipe.loop, stop)
            else:
                train(objective, objective.recipe.loop)
        assert objective.budget is not None
        values = [layer.values.detach() for layer in objective.budget.layers]
        ended.append(torch.stack([*values, *objective.budget.importance]))
    count = len(ended[0]) // 2
    assert int((ended[0][:count] != 0).sum()) == ended[0][:count].numel() // 2 and torch.equal(*ended)
    assert "orthogonality" in (tmp_path / "whole" / "log.jsonl").read_text()


def test_a_narrow_sam_2_with_parts_says_what_it_is(tmp_path: Path) -> None:
    """Trained by SAM 2's own recipe, too: its sizes are in what is kept, or nobody could open it."""
    card = narrow_card("medical_sam_adapter_sam2", side=64)
    predictor = build(str(narrow_file(tmp_path, card)), OPTIONS)
    recipe = RECIPES["sam2"].options(RecipeOverrides(tmp_path))
    Sam2Objective(predictor, (), (), recipe).keep(tmp_path)
    assert read_card(tmp_path / BEST) == card
    assert build(str(tmp_path / BEST), OPTIONS).network.shape == predictor.network.shape


def later_is_better() -> Callable[[object], float]:
    """A measure by which the last weights are the best: what is looked at is what was learned."""
    values = map(float, count())
    return lambda _: next(values)


def stop(_: object) -> None:
    raise KeyboardInterrupt


def small_volumes(root: Path, count: int = 3) -> list[Case]:
    """Bright balls in noise, as volumes with labels."""
    root.mkdir()
    rng = np.random.default_rng(0)
    away = np.linalg.norm(np.mgrid[:40, :40, :8] - np.array([20, 20, 4])[:, None, None, None], axis=0)
    found = []
    for n in range(count):
        labels = (away < 3.1 + 0.2 * n).astype(np.uint8)
        for name, values in (("image", 100 * labels + rng.normal(0, 9, labels.shape)), ("label", labels)):
            nib.save(nib.Nifti1Image(values.astype(np.int16), np.eye(4)), root / f"{n}_{name}.nii.gz")
        places = root / f"{n}_image.nii.gz", root / f"{n}_label.nii.gz"
        found.append(Case(f"ball{n}", "balls", "CT", Task.VOLUME, *places, {1: "ball"}, Use.TRAIN, subject=str(n)))
    return found


def test_clips_of_slices_hold_the_structure(tmp_path: Path) -> None:
    predictor = build(str(narrow_file(tmp_path, narrow_card("medical_sam_adapter_3d", side=64))), OPTIONS)
    clips, rng = SliceClips(predictor.frames, small_volumes(tmp_path / "data"), 6), np.random.default_rng(0)
    starts = set()
    for _ in range(8):
        clip = clips.drawn(rng)
        assert clip.pixels.shape[0] == len(clip.masks) == 6 and clip.masks.any()
        starts.add(tuple(clip.masks.any((1, 2)).tolist()))
        lit = clip.pixels[:, 0][torch.from_numpy(clip.masks)].mean()
        assert lit > clip.pixels[:, 0][torch.from_numpy(~clip.masks)].mean()  # masks lie where the ball is
        again = clip.mirrored((1,)).mirrored((1,))
        assert torch.equal(again.pixels, clip.pixels) and np.array_equal(again.masks, clip.masks)
    assert len(starts) > 1  # cut in several places
    prompts = [prompted(rng, clip.masks[clip.masks.any((1, 2))]) for _ in range(12)]
    assert {one.boxes is None for one in prompts} == {True, False}
