"""A student's embeddings come closer to its teacher's on pictures it never saw; the teacher is asked once a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tiny_networks import TINY_VIT_SIZE, lively

pytest.importorskip("transformers")

from delineate.data.layouts import read_dataset
from delineate.manifest import ModelRecord
from delineate.models.sam import Sam, SamEncoder, SamShape
from delineate.preprocess.profiles import SAM_MED2D
from delineate.runtimes.engine import Engine, Precision
from delineate.runtimes.sam import SamBehaviour, SamPredictor
from delineate.training.distill import Distillation, distill


def predictor(encoder: SamEncoder) -> SamPredictor:
    torch.manual_seed(0)
    network = Sam(SamShape(encoder, 256, TINY_VIT_SIZE)).eval()
    network = lively(network) if encoder is SamEncoder.VIT_B else network
    record = ModelRecord(name=str(encoder), version="0", sha256="", licence="")
    return SamPredictor(network, SamBehaviour(SAM_MED2D), Engine(torch.device("cpu"), Precision.FP32), record)


def test_the_student_comes_closer_and_gets_the_teachers_decoder(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    for n in range(5):
        blocks = np.kron(rng.integers(0, 255, (8, 8)), np.ones((32, 32))).astype(np.uint8)
        Image.fromarray(blocks).save(tmp_path / "data" / "images" / f"case{n}.png")
        Image.fromarray((blocks > 128).astype(np.uint8)).save(tmp_path / "data" / "masks" / f"case{n}.png")
    _, cases = read_dataset(tmp_path / "data")
    teacher, student = predictor(SamEncoder.VIT_B), predictor(SamEncoder.TINY_VIT)
    recipe = Distillation(tmp_path / "out", steps=12, batch=2, rate=2e-3, every=6, flips=False)
    found = distill(teacher, student, cases, recipe)
    assert found.after < 0.85 * found.before
    assert len(list((tmp_path / "out" / "embeddings").iterdir())) == 5
    mine, theirs = (p.network.host.mask_decoder.iou_token.weight for p in (student, teacher))
    assert torch.equal(mine, theirs) and found.weights.is_file()
