"""MediViSTA, SAMed, MA-SAM, SAM-Adapter, SAM-UNet: equations written again, what depends on what."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

pytest.importorskip("transformers")

from delineate.adapters.bottleneck import Bottleneck
from delineate.adapters.conv_depth import ConvDepthAdapter
from delineate.adapters.cross_branch import CrossBranchAttention, at_block
from delineate.adapters.freeze import FreezePolicy
from delineate.adapters.high_pass import PromptGenerator, high_pass
from delineate.adapters.init import Init
from delineate.adapters.lowrank import Factor, FactorTensors, LowRank, QueryValue
from delineate.adapters.slots import SlotContext
from delineate.adapters.temporal import First, KernelTemporalFusion, PreviousFrameAttention, TemporalSelfAttention
from delineate.adapters.wavelet import haar_details, wavelet_image
from delineate.models.attention_up_path import GatedUp
from delineate.models.class_sam import ClassSam
from delineate.models.medivista import model_registry
from delineate.models.sam import Sam, SamEncoder, SamPrompts, SamShape, VitSize
from delineate.models.sam_unet import SamUnet
from delineate.systems import SYSTEMS
from host_cases import drawn
from narrow_systems import claimed, row_of
from tiny_networks import lively
from training_parts import trained

SIZE = VitSize(64, 4, 2, (0, 1, 2, 3))
SHAPE = SamShape(SamEncoder.VIT_B, 64, SIZE)
T = 4


def narrow(name: str, classes: int = 3, variant: str = "") -> Any:
    torch.manual_seed(0)
    row = row_of(name)
    if name == "sam_unet":
        return SamUnet(SHAPE, init=Init.REFERENCE if variant else Init.IDENTITY).eval()
    return row.make(SHAPE, 1 if name == "sam_adapter" else classes, variant).eval()


@pytest.mark.parametrize("name", ["samed", "ma_sam", "sam_adapter", "medivista", "sam_unet"])
@torch.inference_mode()
def test_the_encoder_begins_as_sams(name: str) -> None:
    """Bit for bit, for clips too."""
    network, host = narrow(name), lively(Sam(SHAPE))
    missing = row_of(name).files.load_host(network.host, host.host.state_dict(), "host")
    assert missing is None  # nothing was missing or left over
    pixels = drawn(1, T, 3, 64, 64)
    assert torch.equal(embedded(network, pixels), host.embed(pixels))
    if SYSTEMS[name].variants:
        released = narrow(name, variant="released")
        row_of(name).files.load_host(released.host, host.host.state_dict(), "host")
        assert not torch.allclose(embedded(released, pixels), host.embed(pixels), atol=1e-3)


def embedded(network: Any, pixels: Tensor) -> Tensor:
    context = SlotContext(depth=T)
    if isinstance(network, ClassSam):
        context = network.context(pixels, context)
    return network.embed(pixels, context)[:, :256]


@torch.inference_mode()
def test_sams_weights_load_into_sam_unet_and_medivistas_first_version() -> None:
    for name in ("sam_unet", "medivista_sam"):
        network, host = narrow(name), lively(Sam(SHAPE)).host.state_dict()
        row_of(name).files.load_host(network.host, host, "host")
        state = network.host.state_dict()
        shared = [n for n in host if n in state and state[n].shape == host[n].shape]
        assert len(shared) > 80 and all(torch.equal(state[n], host[n]) for n in shared if "hypernetworks" not in n)


def softmaxed(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """Attention of (T, C), head by head."""
    parts = [
        torch.softmax(a @ b.T / a.shape[1] ** 0.5, dim=-1) @ c
        for a, b, c in zip(q.chunk(heads, 1), k.chunk(heads, 1), v.chunk(heads, 1), strict=True)
    ]
    return torch.cat(parts, dim=1)


def again_temporal(part: Any, x: Tensor) -> Tensor:
    out = x.clone()
    for row in range(x.shape[1]):
        for column in range(x.shape[2]):
            q, k, v = part.qkv(part.norm(x[:, row, column])).chunk(3, 1)
            out[:, row, column] += part.fc(part.proj(softmaxed(q, k, v, part.heads)))
    return out


def again_previous(part: Any, x: Tensor) -> Tensor:
    out, width = x.clone(), x.shape[-1]
    w, b = part.qkv.weight, part.qkv.bias
    for t in range(len(x)):
        before = t - 1 if t else (len(x) - 1 if part.first is First.LAST else 0)
        now, then = x[t].flatten(0, 1), x[before].flatten(0, 1)
        q = now @ w[:width].T + b[:width]
        k, v = then @ w[width : 2 * width].T + b[width : 2 * width], then @ w[2 * width :].T + b[2 * width :]
        out[t] += softmaxed(q, k, v, part.heads).view_as(x[t])
    return out


def again_fusion(part: Any, x: Tensor) -> Tensor:
    normed = (x - x.mean(-1, keepdim=True)) / (x.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt()
    q, k, v = (one.flatten(1, 2) for one in part.qkv(normed).chunk(3, -1))
    out = x.clone()
    for t in range(len(x)):
        weights = torch.stack([torch.exp(torch.tensor(-abs(t - s) / part.lambda_t)) for s in range(len(x))])
        weights = weights[:, None, None].expand(-1, k.shape[1], 1)
        if part.lambda_k is not None:
            weights = weights * torch.exp(-(k[t] - k).norm(dim=-1, keepdim=True) / part.lambda_k)
        if part.normalize:
            weights = weights / weights.sum(0)
        out[t] += part.proj(softmaxed(q[t], (weights * k).sum(0), (weights * v).sum(0), part.heads)).view_as(x[t])
    return out


def again_conv(part: Any, x: Tensor) -> Tensor:
    y = part.norm(x) @ part.down.weight.T
    padded = torch.cat([torch.zeros_like(y[:1]), y, torch.zeros_like(y[:1])])
    kernel = part.conv.weight[..., 0, 0]
    mixed = sum(padded[n : n + len(x)] @ kernel[..., n].T for n in range(3)) + part.conv.bias
    return x + F.gelu(mixed) @ part.up.weight.T


PARTS = {
    "temporal": (lambda: TemporalSelfAttention(16, 2, Init.REFERENCE), again_temporal),
    "previous": (lambda: PreviousFrameAttention(16, 2, init=Init.REFERENCE), again_previous),
    "previous-closed": (lambda: PreviousFrameAttention(16, 2, First.LAST, Init.REFERENCE), again_previous),
    "fusion": (lambda: KernelTemporalFusion(16, 2, init=Init.REFERENCE), again_fusion),
    "fusion-bilateral": (lambda: KernelTemporalFusion(16, 2, 2.0, 1.5, init=Init.REFERENCE), again_fusion),
    "fusion-released": (lambda: KernelTemporalFusion(16, 2, normalize=False, init=Init.REFERENCE), again_fusion),
    "conv-depth": (lambda: ConvDepthAdapter(16, 8, Init.REFERENCE), again_conv),
}


CLAIMS = {
    "temporal": ("medivista_sam", "parts"), "previous": ("medivista_sam", "parts"), "fusion": ("medivista", "fusion"),
    "conv": ("ma_sam", "convolutions"),
}  # fmt: skip


@pytest.mark.parametrize("name", PARTS)
@torch.no_grad()
def test_parts_agree_with_their_equations_written_again(name: str) -> None:
    """Two clips, which do not see each other."""
    make, again = PARTS[name]
    claim = CLAIMS[name.split("-")[0]]
    torch.manual_seed(0)
    part, x = make(), drawn(3, 2 * T, 3, 2, 16)
    found = part(x, SlotContext(depth=T))
    wanted = torch.cat([again(part, clip) for clip in x.split(T)])
    gap = float((found - wanted).abs().max())
    print(f"{name}: {gap:.1e}")
    assert gap < claimed(*claim) and float((found - x).abs().max()) > 1e-2


@pytest.mark.parametrize("init", Init)
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda init: TemporalSelfAttention(16, 2, init), id="temporal"),
        pytest.param(lambda init: PreviousFrameAttention(16, 2, init=init), id="previous"),
        pytest.param(lambda init: KernelTemporalFusion(16, 2, init=init), id="fusion"),
        pytest.param(lambda init: ConvDepthAdapter(16, 8, init), id="conv-depth"),
        pytest.param(lambda init: CrossBranchAttention(16, 2, init), id="cross-branch"),
        pytest.param(lambda init: Bottleneck(16, init=init), id="bottleneck"),
    ],
)
@torch.no_grad()
def test_a_part_begins_as_nothing_or_as_the_released_codes(make: Callable[[Init], nn.Module], init: Init) -> None:
    torch.manual_seed(0)
    x = drawn(3, T, 3, 2, 16)
    context = SlotContext(depth=T, branch={at_block(0): drawn(4, T, 3, 2, 16)})
    assert torch.equal(make(init)(x, context), x) is (init is Init.IDENTITY)


SEEN = {  # frames that frame 2 of 0 to 3 depends on, beside itself
    "temporal": {0, 1, 2, 3}, "previous": {1, 2}, "fusion": {0, 1, 2, 3}, "conv-depth": {1, 2, 3},
}  # fmt: skip


@pytest.mark.parametrize("name", SEEN)
def test_which_frames_and_places_are_seen(name: str) -> None:
    part, x = PARTS[name][0](), drawn(3, 2 * T, 3, 2, 16).requires_grad_()
    (gradient,) = torch.autograd.grad(part(x, SlotContext(depth=T))[T + 2, 1, 0].square().sum(), x)
    where = {tuple(at) for at in gradient.abs().sum(-1).nonzero().tolist()}
    assert {t for t, _, _ in where} == {T + t for t in SEEN[name]}
    elsewhere = {at for at in where if at[1:] != (1, 0)}
    assert bool(elsewhere) == (name in ("previous", "fusion"))
    assert name != "previous" or {t for t, _, _ in elsewhere} == {T + 1}


def test_frames_that_are_not_there_are_not_seen() -> None:
    valid = torch.tensor([[True, True, False, True]])
    for part in (TemporalSelfAttention(16, 2, Init.REFERENCE), KernelTemporalFusion(16, 2, init=Init.REFERENCE)):
        x = drawn(3, T, 3, 2, 16).requires_grad_()
        (gradient,) = torch.autograd.grad(part(x, SlotContext(depth=T, valid=valid))[0].square().sum(), x)
        assert not gradient[2].any() and gradient[3].any()


@torch.no_grad()
def test_cross_branch_and_low_rank_parts_written_again() -> None:
    torch.manual_seed(0)
    x, seen = drawn(1, 2, 2, 3, 16), drawn(2, 2, 2, 3, 16)
    part = CrossBranchAttention(16, 2, Init.REFERENCE)
    w, b = part.qkv.weight.chunk(3), part.qkv.bias.chunk(3)
    for found, tokens, there in zip(part(x, SlotContext(block=5, branch={at_block(5): seen})), x, seen, strict=True):
        q, (k, v) = tokens.flatten(0, 1) @ w[0].T + b[0], (there.flatten(0, 1) @ w[n].T + b[n] for n in (1, 2))
        gap = (found - tokens - part.proj(softmaxed(q, k, v, 2)).view_as(tokens)).abs().max()
        assert gap < claimed("medivista", "others")
    one, other = lively(LowRank(16, 16, 3, 6.0)), lively(LowRank(16, 16, 3, 6.0), 1)
    q, k, v = QueryValue(one, other)(x).chunk(3, -1)
    assert torch.allclose(q, 2.0 * x @ one.down.weight.T @ one.up.weight.T, atol=1e-6) and not k.any()
    assert torch.allclose(v, 2.0 * x @ other.down.weight.T @ other.up.weight.T, atol=1e-6)
    by_head = QueryValue(one, other, heads=4)(x).unflatten(-1, (4, 3, 4))
    assert torch.equal(by_head[..., 0, :].flatten(-2), q) and torch.equal(by_head[..., 2, :].flatten(-2), v)
    shared = lively(FactorTensors(16, 4))
    factor = lively(Factor(shared))
    product = shared.up.weight @ factor.core.weight @ shared.down.weight
    assert (factor(x) - x @ product.T).abs().max() < min(claimed("medivista", "others"), claimed("ma_sam", "FacT"))


@torch.no_grad()
def test_a_pair_for_queries_and_values_is_one_matrix_of_twice_the_rank() -> None:
    """What is put beside a fused layer equals one LoRA whose matrices have blocks of zeros: so it can be merged."""
    pair = QueryValue(lively(LowRank(16, 16, 3)), lively(LowRank(16, 16, 3), 1))
    down = torch.cat([pair.query.down.weight, pair.value.down.weight])
    up = torch.zeros(48, 6)
    up[:16, :3], up[32:, 3:] = pair.query.up.weight, pair.value.up.weight
    x = drawn(1, 5, 16)
    assert (pair(x) - x @ (up @ down).T).abs().max() < claimed("samed", "layers")


@torch.no_grad()
def test_the_gate_of_the_up_path_written_again() -> None:
    torch.manual_seed(0)
    part = lively(GatedUp(12, 6))
    x, skip = drawn(1, 1, 12, 3, 3), drawn(2, 1, 6, 6, 6)
    below, beside = part.seen(x)[0].flatten(1).T, part.skip(skip)[0].flatten(1).T
    q, k, v = below @ part.query.weight.T, below @ part.key.weight.T, beside @ part.value.weight.T
    mixed = torch.softmax(q @ k.T / 6**0.5, dim=1) @ v  # over keys
    gate = F.interpolate(part.gate(mixed.T.view(1, 6, 3, 3)), scale_factor=2, mode="bilinear")
    enlarged = part.raised(F.interpolate(x, scale_factor=2, mode="bilinear"))
    wanted = part.joined(torch.cat([gate * skip, enlarged], dim=1))
    assert (part(x, skip) - wanted).abs().max() < 1e-5


@torch.no_grad()
def test_high_frequencies_and_wavelets() -> None:
    import numpy as np

    flat = torch.full((1, 3, 32, 32), 0.7)
    assert high_pass(flat).abs().max() < 1e-6 and haar_details(flat).abs().max() == 0
    picture = drawn(1, 1, 3, 32, 32)
    spectrum = np.fft.fftshift(np.fft.fft2(picture[0, 1].numpy()))
    spectrum[8:24, 8:24] = 0
    wanted = np.abs(np.fft.ifft2(np.fft.ifftshift(spectrum)).real)
    assert np.abs(high_pass(picture)[0, 1].numpy() - wanted).max() < 1e-5
    details, blocks = haar_details(picture), picture.unfold(2, 2, 2).unfold(3, 2, 2)
    square = picture.square().sum()
    mean = blocks.mean((-1, -2)) * 2
    assert torch.allclose(details.square().sum() + mean.square().sum(), square, rtol=1e-5)  # an orthogonal transform
    edges = wavelet_image(picture)
    assert edges.shape == (1, 1, 32, 32) and edges.min() == 0 and edges.max() > 0.99
    generator = lively(PromptGenerator(64, 2))
    patches = drawn(2, 1, 2, 2, 64)
    seen = generator.embedding(patches)
    kernel, bias = generator.frequencies.weight, generator.frequencies.bias
    high = high_pass(picture)
    for row in range(2):
        for column in range(2):
            patch = high[0, :, 16 * row : 16 * row + 16, 16 * column : 16 * column + 16]
            at = seen[0, row, column] + (kernel * patch).sum((1, 2, 3)) + bias
            for n, found in enumerate(generator(picture, patches).values()):
                wanted_at = F.gelu(generator.own[n](at)) @ generator.shared.weight.T + generator.shared.bias
                assert (found[0, row, column] - wanted_at).abs().max() < claimed("sam_adapter", "prompts")


@torch.no_grad()
def test_medivistas_first_version_block_by_block() -> None:
    """The whole of it, written again with parts called frame by frame and attention without positions or windows."""
    network = lively(narrow("medivista_sam"))
    host, pixels = network.host, drawn(1, T, 1, 64, 64)
    x, skips = host.stem(pixels)
    for layer in host.vision_encoder.layers:
        x = again_previous(layer.before_2, again_temporal(layer.before, x))
        n = layer.layer_norm1(x)
        mixed = []
        for frame in n:
            q, k, v = layer.attn.qkv(frame.flatten(0, 1)).chunk(3, 1)
            mixed.append(layer.attn.proj(softmaxed(q, k, v, SIZE.heads)).view_as(frame))
        x = x + torch.stack(mixed)
        narrowed = F.gelu(x @ layer.mlp_parallel.down.weight.T + layer.mlp_parallel.down.bias)
        beside = narrowed @ layer.mlp_parallel.up.weight.T + layer.mlp_parallel.up.bias
        x = x + layer.mlp(layer.layer_norm2(x)) + 0.5 * beside
    neck = host.vision_encoder.neck_slot
    embedding = F.relu(neck.norm(neck.conv(x.permute(0, 3, 1, 2))))
    decoder = host.mask_decoder
    dense = host.prompt_encoder.no_mask_embed.weight.view(1, 256, 1, 1).expand(1, 256, 4, 4)
    tokens, image = decoder.attended(
        decoder.mask_tokens.weight, embedding, network._places(embedding), None, dense, SlotContext()
    )
    enlarged = decoder.up_path(image, (skips[3], skips[2], skips[1]))
    for number, head in enumerate(decoder.output_hypernetworks_mlps):
        masks = torch.einsum("bc,bchw->bhw", head(tokens[:, number]), enlarged)
        found = network.classify(pixels, T)[:, 1 + number]
        gap = float((found - masks).abs().max() / masks.abs().max())
        print(f"class {number}: {gap:.1e}")
        assert gap < claimed("medivista_sam", "masks")
    clip = pixels.permute(1, 2, 3, 0)[None]
    assert torch.allclose(network(clip), network.classify(pixels, T)[:, 1:])


def test_every_block_of_medivistas_first_version_counts() -> None:
    """In the released code the last block alone does."""
    network = lively(narrow("medivista_sam"))
    network.classify(drawn(1, T, 1, 64, 64), T).square().mean().backward()
    for layer in network.host.vision_encoder.layers:
        for part in (layer.before.qkv, layer.before_2.qkv, layer.mlp_parallel.down, layer.attn.qkv):
            assert part.weight.grad is not None and part.weight.grad.abs().max() > 0


def test_the_registry_is_called_as_the_authors_readme_does() -> None:
    with torch.device("meta"):
        network, cells = model_registry["vit_b"](
            None, image_size=128, num_classes=4, chunk=8, pixel_mean=[0, 0, 0], pixel_std=[1, 1, 1]
        )
    assert cells == 8 and len(network.host.mask_decoder.mask_tokens.weight) == 4


@torch.no_grad()
def test_sam_unets_decoder_written_again() -> None:
    network = lively(SamUnet(SHAPE))
    host, decoder, pixels = network.host, network.host.mask_decoder, drawn(1, 1, 3, 64, 64)
    maps, x = (
        list(host.resnet(pixels, output_hidden_states=True).hidden_states[1:]),
        host.vision_encoder.patch_embed(pixels),
    )
    x, taken = x + host.vision_encoder.pos_embed, []
    for n, layer in enumerate(host.vision_encoder.layers):
        x = x + host.inputs[n](maps[n]).permute(0, 2, 3, 1)
        x = x + layer.attn(layer.layer_norm1(x))
        x = x + layer.mlp(layer.layer_norm2(x))
        taken.append(x.permute(0, 3, 1, 2))
    embedding = host.vision_encoder.neck(x)
    scales = host.embedding_encoder(embedding) + sum(host.bridges[n](taken[n]) for n in range(3))
    boxes = torch.tensor([[5.0, 6, 40, 50]])
    sparse, dense = host.prompt_encoder(None, None, boxes[:, None], None)
    tokens, image = decoder.attended(
        decoder.med_token.weight, embedding, network._places(embedding), sparse[:, 0], dense, SlotContext()
    )
    raised = F.gelu(decoder.upscale_conv2(F.gelu(decoder.upscale_layer_norm(decoder.upscale_conv1(image)))))
    wanted = torch.einsum("oc,ochw->ohw", decoder.med_head(tokens[:, 0]), decoder.mask_feature(raised) + scales)
    masks, iou = network.decode(network.embed(pixels), SamPrompts(boxes=boxes), multimask=False)
    gap = float((masks[:, 0] - wanted).abs().max() / wanted.abs().max())
    print(f"{gap:.1e}")
    assert gap < claimed("sam_unet", "masks") and masks.shape == (1, 1, 16, 16)
    assert iou.item() == pytest.approx(int((wanted > 1).sum()) / int((wanted > -1).sum()), abs=0.02) and iou.item() < 1


@torch.no_grad()
def test_a_decoder_that_enlarges_sixteen_times_written_again() -> None:
    network = lively(ClassSam(SHAPE, 2, sixteen=True))
    decoder, embedding = network.host.mask_decoder, drawn(1, 1, 256, 4, 4)
    dense = network.host.prompt_encoder.no_mask_embed.weight.view(1, 256, 1, 1).expand(1, 256, 4, 4)
    tokens, x = decoder.attended(
        network.own_tokens(), embedding, network._places(embedding), None, dense, SlotContext()
    )
    x = F.gelu(decoder.upscale_layer_norm(decoder.upscale_conv1(x)))
    for conv, norm in (
        (decoder.upscale_conv2, decoder.upscale_layer_norm2),
        (decoder.upscale_conv3, decoder.upscale_layer_norm3),
    ):
        x = F.gelu(norm(conv(x)))
    x = F.gelu(decoder.upscale_conv4(x))
    wanted = torch.stack(
        [(decoder.output_hypernetworks_mlps[n](tokens[0, 1 + n])[:, None, None] * x[0]).sum(0) for n in range(3)]
    )
    gap = float((network.decode_classes(embedding)[0] - wanted).abs().max() / wanted.abs().max())
    print(f"{gap:.1e}")
    assert gap < min(claimed("medivista", "decoder"), claimed("ma_sam", "decoder"))


@pytest.mark.parametrize("name", ["medivista_sam", "medivista"])
def test_twenty_steps_of_the_common_loop(name: str, tmp_path: Path) -> None:
    network = lively(narrow(name))
    rules = SYSTEMS[name].policy("").rules  # type: ignore[misc]
    policy = FreezePolicy(((r"^branch\.", False), *rules))  # its convolutions are as wide as published: slow
    pixels = drawn(1, T, 1 if name == "medivista_sam" else 3, 64, 64)
    grid = torch.arange(64.0)
    labels = torch.stack([((grid[:, None] - 30) ** 2 + (grid - 25 - 3 * t) ** 2 < 200).long() for t in range(T)])
    assert trained(tmp_path, network.host, policy, lambda: F.cross_entropy(network.classify(pixels, T), labels)) < 0.9
