"""Adapters train nothing but themselves, and merged weights answer as the adapted network does."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("peft")
pytest.importorskip("accelerate")

from delineate.checkpoints.loading import put_adapter
from delineate.core.errors import ModelError
from delineate.models.sam import SamEncoder
from delineate.training.encoder_adapters import AdapterKind, AdapterOptions, LowRankAdapter
from delineate.training.finetune import Finetune, FinetuneObjective, TrainedPart, finetune
from delineate.training.frames import split_frames
from delineate.training.loop import LoopOptions, train
from delineate.training.run_files import read_arrays
from tiny_networks import tiny_sam, tiny_sam2
from training_discs import discs, tiny_predictor

ENCODERS = {
    "vit": lambda: tiny_sam().host.vision_encoder,
    "tiny_vit": lambda: tiny_sam(SamEncoder.TINY_VIT).host.vision_encoder,
    "hiera": lambda: tiny_sam2().host.vision_encoder,
}


@torch.no_grad()
def answer(encoder: nn.Module) -> Tensor:
    found = encoder(torch.linspace(-1, 1, 3 * 256 * 256).view(1, 3, 256, 256))
    return found if isinstance(found, Tensor) else found[0]


@pytest.mark.parametrize("kind", list(AdapterKind), ids=str)
@pytest.mark.parametrize("name", list(ENCODERS))
def test_merged_weights_give_the_same_answer(name: str, kind: AdapterKind) -> None:
    plain = ENCODERS[name]()
    encoder = copy.deepcopy(plain)
    adapter = LowRankAdapter.put(encoder, AdapterOptions(kind, 4, mlp=True), steps=20)
    before = answer(plain)
    assert torch.equal(answer(encoder), before)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    changed = answer(encoder)
    host = nn.ModuleDict({"vision_encoder": encoder})
    merged = adapter.merged(host)
    plain.load_state_dict({name.removeprefix("vision_encoder."): value for name, value in merged.items()})
    gap = float((answer(plain) - changed).abs().max())
    assert gap < 1e-4 and float((changed - before).abs().max()) > 100 * gap


@pytest.mark.parametrize("kind", list(AdapterKind), ids=str)
def test_only_adapters_are_trained_and_their_file_gives_the_same_masks(kind: AdapterKind, tmp_path: Path) -> None:
    cases, start = discs(tmp_path / "data", 5), tiny_predictor()
    one = copy.deepcopy(start)
    recipe = Finetune(
        LoopOptions(tmp_path / "out", steps=10, rate=5e-3, every=5), TrainedPart.ENCODER, batch=2,
        adapter=AdapterOptions(kind, 4, 16), probe=False,
    )  # fmt: skip
    objective = FinetuneObjective(one, *split_frames(one, cases, recipe.frames), recipe)
    outcome = train(objective, recipe.loop)
    assert outcome.best > outcome.before and outcome.weights is not None
    now = {k.replace(".base_layer.", "."): v for k, v in one.network.host.state_dict().items() if "lora_" not in k}
    for name, value in start.network.host.state_dict().items():
        assert torch.equal(now[name], value), name
    best = copy.deepcopy(start.network.host)
    best.load_state_dict(read_arrays(outcome.weights)[0])
    from_adapter = copy.deepcopy(start.network.host)
    put_adapter(from_adapter, tmp_path / "out" / "adapter.safetensors")
    assert all(torch.equal(value, best.state_dict()[name]) for name, value in from_adapter.state_dict().items())
    assert not torch.equal(answer(best.vision_encoder), answer(start.network.host.vision_encoder))
    assert (tmp_path / "out" / "adapter.safetensors").stat().st_size < 0.1 * outcome.weights.stat().st_size


def test_adalora_gives_up_ranks(tmp_path: Path) -> None:
    one = tiny_predictor()
    recipe = Finetune(
        LoopOptions(tmp_path / "out", steps=20, rate=1e-3, every=20), TrainedPart.ENCODER, batch=1,
        adapter=AdapterOptions(AdapterKind.ADALORA, 2), probe=False,
    )  # fmt: skip
    objective = FinetuneObjective(one, *split_frames(one, discs(tmp_path / "data", 3), recipe.frames), recipe)
    train(objective, recipe.loop)
    assert objective.adapter is not None
    values = [p for n, p in objective.adapter.named_parameters().items() if "lora_E" in n]
    used, there = sum(int((v != 0).sum()) for v in values), sum(v.numel() for v in values)
    assert there == 6 * 4 and used == 6 * 2


def test_the_decoder_goes_into_the_adapters_file_where_it_was_trained(tmp_path: Path) -> None:
    recipe = Finetune(
        LoopOptions(tmp_path / "out", steps=6, rate=2e-3, every=6), TrainedPart.ALL, batch=2, adapter=AdapterOptions(),
        probe=False,
    )  # fmt: skip
    outcome = finetune(tiny_predictor(), discs(tmp_path / "data", 4), recipe)
    assert outcome.weights is not None
    host = tiny_predictor().network.host
    put_adapter(host, tmp_path / "out" / "adapter.safetensors")
    for name, value in read_arrays(outcome.weights)[0].items():
        assert torch.equal(host.state_dict()[name], value), name


def test_an_adapter_for_another_encoder_is_refused(tmp_path: Path) -> None:
    adapter = LowRankAdapter.put(ENCODERS["hiera"](), AdapterOptions(), 10)
    adapter.save(tmp_path / "adapter.safetensors")
    with pytest.raises(ModelError, match="another network"):
        put_adapter(tiny_sam().host, tmp_path / "adapter.safetensors")


@pytest.mark.parametrize("part", ["vision_encoder.", "mask_decoder.", "prompt_encoder."])
@pytest.mark.parametrize("place", ["encoder", "decoder"])
def test_an_adapter_is_refused_where_any_weight_beside_it_is_another(place: str, part: str, tmp_path: Path) -> None:
    host, other = tiny_sam().host, tiny_sam().host
    other.load_state_dict(host.state_dict())
    name = next(n for n, p in reversed(list(other.named_parameters())) if n.startswith(part))
    with torch.no_grad():
        other.get_parameter(name).add_(0.01)
    plain = copy.deepcopy(host)
    put = LowRankAdapter.put if place == "encoder" else LowRankAdapter.put_in_decoder
    adapter = put(host.vision_encoder if place == "encoder" else host.mask_decoder, AdapterOptions(rank=2), 10)
    learned = {"prompt_encoder.no_mask_embed.weight": host.prompt_encoder.no_mask_embed.weight}
    with torch.no_grad():
        for parameter in (*adapter.parameters(), *learned.values()):
            parameter.add_(0.1)
    adapter.save(tmp_path / "adapter.safetensors", learned, "tiny", host)
    put_adapter(plain, tmp_path / "adapter.safetensors")
    with pytest.raises(ModelError, match="other weights of the same shape"):
        put_adapter(other, tmp_path / "adapter.safetensors")


@pytest.mark.parametrize("kind", list(AdapterKind), ids=str)
def test_a_run_begins_with_the_same_matrices_each_time(kind: AdapterKind) -> None:
    made = []
    for seed in (1, 2):  # of whatever ran before in this process
        torch.manual_seed(seed)
        encoder = ENCODERS["vit"]()
        made.append(LowRankAdapter.put(encoder, AdapterOptions(kind, 4), steps=20).parameters())
    assert all(torch.equal(one, other) for one, other in zip(*made, strict=True))
