"""Medical SAM Adapter: counts, identity, a second writing of the equations, what depends on what, files, training."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

pytest.importorskip("transformers")
pytest.importorskip("accelerate")

from delineate.adapters.depth import DepthAttention, DepthGrid, depth_grid, to_lines
from delineate.adapters.freeze import FreezeTable
from delineate.adapters.lowrank import RankBudget, orthogonality
from delineate.adapters.slots import SlotContext
from delineate.checkpoints.store import import_checkpoint
from delineate.checkpoints.system_file import write_system
from delineate.core.errors import ModelError
from delineate.core.frame import Frame
from delineate.core.resolve import FramePrompts
from delineate.models.sam import Sam, SamEncoder, SamPrompts, SamShape
from delineate.models.sam2 import Sam2, Sam2Maps
from delineate.models.windows import cut
from delineate.predictors.frame_predictor import Query
from delineate.systems import BuildOptions, build
from delineate.systems.medical_sam_adapter import PARTS, adapt, policy
from delineate.systems.registry import system_of_file
from delineate.training.finetune import FinetuneObjective
from delineate.training.prompt_policies import SampledPrompts
from host_cases import drawn
from medical_sam_adapter_reference import Rewritten
from narrow_systems import claimed, narrow_card, narrow_file, narrow_network, row_of
from tiny_networks import tiny_sam, tiny_sam2
from training_parts import trained

OPTIONS = {"device": "cpu", "precision": "fp32"}
SIDE = 128
BOXES = torch.tensor([[10.0, 20, 80, 90], [30, 20, 100, 110]])


def count(part: nn.Module) -> int:
    return sum(p.numel() for p in part.parameters())


@pytest.mark.parametrize(
    ("variant", "encoder", "added"),
    [
        ("", SamEncoder.VIT_B, 1_789_056),
        ("", SamEncoder.VIT_L, 6_343_680),
        ("", SamEncoder.VIT_H, 13_194_240),  # "13 M" of the paper
        ("released", SamEncoder.VIT_B, 10_651_392),
        ("released", SamEncoder.VIT_L, 37_840_896),
        ("released", SamEncoder.VIT_H, 78_796_800),
        ("lora", SamEncoder.VIT_B, 516_096),
        ("lora", SamEncoder.VIT_L, 1_376_256),
        ("lora", SamEncoder.VIT_H, 2_293_760),
        ("adalora", SamEncoder.VIT_B, 516_096 + 12 * 4 * 4),  # and the values between the matrices
    ],
)
def test_what_is_added_to_the_encoder(variant: str, encoder: SamEncoder, added: int) -> None:
    with torch.device("meta"):
        network = Sam(SamShape(encoder))
        before = count(network.host.vision_encoder)
        adapt(network.host, variant)
    assert count(network.host.vision_encoder) - before == added


def test_two_bottlenecks_a_block_of_ratio_one_in_four() -> None:
    """As the released ones, but for the third, which is of use in 3D alone."""
    with torch.device("meta"):
        network = Sam(SamShape(SamEncoder.VIT_B))
        adapt(network.host, "released")
    third = [p.numel() for name, p in network.host.named_parameters() if ".attention_parallel." in name]
    both = [p.numel() for name, p in network.host.named_parameters() if re.search(PARTS[0], name)]
    assert sum(both) - sum(third) == 7_100_928


HOSTED = {
    "SAM's ViT": lambda: tiny_sam(side=SIDE),
    "TinyViT": lambda: tiny_sam(SamEncoder.TINY_VIT, SIDE),
    "Hiera": lambda: tiny_sam2(),
}


def embedded(network: Any, pixels: Tensor, depth: int) -> Tensor:
    found = network.embed(pixels, SlotContext(depth=depth))
    return found.coarse if isinstance(found, Sam2Maps) else found


def answered(network: Any) -> Tensor:
    """Two boxes on one picture."""
    side = network.shape.side
    found = network.embed(drawn(1, 1, 3, side, side))
    if isinstance(found, Sam2Maps):
        labels = torch.tensor([[2, 3]] * 2, dtype=torch.int32)
        return network.decode(found.coarse, found, BOXES.view(2, 2, 2), labels).logits
    return network.decode(found, SamPrompts(boxes=BOXES), True)[0]


@pytest.mark.parametrize("variant", ["", "lora", "adalora"])
@pytest.mark.parametrize("host", HOSTED)
def test_it_begins_as_the_host(host: str, variant: str) -> None:
    """Bit for bit, in two and in three dimensions; names of the host's weights stay."""
    network = HOSTED[host]()
    names, pixels = set(network.host.state_dict()), drawn(1, 2, 3, network.shape.side, network.shape.side)
    with torch.inference_mode():
        plain, answer = embedded(network, pixels, 1), answered(network)
        adapt(network.host, variant, volumes=True)
        assert torch.equal(embedded(network, pixels, 2), plain)
        assert torch.equal(answered(network), answer)
    assert names < set(network.host.state_dict())


@pytest.mark.parametrize(
    ("system", "variant", "slices"),
    [
        pytest.param("medical_sam_adapter", "", 1, id="paper-2D"),
        pytest.param("medical_sam_adapter_3d", "", 4, id="paper-3D"),
        pytest.param("medical_sam_adapter", "released", 1, id="released-2D"),
    ],
)
@torch.no_grad()
def test_agrees_with_the_equations_written_again(system: str, variant: str, slices: int) -> None:
    network = narrow_network(narrow_card(system, variant))
    again = Rewritten(network, slices, variant == "released")
    pixels = drawn(2, slices, 3, 128, 128)
    found, wanted = network.embed(pixels, SlotContext(depth=slices)), again.embed(pixels)
    gaps = {"embedding": (found - wanted).abs().max() / wanted.abs().max()}
    if not variant:
        masks, _ = network.decode(found[:1], SamPrompts(boxes=BOXES), multimask=False)
        expected = again.decode(found[:1], BOXES)
        gaps["masks"] = (masks - expected).abs().max() / expected.abs().max()
    print({name: f"{float(gap):.1e}" for name, gap in gaps.items()})
    assert gaps["embedding"] < claimed(system, "encoder") and gaps.get("masks", 0) < claimed(system, "masks"), gaps


class Alone(nn.Module):
    """Keeps what a depth pass alone adds."""

    def __init__(self, inner: DepthAttention) -> None:
        super().__init__()
        self.inner, self.gave = inner, None

    def forward(self, normed: Tensor, attention: Any, context: SlotContext) -> Tensor:
        self.tokens = normed
        self.gave = self.inner(normed, attention, context)
        return self.gave


@pytest.mark.parametrize("host", HOSTED)
def test_a_depth_pass_sees_the_slices_at_a_place_and_nothing_else(host: str) -> None:
    """In windowed and global blocks, and where queries are pooled; clips do not see each other."""
    network = HOSTED[host]()
    adapt(network.host, volumes=True)
    blocks = [m for m in network.host.vision_encoder.modules() if hasattr(m, "attention_parallel")]
    for block in blocks:
        nn.init.normal_(block.attention_parallel.adapter.up.weight)
        nn.init.constant_(block.attention_parallel.adapter.down.bias, 3.0)  # every unit is on at the place probed
        block.attention_parallel = Alone(block.attention_parallel)
    side = network.shape.side
    embedded(network, drawn(1, 6, 3, side, side), 3)  # two clips of three
    for block in blocks:
        probe, tokens = block.attention_parallel.gave, block.attention_parallel.tokens
        ratio = tokens.shape[1] // probe.shape[1]
        (gradient,) = torch.autograd.grad(probe[4, 1, 2].square().sum(), tokens, retain_graph=True)
        where = gradient.abs().sum(-1).nonzero().tolist()
        assert {slice_ for slice_, _, _ in where} == {3, 4, 5}
        assert all(row // ratio == 1 and column // ratio == 2 for _, row, column in where)


def test_the_released_regrouping_takes_windows_of_one_slice_for_slices() -> None:
    """Its windows are cut before D neighbors in the batch are put in a row; here whole maps are."""
    depth, number = 2, torch.arange(2).view(2, 1, 1, 1).expand(2, 28, 28, 1)  # of the slice, at every place
    released = cut(number, 14).unflatten(0, (-1, depth)).transpose(1, 2).flatten(0, 1).flatten(1)
    assert len(released[0]) > depth and all(len(set(line.tolist())) == 1 for line in released)
    assert all(sorted(line.flatten().tolist()) == [0, 1] for line in to_lines(number, depth))


def test_clicks_are_turned_where_the_released_weights_learned_so(tmp_path: Path) -> None:
    """In use, for everything on a picture, and in training: what learns is asked as it will be asked."""
    asked: list[SamPrompts] = []
    card = narrow_card("medical_sam_adapter", "released", side=64)
    predictor = build(str(narrow_file(tmp_path, card)), BuildOptions(**OPTIONS))
    decode = predictor.network.decode
    predictor.network.decode = lambda e, prompts, *a, **k: (asked.append(prompts), decode(e, prompts, *a, **k))[1]
    features = predictor.encode(Frame.of(np.zeros((64, 64), np.uint8)))
    click = np.array([[10.0, 40.0]])
    (at,) = features.place.points(click)
    predictor.decode(features, [Query(FramePrompts(points=click, labels=np.array([True])))])
    predictor.decode_clicks(features, click, 1.0)
    objective = object.__new__(FinetuneObjective)
    objective.predictor, objective.network, objective.device = predictor, predictor.network, torch.device("cpu")
    objective.decoded(features.embedding, SampledPrompts(at[None, None], np.ones((1, 1), np.int64)))
    assert [one.points.flatten().tolist() for one in asked] == [pytest.approx(at[::-1].tolist())] * 3


@pytest.mark.parametrize(
    ("slices", "kind", "grid"),
    [
        (1, DepthGrid.REFERENCE, (1, 1)),  # where the released code never ends
        (4, DepthGrid.REFERENCE, (1, 4)),
        (9, DepthGrid.REFERENCE, (1, 9)),
        (16, DepthGrid.REFERENCE, (2, 8)),
        (96, DepthGrid.REFERENCE, (8, 12)),
        (16, DepthGrid.SQUARE, (4, 4)),
        (7, DepthGrid.SQUARE, (1, 7)),
        (96, DepthGrid.LINE, (1, 96)),
    ],
)
def test_how_slices_lie(slices: int, kind: DepthGrid, grid: tuple[int, int]) -> None:
    assert depth_grid(slices, kind) == grid


def test_prompts_make_the_weights_of_the_decoders_adapter() -> None:
    """With everything else the same, the hyper-prompt adapter alone answers otherwise to another prompt."""
    network = narrow_network(narrow_card("medical_sam_adapter"))
    adapter = network.host.mask_decoder.transformer.layers[0].hyper
    tokens = drawn(1, 1, 5, 256)
    one, other = (adapter(tokens, SlotContext(prompt=drawn(seed, 1, 2, 256))) - tokens for seed in (2, 3))
    assert (one - other).abs().max() > 0.05 * one.abs().max()
    assert torch.equal(adapter(tokens, SlotContext(prompt=drawn(2, 1, 0, 256))), tokens)


def legacy(network: Any) -> dict[str, Tensor]:
    """The released layout of a network's weights."""
    from native_names import native_names

    back = (
        (r"\.attention_output\.down\.", ".Space_Adapter.D_fc1."),
        (r"\.attention_output\.up\.", ".Space_Adapter.D_fc2."),
        (r"\.mlp_parallel\.down\.", ".MLP_Adapter.D_fc1."), (r"\.mlp_parallel\.up\.", ".MLP_Adapter.D_fc2."),
        (r"\.attention_parallel\.adapter\.down\.", ".Depth_Adapter.D_fc1."),
        (r"\.attention_parallel\.adapter\.up\.", ".Depth_Adapter.D_fc2."),
    )  # fmt: skip
    named = native_names(network.host.state_dict())
    for pattern, replacement in back:
        named = {re.sub(pattern, replacement, key): value for key, value in named.items()}
    return named


@pytest.mark.parametrize("rel", ["rel_h", "rel_pos_h"])
def test_a_released_file_loads_whole(rel: str, tmp_path: Path) -> None:
    """Wrapped as training wrote it; relative positions under either name."""
    card = narrow_card("medical_sam_adapter", "released")
    network, fresh = narrow_network(card), narrow_network(card, seed=1)
    state = legacy(network)
    if rel == "rel_h":
        state = {k.replace(".rel_pos_h", ".rel_h").replace(".rel_pos_w", ".rel_w"): v for k, v in state.items()}
    path = tmp_path / "checkpoint_best.pth"
    torch.save({"epoch": 3, "model": "sam", "state_dict": state, "path_helper": {"prefix": "logs"}}, path)
    assert system_of_file(path) == "medical_sam_adapter"
    row_of("medical_sam_adapter").files.load(BuildOptions(checkpoint=path), fresh.host)
    loaded = fresh.host.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in network.host.state_dict().items())


@pytest.mark.parametrize(
    ("system", "start", "bare"),
    [
        ("medical_sam_adapter_lite_medsam", "lite_medsam", Sam),
        ("medical_sam_adapter_sam2_3d", "sam2.1_tiny", Sam2),
    ],
)
def test_what_learned_is_a_file_of_its_own(
    system: str, start: str, bare: type[Sam | Sam2], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside the host it was trained with; refused beside another."""
    monkeypatch.setenv("DELINEATE_MODELS", str(tmp_path / "store"))
    card = narrow_card(system, side=256, vit=None, hiera=None).model_copy(update={"host": start})
    network = narrow_network(card)
    rules = policy()
    learned = rules.names(network.host)
    path = tmp_path / "learned.safetensors"
    write_system(path, network.host.state_dict(), card, learned)
    host = bare(network.shape)
    host.host.load_state_dict(network.host.state_dict(), strict=False)
    with pytest.raises(ModelError) as caught:
        build(f"{system}={path}", BuildOptions(**OPTIONS))
    assert caught.value.code == "E-MODEL-WEIGHTS" and start in caught.value.hint
    torch.save(host.host.state_dict(), tmp_path / "host.pth")
    given = BuildOptions(checkpoint=tmp_path / "host.pth", adapter=path)  # beside the host that -m names
    beside = row_of(system).network("", card)
    row_of(system).files.load(given, beside.host)
    assert all(torch.equal(beside.host.state_dict()[name], v) for name, v in network.host.state_dict().items())
    kept = import_checkpoint(start, tmp_path / "host.pth")
    built = build(f"{system}={path}", BuildOptions(**OPTIONS))
    found = getattr(built, "frames", built).network.host.state_dict()
    assert all(torch.equal(found[name], value) for name, value in network.host.state_dict().items())
    beside = row_of(system).network("", card)  # the same through --adapter
    row_of(system).files.load(BuildOptions(adapter=path), beside.host)
    assert all(torch.equal(beside.host.state_dict()[name], value) for name, value in found.items())
    assert path.stat().st_size < 0.2 * kept.stat().st_size
    changed = host.host.state_dict()
    changed["mask_decoder.iou_token.weight"] = changed["mask_decoder.iou_token.weight"] + 1
    torch.save(changed, tmp_path / "host.pth")
    import_checkpoint(start, tmp_path / "host.pth")
    with pytest.raises(ModelError) as caught:
        build(f"{system}={path}", BuildOptions(**OPTIONS))
    assert caught.value.code == "E-MODEL-HOST"
    torch.save(host.host.state_dict(), tmp_path / "given.pth")
    row_of(system).files.load(replace(given, checkpoint=tmp_path / "given.pth"), beside.host)  # not the kept one
    with pytest.raises(ModelError) as caught:
        row_of(system).files.load(given, beside.host)
    assert caught.value.code == "E-MODEL-HOST" and "host.pth" in str(caught.value)


def test_host_weights_load_and_are_not_mistaken_for_trained_ones(tmp_path: Path) -> None:
    host = tiny_sam(SamEncoder.TINY_VIT_LITE)
    path = tmp_path / "host.pth"
    torch.save(host.host.state_dict(), path)
    system = "medical_sam_adapter_lite_medsam"
    with pytest.raises(ModelError) as caught:
        build(f"{system}={path}", BuildOptions(**OPTIONS))
    assert caught.value.code == "E-MODEL-PARTS"
    begun = build(f"{system}={path}", BuildOptions(**OPTIONS, untrained=True)).network
    begun_with = begun.host.state_dict()
    assert all(torch.equal(begun_with[name], value) for name, value in host.host.state_dict().items())


def test_a_file_says_which_system_it_is(tmp_path: Path) -> None:
    path = narrow_file(tmp_path, narrow_card("medical_sam_adapter_3d", depth=3))
    predictor = build(str(path), BuildOptions(**OPTIONS))
    assert predictor.record.name == "medical_sam_adapter_3d" and predictor.depth == 3
    with pytest.raises(ModelError) as caught:
        build(f"medical_sam_adapter={path}", BuildOptions(**OPTIONS))
    assert caught.value.code == "E-MODEL-SYSTEM"


@pytest.mark.parametrize("variant", ["", "released", "lora", "adalora"])
def test_exactly_what_the_policy_says_learns(variant: str) -> None:
    network = narrow_network(narrow_card("medical_sam_adapter_3d", variant))
    table = policy(variant).apply(network.host)
    masks, _ = network.decode(
        network.embed(drawn(1, 2, 3, 128, 128), SlotContext(depth=2)), SamPrompts(boxes=BOXES), multimask=False
    )
    masks.square().mean().backward()
    learned = {name for name, p in network.host.named_parameters() if p.grad is not None}
    unused = r"iou_|mask_tokens|output_hypernetworks_mlps\.[123]"  # of the outlines that were not asked for
    switched = {name for name, p in network.host.named_parameters() if p.requires_grad}
    assert learned <= switched and all(re.search(unused, name) for name in switched - learned)
    assert table.trained == sum(p.numel() for p in network.host.parameters() if p.requires_grad) > 0
    assert str(table).splitlines()[-1].split() == ["all", f"{table.trained:,}", f"{table.frozen:,}"]
    assert FreezeTable.of(network.host) == table


@pytest.mark.parametrize("variant", ["", "adalora"])
def test_twenty_steps_of_the_common_loop(variant: str, tmp_path: Path) -> None:
    """Parts alone, on three slices that see each other."""
    network = narrow_network(narrow_card("medical_sam_adapter_3d", variant))
    pixels = drawn(1, 3, 3, 128, 128)
    truth = ((torch.arange(32.0)[:, None] - 13) ** 2 + (torch.arange(32.0) - 14) ** 2 < 70).float().expand(3, 1, 32, 32)

    def loss() -> Tensor:
        boxes = torch.tensor([[20.0, 16, 92, 86]]).expand(3, 4)
        embedding = network.embed(pixels, SlotContext(depth=3))
        masks, _ = network.decode(embedding, SamPrompts(boxes=boxes), multimask=False)
        return F.binary_cross_entropy_with_logits(masks, truth)

    assert trained(tmp_path, network.host, policy(variant), loss) < 0.9


def test_a_budget_leaves_the_values_that_matter() -> None:
    """AdaLoRA: from all values to the target, along a cubic; one with a gradient stays, others go."""
    network = narrow_network(narrow_card("medical_sam_adapter", "adalora"))
    budget = RankBudget(network.host, target=2, steps=20, warm=2, final=4)
    layers = budget.layers
    assert budget.left(2) == 4 * len(layers) and budget.left(16) == 2 * len(layers) and budget.left(9) < budget.left(5)
    for layer in layers:
        layer.values.data.fill_(1.0)
        layer.values.grad = torch.tensor([0.0, 0.1, 3.0, 2.0])
    budget.stepped(20)
    assert all(layer.values.tolist() == [0, 0, 1, 1] for layer in layers)
    assert float(orthogonality(network.host).detach()) > 0
