"""The gallery shows what its commands write."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import gallery

MOST_BYTES = 2_000_000


def test_the_page_and_its_pictures_are_those_of_the_tool() -> None:
    assert (gallery.GALLERY / "index.md").read_text() == gallery.page()
    pictures = {file.stem for file in gallery.GALLERY.glob("*.png")}
    assert pictures == {"failures", *(one.name for one in gallery.PICTURES)}
    assert sum(file.stat().st_size for file in gallery.GALLERY.iterdir()) < MOST_BYTES


@pytest.mark.parametrize("name", ["click"])
def test_a_picture_is_made_again_by_its_command(name: str, tmp_path: Path) -> None:
    gallery.main(tmp_path, [name])
    made, kept = (
        np.asarray(Image.open(folder / f"{name}.png").convert("RGB"), dtype=float)
        for folder in (tmp_path, gallery.GALLERY)
    )
    assert made.shape == kept.shape and np.abs(made - kept).mean() < 2
