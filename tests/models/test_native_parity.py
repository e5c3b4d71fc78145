"""Encoders and heads against the authors' code: stored answers on weights drawn by name (see references/)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from references.weights import seeded_frames, seeded_state
from tiny_networks import TINY_HIERA, TINY_VIT_SIZE

pytest.importorskip("transformers")

from delineate.adapters.sam_med2d import add_med2d_adapters
from delineate.checkpoints.key_maps import edge_tam_weights, efficient_tam_weights, sam2_weights, sam_weights
from delineate.checkpoints.loading import load_all
from delineate.compute.engine import Engine, Precision
from delineate.core.resolve import FramePrompts
from delineate.memory.policies import EfficientFramePruning, FrameWindow, Pruning
from delineate.models.edge_tam import EdgeTam, EdgeTamShape
from delineate.models.efficient_tam import CrossAttention, EfficientTam, TamShape
from delineate.models.sam import Sam, SamEncoder, SamPrompts, SamShape
from delineate.models.sam2 import Sam2, Sam2Shape, Sam2Version
from delineate.models.tiny_vit import LITE, MOBILE, TinyViT
from delineate.preprocess.fitting import Fitted
from delineate.tracking.memory_tracker import MemoryTracker, TrackerSettings

FOLDER = Path(__file__).parents[1] / "references"
GAIN = 0.7
BOX = (70.0, 60.0, 180.0, 170.0)
POINT = ([(128.0, 100.0)], [1])
POINTS = ([(128.0, 100.0), (90.0, 140.0), (20.0, 30.0)], [1, 1, 0])
CLOSE = 2e-5  # relative to the largest number


def stored(name: str, gain: float = 1.0) -> tuple[dict, dict]:
    """The answers, and the weights in the published layout."""
    answers = np.load(FOLDER / f"{name}.npz")
    return answers, seeded_state(json.loads(str(answers["native_shapes"])), gain)


def same(found: torch.Tensor, wanted: np.ndarray, what: str, close: float = CLOSE) -> None:
    difference, largest = float(np.abs(found.numpy() - wanted).max()), float(np.abs(wanted).max())
    print(f"{what}: max abs difference {difference:.1e} of {largest:.2g}")
    assert difference <= close * max(largest, 1e-6), f"{what}: {difference:.1e} of {largest:.2g}"


@pytest.mark.parametrize("kind", ["mobile", "lite"])
@torch.inference_mode()
def test_tiny_vit(kind: str) -> None:
    """Published size; the corner is where windows are padded. Loaded after eval(): nothing may be cached."""
    answers, native = stored(f"tiny_vit_{kind}")
    network = TinyViT(MOBILE if kind == "mobile" else LITE).eval()
    named = {k.removeprefix("vision_encoder."): v for k, v in sam_weights(native).items()}
    load_all(network, named, kind)
    embedding = network(seeded_frames(f"tiny_vit_{kind}", 1, int(answers["side"])))
    same(embedding[0, ::8, ::8, ::8], answers["embedding"], f"TinyViT {kind}", 2e-4)
    same(embedding[0, ::8, -8:, -8:], answers["embedding/corner"], f"TinyViT {kind}, corner", 2e-4)


@torch.inference_mode()
def test_sam_med2d() -> None:
    """Adapters in every block, and SAM's heads at 256 px for six kinds of prompts."""
    answers, native = stored("sam_med2d")
    network = Sam(SamShape(SamEncoder.VIT_B, 256, TINY_VIT_SIZE)).eval()
    add_med2d_adapters(network.host.vision_encoder)
    load_all(network.host, sam_weights(native), "sam_med2d")
    embedding = network.embed(seeded_frames("sam_med2d", 1, 256))
    same(embedding[0, ::8], answers["embedding"], "encoder with adapters")
    box = torch.tensor([BOX])
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    disc = torch.sigmoid((15 - ((y - 27) ** 2 + (x - 31) ** 2).sqrt()) / 3)[None, None]
    first = network.decode(embedding, SamPrompts(boxes=box), multimask=False)[0]
    asked = {
        "box": SamPrompts(boxes=box),
        "point": SamPrompts(*(torch.tensor([v]) for v in POINT)),
        "points": SamPrompts(*(torch.tensor([v]) for v in POINTS)),
        "box and point": SamPrompts(*(torch.tensor([v]) for v in POINT), boxes=box),
        "mask": SamPrompts(masks=disc),
        "points and mask": SamPrompts(*(torch.tensor([v]) for v in POINTS), masks=torch.sigmoid(first)),
    }
    for name, prompts in asked.items():
        for key, multimask in (("three", True), ("one", False)):
            logits, iou = network.decode(embedding, prompts, multimask)
            same(logits[0, :, ::4, ::4], answers[f"{name}/{key}/logits"], f"{name}, {key}", 2e-4)
            same(iou[0], answers[f"{name}/{key}/iou"], f"{name}, {key}, IoU", 2e-4)


@torch.inference_mode()
def test_sam2_image() -> None:
    answers, native = stored("sam2_image", GAIN)
    network = Sam2(Sam2Shape(version=Sam2Version.V2_1, side=256, hiera=TINY_HIERA)).eval()
    load_all(network.host, sam2_weights(native), "sam2")
    maps = network.embed(seeded_frames("sam2", 10, 256)[:1])
    for level, found in enumerate((*maps.fine, maps.coarse)):
        step = found.shape[-1] // 16
        same(found[0, ::8, ::step, ::step], answers[f"maps/{level}"], f"map {level}")
    corners = [list(BOX[:2]), list(BOX[2:])]
    asked = {
        "point": POINT,
        "points": POINTS,
        "box": (corners, [2, 3]),
        "box and point": ([*corners, [60.0, 60.0]], [2, 3, 0]),
    }
    for name, (points, labels) in asked.items():
        for key, multimask in (("three", True), ("one", False)):
            answer = network.decode(
                network.without_memory(maps), maps, torch.tensor([points]), torch.tensor([labels]), None, multimask
            )
            same(answer.logits[0, :, ::4, ::4], answers[f"{name}/{key}/logits"], f"{name}, {key}", 2e-4)
            same(answer.iou[0], answers[f"{name}/{key}/iou"], f"{name}, {key}, IoU", 2e-4)


@torch.inference_mode()
def test_sam2_image_takes_mask_prompts_as_the_authors_predictor_does() -> None:
    """With points, and alone: then there are no tokens at all. The logits fed back are the network's own here."""
    answers, native = stored("sam2_image", GAIN)
    network = Sam2(Sam2Shape(version=Sam2Version.V2_1, side=256, hiera=TINY_HIERA)).eval()
    load_all(network.host, sam2_weights(native), "sam2")
    maps = network.embed(seeded_frames("sam2", 10, 256)[:1])
    coarse = network.without_memory(maps)

    def decode(points: list, labels: list, masks: torch.Tensor | None, several: bool) -> torch.Tensor:
        asked = torch.tensor([points], dtype=torch.float32).view(1, -1, 2), torch.tensor([labels], dtype=torch.int32)
        return network.decode(coarse, maps, *asked, masks, several, gated=False).logits

    box = decode([list(BOX[:2]), list(BOX[2:])], [2, 3], None, False).clamp(-32, 32)
    point = decode(*POINT, None, False).clamp(-32, 32)
    for key, several in (("three", True), ("one", False)):
        alone = decode([], [], box, several)
        same(alone[0, :, ::4, ::4], answers[f"mask/{key}/logits"], f"mask, {key}", 5e-4)
        both = decode([[128.0, 100.0], [60.0, 60.0]], [1, 0], point, several)
        same(both[0, :, ::4, ::4], answers[f"points and mask/{key}/logits"], f"points and mask, {key}", 5e-4)


def networks() -> dict:
    vit = TINY_VIT_SIZE
    return {
        "efficient_tam": lambda: (EfficientTam(TamShape(side=256, vit=vit)), FrameWindow(), 9),
        "efficient_tam_1": lambda: (
            EfficientTam(TamShape(attention=CrossAttention.POOLED_1, side=256, vit=vit)), FrameWindow(), 9,
        ),
        "efficient_tam_2": lambda: (
            EfficientTam(TamShape(attention=CrossAttention.POOLED_2, side=256, vit=vit)), FrameWindow(), 9,
        ),
        "edge_tam": lambda: (EdgeTam(EdgeTamShape(256)), FrameWindow(), 8),
        "edge_tam_512": lambda: (EdgeTam(EdgeTamShape(512)), FrameWindow(), 8),
        "efp_v2": lambda: (
            Sam2(Sam2Shape(version=Sam2Version.V2_1, side=256, hiera=TINY_HIERA)),
            EfficientFramePruning(version=Pruning.V2),
            14,
        ),
    }  # fmt: skip


@pytest.mark.parametrize("name", networks())
@torch.inference_mode()
def test_trackers(name: str) -> None:
    """The encoder's maps, then a click and a box followed through every frame."""
    answers, native = stored(name, GAIN)
    network, policy, count = networks()[name]()
    side = int(answers["side"])
    if name.startswith("efficient"):
        named = efficient_tam_weights(native, side // 16)
    else:
        named = edge_tam_weights(native) if name.startswith("edge") else sam2_weights(native)
    load_all(network.host, named, name)
    network.eval()
    frames = seeded_frames("sam2", count, side)
    place, scale = Fitted(side, side, (side, side), side), side / 256
    maps = [network.embed(frames[t : t + 1]) for t in range(count)]
    if "map" in answers:
        step = side // 256
        same(maps[0].coarse[0, ::8, ::step, ::step], answers["map"], f"{name}, map", 2e-4)
    click = FramePrompts(scale * np.array(POINT[0]), np.array([True]))
    for kind, prompts in (("click", click), ("box", FramePrompts(box=tuple(scale * v for v in BOX)))):
        settings = TrackerSettings(frames=count, memory=torch.float32)
        tracker = MemoryTracker(network, Engine(torch.device("cpu"), Precision.FP32), policy, settings)
        tracker.look_at(maps[0], place, 0)
        tracker.point("a", prompts)
        found = [tracker.logits("a")]
        for index in range(1, count):
            tracker.look_at(maps[index], place, index)
            tracker.track()
            found.append(tracker.logits("a"))
        step = found[0].shape[-1] // 16
        same(torch.stack(found)[:, None, ::step, ::step], answers[f"{kind}/logits"], f"{name}, {kind}", 2e-3)
