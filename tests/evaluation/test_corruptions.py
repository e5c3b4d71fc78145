"""Corruptions: the same for the same seed, worse with severity, on any kind of frame, and a sheet to look at."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from delineate.cli import app
from delineate.core.errors import InputError
from delineate.core.scan import Scan
from delineate.evaluation.corruption_sheet import corruption_sheet
from delineate.evaluation.corruptions import CORRUPTIONS, SEVERITIES, corrupted, corrupted_scan

ROWS, COLUMNS = np.mgrid[:72, :96]
TISSUE = np.stack([0.35 + 0.3 * np.sin(ROWS / 7 + c) * np.cos(COLUMNS / 9) for c in range(3)], axis=-1).clip(0.1, 1)
FRAME = TISSUE.astype(np.float32)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_each_is_repeatable_and_grows_with_severity(name: str) -> None:
    spoilt = [corrupted(FRAME, name, severity, seed=4, clip="a", index=2) for severity in SEVERITIES]
    again = corrupted(FRAME, name, 3, seed=4, clip="a", index=2)
    assert (spoilt[2] == again).all() and spoilt[0].shape == FRAME.shape and spoilt[0].dtype == np.float32
    away = [float(np.abs(one - FRAME).mean()) for one in spoilt]
    assert 0 < away[0] < 0.12 and away[4] > 1.3 * away[0]
    assert all(later > earlier * 0.97 for earlier, later in pairwise(away))
    assert all(one.min() >= 0 and one.max() <= 1 for one in spoilt)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_gray_frames_stay_gray(name: str) -> None:
    gray = FRAME[..., 0]
    assert corrupted(gray, name, 3).shape == gray.shape


DRAWN = ("gaussian-noise", "shot-noise", "impulse-noise", "motion-blur", "smoke", "blood", "specular", "fog")


@pytest.mark.parametrize("name", DRAWN)
def test_other_seeds_and_frames_are_drawn_anew(name: str) -> None:
    first = corrupted(FRAME, name, 3, seed=1, clip="a", index=0)
    assert (first != corrupted(FRAME, name, 3, seed=2, clip="a", index=0)).any()
    assert (first != corrupted(FRAME, name, 3, seed=1, clip="a", index=1)).any()


def test_smoke_drifts_and_does_not_jump() -> None:
    flat = np.full((72, 96, 3), 0.3, dtype=np.float32)
    frames = [corrupted(flat, "smoke", 4, clip="a", index=n)[..., 0] for n in range(2)]
    other = corrupted(flat, "smoke", 4, clip="b", index=0)[..., 0]
    assert np.corrcoef(frames[0].ravel(), frames[1].ravel())[0, 1] > 0.8
    assert np.abs(frames[0] - frames[1]).mean() < np.abs(frames[0] - other).mean()


@pytest.mark.parametrize("name", ["smoke", "fog", "blood", "specular"])
def test_the_black_mask_of_an_endoscope_stays_black(name: str) -> None:
    masked = FRAME.copy()
    masked[np.hypot(ROWS - 36, COLUMNS - 48) > 34] = 0
    assert corrupted(masked, name, 5)[:5, :5].max() < 0.02


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_scans_are_spoilt_as_they_are_read(dtype: type) -> None:
    clip = np.repeat((TISSUE[None] * 200), 3, axis=0).astype(dtype)
    scan = corrupted_scan(Scan.from_frames(clip), "gaussian-noise", 3)
    frames = [scan.pixels(n) for n in range(3)]
    assert len(scan) == 3 and all(f.dtype == dtype and f.shape == (72, 96, 3) for f in frames)
    assert (frames[0] != frames[1]).any() and (scan.pixels(1) == frames[1]).all()
    assert np.abs(frames[0].astype(float) - clip[0]).mean() > 5


@pytest.mark.parametrize(
    ("name", "severity", "code"), [("rain", 3, "E-CORRUPTION"), ("smoke", 0, "E-SEVERITY"), ("smoke", 6, "E-SEVERITY")]
)
def test_others_are_refused(name: str, severity: int, code: str) -> None:
    with pytest.raises(InputError) as raised:
        corrupted(FRAME, name, severity)
    assert raised.value.code == code and raised.value.hint


def test_volumes_are_refused() -> None:
    with pytest.raises(InputError, match="volumes"):
        corrupted_scan(Scan.from_volume(np.zeros((8, 9, 4), np.int16)), "smoke", 1)


def test_the_sheet(tmp_path: Path) -> None:
    frame = (FRAME * 255).astype(np.uint8)
    assert corruption_sheet(frame, width=48).size == (6 * 48, 16 * (36 + 16))
    Image.fromarray(frame).save(tmp_path / "a.png")
    app(["bench", "corruptions", str(tmp_path / "a.png"), "-o", str(tmp_path / "b.png")], standalone_mode=False)
    assert Image.open(tmp_path / "b.png").width == 1200
