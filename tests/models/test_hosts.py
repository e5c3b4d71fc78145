"""Hosts have one forward: what trains is what answers and what is exported, hooks and replaced modules included."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("transformers")

from delineate.models.rep_vit import RepViT, RepViTConfig
from delineate.models.sam import SamPrompts
from host_cases import HOSTS, HostCase, drawn
from tiny_networks import tiny_sam

CLOSE = 1e-3  # of the largest value: these networks have random weights, which make much of rounding

every_host = pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in HOSTS.items()])


def called(network: nn.Module, part: nn.Module, case: HostCase) -> set[str]:
    """Names of the modules of a part whose forward hooks ran."""
    seen: set[str] = set()
    handles = [m.register_forward_hook(lambda *_, name=n: seen.add(name)) for n, m in part.named_modules()]
    case.ask(network)
    for handle in handles:
        handle.remove()
    return seen


@every_host
def test_hooks_run_in_use_as_they_do_in_training(case: HostCase) -> None:
    network = case.make()
    part = network.host.get_submodule(case.part)  # type: ignore[union-attr]
    training = called(network, part, case)
    with torch.inference_mode():
        assert called(network, part, case) == training
    layers = {n for n, m in part.named_modules() if isinstance(m, nn.Linear | nn.LayerNorm) and "mlps" not in n}
    assert layers <= training, f"never called: {sorted(layers - training)}"


class Around(nn.Module):
    """What an adapter does that takes a module's place: more than the module gave, not linear in what went in."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) + 5 * self.inner(x.tanh())


@every_host
def test_modules_put_in_place_of_others_answer_in_use_as_in_training(case: HostCase) -> None:
    """Of the matrices of each name the last."""
    network = case.make()
    part = network.host.get_submodule(case.part)  # type: ignore[union-attr]
    before = case.ask(network).detach()
    places = {
        name.rpartition(".")[2]: name
        for name, module in part.named_modules()
        if isinstance(module, nn.Linear)
        and ("layers" in name or "blocks" in name)
        and "head" not in name
        and "mlps" not in name
    }
    assert len(places) >= 3
    for name in places.values():
        inner = part.get_submodule(name)
        part.set_submodule(name, Around(inner))
        trained = case.ask(network).detach()
        with torch.inference_mode():
            used = case.ask(network)
        part.set_submodule(name, inner)
        largest = float(trained.abs().max())
        away, effect = (float((trained - one).abs().max()) / largest for one in (used, before))
        assert away < effect / 10, f"{name}: {away:.1e} beside an effect of {effect:.1e}"


def test_hooks_on_folded_convolutions_run() -> None:
    torch.manual_seed(0)
    network = RepViT(RepViTConfig((16, 16, 32, 32), (1, 1, 2, 1))).eval()
    seen: list[str] = []
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d):
            module.register_forward_hook(lambda *_, name=name: seen.append(name))
    with torch.inference_mode():
        network(drawn(1, 1, 3, 64, 64))
    assert set(seen) == {n for n, m in network.named_modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d)}


def test_the_decoder_is_asked_as_in_the_host_library() -> None:
    """Several objects an image and several images, (B, P, N, 256), against objects one by one."""
    network = tiny_sam()
    decoder, images, sparse = network.host.mask_decoder, drawn(1, 2, 256, 16, 16), drawn(2, 2, 3, 2, 256)
    places, dense = drawn(3, 1, 256, 16, 16).expand(2, -1, -1, -1), drawn(4, 2, 256, 16, 16)
    with torch.inference_mode():
        masks, iou = decoder(images, places, sparse, dense, multimask_output=True)
        assert masks.shape == (2, 3, 3, 64, 64) and iou.shape == (2, 3, 3)
        for b in range(2):
            for p in range(3):
                one = slice(b, b + 1)
                alone, _ = decoder(images[one], places[:1], sparse[one, p : p + 1], dense[one], multimask_output=True)
                assert torch.allclose(masks[b, p], alone[0, 0], atol=CLOSE)
        with pytest.raises(TypeError, match="attention_similarity"):
            decoder(images, places, sparse, dense, True, attention_similarity=images)


def test_no_object_is_no_different_from_one() -> None:
    """Without prompts, an embedding an object."""
    network, embeddings = tiny_sam(), drawn(1, 2, 256, 16, 16)
    both = network.decode(embeddings, SamPrompts(), True)[0]
    alone = network.decode(embeddings[1:], SamPrompts(), True)[0]
    assert both.shape == (2, 3, 64, 64) and torch.allclose(both[1:], alone, atol=CLOSE)
