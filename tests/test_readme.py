"""The README is true: its commands run, its Python runs, its length is what it says."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import REPOSITORY

README = (REPOSITORY / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def run(*command: str, cwd: Path) -> None:
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, timeout=280)
    assert ran.returncode == 0, ran.stderr


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the demo has run."""
    folder = tmp_path_factory.mktemp("readme")
    run(sys.executable, "-m", "delineate", "demo", cwd=folder)
    return folder


def test_exactly_two_commands_do_all_the_set_up() -> None:
    commands = [line.split("#")[0].strip() for line in blocks("bash")[0].splitlines() if line.strip()]
    assert commands == ["make demo", "make test"]
    makefile = (REPOSITORY / "Makefile").read_text()
    assert "\ndemo:" in makefile and "\ntest:" in makefile and "make test" in (REPOSITORY / ".ci" / "run").read_text()


def test_the_demo_leaves_pictures(demo: Path) -> None:
    pictures = sorted(p.name for p in (demo / "demo").glob("*.preview.png"))
    assert pictures == ["abdomen_seg.preview.png", "ct_slice_seg.preview.png", "echo_seg.preview.png"]
    assert (demo / "demo" / "echo_seg.film.mp4").stat().st_size > 10_000


def test_own_file_commands_run_in_order(demo: Path) -> None:
    for line in blocks("bash")[1].strip().splitlines():
        program, *arguments = shlex.split(line)
        assert program == "delineate"
        run(sys.executable, "-m", "delineate", *arguments, cwd=demo)
    first, again = (demo / "demo" / name for name in ("liver.nii.gz", "liver-again.nii.gz"))
    assert first.read_bytes() == again.read_bytes()


def test_the_python_is_five_lines_and_runs(demo: Path) -> None:
    (code,) = blocks("python")
    assert len(code.strip().splitlines()) <= 5
    run(sys.executable, "-c", code, cwd=demo)
    assert (demo / "demo" / "liver-python.nii.gz").is_file()


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (REPOSITORY / target).exists(), target


@pytest.mark.parametrize("name", ["box-2d", "bench", "volume-box", "video-mask", "clicks-2d-summary"])
def test_measured_tables_are_filled(name: str) -> None:
    found = re.search(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", README, flags=re.DOTALL)
    assert found and found[1].count("|") > 8, "run: make tables"
