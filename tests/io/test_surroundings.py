"""Clock, time zone, locale and umask change nothing in what is written."""

from __future__ import annotations

import hashlib
import locale
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bright_predictor import BrightPredictor
from delineate.core.prompts import Box
from delineate.core.scan import Scan
from delineate.io.opening import open_scan
from delineate.io.saving import save
from delineate.labels.reading import open_segmentation
from delineate.session import Session

NAMES = ("a.nii.gz", "a.seg.nrrd", "a.mha", "a.npz", "a.tif", "a.json")


def _comma(monkeypatch: pytest.MonkeyPatch) -> None:
    """A locale with a decimal comma, where the machine has one."""
    for name in ("de_DE.UTF-8", "fr_FR.UTF-8", "de_DE", "German_Germany"):
        try:
            locale.setlocale(locale.LC_ALL, name)
        except locale.Error:
            continue
        return
    pytest.skip("no locale with a decimal comma here")


def _zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    if hasattr(time, "tzset"):
        time.tzset()


def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 2_000_000_000.5)
    monkeypatch.setattr(time, "localtime", lambda *_: time.gmtime(4_000_000_000))


def _umask(monkeypatch: pytest.MonkeyPatch) -> None:
    os.umask(0o077)


def _written(folder: Path) -> dict[str, str]:
    folder.mkdir()
    voxels = np.zeros((24, 20, 4), np.int16)
    voxels[6:16, 5:15] = 200
    session = Session(Scan.from_volume(voxels), BrightPredictor())
    session.prompt(Box(5, 4, 17, 16, frame=1), "block 1,5")
    session.propagate()
    for name in NAMES:
        save(session.segmentation, folder / name, session.scan)
    (folder / "manifest.json").write_text(session.manifest([]).to_json())
    return {one.name: hashlib.sha256(one.read_bytes()).hexdigest() for one in sorted(folder.iterdir())}


@pytest.mark.parametrize("change", [_clock, _zone, _umask, _comma])
def test_what_is_written_is_the_same_bytes(
    change: Callable[[pytest.MonkeyPatch], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, mask, place = _written(tmp_path / "before"), os.umask(0o022), locale.setlocale(locale.LC_ALL)
    try:
        change(monkeypatch)
        after = _written(tmp_path / "after")
        assert after == before
        assert open_segmentation(tmp_path / "after" / "a.nii.gz").segmentation.names == ("block 1,5",)
        assert open_scan(tmp_path / "after" / "a.mha").grid.shape == (24, 20, 4)
    finally:
        os.umask(mask)
        locale.setlocale(locale.LC_ALL, place)
        monkeypatch.undo()
        if hasattr(time, "tzset"):
            time.tzset()
