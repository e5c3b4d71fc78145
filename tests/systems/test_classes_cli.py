"""Systems that name what they see, from the command line: clips of any length, volumes, pictures; then corrected."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("transformers")

import torch
from PIL import Image
from typer.testing import CliRunner

from delineate.cli import app
from delineate.compute.engine import Engine
from delineate.core.manifest import ModelRecord
from delineate.core.prompts import Box, Mask
from delineate.core.scan import Scan
from delineate.predictors.clip_classes import ClipClassPredictor, prepared_gray_clip, windows
from delineate.preprocess.profiles import MEDIVISTA_SAM
from delineate.session import Session
from delineate.systems import BuildOptions, build
from narrow_systems import narrow_card, narrow_file, narrow_network

CLASSES = ("left ventricle", "left atrium")
OPTIONS = BuildOptions(device="cpu", precision="fp32")


def frames(folder: Path, count: int) -> np.ndarray:
    """A bright disc that grows and shrinks, as a folder of pictures; (frames, height, width)."""
    y, x = np.mgrid[:48, :64]
    rng = np.random.default_rng(0)
    made = np.stack([
        60 + 130 * ((y - 24) ** 2 + (x - 30) ** 2 < (10 + 4 * np.sin(t / 2)) ** 2) + rng.integers(0, 20, y.shape)
        for t in range(count)
    ]).astype(np.uint8)  # fmt: skip
    folder.mkdir(parents=True)
    for t, one in enumerate(made):
        Image.fromarray(one).save(folder / f"{t:03}.png")
    return made


@pytest.mark.parametrize("system", ["medivista_sam", "medivista"])
def test_a_clip_gets_named_classes_and_a_person_corrects_one(system: str, tmp_path: Path) -> None:
    frames(tmp_path / "echo", 7)
    model = narrow_file(tmp_path, narrow_card(system, classes=CLASSES, side=64, depth=4))
    done = CliRunner().invoke(
        app, ["segment", str(tmp_path / "echo"), "-m", f"{system}={model}", "--device", "cpu", "--precision", "fp32",
              "-o", str(tmp_path / "out"), "--json"],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    manifest = json.loads(done.stdout)["manifest"]
    assert manifest["model"]["name"] == system
    assert {one["name"] for one in manifest["objects"]} == set(CLASSES)
    assert len(list((tmp_path / "out").rglob("*.png"))) in (7, 14)  # of one structure, or of each
    areas = CliRunner().invoke(app, ["measure", str(tmp_path / "out"), "--json"])
    assert areas.exit_code == 0, areas.output
    assert {one["structure"] for one in json.loads(areas.stdout)["structures"]} == set(CLASSES)
    session = Session(Scan.from_frames(frames(tmp_path / "again", 7)), build(f"{system}={model}", OPTIONS))
    told: list[int] = []
    assert session.predict(lambda done, total: told.append(done)) == CLASSES and told == list(range(1, 8))
    drawn = np.zeros((48, 64), bool)
    drawn[10:20, 10:30] = True
    session.prompt(Mask.from_array(drawn, frame=3), CLASSES[0])
    assert np.array_equal(session.segmentation.mask(CLASSES[0], 3), drawn)
    with pytest.raises(Exception, match="without prompts"):
        session.prompt(Box(10, 8, 50, 40, frame=3), CLASSES[0])


@pytest.mark.parametrize("start", ["out", "out.manifest.json"])
def test_a_frame_is_corrected_afterwards_with_a_system_that_is_prompted(start: str, tmp_path: Path) -> None:
    """From the outlines, or the manifest, of one that is not; the other frames stay as they were."""
    frames(tmp_path / "echo", 7)
    card = narrow_card("medivista_sam", classes=CLASSES[:1], side=64, depth=4)
    model = narrow_file(tmp_path, card, narrow_network(card, seed=6))
    said = ["segment", str(tmp_path / "echo"), "--device", "cpu", "--precision", "fp32"]
    done = CliRunner().invoke(app, [*said, "-m", f"medivista_sam={model}", "-o", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    named = ["--label", CLASSES[0]] if start == "out" else []  # a run has one structure: that is meant
    asked = ["--from", str(tmp_path / start), "-m", "quill", *named, "--frame", "3", "--frame-only"]
    again = CliRunner().invoke(app, [*said, *asked, "--box", "18,12,42,36", "-o", str(tmp_path / "corrected")])
    assert again.exit_code == 0, again.output
    before, after = (
        np.stack([np.asarray(Image.open(one)) for one in sorted((tmp_path / name).rglob("*.png"))])
        for name in ("out", "corrected")
    )
    assert before.any((1, 2)).all() and [n for n in range(7) if (before[n] != after[n]).any()] == [3]
    y, x = np.mgrid[:48, :64]
    disc = (y - 24) ** 2 + (x - 30) ** 2 < (10 + 4 * np.sin(1.5)) ** 2
    was, now = (2 * (disc & (one[3] > 0)).sum() / (disc.sum() + (one[3] > 0).sum()) for one in (before, after))
    assert now > was + 0.1


class FrameNumbers:
    """A network whose logits are how bright a frame is; notes which windows it was asked for."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def classify(self, pixels: torch.Tensor, depth: int = 1) -> torch.Tensor:
        self.asked.append(depth)
        return torch.cat([torch.zeros_like(pixels), pixels], dim=1)


def predictor(depth: int, stride: int) -> ClipClassPredictor:
    record = ModelRecord(name="numbers", version="1", sha256="0" * 64, license="")
    return ClipClassPredictor(
        FrameNumbers(), MEDIVISTA_SAM, Engine.chosen("cpu", "fp32"), record, ("bright",), depth, stride
    )


@pytest.mark.parametrize("count", [1, 3, 4, 5, 9, 40])
def test_every_frame_of_a_clip_of_any_length_comes_once_and_in_order(count: int) -> None:
    ground = np.zeros((count, 32, 32), np.uint8)
    ground += np.arange(count, dtype=np.uint8)[:, None, None] * 5 + 5
    one = predictor(4, 2)
    found = list(one.predict(Scan.from_frames(ground)))
    assert [frame for frame, _ in found] == list(range(count))
    if one.network.asked == [4] * len(one.network.asked):
        assert len(one.network.asked) == len(windows(count, 4, 2))
    else:
        assert one.network.asked == [count] and count < 4
    for frame, logits in found:  # of windows that agree the mean is what each says
        assert logits.shape[1:] == (32, 32)
        assert np.allclose(logits[-1], (frame + 1) * 5 / 255, atol=1e-5)


def test_no_more_than_a_window_is_held() -> None:
    """Frames come as soon as no later window sees them."""
    read: list[int] = []
    ground = np.zeros((60, 32, 32), np.uint8)

    class Watched:
        shape, dtype = ground.shape, ground.dtype

        def read(self, index: int) -> np.ndarray:
            read.append(index)
            return ground[index]

    stream = predictor(8, 4).predict(Scan.from_frames(Watched()))
    for expected in range(12):
        frame, _ = next(stream)
        assert frame == expected and max(read) < frame + 8 + 4


@pytest.mark.parametrize(
    ("count", "depth", "stride", "starts"),
    [(10, 4, 2, [0, 2, 4, 6]), (9, 4, 2, [0, 2, 4, 5]), (3, 4, 2, [0]), (4, 4, 4, [0]), (7, 4, 4, [0, 3])],
)
def test_windows_cover_a_clip(count: int, depth: int, stride: int, starts: list[int]) -> None:
    assert windows(count, depth, stride) == starts


def test_a_gray_clip_is_scaled_together() -> None:
    ground = np.full((2, 24, 48), 50, np.uint8)
    ground[0, 4:9, 4:9], ground[1, 0, 0] = 150, 100
    pixels, places = prepared_gray_clip(MEDIVISTA_SAM, list(Scan.from_frames(ground).frames()))
    assert pixels.shape == (2, 1, 128, 128) and places[0].inner == (64, 128)
    assert pixels[0].max() == 1 and 0.2 < pixels[1].max() < 0.8 and not pixels[:, :, 64:].any()
