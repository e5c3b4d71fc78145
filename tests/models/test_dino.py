"""DINOv2 and DINOv3: another writing of the network from its equations, and every published layout of weights."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from dino_reference import hub_layout, written_again
from references.weights import seeded_state

pytest.importorskip("transformers")

from delineate.checkpoints.dino_key_maps import dinov2_weights, dinov3_weights, with_lora
from delineate.checkpoints.loading import load_all
from delineate.checkpoints.wrappers import named_arrays
from delineate.core.errors import ModelError
from delineate.models.dino import DINO_SHAPES, DinoEncoder, DinoShape
from delineate.models.variants import DinoVariant, PositionInterpolation

PLAIN = DinoShape(48, 2, 3, side=56)
WITH_REGISTERS = DinoShape(48, 2, 3, registers=4, side=56)
GATED = DinoShape(48, 2, 3, gated=True, side=56)
SHAPES = {"plain": PLAIN, "registers": WITH_REGISTERS, "gated": GATED}
PARAMETERS = {
    "s": 22_056_576,
    "b": 86_580_480,
    "l": 304_368_640,
    "g": 1_136_480_768,
}  # without registers
CLOSE = 2e-5


@pytest.mark.parametrize("size", [(56, 56), (42, 98)], ids=["trained size", "another size"])
@pytest.mark.parametrize("kind", SHAPES)
@torch.inference_mode()
def test_features_are_those_of_the_equations(kind: str, size: tuple[int, int]) -> None:
    shape = SHAPES[kind]
    native = seeded_state(hub_layout(shape))
    encoder = DinoEncoder(shape).eval()
    load_all(encoder.host, dinov2_weights(native), kind)
    pixels = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))
    found, wanted = encoder(pixels), written_again(native, shape, pixels)
    assert found.shape == (2, 48, size[0] // 14, size[1] // 14) and encoder.channels == 48
    difference = float((found - wanted).abs().max())
    print(f"DINOv2, {kind}, {size}: max abs difference {difference:.1e}")
    assert difference <= CLOSE


@torch.inference_mode()
def test_the_switch_of_positions_changes_only_other_sizes_of_networks_without_registers() -> None:
    pixels = {side: torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(1)) for side in (56, 84)}
    for kind, shape in SHAPES.items():
        native = dinov2_weights(seeded_state(hub_layout(shape)))
        both = {way: DinoEncoder(shape, way).eval() for way in PositionInterpolation}
        for encoder in both.values():
            load_all(encoder.host, native, kind)
        apart = {side: float((both["offset_0.1"](p) - both["exact_size"](p)).abs().max()) for side, p in pixels.items()}
        assert apart[56] == 0
        assert (apart[84] > 1e-4) is (kind != "registers"), apart


@pytest.mark.parametrize("variant", DinoVariant)
def test_every_published_size_loads_without_a_missing_key(variant: DinoVariant) -> None:
    """On a device without memory: names and shapes alone."""
    shape = DINO_SHAPES[variant]
    with torch.device("meta"):
        encoder = DinoEncoder(shape)
        layout = dinov3_layout(shape) if shape.rotary else hub_layout(shape)
        native = {name: torch.empty(size) for name, size in layout.items()}
        load_all(encoder.host, (dinov3_weights if shape.rotary else dinov2_weights)(native), variant)
    count = sum(p.numel() for p in encoder.host.parameters())
    if not shape.rotary:
        registers = shape.registers * shape.width
        assert count == PARAMETERS[variant[len("dinov2_vit")]] + registers


def dinov3_layout(shape: DinoShape) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the authors' DINOv3 files."""
    c, inner = shape.width, shape.inner or 4 * shape.width
    found: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, c), "mask_token": (1, c), "storage_tokens": (1, 4, c),
        "patch_embed.proj.weight": (c, 3, 16, 16), "patch_embed.proj.bias": (c,),
        "rope_embed.periods": (c // shape.heads // 4,), "norm.weight": (c,), "norm.bias": (c,),
    }  # fmt: skip
    mlp = {"w1": (inner, c), "w2": (inner, c), "w3": (c, inner)} if shape.gated else {}
    mlp = mlp or {"fc1": (inner, c), "fc2": (c, inner)}
    for n in range(shape.depth):
        for name in ("norm1", "norm2"):
            found |= {f"blocks.{n}.{name}.weight": (c,), f"blocks.{n}.{name}.bias": (c,)}
        for name in ("ls1", "ls2"):
            found[f"blocks.{n}.{name}.gamma"] = (c,)
        found[f"blocks.{n}.attn.qkv.bias_mask"] = (3 * c,)
        layers = {"attn.qkv": (3 * c, c), "attn.proj": (c, c), **{f"mlp.{k}": v for k, v in mlp.items()}}
        for name, size in layers.items():
            found |= {f"blocks.{n}.{name}.weight": size, f"blocks.{n}.{name}.bias": size[:1]}
    return found


@torch.inference_mode()
def test_dinov3_answers_at_any_multiple_of_sixteen() -> None:
    shape = DinoShape(64, 2, 2, patch=16, registers=4, rotary=True, gated=True, inner=96)
    encoder = DinoEncoder(shape).eval()
    load_all(encoder.host, dinov3_weights(seeded_state(dinov3_layout(shape))), "dinov3")
    pixels = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(2))
    features = encoder(pixels)
    assert features.shape == (1, 64, 4, 6) and features.isfinite().all()
    # one patch changes its own token most
    pixels[:, :, 16:32, 48:64] += 1
    moved = (encoder(pixels) - features).norm(dim=1)[0]
    assert divmod(int(moved.argmax()), 6) == (1, 3)


def files_of(native: dict[str, Tensor]) -> dict[str, dict]:
    """The same weights as other programs keep them."""
    lora, chunked = {}, {}
    for key, value in native.items():
        parts = key.split(".")
        chunked[f"blocks.{int(parts[1]) // 2}.{'.'.join(parts[1:])}" if parts[0] == "blocks" else key] = value
        if ".attn.qkv." in key:
            layer, kind = key.rsplit(".", 1)
            up, down = seeded_state({f"{layer}.up": (len(value), 4), f"{layer}.down": (4, 48)}).values()
            lora[f"encoder.{layer}.linear.{kind}"] = value - up @ down if kind == "weight" else value
            if kind == "weight":
                lora |= {f"encoder.{layer}.lora_up.weight": up, f"encoder.{layer}.lora_down.weight": down}
        else:
            lora[f"encoder.{key}"] = value
    teacher = {f"backbone.{k}": v for k, v in chunked.items()} | {"dino_head.last_layer.weight": torch.zeros(3)}
    return {"training": {"teacher": teacher}, "DINOv2-SSL with LoRA": lora}


@pytest.mark.parametrize("kind", ["training", "DINOv2-SSL with LoRA"])
def test_other_files_of_the_same_weights(kind: str) -> None:
    native = seeded_state(hub_layout(PLAIN))
    wanted = dinov2_weights(native)
    found = dinov2_weights(named_arrays(files_of(native)[kind], Tensor, "file"))
    assert found.keys() == wanted.keys()
    assert max(float((found[k] - wanted[k]).abs().max()) for k in wanted) < 1e-6


@pytest.mark.parametrize("kind", ["plain", "gated"])
def test_files_for_transformers_have_older_names(kind: str, tmp_path) -> None:
    """What the library writes and reads: ``save_pretrained`` gives the names of the published files."""
    from safetensors.torch import load_file

    shape = SHAPES[kind]
    encoder = DinoEncoder(shape, PositionInterpolation.EXACT)
    encoder.host.save_pretrained(tmp_path)
    written = load_file(tmp_path / "model.safetensors")
    assert any("attention.attention.query" in key for key in written)
    again = DinoEncoder(shape)
    load_all(again.host, dinov2_weights(written), "model.safetensors")
    assert all(torch.equal(v, again.host.state_dict()[k]) for k, v in encoder.host.state_dict().items())


def test_half_a_pair_of_matrices_is_an_error() -> None:
    weights = {"a.linear.weight": torch.zeros(4, 4), "a.lora_up.weight": torch.zeros(4, 2)}
    with pytest.raises(ModelError, match="missing or do not fit"):
        with_lora(weights)


def test_a_size_that_is_no_multiple_is_an_error() -> None:
    with pytest.raises(ModelError, match="no multiple of 14") as refused:
        DinoEncoder(PLAIN)(torch.zeros(1, 3, 60, 56))
    assert "56 x 56" in str(refused.value.hint)
