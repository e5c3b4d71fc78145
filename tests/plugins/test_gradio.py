"""The Gradio page: what it does without Gradio, and by its own client where the packages are installed."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bright_predictor import BrightPredictor
from delineate.core.errors import MissingExtraError
from delineate.plugins.gradio_app import BESIDE, ON, app, clicked, exported, opened, picture
from serving import nifti, voxels

BAR = voxels() == 200


def test_a_click_is_outlined_shown_and_saved(tmp_path: Path) -> None:
    nifti(tmp_path)
    session = opened(str(tmp_path / "bar.nii.gz"), BrightPredictor())
    before = picture(session, 4)
    assert clicked(session, 4, 12, 10, "bar", ON) > 0
    assert before.shape == (30, 40, 3) and (picture(session, 4) != before).any()
    clicked(session, 4, 0, 0, "bar", BESIDE)
    session.propagate()
    assert np.array_equal(np.asarray(nib.load(exported(session)).dataobj) > 0, BAR)


def test_without_gradio_the_extra_is_named() -> None:
    if importlib.util.find_spec("gradio") is not None:
        pytest.skip("Gradio is here")
    with pytest.raises(MissingExtraError, match=r"delineate\[gradio\]"):
        app(BrightPredictor())


@pytest.mark.stage
def test_its_client_outlines_a_volume(tmp_path: Path) -> None:
    pytest.importorskip("gradio", reason="gradio is not installed")
    from gradio_client import Client, handle_file

    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    nifti(tmp_path)
    page = app(BrightPredictor())
    _, address, _ = page.launch(server_name="127.0.0.1", prevent_thread_lock=True, quiet=True)
    try:
        client = Client(address, verbose=False)
        client.predict(handle_file(tmp_path / "bar.nii.gz"), api_name="/open")
        _, message = client.predict(4, "bar", ON, 12, 10, api_name="/click")
        assert "sure" in message
        client.predict(4, api_name="/follow")
        saved = client.predict(api_name="/export")
        assert np.array_equal(np.asarray(nib.load(saved).dataobj) > 0, BAR)
    finally:
        page.close()
