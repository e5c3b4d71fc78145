"""Networks that name what they see learn on clips with their neighbors; the file that is kept opens and outlines."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("transformers")
pytest.importorskip("accelerate")

import torch
from torch import Tensor
from torch.nn import functional as F

import small_data_sets
import small_hearts
from delineate.checkpoints.system_file import SystemCard, write_system
from delineate.core.errors import DelineateError, ModelError
from delineate.data.layouts import read_dataset
from delineate.data.learned_from import content_of
from delineate.models.sizes import NARROW, VitSizes
from delineate.predictors.capabilities import NetworkKind
from delineate.systems import BuildOptions, build
from delineate.training.class_clips import NOT_LABELED, LabeledClips, class_of, named, split_clips
from delineate.training.class_finetune import ClassFinetune, ClassObjective, card_of, soft_dice, soft_iou
from delineate.training.loop import LoopOptions, Schedule
from delineate.training.recipes import RecipeOverrides, recipe_for
from delineate.training.recipes.recipe import TrainedPart
from delineate.verbs.finetune import FinetuneRequest, finetune
from narrow_systems import narrow_card, narrow_file, narrow_network

OPTIONS = BuildOptions(device="cpu", precision="fp32")
CLASSES = ("LV", "myocardium", "left atrium")


def narrow(folder: Path, system: str, depth: int = 3, classes: tuple[str, ...] = CLASSES) -> Any:
    vit = VitSizes(width=32, depth=2, heads=2, global_blocks=(1,))
    card = narrow_card(system, classes=classes, side=64, depth=depth, vit=vit)
    return build(f"{system}={narrow_file(folder, card, narrow_network(card, alive=False))}", OPTIONS)


@pytest.mark.parametrize(
    ("system", "known"), [("medivista_sam", CLASSES), ("ma_sam", CLASSES), ("sam_adapter", CLASSES[:1])]
)
def test_it_learns_and_what_is_kept_opens(system: str, known: tuple[str, ...], tmp_path: Path) -> None:
    small_hearts.camus(tmp_path / "camus", patients=2, views=("4CH",))
    cases = [case for case in read_dataset(tmp_path / "camus")[1] if case.id.endswith("4CH")]
    predictor = narrow(tmp_path, system, classes=known)
    assert predictor.capabilities.network is NetworkKind.CLASSES
    told: list[dict[str, float]] = []
    wishes = RecipeOverrides(tmp_path / "run", steps=12, batch=1, every=6, rate=3e-3, held_out=0.5)
    wishes = replace(wishes, part=TrainedPart.ALL)
    done = recipe_for(system, predictor).run(predictor, cases, wishes, told.append)
    assert done.best >= done.before and told[-1]["loss"] < 0.99 * told[0]["loss"]
    output = tmp_path / "kept"
    output.mkdir()
    parts = LabeledClips(predictor, cases[:1]), LabeledClips(predictor, cases[1:])
    ClassObjective(predictor, *parts, ClassFinetune(LoopOptions(output, 1, 1e-3))).keep(output)
    opened = build(str(output / "best.safetensors"), OPTIONS)
    assert opened.record.name == system and opened.classes == known and opened.depth == predictor.depth
    scan = cases[0].open().scan
    for (n, one), (m, other) in zip(predictor.predict(scan), opened.predict(scan), strict=True):
        assert n == m and np.allclose(one, other, atol=1e-4)


def test_a_narrow_network_begins_with_classes_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DELINEATE_MODELS", str(tmp_path))
    card = SystemCard(system="medivista", classes=("vessel",), sizes=NARROW)
    options = replace(OPTIONS, untrained=True, begun=card)
    begun = build("medivista", options)
    assert (begun.classes, begun.network.shape.side, begun.depth) == (("vessel",), NARROW.side, NARROW.depth)
    assert card_of(begun) == card.model_copy(
        update={"sizes": NARROW.model_copy(update={"hiera": None})}
    )  # it has a ViT
    alone = replace(options, begun=SystemCard(system="samed", classes=("vessel",), sizes=NARROW))
    assert build("samed", alone).depth == 1  # it sees pictures, whatever others see together
    write_system(tmp_path / "it.safetensors", begun.network.host.state_dict(), card)
    with pytest.raises(ModelError, match="The classes and sizes of medivista"):
        build(f"medivista={tmp_path / 'it.safetensors'}", options)


def test_what_is_recorded_as_learned_is_what_was_learned_from(tmp_path: Path) -> None:
    """Of a data set in which every other scan has no class of the model: those are split by nobody."""
    items = []
    for n in range(12):
        small_data_sets.picture(tmp_path / "data" / f"{n}.png", small_data_sets.DISC * (100 + n))
        small_data_sets.picture(tmp_path / "data" / f"{n}_label.png")
        places = {"image": f"{n}.png", "label": f"{n}_label.png", "labels": {"200": ("LV", "liver")[n % 2]}}
        about = {"id": f"s{n}", "dataset": "mixed", "modality": "ultrasound", "task": "2d", "use": "train"}
        items.append(about | places | {"subject": str(n)})
    (tmp_path / "data" / "manifest.json").write_text(json.dumps(items))
    card = narrow_card("medivista_sam", classes=("LV",), side=64, depth=2, vit=VitSizes(width=16, depth=1, heads=1))
    model = str(narrow_file(tmp_path, card, narrow_network(card, alive=False)))
    for seed in (0, 1):
        output = tmp_path / f"run{seed}"
        finetune(FinetuneRequest(data=tmp_path / "data", model=model, steps=1, batch=1, seed=seed, output=output))
        said = json.loads((output / "learned_from.json").read_text())
        cases = read_dataset(tmp_path / "data")[1]
        used = split_clips(build(model, OPTIONS), cases, 0.25, seed)
        assert said["learned"] == sorted(content_of(case) for case in used[0].cases)
        assert said["held_out"] == len(used[1].cases)


def test_windows_hold_a_labeled_frame_and_their_neighbors(tmp_path: Path) -> None:
    small_hearts.camus(tmp_path / "camus", "mhd", patients=1, views=("4CH",))
    cases = [case for case in read_dataset(tmp_path / "camus")[1] if case.id.endswith("4CH")]
    clips = LabeledClips(narrow(tmp_path, "medivista_sam"), cases)
    truth, rng, seen = small_hearts.clip("4CH"), np.random.default_rng(0), set()
    for _ in range(12):
        clip = clips.drawn(rng)
        assert clip.pixels.shape[0] == clip.classes.shape[0] == 3
        labeled = [n for n, frame in enumerate(clip.classes) if (frame != NOT_LABELED).any()]
        assert len(labeled) == 1  # end-diastole and end-systole are four frames apart
        seen.add(labeled[0])
        shares = (clip.classes[labeled[0]] == 1).float().mean()
        assert min(abs(float(shares) - (truth[n] == 1).mean()) for n in (0, small_hearts.FRAMES // 2)) < 0.01
    assert len(seen) > 1
    assert torch.equal(clip.mirrored().classes.flip(-1), clip.classes)


def test_names_that_mean_the_same_are_one_class(tmp_path: Path) -> None:
    small_hearts.camus(tmp_path / "camus", patients=1, views=("4CH",))
    case = read_dataset(tmp_path / "camus")[1][0]
    assert class_of(case, CLASSES) == {1: 1, 2: 2, 3: 3} and class_of(case, ("left atrium",)) == {3: 1}
    assert np.array_equal(named(np.array([0, 1, 3, 7]), {3: 1}), [0, 0, 1, 0])
    with pytest.raises(DelineateError, match="myocardium") as told:
        class_of(case, ("liver",))
    assert told.value.code == "E-TRAIN-CLASSES"


def test_what_cannot_be_trained_is_told(tmp_path: Path) -> None:
    small_hearts.camus(tmp_path / "camus", patients=2, views=("4CH",))
    cases = read_dataset(tmp_path / "camus")[1]
    predictor = narrow(tmp_path, "medivista_sam", classes=("liver", "spleen"))
    recipe = recipe_for("medivista_sam", predictor)
    with pytest.raises(DelineateError, match="liver"):
        recipe.run(predictor, cases, RecipeOverrides(tmp_path / "run", steps=1), None)
    with pytest.raises(ModelError, match="--part all"):
        recipe.run(predictor, cases, RecipeOverrides(tmp_path / "run", part=TrainedPart.DECODER), None)
    with pytest.raises(ModelError, match="another shape"):
        recipe_for("sam2", predictor)


@pytest.mark.parametrize("loss", [soft_dice, soft_iou])
def test_overlap_counts_labeled_pixels_alone(loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    wanted = torch.zeros(2, 4, 4, dtype=torch.long)
    wanted[:, :2] = 1
    wanted[1] = NOT_LABELED
    right = torch.stack([-20.0 * (wanted == 1), 20.0 * (wanted == 1) - 10], dim=1).float()
    assert float(loss(right, wanted)) < 0.01
    right[1] = torch.randn(2, 4, 4)
    assert float(loss(right, wanted)) < 0.01


def test_what_sam_adapter_is_asked_to_be_good_at() -> None:
    """Binary cross entropy and IoU, written again for the one logit."""
    logit, truth = torch.linspace(-2, 2, 16).view(1, 4, 4), torch.arange(16).view(1, 4, 4) % 3 == 0
    both, chance = torch.stack([torch.zeros_like(logit), logit], dim=1), torch.sigmoid(logit)
    binary = F.binary_cross_entropy_with_logits(logit, truth.float())
    assert float(F.cross_entropy(both, truth.long())) == pytest.approx(float(binary), rel=1e-6)
    overlap = chance[truth].sum()
    wanted = 1 - overlap / (chance.sum() + truth.sum() - overlap)
    assert float(soft_iou(both, truth.long())) == pytest.approx(float(wanted), abs=1e-5)


def test_the_polynomial_schedule(tmp_path: Path) -> None:
    loop = LoopOptions(tmp_path, steps=100, rate=1, schedule=Schedule.POLYNOMIAL, power=7)
    assert loop.factor(1) == 1 and loop.factor(51) == pytest.approx(0.5**7) and loop.factor(100) < 1e-6
