"""Medical SAM Adapter in 3D on SAM 2: a second writing, sizes, published weights, what learns, many slices at once."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

pytest.importorskip("transformers")

from delineate.adapters.slots import SlotContext
from delineate.checkpoints.system_file import card_words, read_card
from delineate.core.errors import ModelError
from delineate.core.frame import Frame
from delineate.core.resolve import FramePrompts
from delineate.models.sam import SamPrompts, SamShape
from delineate.models.sam2 import Sam2, Sam2Shape
from delineate.models.sam2_pictures import PictureSam2, on_pictures
from delineate.models.sizes import NARROW, NetworkSizes
from delineate.predictors.capabilities import NetworkKind
from delineate.predictors.frame_predictor import Query
from delineate.systems import BuildOptions, build
from delineate.systems.medical_sam_adapter import adapt, policy
from host_cases import drawn
from medical_sam_adapter_reference import RewrittenOnSam2
from narrow_systems import HIERA, VIT, claimed, narrow_card, narrow_file, narrow_network, row_of
from references.weights import seeded_state

SYSTEM = "medical_sam_adapter_sam2_3d"
OPTIONS = BuildOptions(device="cpu", precision="fp32")
NATIVE = Path(__file__).parents[1] / "references" / "sam2_video.npz"


@torch.no_grad()
@pytest.mark.parametrize("side", [64, 96, 128])  # windows that reach beyond the map in all stages, or in the last ones
def test_agrees_with_the_equations_written_again(side: int) -> None:
    network = narrow_network(narrow_card(SYSTEM, side=side))
    again, pixels, click = RewrittenOnSam2(network, 3), drawn(2, 3, 3, side, side), torch.tensor([30.0, 25.0])
    found, wanted = network.embed(pixels, SlotContext(depth=3)), again.embed(pixels)
    for one, other in zip((*found.fine, found.coarse), wanted, strict=True):
        assert (one - other).abs().max() < claimed(SYSTEM, "encoder") * other.abs().max()
    prompts = SamPrompts(points=click.view(1, 1, 2), labels=torch.ones(1, 1))
    masks, _ = PictureSam2(network).decode(found[slice(1, 2)], prompts, True)
    expected = again.decode_click([level[1:2] for level in wanted], click)
    assert (masks[0].flatten(1) - expected).abs().max() < claimed(SYSTEM, "masks") * expected.abs().max()


def test_published_weights_of_the_host_leave_nothing_out() -> None:
    """All of the host's weights, none of what is put into it; the answers are the host's, bit for bit."""
    native = seeded_state(json.loads(str(np.load(NATIVE)["native_shapes"])), 0.7)
    network = narrow_network(narrow_card(SYSTEM), alive=False)
    host = Sam2(network.shape).eval()
    row_of(SYSTEM).files.load_host(network.host, native, "sam2.pt")  # refuses what is missing or left over
    row_of(SYSTEM).files.load_host(host.host, native, "sam2.pt")
    state = network.host.state_dict()
    assert all(torch.equal(state[name], value) for name, value in host.host.state_dict().items())
    assert len(state) > len(host.host.state_dict())
    pixels = drawn(1, 4, 3, network.side, network.side)
    prompts = SamPrompts(boxes=torch.tensor([[10.0, 20, 80, 90]]).expand(4, 4))
    with torch.inference_mode():
        answers = [
            PictureSam2(one).decode(one.embed(pixels, SlotContext(depth=4)), prompts, True) for one in (network, host)
        ]
    assert all(torch.equal(one, other) for one, other in zip(*answers, strict=True))
    del native["no_mem_embed"]
    with pytest.raises(ModelError, match="no_memory_embedding"):
        row_of(SYSTEM).files.load_host(network.host, native, "sam2.pt")


def test_what_is_added_to_the_published_host() -> None:
    """A bottleneck of ratio 1/16: 2 d m + m + d, three a block behind attention, at the width of its stage."""
    widths = {96: 1, 192: 2, 384: 7, 768: 2}
    with torch.device("meta"):
        network = Sam2(Sam2Shape())
        before = {name: p.numel() for name, p in network.host.named_parameters()}
        adapt(network.host, volumes=True)
    added = sum(p.numel() for name, p in network.host.named_parameters() if name not in before and "vision" in name)
    assert added == 3 * sum(count * (2 * d * (d // 16) + d // 16 + d) for d, count in widths.items()) == 875_538


def test_exactly_what_the_policy_says_learns() -> None:
    network = narrow_network(narrow_card(SYSTEM, side=64))
    table, pictures = policy().apply(network.host), PictureSam2(network)
    prompts = SamPrompts(points=torch.full((2, 1, 2), 20.0), labels=torch.ones(2, 1))
    masks, _ = pictures.decode(pictures.embed(drawn(1, 2, 3, 64, 64), SlotContext(depth=2)), prompts, True)
    masks.square().mean().backward()
    learned = {name for name, p in network.host.named_parameters() if p.grad is not None}
    assert learned == policy().names(network.host) and table.trained == sum(
        p.numel() for p in network.host.parameters() if p.requires_grad
    )
    assert any(".attention_parallel." in name for name in learned)


def test_slices_together_are_answered_as_one_by_one(tmp_path: Path) -> None:
    """In training, prompts of all slices at once; in use, each slice from what was embedded together."""
    predictor = build(str(narrow_file(tmp_path, narrow_card(SYSTEM, side=64, depth=3))), OPTIONS)
    assert predictor.depth == 3 and predictor.capabilities.network is NetworkKind.SLICES
    frames = [Frame.of(drawn(n, 40, 50).numpy()) for n in range(3)]
    features = predictor.frames.encode_clip(frames)
    box, click = np.array([8.0, 6, 30, 33]), np.array([[20.0, 18.0]])
    place = features[0].place
    kinds = {
        "box": (FramePrompts(box=tuple(box)), SamPrompts(boxes=tensor(place.corners(tuple(box)).reshape(1, 4)))),
        "click": (
            FramePrompts(points=click, labels=np.array([True])),
            SamPrompts(tensor(place.points(click))[None], torch.ones(1, 1)),
        ),
    }
    pictures = on_pictures(predictor.frames.network)
    with torch.inference_mode():
        pixels = np.stack([predictor.frames.profile.prepare(frame)[0] for frame in frames])
        maps = pictures.embed(torch.from_numpy(pixels), SlotContext(depth=3))
        for asked, given in kinds.values():
            many = SamPrompts(*(None if one is None else one.expand(3, *one.shape[1:]) for one in vars(given).values()))
            logits, _ = pictures.decode(maps, many, asked.box is None)
            for n, one in enumerate(features):
                (answer,) = predictor.frames.decode(one, [Query(asked)])
                assert np.allclose(answer.logits, logits[n].numpy(), atol=1e-4 * float(logits.abs().max()))


def tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.asarray(values, np.float32))


@pytest.mark.parametrize("sizes", [NARROW, NetworkSizes(side=64, hiera=HIERA)])
def test_sizes_go_into_a_file_and_back(sizes: NetworkSizes, tmp_path: Path) -> None:
    shape = Sam2Shape().of(sizes)
    assert shape.sizes == NetworkSizes(side=64, hiera=sizes.hiera) and Sam2Shape().of(shape.sizes) == shape
    assert not shape.sizes.is_published and Sam2Shape(side=512).sizes.is_published
    card = narrow_card(SYSTEM, side=64, hiera=sizes.hiera)
    assert read_card(narrow_file(tmp_path, card, narrow_network(card))) == card


def test_a_header_says_nothing_of_kinds_it_does_not_have() -> None:
    """So that earlier versions, which know no Hiera, open what is trained on a ViT."""
    (words,) = card_words(narrow_card("medical_sam_adapter_3d")).values()
    assert "vit" in words and "hiera" not in words


def test_sizes_of_another_kind_of_encoder_are_refused() -> None:
    with pytest.raises(ModelError) as caught:
        Sam2Shape().of(NetworkSizes(vit=VIT))
    assert caught.value.code == "E-MODEL-BEGUN"
    for system in ("medical_sam_adapter_3d", "medical_sam_adapter_lite_medsam_3d"):
        with pytest.raises(ModelError) as caught:
            row_of(system).network("", narrow_card(system, vit=None, hiera=HIERA))
        assert caught.value.code == "E-MODEL-BEGUN"
    assert SamShape().sizes == NetworkSizes(side=1024)
