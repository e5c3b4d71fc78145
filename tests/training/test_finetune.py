"""Fine-tuning learns from labelled pictures, is measured on subjects it did not see, and its file runs by itself."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tiny_networks import TINY_VIT_SIZE

pytest.importorskip("transformers")

from delineate.data.layouts import read_dataset
from delineate.errors import InputError
from delineate.manifest import ModelRecord
from delineate.models.sam import Sam, SamEncoder, SamShape
from delineate.preprocess.profiles import SAM_MED2D
from delineate.runtimes.engine import Engine, Precision
from delineate.runtimes.sam import SamBehaviour, SamPredictor
from delineate.training.finetune import Finetune, Part, finetune, outward_box


def discs(root: Path, count: int) -> None:
    """Bright discs on noise."""
    rng = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    y, x = np.mgrid[:256, :256]
    for n in range(count):
        cy, cx = rng.uniform(80, 176, 2)
        disc = (y - cy) ** 2 + (x - cx) ** 2 < rng.uniform(30, 60) ** 2
        grey = (60 + 130 * disc + rng.normal(0, 10, disc.shape)).clip(0, 255).astype(np.uint8)
        Image.fromarray(grey).save(root / "images" / f"case{n}.png")
        Image.fromarray(disc.astype(np.uint8)).save(root / "masks" / f"case{n}.png")


def predictor() -> SamPredictor:
    record = ModelRecord(name="tiny", version="0", sha256="", licence="")
    engine = Engine(torch.device("cpu"), Precision.FP32)
    torch.manual_seed(0)
    network = Sam(SamShape(SamEncoder.VIT_B, 256, TINY_VIT_SIZE)).eval()
    return SamPredictor(network, SamBehaviour(SAM_MED2D), engine, record)


@pytest.mark.parametrize("part", list(Part))
def test_it_learns_and_keeps_only_what_is_better(part: Part, tmp_path: Path) -> None:
    discs(tmp_path / "data", 6)
    _, cases = read_dataset(tmp_path / "data")
    recipe = Finetune(tmp_path / "out", part, steps=24, batch=3, rate=1e-3, every=8)
    one = predictor()
    frozen = one.network.host.prompt_encoder.mask_embed.conv1.weight.clone()
    outcome = finetune(one, cases, recipe)
    assert outcome.best > 0.9 > 0.5 > outcome.before and outcome.weights is not None
    assert torch.equal(frozen, one.network.host.prompt_encoder.mask_embed.conv1.weight)
    lines = [json.loads(line) for line in (tmp_path / "out" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [8, 16, 24] and all(line["before"] for line in lines)


def test_too_few_subjects_are_refused(tmp_path: Path) -> None:
    discs(tmp_path / "data", 1)
    _, cases = read_dataset(tmp_path / "data")
    with pytest.raises(InputError):
        finetune(predictor(), cases, Finetune(tmp_path / "out"))


def test_boxes_only_move_outwards() -> None:
    mask = np.zeros((64, 64), bool)
    mask[20:40, 10:50] = True
    rng = np.random.default_rng(0)
    drawn = np.array([outward_box(rng, mask, 15) for _ in range(200)])
    assert (drawn[:, :2] <= (10, 20)).all() and (drawn[:, 2:] >= (50, 40)).all()
    assert drawn.min() >= 0 and drawn.max() <= 64 and drawn[:, 2].max() > 60 and np.ptp(drawn, axis=0).min() > 5
