"""Published layouts of systems with a paper's parts, made here: every array finds its place, none is left over."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

pytest.importorskip("transformers")

from delineate.checkpoints.store import import_checkpoint
from delineate.core.errors import ModelError
from delineate.models.sam import Sam, SamEncoder, SamShape, VitSize
from delineate.models.sam_unet import SamUnet
from delineate.systems import BuildOptions
from delineate.systems.registry import system_of_file, system_of_tensors
from narrow_systems import row_of
from native_names import native_names
from tiny_networks import lively

SHAPE = SamShape(SamEncoder.VIT_B, 64, VitSize(64, 4, 2, (0, 1, 2, 3)))
State = dict[str, Tensor]


def back(state: State, *rules: tuple[str, str | Callable[[re.Match[str]], str]]) -> State:
    named = dict(state)
    for pattern, replacement in rules:
        named = {re.sub(pattern, replacement, key): value for key, value in named.items()}
    return named


def without_encoder(state: State) -> State:
    """What learned alone, as SAMed and MA-SAM publish it."""
    return {key: value for key, value in state.items() if not key.startswith("image_encoder.")}


def samed(host: State) -> State:
    def named(m: re.Match[str]) -> str:
        return f"w_{'a' if m[3] == 'down' else 'b'}_{2 * int(m[1]) + (m[2] == 'value'):03}"

    return without_encoder(
        native_names(
            back(host, (r"^vision_encoder\.layers\.(\d+)\.attn\.qkv\.delta\.(\w+)\.(down|up)\.weight$", named))
        )
    )


def ma_sam(host: State) -> State:
    found = back(
        native_names(host),
        (r"^image_encoder\.blocks\.(\d+)\.attn\.qkv\.delta\.(q|v)\w+\.core\.weight$",
         lambda m: f"{m[2]}_FacTs_{int(m[1]):03}"),
        (r"^image_encoder\.factors\.down\.weight$", "FacTu"), (r"^image_encoder\.factors\.up\.weight$", "FacTv"),
        (r"^image_encoder\.blocks\.(\d+)\.before\.", r"image_encoder.blocks.\1.adapter1."),
        (r"^image_encoder\.blocks\.(\d+)\.between\.", r"image_encoder.blocks.\1.adapter2."),
        (r"upscale_layer_norm2", "output_upscaling.4"), (r"upscale_conv3", "output_upscaling.6"),
        (r"upscale_layer_norm3", "output_upscaling.7"), (r"upscale_conv4", "output_upscaling.9"),
    )  # fmt: skip
    return {key: value for key, value in found.items() if not key.startswith("image_encoder.") or ".adapter" in key}


def sam_adapter(host: State) -> State:
    where = "image_encoder.prompt_generator."
    return back(
        native_names(host), (r"^generator\.embedding\.", f"{where}embedding_generator."),
        (r"^generator\.frequencies\.", f"{where}prompt_generator.proj."),
        (r"^generator\.own\.(\d+)\.", rf"{where}lightweight_mlp_\1.0."),
        (r"^generator\.shared\.", f"{where}shared_mlp."),
    )  # fmt: skip


def sam_unet(host: State) -> State:
    def stage(m: re.Match[str]) -> str:
        kind = "conv" if m[4] == "convolution" else "bn"
        return f"resnet.layer{int(m[1]) + 1}.{m[2]}.{kind}{int(m[3]) + 1}."

    def shortcut(m: re.Match[str]) -> str:
        return f"resnet.layer{int(m[1]) + 1}.{m[2]}.downsample.{0 if m[3] == 'convolution' else 1}."

    named = back(
        native_names(host),
        (r"^resnet\.encoder\.stages\.(\d)\.layers\.(\d+)\.layer\.(\d)\.(\w+)\.",
         lambda m: stage(re.match(r"(\d)\|(\d+)\|(\d)\|(\w+)", "|".join(m.groups())))),  # type: ignore[arg-type]
        (r"^resnet\.encoder\.stages\.(\d)\.layers\.(\d+)\.shortcut\.(\w+)\.", shortcut),
        (r"^resnet\.embedder\.embedder\.convolution\.", "resnet.conv1."),
        (r"^resnet\.embedder\.embedder\.normalization\.", "resnet.bn1."),
        (r"^inputs\.(\d)\.", r"adapters_in.\1.reshaper."), (r"^bridges\.(\d)\.", r"adapters_bridge.\1."),
        (r"^image_encoder\.", "image_encoder.sam_img_encoder."),
        (r"^prompt_encoder\.", "prompt_encoder.sam_prompt_encoder."),
        (r"^mask_decoder\.med_token\.weight", "mask_decoder.med_token"),
        (r"^mask_decoder\.med_head\.proj_in\.", "mask_decoder.hf_mlp.layers.0."),
        (r"^mask_decoder\.med_head\.layers\.0\.", "mask_decoder.hf_mlp.layers.1."),
        (r"^mask_decoder\.med_head\.proj_out\.", "mask_decoder.hf_mlp.layers.2."),
        (r"^mask_decoder\.mask_feature\.layers\.", "mask_decoder.embedding_maskfeature."),
        (r"^mask_decoder\.(transformer|output_upscaling)\.", r"mask_decoder.sam_mask_decoder.\1."),
    )  # fmt: skip
    unused = {"mask_decoder.sam_mask_decoder.iou_token.weight": torch.zeros(1, 256)}  # frozen beside it
    return named | unused


def medivista_sam(host: State) -> State:
    named = back(
        native_names(host),
        (r"\.before\.norm\.", ".temporal_norm1."), (r"\.before\.fc\.", ".temporal_fc."),
        (r"\.before\.", ".temporal_attn."), (r"\.before_2\.", ".cross_frame_attention."),
        (r"\.mlp_parallel\.down\.", ".MLP_Adapter.D_fc1."), (r"\.mlp_parallel\.up\.", ".MLP_Adapter.D_fc2."),
        (r"^stem\.levels\.0\.", "image_encoder.inc."),
        (r"^stem\.levels\.(\d)\.", r"image_encoder.down\1.maxpool_conv.1."),
        (r"^image_encoder\.neck_slot\.conv\.", "image_encoder.out_conv.0."),
        (r"^image_encoder\.neck_slot\.norm\.", "image_encoder.out_conv.1."),
        (r"^mask_decoder\.up_path\.reduce\.", "mask_decoder.ch_adjust."),
    )  # fmt: skip
    unused = {"image_encoder.pos_embed": torch.zeros(1, 8, 8, 64), "mask_decoder.iou_token.weight": torch.zeros(1, 256)}
    return named | unused


PUBLISHED: dict[str, Callable[[State], State]] = {
    "samed": samed, "ma_sam": ma_sam, "sam_adapter": sam_adapter, "sam_unet": sam_unet, "medivista_sam": medivista_sam,
}  # fmt: skip


def narrow(name: str) -> Any:
    classes = 1 if name == "sam_adapter" else 3
    network = SamUnet(SHAPE) if name == "sam_unet" else row_of(name).make(SHAPE, classes, "")
    return network.eval()


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_file_loads_whole(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DELINEATE_MODELS", str(tmp_path / "store"))
    network, fresh = lively(narrow(name)), narrow(name)
    state, files = PUBLISHED[name](network.host.state_dict()), row_of(name).files
    path = tmp_path / "epoch_159.pth"
    torch.save({"model": state, "epoch": 3}, path)
    assert system_of_file(path) == name
    if name in ("samed", "ma_sam"):  # the encoder is SAM's
        with pytest.raises(ModelError) as caught:
            files.load(BuildOptions(checkpoint=path), fresh.host)
        assert caught.value.code == "E-MODEL-WEIGHTS" and "sam_vit_b" in caught.value.hint
        host = Sam(SHAPE)
        host.host.load_state_dict(
            {k: v for k, v in network.host.state_dict().items() if k.startswith("vision_encoder.")}, strict=False
        )
        torch.save(native_names(host.host.state_dict()), tmp_path / "sam.pth")
        import_checkpoint("sam_vit_b", tmp_path / "sam.pth")
    files.load(BuildOptions(checkpoint=path), fresh.host)
    loaded = fresh.host.state_dict()
    wanted = {k: v for k, v in network.host.state_dict().items() if not k.endswith("num_batches_tracked")}
    assert all(torch.equal(loaded[key], value) for key, value in wanted.items())
    state.pop(next(key for key in state if key.startswith("mask_decoder.") and "transformer" in key))
    torch.save({"model": state}, path)
    with pytest.raises(ModelError) as caught:
        files.load(BuildOptions(checkpoint=path), narrow(name).host)
    assert caught.value.code == "E-MODEL-KEYS"


@pytest.mark.parametrize("name", ["samed", "ma_sam", "medivista_sam"])
def test_a_published_file_says_how_many_classes_it_has(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given or kept; a host's own file, whose mask tokens are no classes, says nothing."""
    monkeypatch.setenv("DELINEATE_MODELS", str(tmp_path / "store"))
    network = row_of(name).make(SHAPE, 4, "")
    path, host = tmp_path / "epoch_159.pth", tmp_path / "host.pth"
    torch.save({"model": PUBLISHED[name](network.host.state_dict())}, path)
    torch.save(native_names(Sam(SHAPE).host.state_dict()), host)
    given = row_of(name).card(BuildOptions(checkpoint=path))
    assert given.classes == ("class 1", "class 2", "class 3", "class 4")
    assert row_of(name).card(BuildOptions()) is None
    import_checkpoint(name, path)
    assert row_of(name).card(BuildOptions()) == given
    assert row_of(name).card(BuildOptions(checkpoint=host, untrained=True)) is None


@pytest.mark.parametrize(
    ("inserted", "system"),
    [
        ("image_encoder.blocks.0.Space_Adapter.D_fc1.weight", "medical_sam_adapter"),
        ("image_encoder.prompt_generator.shared_mlp.weight", "sam_adapter"),
        ("image_encoder.blocks.0.temporal_attn.qkv.weight", "medivista_sam"),
    ],
)
def test_what_is_inserted_tells_a_file_of_published_size_from_sams(inserted: str, system: str) -> None:
    shapes = {"image_encoder.pos_embed": (1, 64, 64, 768), "mask_decoder.iou_token.weight": (1, 256), inserted: (8, 8)}
    assert system_of_tensors(shapes, "checkpoint.pth") == system
