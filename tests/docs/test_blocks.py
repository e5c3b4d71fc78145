"""The pages are true: every bash and Python block on them runs, in order, in a folder with the demo in it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from conftest import REPOSITORY
from docs_hooks import made
from pages import BLOCK, PAGES, ROOT_PAGES, RUN, blocks, commands, runnable, script
from warm import program

pytestmark = pytest.mark.stage
SHOWN_ONLY = {"text", "json", "toml", "yaml", "console"}


def name(page: Path) -> str:
    return page.relative_to(REPOSITORY).as_posix()


@pytest.mark.parametrize("page", [p for p in PAGES if runnable(p) and p.parent.name != "extend"], ids=name)
def test_blocks_run_in_order(page: Path, demo: Path, tmp_path: Path) -> None:
    shutil.copytree(demo / "demo", tmp_path / "demo")
    ran = program(script(runnable(page)), cwd=tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("uri", ["reference/python.md", "reference/requests.md"])
def test_blocks_of_pages_that_are_made_run(uri: str, demo: Path, tmp_path: Path) -> None:
    shutil.copytree(demo / "demo", tmp_path / "demo")
    page = tmp_path / "page.md"
    page.write_text(dict(made())[uri])
    assert runnable(page)
    ran = program(script(runnable(page)), cwd=tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("page", [*PAGES, *ROOT_PAGES], ids=name)
def test_blocks_have_a_language_and_what_is_not_run_a_reason(page: Path) -> None:
    assert page.read_text().count("```") == 2 * len(blocks(page)), "a fence that is not understood"
    for block in blocks(page):
        assert block.language in {*RUN, *SHOWN_ONLY}, f"which language is this? {block.code[:80]}"
        assert block.why_not is None or len(block.why_not) > 10


def test_blocks_that_are_not_to_be_run_are_known() -> None:
    text = "<!-- not run: needs published weights -->\n```bash\ndelineate a\n```\n\n```bash\ndelineate b\n```\n"
    assert [(m["language"], m["why"]) for m in BLOCK.finditer(text)] == [
        ("bash", "needs published weights"),
        ("bash", None),
    ]


def test_commands_are_split_like_a_shell_does() -> None:
    assert list(commands("delineate a \\\n  --b 'c d'  # remark\nls\n")) == [["delineate", "a", "--b", "c d"]]
