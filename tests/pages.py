"""The documentation as the tests see it: pages, and the code blocks on them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from conftest import REPOSITORY

PAGES = sorted((REPOSITORY / "docs").rglob("*.md"))
ROOT_PAGES = [REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")]
BLOCK = re.compile(
    r"(?:^<!-- not run: (?P<why>[^\n]+?) -->\n)?^```(?P<language>\w*)(?P<more>[^\n]*)\n(?P<code>.*?)^```$", re.M | re.S
)
FIRST = re.compile(r"^<!-- begins with: (\S+) -->$", re.M)
RUN = ("bash", "python")


@dataclass(frozen=True)
class Block:
    """A fenced block; ``why_not``: why it is not run, None where it is; ``titled``: a file, not a program to run."""

    language: str
    code: str
    why_not: str | None = None
    titled: bool = False


def blocks(page: Path) -> list[Block]:
    """The blocks of a page, in order; the comment ``not run: WHY`` above one leaves it out."""
    found = BLOCK.finditer(page.read_text())
    return [Block(m["language"], m["code"], m["why"], "title=" in m["more"]) for m in found]


def runnable(page: Path) -> list[Block]:
    """What is run of a page: before its own blocks those of the page that it begins with."""
    first = FIRST.search(page.read_text())
    before = runnable(REPOSITORY / "docs" / first[1]) if first else []
    return [*before, *(b for b in blocks(page) if b.language in RUN and b.why_not is None)]


def commands(code: str) -> Iterator[list[str]]:
    """The command lines of a bash block that run ``delineate``, as words."""
    for line in joined(code):
        words = shlex.split(line, comments=True)
        if words and words[0] == "delineate":
            yield words


def script(page_blocks: list[Block]) -> str:
    """One Python program that does what a reader of the page does: names of a block are known in the next one."""
    lines = ["import pathlib as _pathlib, warm as _warm"]
    for block in page_blocks:
        if block.language == "python":
            lines.append(block.code)
            continue
        for line in filter(None, (shlex.split(one, comments=True) for one in joined(block.code))):
            assert line[0] == "delineate", f"only delineate is run here: {line}"
            lines += [
                f"_ran = _warm.delineate(*{line[1:]!r}, cwd=_pathlib.Path.cwd())",
                "assert _ran.returncode == 0, _ran.stdout + _ran.stderr",
            ]
    return "\n".join(lines)


def joined(code: str) -> list[str]:
    """The lines of a bash block, those that end in a backslash with the next one."""
    return code.replace("\\\n", " ").splitlines()
