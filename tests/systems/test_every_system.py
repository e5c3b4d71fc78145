"""Every system of the table is built once with random weights, and answers an image, a volume and a video.

At 256 px, so that all fit into the test command; the largest encoders by shape alone; volume and video by one system
of each kind. All of them, at full size and from the command line, with
``DELINEATE_SLOW=1 pytest tests/systems/test_every_system.py`` (an hour on two cores, 8 GB).
"""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("transformers")

import torch

from delineate.core.prompts import Box, Mask, Prompt, Text
from delineate.core.propagation_options import MemoryRule, PropagationOptions
from delineate.core.scan import Scan
from delineate.models.deeplab import DeepLabShape
from delineate.models.dino_shapes import DinoShape
from delineate.models.medsam_text import MedSamText
from delineate.models.sam import VIT_SIZES, Sam, SamEncoder, SamShape
from delineate.models.sam2 import HIERA_SIZES, Sam2, Sam2Shape, Sam2Size
from delineate.predictors.capabilities import PromptKind, Scope
from delineate.session import Session
from delineate.systems import SYSTEMS, BuildOptions
from delineate.systems.one_shot_shaped import OneShotShaped
from delineate.systems.sam2_shaped import Sam2Shaped
from delineate.systems.sam_shaped import SamShaped
from warm import delineate

SIDE = 256
OPTIONS = BuildOptions(untrained=True, device="cpu", precision="fp32", threads=1)
SMALL = [name for name in SYSTEMS if not name.endswith(("_vit_l", "_vit_h", "_large", "_base_plus"))]
LARGE = [name for name in SYSTEMS if name not in SMALL]
FOLLOWED = [  # one of each kind of encoder, of following and of memory; the others differ in sizes, adapters or windows
    "quill", "sam_vit_b", "mobile_sam", "lite_medsam", "sam2.1_tiny", "surgical_sam2", "biosam2", "edge_tam",
    "efficient_tam_ti", "medical_sam_adapter_lite_medsam_3d", "medical_sam_adapter_sam2", "medivista", "sam_unet",
    "alpnet", "protosam_lite_medsam",
]  # fmt: skip
SLOW = bool(os.environ.get("DELINEATE_SLOW"))
MILLIONS = {  # parameters of the published networks, heads and memory included
    "sam_vit_l": 312, "sam_vit_h": 641, "sam2.1_base_plus": 81, "sam2.1_large": 224, "sam2_base_plus": 81,
    "sam2_large": 224,
}  # fmt: skip


def parts(name: str) -> Any:
    """What the system is built from: its row of sizes, where it has one."""
    return getattr(SYSTEMS[name].build, "__self__", None)


def small(name: str) -> Any:
    """The system's predictor on pictures of 256 px."""
    row = parts(name)
    if isinstance(row, SamShaped):
        row = replace(row, profile=replace(row.profile, side=SIDE))
    elif isinstance(row, Sam2Shaped):
        row = replace(row, side=SIDE)
    elif isinstance(row, OneShotShaped):
        refiner = row.refiner and replace(row.refiner, name="tiny", encoder=SamEncoder.TINY_VIT)
        refiner = refiner and replace(refiner, profile=replace(refiner.profile, side=SIDE))
        size = DeepLabShape((1, 1, 1, 1), 8, 16) if row.encoder is None else DinoShape(48, 2, 3, side=56)
        row = replace(row, side=112, refiner=refiner, size=size)
    elif row is not None:
        row = replace(row, profile=replace(row.profile, side=min(SIDE, row.profile.side)))
    return row.build(OPTIONS) if row is not None else SYSTEMS[name].build(OPTIONS)


def ellipse(shape: tuple[int, ...]) -> np.ndarray:
    """A bright body on noise; frames first."""
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    inside = sum((axis / 0.6) ** 2 for axis in axes[-2:]) < 1
    return (40 + 160 * inside + np.random.default_rng(0).integers(0, 20, shape)).astype(np.uint8)


def image() -> Scan:
    return Scan.from_image(ellipse((48, 64)))


def volume() -> Scan:
    return Scan.from_volume(ellipse((3, 48, 64)).transpose(2, 1, 0).astype(np.int16), slice_axis=2)


def video() -> Scan:
    return Scan.from_frames(np.repeat(ellipse((3, 48, 64))[..., None], 3, axis=3))


SCANS: dict[str, Callable[[], Scan]] = {"image": image, "volume": volume, "video": video}


def asked(name: str, scan: Scan, monkeypatch: pytest.MonkeyPatch) -> Prompt:
    """A box in the middle, or words, on the second frame."""
    frame = min(1, len(scan) - 1)
    if SYSTEMS[name].prompts == {PromptKind.MASK}:
        drawn = np.zeros((48, 64), dtype=bool)
        drawn[8:40, 12:52] = True
        return Mask.from_array(drawn, frame=frame)
    if SYSTEMS[name].prompts != {PromptKind.TEXT}:
        return Box(12, 8, 52, 40, frame=frame)
    from delineate.checkpoints.vocabulary import Vocabulary

    ids = torch.tensor([[49406, 10501, *[49407] * 75]])  # no vocabulary is at hand
    monkeypatch.setattr(Vocabulary, "ids", lambda self, text: ids)
    return Text("liver", frame=frame)


@pytest.fixture(scope="module")
def built() -> dict[str, Any]:
    """The predictor built last, so that three scans share it and memory stays small."""
    return {}


@pytest.mark.parametrize(
    ("name", "scan"), [(name, scan) for name in SMALL for scan in SCANS if SLOW or scan == "image" or name in FOLLOWED]
)
def test_answers_every_kind_of_scan(
    name: str, scan: str, built: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "medsam_text" and not (SLOW and scan == "volume"):
        pytest.skip("at full size only; the tiny network answers (tests/models)")
    if name not in built:
        built.clear()
        gc.collect()
        built[name] = small(name)
    predictor = built[name]
    session = Session(SCANS[scan](), predictor)
    if predictor.capabilities.scope is Scope.DENSE:
        assert session.predict() == predictor.classes
        return
    found = session.prompt(asked(name, session.scan, monkeypatch), "body")
    assert found.mask.shape == (48, 64) and 0 <= found.score <= 1
    if len(session.scan) > 1 and name != "medsam_text":  # from an outline: random weights may find nothing
        drawn = np.zeros((48, 64), dtype=bool)
        drawn[12:36, 16:48] = True
        session.prompt(Mask.from_array(drawn, frame=1), "body")
        steps: list[int] = []
        session.propagate(progress=lambda done, total: steps.append(done))
        assert (
            predictor.capabilities.scope is Scope.VOLUME or steps[-1] == 4
        )  # two frames forwards and two backwards, the outlined one counted in both
    record = session.manifest().model
    assert record.name.startswith(name) and (name == "quill" or record.sha256 == "random weights")


def shaped(name: str) -> tuple[Any, int]:
    row = parts(name)
    if isinstance(row, SamShaped):
        return Sam(SamShape(SamEncoder(row.encoder), row.profile.side)), VIT_SIZES[SamEncoder(row.encoder)].depth
    sizes = HIERA_SIZES[Sam2Size(row.size)]
    return Sam2(Sam2Shape(Sam2Size(row.size), side=row.side)), sum(sizes.stages)


@pytest.mark.parametrize("name", LARGE)
def test_the_largest_have_the_published_size(name: str) -> None:
    """Built on torch's meta device: every array has its shape, none has memory."""
    with torch.device("meta"):
        network, blocks = shaped(name)
    encoder = network.host.vision_encoder
    assert len(getattr(encoder, "layers", None) or encoder.backbone.blocks) == blocks
    assert round(sum(p.numel() for p in network.parameters()) / 1e6) == MILLIONS[name]


def test_the_text_system_holds_two_towers() -> None:
    with torch.device("meta"):
        network = MedSamText()
    count = sum(p.numel() for p in network.host.prompt_encoder.text_encoder.parameters())
    assert count == 63_165_952  # CLIP ViT-B/16's text tower


@pytest.mark.parametrize("rule", [MemoryRule.CHAIN, MemoryRule.CROSS_IMAGE, MemoryRule.PRUNING])
def test_other_memories_can_be_chosen(rule: MemoryRule) -> None:
    session = Session(video(), small("efficient_tam_ti"))
    session.prompt(Box(12, 8, 52, 40, frame=1), "body")
    session.propagate(following=PropagationOptions(memory=rule))


@pytest.mark.skipif(not SLOW, reason="at full size only where DELINEATE_SLOW is set")
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("scan", SCANS)
@pytest.mark.parametrize("name", [name for name in SYSTEMS if name != "medsam_text"])
def test_answers_from_the_command_line_at_full_size(name: str, scan: str, tmp_path: Path) -> None:
    from PIL import Image

    path, box = tmp_path / "in", "12,8,52,40"
    frames = ellipse((1 if scan == "image" else 2, 48, 64))
    if scan == "volume":
        import nibabel as nib

        path, box = tmp_path / "in.nii.gz", "12,8,0,52,40,2"
        nib.save(nib.Nifti1Image(frames.transpose(2, 1, 0).astype(np.int16), np.diag([1.0, 1, 4, 1])), path)
    else:
        path.mkdir()
        for n, frame in enumerate(frames):
            Image.fromarray(frame).save(path / f"{n}.png")
        path = path / "0.png" if scan == "image" else path
    output = tmp_path / {"image": "out.png", "volume": "out.nii.gz", "video": "out"}[scan]
    words = ("--box", box, "-m", name, "--untrained", "--precision", "fp32", "-o", output, "--json")
    run = delineate("segment", path, *words, cwd=tmp_path)
    assert run.returncode in (0, 3), run.stderr  # 3: nothing was outlined
    assert json.loads(run.stdout)["manifest"]["model"]["name"].startswith(name)
