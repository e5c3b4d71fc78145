"""Decoders and memory exported to ONNX give what torch gives, with other numbers of objects, points and memories."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tiny_networks import TINY_VIT_SIZE, lively, moving_frames, tiny_sam, tiny_sam2

pytest.importorskip("transformers")
pytest.importorskip("onnx")

import onnxruntime

from delineate.compute.engine import Engine, Precision
from delineate.core.errors import ModelError
from delineate.core.frame import Frame
from delineate.core.manifest import ModelRecord
from delineate.core.resolve import FramePrompts
from delineate.models.edge_tam import EdgeTam, EdgeTamShape
from delineate.models.efficient_tam import CrossAttention, EfficientTam, TamShape
from delineate.models.medsam_text import MedSamText, MedSamTextShape, TextTower
from delineate.models.sam import SamEncoder, SamPrompts, SamShape
from delineate.models.sam2 import Sam2Version
from delineate.predictors.export.bundle import CARD, compared, export_system
from delineate.predictors.export.image_encoder import write_part
from delineate.predictors.export.parts import parts_of
from delineate.predictors.sam2 import Sam2Predictor
from delineate.tracking.memory_tracker import MemoryTracker, TrackerSettings

CPU = Engine(torch.device("cpu"), Precision.FP32)
RECORD = ModelRecord(name="sam2 tiny", version="test", sha256="", license="Apache-2.0")
TEXT = MedSamTextShape(SamShape(SamEncoder.VIT_B, 256, TINY_VIT_SIZE), TextTower(64, 2, 2, 520, 12))
TOLERANCE = 5e-4  # of the largest value


def present(network: nn.Module) -> nn.Module:
    """The object is there, so that outlines are not all set to one number."""
    with torch.no_grad():
        network.host.mask_decoder.pred_obj_score_head.proj_out.bias.fill_(3.0)  # type: ignore[union-attr]
    return network


def tam(attention: CrossAttention) -> nn.Module:
    return present(lively(EfficientTam(TamShape(side=256, attention=attention))))


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[str, ...]]] = {
    "SAM": (tiny_sam, ("decoder",)),
    "SAM with TinyViT": (lambda: tiny_sam(SamEncoder.TINY_VIT_LITE), ("decoder",)),
    "MedSAM in words": (lambda: lively(MedSamText(TEXT)), ("words", "decoder")),
    "SAM 2.1": (tiny_sam2, ("decoder", "memory_attention", "memory_encoder")),
    "SAM 2.0": (lambda: tiny_sam2(Sam2Version.V2_0), ("decoder", "memory_attention", "memory_encoder")),
    "EfficientTAM": (lambda: tam(CrossAttention.FULL), ("decoder", "memory_attention", "memory_encoder")),
    "EfficientTAM 1": (lambda: tam(CrossAttention.POOLED_1),
                       ("decoder", "memory_attention", "memory_attention_first", "memory_encoder")),
    "EdgeTAM": (lambda: present(lively(EdgeTam(EdgeTamShape(256)))),
                ("decoder", "memory_attention", "memory_encoder")),
}  # fmt: skip


@pytest.mark.parametrize("kind", NETWORKS)
def test_every_part_is_the_same_elsewhere(kind: str, tmp_path: Path) -> None:
    make, names = NETWORKS[kind]
    parts = parts_of(make().requires_grad_(False))  # type: ignore[arg-type]
    assert tuple(part.name for part in parts) == names
    for part in parts:
        write_part(part, tmp_path / f"{part.name}.onnx")
        found = compared(part, tmp_path / f"{part.name}.onnx")
        for output, difference in found["max_difference"].items():
            largest = found["max_value"][output]
            text = f"{kind}, {part.name}, {output}: max abs difference {difference:.1e} of {largest:.2g}"
            print(text)
            assert difference < TOLERANCE * max(largest, 0.1), text


@cache
def session(path: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def run(path: Path, **inputs: torch.Tensor) -> list[torch.Tensor]:
    return [torch.from_numpy(a) for a in session(path).run(None, {k: v.numpy() for k, v in inputs.items()})]


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The decoder of tiny_sam."""
    path = tmp_path_factory.mktemp("tiny_sam") / "decoder.onnx"
    write_part(parts_of(tiny_sam().requires_grad_(False))[0], path)
    return path


@torch.no_grad()
@pytest.mark.parametrize("prompt", ["box", "point", "box and point", "points and mask"])
def test_a_box_is_two_labeled_points(prompt: str, decoder: Path) -> None:
    """As SAM is asked here: the same outlines from the exported decoder, its prompts written as the notes say."""
    network = tiny_sam().requires_grad_(False)
    embedding = network.embed(torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(0)))
    point, box = torch.tensor([[[90.0, 120.0]]]), torch.tensor([[40.0, 50.0, 180.0, 200.0]])
    mask = torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(1))
    clicked, boxed, drawn = "point" in prompt, "box" in prompt, "mask" in prompt
    prompts = SamPrompts(
        point if clicked else None,
        torch.ones(1, 1) if clicked else None,
        box if boxed else None,
        mask if drawn else None,
    )
    coordinates = [point] * clicked + ([box.view(1, 2, 2)] if boxed else [torch.zeros(1, 1, 2)])
    labels = [torch.ones(1, 1)] * clicked + ([torch.tensor([[2.0, 3.0]])] if boxed else [-torch.ones(1, 1)])
    found, iou = run(
        decoder,
        image_embeddings=embedding,
        point_coords=torch.cat(coordinates, dim=1),
        point_labels=torch.cat(labels, dim=1),
        mask_input=mask if drawn else torch.zeros(1, 1, 64, 64),
        has_mask_input=torch.full((1,), float(drawn)),
    )
    one, three = (network.decode(embedding, prompts, several) for several in (False, True))
    wanted = torch.cat([one[0], three[0]], dim=1)
    difference, largest = float((found - wanted).abs().max()), float(wanted.abs().max())
    assert difference < TOLERANCE * largest, f"{prompt}: max abs difference {difference:.1e} of {largest:.2g}"
    assert torch.allclose(iou, torch.cat([one[1], three[1]], dim=1), atol=1e-4)


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The folder of tiny_sam2, and its card as it was given."""
    folder = tmp_path_factory.mktemp("tiny_sam2")
    return folder, export_system(Sam2Predictor(tiny_sam2(), CPU, RECORD), folder)


@torch.no_grad()
def test_a_video_can_be_followed_with_the_files_alone(system: tuple[Path, dict[str, Any]]) -> None:
    """A click and six frames, in ONNX Runtime only, against the tracker: logits differ by less than 2e-3."""
    folder, predictor = system[0], Sam2Predictor(tiny_sam2(), CPU, RECORD)
    frames = moving_frames(7)
    tracker = MemoryTracker(predictor.network, CPU, settings=TrackerSettings(memory=torch.float32))
    profile = predictor.video_profile(256)
    memories, pointers, differences = [], [], []
    for index, frame in enumerate(frames):
        coarse, fine_4, fine_8, places, alone = run(
            folder / "encoder.onnx", pixels=torch.from_numpy(profile.prepare(Frame.of(frame))[0])[None]
        )
        if index:
            order = [*range(index - 1, 0, -1)][::-1]  # the farthest first, after the prompted frame
            (embedding,) = run(
                folder / "memory_attention.onnx",
                coarse=coarse,
                places=places,
                memory=torch.stack([memories[0], *(memories[n] for n in order)], dim=1),
                memory_slots=torch.tensor([0, *(index - n for n in order)]),
                object_pointers=torch.stack([pointers[0], *(pointers[n] for n in order[::-1])], dim=1),
                pointer_times=torch.tensor([index, *(index - n for n in order[::-1])]) / 15,
            )
            points, labels, answers = torch.zeros(1, 2, 2), -torch.ones(1, 2), slice(1, 4)
            tracker.look(Frame.of(frame, index=index))
            tracker.track()
        else:
            embedding, answers = alone, slice(1, 4)
            points, labels = torch.tensor([[[128.0, 128.0], [0, 0]]]), torch.tensor([[1.0, -1.0]])
            tracker.look(Frame.of(frame, index=0))
            tracker.point("one", FramePrompts(np.array([[128.0, 128.0]]), np.array([True])))
        masks, iou, pointed, present = run(
            folder / "decoder.onnx",
            image_embeddings=embedding,
            fine_4=fine_4,
            fine_8=fine_8,
            point_coords=points,
            point_labels=labels,
            mask_input=torch.zeros(1, 1, 64, 64),
            has_mask_input=torch.zeros(1),
        )
        best = masks[:, answers][:, int(iou[0, answers].argmax())][:, None]
        differences.append(float((best[0, 0] - tracker.logits("one")).abs().max()))
        (kept,) = run(
            folder / "memory_encoder.onnx",
            coarse=coarse,
            low_res_mask=best,
            pointed_at=torch.tensor([index == 0]),
            object_score_logits=present,
        )
        memories.append(kept)
        pointers.append(pointed[:, 1])
    print(f"followed with the files alone: max abs difference {max(differences):.1e}")
    assert max(differences) < 2e-3, differences


def test_the_folder_says_how_it_is_used(system: tuple[Path, dict[str, Any]]) -> None:
    folder, card = system
    assert card == json.loads((folder / CARD).read_text())
    assert "ORT_DISABLE_TELEMETRY=1" in card["notes"][-1]
    assert set(card["parts"]) == {"encoder", "decoder", "memory_attention", "memory_encoder"}
    assert card["parts"]["decoder"]["inputs"]["point_coords"] == {"shape": ["O", "N", 2], "dtype": "float32"}
    assert card["preprocessing"]["video"]["side"] == 256 and card["opset"] == 18
    assert all((folder / part["file"]).is_file() for part in card["parts"].values())


def test_what_is_onnx_already_is_not_exported(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from delineate.cli import app

    caught = CliRunner().invoke(app, ["models", "export", "quill", "-o", str(tmp_path / "out")]).exception
    assert isinstance(caught, ModelError) and caught.code == "E-EXPORT-KIND" and not (tmp_path / "out").exists()
