"""Numbers of parameters of MediViSTA, SAMed, MA-SAM, SAM-UNet and their parts, as the released codes have them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

pytest.importorskip("transformers")

from delineate.adapters.conv_depth import ConvDepthAdapter
from delineate.adapters.lowrank import Factor, QueryValue
from delineate.models.medivista import MediVista, MediVistaSam
from delineate.models.sam import SamEncoder, SamShape
from delineate.systems import SYSTEMS
from delineate.systems.system import System
from narrow_systems import row_of


def count(*parts: nn.Module) -> int:
    return sum(p.numel() for part in parts for p in part.parameters())


def learned(network: Any, system: System, variant: str = "") -> int:
    assert system.policy is not None
    return system.policy(variant).apply(network.host).trained


def test_counts_of_medivista() -> None:
    with torch.device("meta"):
        first = MediVistaSam(SamShape(SamEncoder.VIT_B, 128), 4)
        second = MediVista(SamShape(SamEncoder.VIT_B, 256), 3)
    block, encoder = first.host.vision_encoder.layers[0], first.host.vision_encoder
    assert count(block.before, block.before_2, block.mlp_parallel) == 5_019_840
    assert count(first.host.stem, encoder.neck_slot) == 7_323_132
    never_called = 1_232 + 256 + 132_612  # a fourth level, IoU's token and head, which the released code builds
    assert count(first.host.mask_decoder) == 4_206_764 - never_called
    assert learned(first, SYSTEMS["medivista_sam"]) == 71_767_976 - never_called
    block = second.host.vision_encoder.layers[2]
    assert count(block.before) == count(block.attention_input) == 2_362_368
    assert count(second.host.branch.refine[0]) == 5_309_952 and count(second.host.mask_decoder) == 4_036_348


@pytest.mark.parametrize(("encoder", "factors"), [(SamEncoder.VIT_B, 73_728), (SamEncoder.VIT_H, 147_456)])
def test_counts_of_factor_tensors(encoder: SamEncoder, factors: int) -> None:
    with torch.device("meta"):
        network = MediVista(SamShape(encoder, 256), 3)
    inside = [m for m in network.host.vision_encoder.modules() if isinstance(m, Factor)]
    assert count(network.host.vision_encoder.factors, *inside) == factors


@pytest.mark.parametrize(
    ("encoder", "pairs"), [(SamEncoder.VIT_B, 147_456), (SamEncoder.VIT_L, 393_216), (SamEncoder.VIT_H, 655_360)]
)
def test_counts_of_lora_beside_queries_and_values(encoder: SamEncoder, pairs: int) -> None:
    with torch.device("meta"):
        network = row_of("samed").make(SamShape(encoder, 512), 8, "")
    assert count(*(m for m in network.host.modules() if isinstance(m, QueryValue))) == pairs


@pytest.mark.parametrize(
    ("name", "classes", "encoder", "trained"),
    [
        ("samed", 8, SamEncoder.VIT_B, 4_913_621),
        ("samed", 8, SamEncoder.VIT_L, 5_159_381),
        ("samed", 8, SamEncoder.VIT_H, 5_421_525),
        ("ma_sam", 12, SamEncoder.VIT_B, 30_142_361),
        ("sam_adapter", 1, SamEncoder.VIT_B, 63_312 + 4_058_340),
        ("sam_adapter", 1, SamEncoder.VIT_L, 116_544 + 4_058_340),
        ("sam_adapter", 1, SamEncoder.VIT_H, 186_960 + 4_058_340),
    ],
)
def test_counts_of_what_learns(name: str, classes: int, encoder: SamEncoder, trained: int) -> None:
    with torch.device("meta"):
        network = row_of(name).make(SamShape(encoder, 512), classes, "")
    assert learned(network, SYSTEMS[name]) == trained


def test_the_depth_adapter_of_ma_sam_has_the_published_size() -> None:
    assert count(ConvDepthAdapter(768)) == 1_034_112


@pytest.mark.parametrize(
    ("name", "inputs", "whole"), [("sam_unet", 1_980_032, 29_347_244), ("sam_unet_r50", 22_164_992, 51_755_564)]
)
def test_counts_of_sam_unet(name: str, inputs: int, whole: int) -> None:
    with torch.device("meta"):
        network = row_of(name).network()
    host = network.host
    assert learned(network, SYSTEMS[name]) == whole and count(host.inputs) == inputs
    assert (count(host.bridges), count(host.embedding_encoder)) == (2_460_000, 73_952)
    assert count(host.mask_decoder) == 3_542_368
