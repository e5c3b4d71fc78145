"""Every page on extending: its files make a distribution that is found, and its commands and programs run with it."""

from __future__ import annotations

import os
import re
import shutil
import tomllib
from pathlib import Path

import pytest

from conftest import REPOSITORY
from pages import runnable, script
from warm import program

pytestmark = pytest.mark.stage
FILES = re.compile(r"^```(?:python|toml) title=\"(?P<name>[\w.]+)\"\n(?P<code>.*?)^```$", re.M | re.S)
PAGES = sorted(page for page in (REPOSITORY / "docs" / "extend").glob("*.md") if page.stem != "index")
NEEDS = {"system": "transformers", "memory-policy": "torch"}


def installed(page: Path, folder: Path) -> None:
    """The page's files and the metadata that installing them writes, in a folder on the path."""
    files = {m["name"]: m["code"] for m in FILES.finditer(page.read_text())}
    for name, code in files.items():
        (folder / name).write_text(code)
    if "pyproject.toml" not in files:
        return
    project = tomllib.loads(files["pyproject.toml"])["project"]
    info = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    lines = []
    for group, points in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {reference}" for name, reference in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_page_is_a_working_example(page: Path, demo: Path, tmp_path: Path) -> None:
    if page.stem in NEEDS:
        pytest.importorskip(NEEDS[page.stem])
    package, work = tmp_path / "package", tmp_path / "work"
    package.mkdir()
    installed(page, package)
    shutil.copytree(demo / "demo", work / "demo")
    paths = os.pathsep.join(filter(None, [str(package), os.environ.get("PYTHONPATH")]))
    blocks = [block for block in runnable(page) if not block.titled]
    ran = program(script(blocks), cwd=work, PYTHONPATH=paths)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_all_kinds_of_extension_have_a_page() -> None:
    named = {"system", "volume-predictor", "memory-policy", "file-format", "metric", "server"}
    assert {page.stem for page in PAGES} == named
