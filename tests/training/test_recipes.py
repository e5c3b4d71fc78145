"""Every recipe runs from its file and is better at the end than at its start, on subjects it did not learn from."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

pytest.importorskip("transformers")
pytest.importorskip("accelerate")

from delineate.adapters.sam_med2d import add_med2d_adapters
from delineate.core.errors import ModelError
from delineate.models.sam import SamEncoder
from delineate.predictors.capabilities import NetworkKind
from delineate.predictors.sam import SamPredictor
from delineate.predictors.sam_behavior import Multimask
from delineate.training.prompt_policies import PromptPolicy
from delineate.training.recipes import RECIPES, RecipeOverrides, recipe_for, recipe_named
from delineate.training.run_files import LAST, read_arrays
from training_discs import discs, tiny_predictor

STEPS = {"sam_med2d": 18, "sam_iterative": 8, "medsam_point": 20}


def system_for(name: str) -> SamPredictor:
    match name:
        case "sam_med2d":
            one = tiny_predictor(multimask=Multimask.ALWAYS)
            add_med2d_adapters(one.network.host.vision_encoder)
            return one
        case "medsam" | "medsam_point" | "lite_medsam":
            return tiny_predictor(multimask=Multimask.NEVER)
    return tiny_predictor()


@pytest.mark.parametrize("name", ["quick", "medsam", "medsam_point", "lite_medsam", "sam_med2d", "sam_iterative"])
def test_it_is_better_than_its_start(name: str, tmp_path: Path) -> None:
    steps = STEPS.get(name, 12)
    batch = 2 if name == "sam_iterative" else 4  # it decodes eleven times a step
    wishes = RecipeOverrides(tmp_path / "out", steps=steps, every=steps // 2, rate=2e-3, batch=batch, probe=False)
    outcome = RECIPES[name].run(system_for(name), discs(tmp_path / "data", 5), wishes, None)
    assert outcome.weights is not None and outcome.best > outcome.before + 0.1


def test_lite_medsam_learns_embeddings_first_where_it_has_a_teacher(tmp_path: Path) -> None:
    teacher = tiny_predictor(alive=True, side=128)
    student = tiny_predictor(SamEncoder.TINY_VIT, Multimask.NEVER, side=128)
    wishes = RecipeOverrides(tmp_path / "out", steps=4, every=2, batch=1, teacher=teacher, probe=False)
    RECIPES["lite_medsam"].run(student, discs(tmp_path / "data", 4), wishes, None)
    assert (tmp_path / "out" / "stage1" / "student.safetensors").is_file()
    assert (tmp_path / "out" / "stage2" / LAST).is_file()


@pytest.mark.parametrize(
    ("system", "kind", "wanted"),
    [
        ("medical_sam_adapter", NetworkKind.SAM, "medical_sam_adapter"),
        ("medical_sam_adapter_lite_medsam", NetworkKind.SAM, "medical_sam_adapter"),
        ("medical_sam_adapter_lite_medsam_3d", NetworkKind.SLICES, "medical_sam_adapter_3d"),
        ("medical_sam_adapter_sam2", NetworkKind.SAM2, "medical_sam_adapter"),
        ("medical_sam_adapter_sam2_3d", NetworkKind.SLICES, "medical_sam_adapter_3d"),
        ("sam_unet_r50", NetworkKind.SAM, "sam_unet"),
        ("medivista", NetworkKind.CLASSES, "medivista"),
        ("medivista_sam", NetworkKind.CLASSES, "medivista_sam"),
        ("samed", NetworkKind.CLASSES, "samed"),
        ("ma_sam", NetworkKind.CLASSES, "ma_sam"),
        ("sam_adapter", NetworkKind.CLASSES, "sam_adapter"),
        ("medsam", NetworkKind.SAM, "quick"),
    ],
)
def test_a_papers_parts_are_trained_by_its_recipe(system: str, kind: NetworkKind, wanted: str) -> None:
    about = SimpleNamespace(capabilities=SimpleNamespace(network=kind), record=SimpleNamespace(name=system))
    assert recipe_for(None, about).name == wanted


def test_structures_are_pointed_at_as_asked(tmp_path: Path) -> None:
    prompted = {name for name, one in RECIPES.items() if one.prompted}
    assert {"quick", "medsam", "medical_sam_adapter", "sam_unet"} <= prompted and "sam_med2d" not in prompted
    for name in prompted:
        for prompt in (PromptPolicy.POINT, PromptPolicy.BOX):
            assert RECIPES[name].options(RecipeOverrides(tmp_path, prompt=prompt)).prompts is prompt


def test_rounds_of_corrections_train_the_decoder_alone(tmp_path: Path) -> None:
    one = system_for("sam_med2d")
    host = one.network.host
    seen = []

    def remember(_: object) -> None:
        names = ("mask_decoder", "vision_encoder.layers.0.mlp_parallel", "prompt_encoder.no_mask_embed")
        seen.append([torch.cat([p.detach().flatten() for p in host.get_submodule(n).parameters()]) for n in names])

    wishes = RecipeOverrides(tmp_path / "out", steps=3, every=1, batch=2, probe=False)
    RECIPES["sam_med2d"].run(one, discs(tmp_path / "data", 3), wishes, remember)
    decoder, adapter, prompts = zip(*seen, strict=True)
    assert not torch.equal(decoder[0], decoder[1]) and not torch.equal(decoder[1], decoder[2])
    assert torch.equal(adapter[0], adapter[2]) and torch.equal(prompts[0], prompts[2])
    start = system_for("sam_med2d").network.host.get_submodule("vision_encoder.layers.0.mlp_parallel")
    assert not torch.equal(adapter[0], torch.cat([p.detach().flatten() for p in start.parameters()]))


def test_the_alternating_scheme_resumes_in_the_middle_of_its_rounds(tmp_path: Path) -> None:
    cases = discs(tmp_path / "data", 3)

    class StoppedError(Exception):
        pass

    def stop(line: dict[str, float]) -> None:
        raise StoppedError

    def run(folder: str, resume: bool, tell: object = None) -> None:
        wishes = RecipeOverrides(tmp_path / folder, steps=6, every=3, batch=2, resume=resume, probe=False)
        RECIPES["sam_med2d"].run(system_for("sam_med2d"), cases, wishes, tell)  # type: ignore[arg-type]

    run("whole", False)
    with pytest.raises(StoppedError):
        run("parts", False, stop)
    run("parts", True)
    one, other = (read_arrays(tmp_path / folder / LAST)[0] for folder in ("whole", "parts"))
    assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_mirrored_pictures_are_left_out_where_that_is_asked_for(tmp_path: Path) -> None:
    wishes = RecipeOverrides(tmp_path, flips=0.0)
    assert RECIPES["lite_medsam"].options(RecipeOverrides(tmp_path)).flips == 0.5
    assert RECIPES["lite_medsam"].options(wishes).flips == 0.0
    assert RECIPES["sam2"].options(wishes).clips.augment.flip == 0.0
    with pytest.raises(ModelError, match="turned any way"):
        RECIPES["quill"].options(wishes)


def test_unknown_recipes_name_the_known_ones() -> None:
    with pytest.raises(ModelError, match='no recipe "sam3"') as caught:
        recipe_named("sam3")
    assert "sam_med2d" in caught.value.hint
