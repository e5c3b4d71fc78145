"""The wheel holds the page and what else the server needs, and serves without the repository."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from shutil import copy, copytree
from zipfile import ZipFile

import pytest

pytestmark = pytest.mark.stage
REPOSITORY = Path(__file__).resolve().parents[2]


def test_the_wheel_serves(tmp_path: Path) -> None:
    pytest.importorskip("setuptools", "77", reason="no setuptools to build with")
    (tmp_path / "copy").mkdir()
    for name in ("src", "pyproject.toml", "README.md", "LICENSE"):
        (copytree if (REPOSITORY / name).is_dir() else copy)(REPOSITORY / name, tmp_path / "copy" / name)
    words = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet"]
    subprocess.run([*words, "-w", str(tmp_path), str(tmp_path / "copy")], check=True, capture_output=True, timeout=200)
    (wheel,) = tmp_path.glob("delineate-*.whl")
    with ZipFile(wheel) as file:
        names = file.namelist()
        file.extractall(tmp_path / "there")
    for needed in ("page/index.html", "page/app.js", "page/app.css"):
        assert f"delineate/server/{needed}" in names, needed
    assert any(name.startswith("delineate/schemas/") and name.endswith(".json") for name in names)
    assert "delineate/plugins/napari.yaml" in names
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "there"), "https_proxy": "http://127.0.0.1:9"}
    smoke = [sys.executable, "-P", "-m", "delineate", "serve", "--smoke", "--state", str(tmp_path / "state")]
    ran = subprocess.run(smoke, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0 and "the server works" in ran.stdout, ran.stderr
