"""A student's embeddings come closer to its teacher's on pictures it never saw; the teacher is asked once a picture."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("transformers")
pytest.importorskip("accelerate")

from delineate.core.manifest import RANDOM
from delineate.data.cases import Case
from delineate.data.layouts import read_dataset
from delineate.data.subjects import subject_of
from delineate.data.unlabeled import read_unlabeled
from delineate.models.sam import SamEncoder
from delineate.training.distill import Distillation, distill
from delineate.training.feature_losses import FEATURE_LOSSES, DecoderPerception, FeatureLoss
from delineate.training.loop import LoopOptions
from delineate.training.recipes import DISTILLATIONS
from delineate.training.run_files import read_arrays
from training_discs import tiny_predictor


def blocks(root: Path, count: int = 5) -> list[Case]:
    rng = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for n in range(count):
        picture = np.kron(rng.integers(0, 255, (8, 8)), np.ones((32, 32))).astype(np.uint8)
        Image.fromarray(picture).save(root / "images" / f"case{n}.png")
        Image.fromarray((picture > 128).astype(np.uint8)).save(root / "masks" / f"case{n}.png")
    return read_dataset(root)[1]


def test_the_student_comes_closer_and_gets_the_teachers_decoder(tmp_path: Path) -> None:
    cases = blocks(tmp_path / "data")
    teacher, student = tiny_predictor(alive=True, side=128), tiny_predictor(SamEncoder.TINY_VIT, side=128)
    loop = LoopOptions(tmp_path / "out", steps=12, rate=2e-3, every=6)
    found = distill(teacher, student, cases, Distillation(loop, batch=2, flips=False))
    assert found.after < 0.85 * found.before
    assert len(list((tmp_path / "out" / "embeddings").iterdir())) == 5
    mine, theirs = (p.network.host.mask_decoder.iou_token.weight for p in (student, teacher))
    assert torch.equal(mine, theirs) and found.weights.is_file()


def test_a_student_that_only_got_worse_is_kept_as_it_was(tmp_path: Path) -> None:
    teacher, student = tiny_predictor(side=128), tiny_predictor(side=128)  # alike: there is nothing to gain
    before = {name: value.clone() for name, value in student.network.host.vision_encoder.state_dict().items()}
    loop = LoopOptions(tmp_path / "out", steps=2, rate=1e-2, every=1)
    found = distill(teacher, student, blocks(tmp_path / "data", 3), Distillation(loop, batch=1))
    kept, _ = read_arrays(found.weights)
    assert found.after == found.before < 0.01
    assert all(torch.equal(kept[f"vision_encoder.{name}"], value) for name, value in before.items())


@pytest.mark.parametrize(
    ("encoder", "side"), [(SamEncoder.TINY_VIT, 128), (SamEncoder.TINY_VIT_NARROW, 32)], ids=["smaller", "narrow"]
)
def test_an_embedding_of_another_size_is_learned_at_the_students(
    encoder: SamEncoder, side: int, tmp_path: Path
) -> None:
    teacher, student = tiny_predictor(side=256), tiny_predictor(encoder, side=side)
    loop = LoopOptions(tmp_path / "out", steps=2, rate=2e-3, every=2)
    found = distill(teacher, student, blocks(tmp_path / "data", 3), Distillation(loop, batch=1))
    assert 0 < found.after <= found.before


@pytest.mark.parametrize("name", list(DISTILLATIONS))
def test_each_recipe_comes_closer_than_it_began(name: str, tmp_path: Path) -> None:
    cases = blocks(tmp_path / "data", 4)
    calm = name == "kd_sam"  # a random decoder with a steep answer says nothing about embeddings
    teacher, student = tiny_predictor(alive=not calm, side=128), tiny_predictor(SamEncoder.TINY_VIT, side=128)
    recipe = DISTILLATIONS[name](tmp_path / "out")
    recipe = replace(recipe, loop=replace(recipe.loop, steps=8, every=4), batch=2, held_out=0.25)
    if recipe.decoder is not None:
        decoder = replace(recipe.decoder, loop=replace(recipe.decoder.loop, steps=6, every=3, rate=1e-3), batch=2)
        recipe = replace(recipe, decoder=replace(decoder, held_out=0.25))
    found = distill(teacher, student, cases, recipe)
    assert found.after < 0.95 * found.before
    if recipe.decoder is not None:
        assert found.dice is not None and found.dice[1] >= found.dice[0]


@pytest.mark.parametrize("loss", list(FeatureLoss), ids=str)
def test_losses_are_nothing_for_the_same_embedding_and_have_gradients_for_others(loss: FeatureLoss) -> None:
    network = tiny_predictor(alive=True).network
    measure = FEATURE_LOSSES[loss] if loss in FEATURE_LOSSES else DecoderPerception(network)
    wanted = torch.randn(2, 256, 16, 16)
    other = (wanted + torch.randn_like(wanted)).requires_grad_(True)
    assert float(measure(wanted, wanted)) == pytest.approx(0, abs=1e-6)
    far = measure(other, wanted)
    far.backward()
    assert far > 0.01 and other.grad is not None and other.grad.abs().sum() > 0


def test_pictures_without_labels_are_learned_from(tmp_path: Path) -> None:
    blocks(tmp_path / "labeled", 4)
    shutil.copytree(tmp_path / "labeled" / "images", tmp_path / "scans" / "more")
    (tmp_path / "scans" / "notes.txt").write_text("no scan")
    cases = read_unlabeled(tmp_path / "scans")
    assert [case.id for case in cases] == [f"more/case{n}.png" for n in range(4)]
    assert len({subject_of(case) for case in cases}) == 4
    opened = cases[0].open()
    assert (opened.scan.width, opened.scan.height) == (256, 256) and not opened.labels.pixels(0).any()
    teacher, student = tiny_predictor(alive=True, side=64), tiny_predictor(SamEncoder.TINY_VIT, side=64)
    found = distill(
        teacher, student, cases, Distillation(LoopOptions(tmp_path / "out", steps=2, rate=2e-3, every=2), batch=1)
    )
    assert found.weights.is_file()


def test_a_fresh_student_begins_at_the_teachers_scale(tmp_path: Path) -> None:
    teacher, student = tiny_predictor(alive=True, side=128), tiny_predictor(SamEncoder.TINY_VIT, side=128)
    with torch.no_grad():
        for value in list(teacher.network.host.vision_encoder.neck.children())[-1].parameters():
            value *= 0.1  # as SAM's are
    fresh = replace(student, record=student.record.model_copy(update={"sha256": RANDOM}))
    cases, errors = blocks(tmp_path / "data", 3), []
    for number, one in enumerate((student, fresh)):
        loop = LoopOptions(tmp_path / str(number), steps=1, rate=1e-6, every=1)
        errors.append(distill(teacher, one, cases, Distillation(loop, batch=1)).before)
    assert errors[0] > 5 and errors[1] < 2
