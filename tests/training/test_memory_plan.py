"""The estimate of memory agrees with what torch keeps, and the plan changes no more than it must."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

pytest.importorskip("transformers")

from delineate.core.errors import ModelError
from delineate.models.sam import Sam, SamEncoder, SamPrompts, SamShape, VitSize
from delineate.models.sam2 import Sam2, Sam2Shape
from delineate.training.activations import forget_activations, kept_bytes, of_decoder, of_hiera, of_shape
from delineate.training.finetune import Finetune, TrainedPart
from delineate.training.loop import LoopOptions
from delineate.training.memory_plan import bytes_of, estimated, planned
from tiny_networks import TINY_HIERA, TINY_VIT_SIZE


def weights_of(network: torch.nn.Module) -> list[torch.Tensor]:
    return [*network.parameters(), *network.buffers()]


@pytest.mark.parametrize(
    ("shape", "error"),
    [
        (SamShape(SamEncoder.VIT_B, 256, TINY_VIT_SIZE), 0.03),
        (SamShape(SamEncoder.VIT_B, 384, VitSize(192, 3, 6, (1,))), 0.03),
        (SamShape(SamEncoder.TINY_VIT, 256), 0.08),
        (SamShape(SamEncoder.TINY_VIT_LITE, 64), 0.15),
    ],
    ids=str,
)
def test_the_formula_agrees_with_what_is_kept(shape: SamShape, error: float) -> None:
    network = Sam(shape).eval()
    pixels = torch.randn(1, 3, shape.side, shape.side)
    kept = of_shape(shape)
    measured = kept_bytes(lambda: network.embed(pixels), weights_of(network)) / 4
    assert kept.total(checkpointing=False) == pytest.approx(measured, rel=error)
    before = network.embed(pixels)
    forget_activations(network.host.vision_encoder)
    measured = kept_bytes(lambda: network.embed(pixels), weights_of(network)) / 4
    assert sum(kept.inputs) + kept.others == pytest.approx(measured, rel=0.2)
    assert torch.equal(network.embed(pixels), before)


def test_the_formula_agrees_for_hiera_and_for_the_decoder() -> None:
    two = Sam2(Sam2Shape(side=256, hiera=TINY_HIERA)).eval()
    pixels = torch.randn(1, 3, 256, 256)

    def pyramid() -> torch.Tensor:
        return torch.stack([level.mean() for level in two.host.vision_encoder(pixels).fpn_hidden_states]).sum()

    assert of_hiera(TINY_HIERA, 256).total(False) == pytest.approx(kept_bytes(pyramid, weights_of(two)) / 4, rel=0.05)
    one = Sam(SamShape(SamEncoder.VIT_B, 512, TINY_VIT_SIZE)).eval()
    embedding, prompts = torch.randn(2, 256, 32, 32), SamPrompts(boxes=torch.rand(2, 4) * 500)
    kept = kept_bytes(lambda: one.decode(embedding, prompts, multimask=False)[0], weights_of(one)) / 4
    assert 2 * of_decoder(32) == pytest.approx(kept, rel=0.05)


def recipe(batch: int = 4, part: TrainedPart = TrainedPart.ALL) -> Finetune:
    return Finetune(LoopOptions(Path("out"), steps=10, rate=1e-4), part, batch=batch)


def test_a_plan_changes_no_more_than_it_must() -> None:
    with torch.device("meta"):
        network = Sam(SamShape(SamEncoder.VIT_B, 1024))
    wanted = recipe()
    assert planned(network, wanted, 1e12, gpu=True).recipe == wanted
    said = {gb: planned(network, wanted, gb * 1e9, gpu=True) for gb in (40, 24, 12, 8, 6, 4, 3)}
    assert all(plan.estimate.total <= gb * 1e9 for gb, plan in said.items())
    assert said[24].changes == ("bf16",) and said[24].recipe.batch == 4
    assert said[12].recipe.batch < 4 and not said[12].recipe.checkpointing
    assert said[8].recipe.part is TrainedPart.ALL and said[8].recipe.batch * said[8].recipe.loop.accumulate == 4
    assert (
        said[3].recipe.adapter is not None
        and planned(network, wanted, 2e9, gpu=True).recipe.part is TrainedPart.DECODER
    )
    with pytest.raises(ModelError):
        planned(network, wanted, 1e9, gpu=True)


def test_smaller_things_need_less() -> None:
    network = Sam(SamShape(SamEncoder.VIT_B, 256, TINY_VIT_SIZE))
    whole = estimated(network, recipe(), gpu=False)
    decoder = estimated(network, recipe(part=TrainedPart.DECODER), gpu=False)
    assert decoder.total < whole.total and decoder.moments < whole.moments
    assert estimated(network, recipe(batch=1), gpu=False).activations < whole.activations / 2


@pytest.mark.parametrize(("text", "size"), [("8GB", 8e9), ("8 g", 8e9), ("512MiB", 512e6), ("1.5GB", 1.5e9)])
def test_sizes_are_read(text: str, size: float) -> None:
    assert bytes_of(text) == size


def test_what_is_no_size_is_refused() -> None:
    with pytest.raises(ModelError):
        bytes_of("much")
