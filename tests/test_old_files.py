"""Files that earlier versions wrote are read: manifests, prompt logs, adapters, shards, kept outcomes."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from delineate import PromptLog, Session, open_scan
from delineate.core.errors import DelineateError
from delineate.core.manifest import Manifest
from delineate.data.layouts import read_dataset
from delineate.evaluation.outcome_file import FinishedCases
from delineate.verbs.replay import ReplayRequest, replay
from delineate.verbs.request import OutputChoice

OLD = Path(__file__).parent / "fixtures" / "version_0_1"


@pytest.mark.parametrize("name", ["quill", "auto"])
def test_manifests_are_read(name: str) -> None:
    manifest = Manifest.read(OLD / f"{name}.manifest.json")
    assert manifest is not None and manifest.model.license == "Apache-2.0" and manifest.run is not None
    again = Manifest.model_validate_json(manifest.to_json())
    assert again == manifest and again.format == "delineate-manifest/3"


@pytest.mark.parametrize("file", ["prompts.json", "quill.manifest.json"])
def test_prompts_give_nearly_the_same_outline(file: str) -> None:
    """The disc is a drawing, in which Quill sees grain today: 27 of 714 pixels differ."""
    log = PromptLog.read(OLD / file)
    assert log.events[0].color == (230, 75, 53)  # type: ignore[union-attr]
    session = Session.replay(open_scan(OLD / "disc.png"), log)
    if file.startswith("quill"):
        drawn = np.asarray(Image.open(OLD / "quill.png")) > 0
        found = session.segmentation.mask("disc", 0)
        assert 2 * (found & drawn).sum() / (found.sum() + drawn.sum()) > 0.95


def test_a_run_is_done_again_or_what_differs_is_said(tmp_path: Path) -> None:
    manifest = shutil.copy(OLD / "quill.manifest.json", tmp_path)
    request = ReplayRequest(
        manifest=Path(manifest), input=OLD / "disc.png", output=OutputChoice(path=tmp_path / "again.png")
    )
    try:
        replay(request)
    except DelineateError as refused:
        assert refused.code == "E-REPLAY-DIFFERS" and "0.1.0" in refused.message
    else:
        assert (tmp_path / "again.png").read_bytes() == (OLD / "quill.png").read_bytes()


def test_adapters_are_read() -> None:
    pytest.importorskip("torch")
    from delineate.checkpoints.adapter_file import AdapterFile

    assert AdapterFile.read(OLD / "lora.safetensors").layers


def test_shards_are_read() -> None:
    layout, cases = read_dataset(OLD / "shards")
    labeled = cases[0].open()
    assert layout and len(cases) == 3 and labeled.truth(0, labeled.targets(1, 0)[0]).any()


def test_kept_outcomes_are_read() -> None:
    assert FinishedCases(OLD / "report" / "box-2d.jsonl").distrusted == 0
