"""Published files: wrappers, prefixes, what is refused; layouts distinguished; arrays that do not fit are named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from references.weights import seeded_state
from tiny_networks import TINY_HIERA

pytest.importorskip("transformers")

from delineate.checkpoints.key_maps import sam2_weights
from delineate.checkpoints.loading import load_all
from delineate.checkpoints.reading import read_weights
from delineate.core.errors import ModelError
from delineate.models.sam2 import Sam2, Sam2Shape, Sam2Version
from delineate.systems.registry import system_of_tensors

REFERENCES = Path(__file__).parents[1] / "references"
ARRAYS = {"a.weight": torch.ones(2, 3), "b": torch.zeros(1)}


def sam2_native() -> dict[str, torch.Tensor]:
    shapes = json.loads(str(np.load(REFERENCES / "sam2_video.npz")["native_shapes"]))
    return seeded_state(shapes, 0.7)


WRAPPED = {
    "flat": ARRAYS,
    "model": {"model": ARRAYS, "epoch": 3},
    "state_dict": {"state_dict": ARRAYS, "model": "sam2", "best_dice": 0.5},  # BioSAM 2: "model" is a name
    "module.": {"model": {f"module.{k}": v for k, v in ARRAYS.items()}},
    "sam2_model.": {"model": {f"module.sam2_model.{k}": v for k, v in ARRAYS.items()}},
}


@pytest.mark.parametrize("kind", WRAPPED)
def test_wrappers_and_prefixes_are_taken_off(kind: str, tmp_path: Path) -> None:
    torch.save(WRAPPED[kind], tmp_path / "model.pth")
    assert set(read_weights(tmp_path / "model.pth")) == set(ARRAYS)


class Optimizer:
    """As in SAM-Med2D's files: an object, not its state."""


def test_a_pickled_object_is_refused_with_the_way_out(tmp_path: Path) -> None:
    torch.save({"model": ARRAYS, "optimizer": Optimizer()}, tmp_path / "model.pth")
    with pytest.raises(ModelError) as caught:
        read_weights(tmp_path / "model.pth")
    assert (
        caught.value.code == "E-MODEL-PICKLE"
        and "safetensors" in caught.value.hint
        and "weights_only" not in str(caught.value)
    )


@pytest.mark.parametrize("content", [b"", b"no checkpoint at all", b"PK\x03\x04 torn"])
def test_damaged_files_are_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.pth").write_bytes(content)
    with pytest.raises(ModelError) as caught:
        read_weights(tmp_path / "model.pth")
    assert caught.value.code in ("E-MODEL-DAMAGED", "E-MODEL-PICKLE")


def test_files_without_arrays_are_named(tmp_path: Path) -> None:
    torch.save({"epoch": 3}, tmp_path / "model.pth")
    with pytest.raises(ModelError, match="epoch"):
        read_weights(tmp_path / "model.pth")


def sam(width: int = 768, side: int = 1024, **more: torch.Tensor) -> dict[str, torch.Tensor]:
    return {
        "image_encoder.pos_embed": torch.zeros(1, side // 16, side // 16, width),
        "mask_decoder.iou_token.weight": torch.zeros(1, 256),
        **more,
    }


def tiny_vit(kernel: int) -> dict[str, torch.Tensor]:
    return {
        "mask_decoder.x": torch.zeros(1),
        "image_encoder.patch_embed.seq.0.c.weight": torch.zeros(32, 3, kernel, kernel),
    }


def sam2(width: int, blocks: int, newer: bool) -> dict[str, torch.Tensor]:
    keys = {f"image_encoder.trunk.blocks.{n}.norm1.weight": torch.zeros(1) for n in range(blocks)}
    keys["image_encoder.trunk.patch_embed.proj.weight"] = torch.zeros(width, 3, 7, 7)
    keys["sam_mask_decoder.conv_s0.weight"] = torch.zeros(32, 256, 1, 1)
    return {**keys, **({"no_obj_embed_spatial": torch.zeros(1, 64)} if newer else {})}


def tam(width: int) -> dict[str, torch.Tensor]:
    return {
        "sam_mask_decoder.x": torch.zeros(1),
        "image_encoder.trunk.blocks.0.attn.qkv.weight": torch.zeros(1),
        "image_encoder.trunk.patch_embed.proj.weight": torch.zeros(width, 3, 16, 16),
    }


def shapes(weights: dict[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in weights.items()}


LAYOUTS = {
    "sam_vit_b_01ec64.pth": (sam(), "sam_vit_b"),
    "sam_vit_l_0b3195.pth": (sam(1024), "sam_vit_l"),
    "sam_vit_h_4b8939.pth": (sam(1280), "sam_vit_h"),
    "medsam_vit_b.pth": (sam(), "medsam"),
    "medsam_point_prompt_flare22.pth": (sam(), "medsam_point"),
    "sam-med2d_b.pth": (sam(side=256, **{"image_encoder.blocks.0.Adapter.norm.weight": torch.zeros(1)}), "sam_med2d"),
    "ft-sam_b.pth": (sam(side=256), "ft_sam"),
    "mobile_sam.pt": (tiny_vit(3), "mobile_sam"),
    "lite_medsam.pth": (tiny_vit(1), "lite_medsam"),
    "sam2_hiera_tiny.pt": (sam2(96, 12, False), "sam2_tiny"),
    "sam2.1_hiera_small.pt": (sam2(96, 16, True), "sam2.1_small"),
    "sam2.1_hiera_base_plus.pt": (sam2(112, 24, True), "sam2.1_base_plus"),
    "sam2_hiera_large.pt": (sam2(144, 48, False), "sam2_large"),
    "sam2.1_hiera_s_endo18.pth": (sam2(96, 16, True), "surgical_sam2"),
    "sam2_hiera_s_endo18.pth": (sam2(96, 16, False), "surgical_sam2_v1"),
    "MedSAM2_latest.pt": (sam2(96, 12, True), "medsam2"),
    "medsam2_t_flare22.pth": (sam2(96, 12, False), "medsam2_benchmark"),
    "efficienttam_ti.pt": (tam(192), "efficient_tam_ti"),
    "efficienttam_s_512x512.pt": (tam(384), "efficient_tam_s_512"),
    "efficienttam_s_2.pt": (tam(384), "efficient_tam_s_2"),
    "edgetam.pt": ({"sam_mask_decoder.x": torch.zeros(1), "spatial_perceiver.latents": torch.zeros(1)}, "edge_tam"),
}


@pytest.mark.parametrize("file", LAYOUTS)
def test_published_files_are_recognized(file: str) -> None:
    weights, system = LAYOUTS[file]
    assert system_of_tensors(shapes(weights), file) == system


def test_a_shared_layout_asks_which_system_it_is() -> None:
    with pytest.raises(ModelError) as caught:
        system_of_tensors(shapes(sam()), "checkpoint_best.pth")
    assert caught.value.code == "E-MODEL-AMBIGUOUS" and "--system sam_vit_b | medsam" in caught.value.hint


def test_unknown_layouts_are_refused_by_name() -> None:
    with pytest.raises(ModelError, match=r"conv1\.weight"):
        system_of_tensors({"conv1.weight": (1,)}, "file.pth")


def test_every_missing_unknown_or_misshaped_array_is_counted() -> None:
    network = Sam2(Sam2Shape(version=Sam2Version.V2_1, side=256, hiera=TINY_HIERA))
    native = sam2_native()
    load_all(network.host, sam2_weights(native), "whole.pt")
    torn = dict(native)
    del torn["no_mem_embed"]
    torn["extra.weight"] = torch.zeros(1)
    torn["maskmem_tpos_enc"] = torch.zeros(6, 1, 1, 64)
    with pytest.raises(ModelError) as caught:
        load_all(network.host, sam2_weights(torn), "torn.pt")
    message = caught.value.message
    assert "1 missing keys: no_memory_embedding" in message and "1 unexpected keys: extra.weight" in message
    assert "1 of another shape: memory_temporal_positional_encoding (6, 1, 1, 64) for (7, 1, 1, 64)" in message
