"""Every option that a page, an error or a hint names is one that the command line has."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from command_pages import options
from conftest import REPOSITORY
from pages import PAGES, ROOT_PAGES, blocks

OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9_-]*")
COMMAND = re.compile(r"\bdelineate((?: [a-z]+(?:-[a-z]+)*)+)(?=[ \n`.:;,)]|$)([^\n`;)]*)")
OTHERS = {  # of accelerate, uv, pip and our own tools
    "--no_python", "--resolution", "--extra-index-url", "--no-deps", "--no-index", "--find-links",
    "--shots", "--targets", "--most", "--rounds", "--inputs",
}  # fmt: skip
SOURCES = sorted((REPOSITORY / "src").rglob("*.py"))
OFFERED = options()
ANY = set().union(*OFFERED.values())


def command_of(words: str) -> str | None:
    """The command that ``delineate WORDS`` names: the longest one that exists."""
    names = words.split()
    for length in range(len(names), 0, -1):
        name = " ".join(["delineate", *names[:length]])
        if name in OFFERED:
            return name
    return None


def unknown_options(text: str) -> list[str]:
    """Options in a text that do not exist, or not for the command that the text gives them to."""
    wrong = [option for option in OPTION.findall(text) if option not in ANY | OTHERS]
    for words, rest in COMMAND.findall(text):
        name = command_of(words)
        if name is not None:
            wrong += [f"{name} {o}" for o in OPTION.findall(rest) if o in ANY and o not in OFFERED[name]]
    return wrong


def texts(source: Path) -> list[str]:
    """Every string of a module, pieces of f-strings too, but for single words handed to another program."""
    nodes = ast.walk(ast.parse(source.read_text()))
    strings = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return [text for text in strings if not re.fullmatch(r"-\S+", text)]


@pytest.mark.parametrize("package", sorted({p.relative_to(REPOSITORY).parts[2] for p in SOURCES}))
def test_options_named_in_the_source_exist(package: str) -> None:
    own = [p for p in SOURCES if p.relative_to(REPOSITORY).parts[2] == package]
    wrong = [f"{p.name}: {option}" for p in own for text in texts(p) for option in unknown_options(text)]
    assert not wrong


@pytest.mark.parametrize("page", [*PAGES, *ROOT_PAGES], ids=lambda p: p.relative_to(REPOSITORY).as_posix())
def test_options_named_on_a_page_exist(page: Path) -> None:
    prose = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S)
    assert not unknown_options(prose)
    for block in blocks(page):
        for line in block.code.replace("\\\n", " ").splitlines():
            assert not unknown_options(line), line


def test_commands_named_on_pages_exist() -> None:
    for page in (*PAGES, *ROOT_PAGES):
        for block in blocks(page):
            for line in block.code.splitlines():
                if line.startswith("delineate ") and not line.startswith("delineate -"):
                    assert command_of(" ".join(re.match(r"delineate((?: [a-z]+(?:-[a-z]+)*)*)", line)[1].split())), line  # type: ignore[index]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("Use --overwrite.", []),
        ("Use --no-such-thing.", ["--no-such-thing"]),
        ("Run: delineate dataset check DIR --overwrite", []),
        ("Run: delineate dataset check DIR --box 1,2,3,4", ["delineate dataset check --box"]),
        ("Run: delineate models export SYSTEM -o FOLDER", []),
    ],
    ids=["known", "unknown", "of the command", "of another command", "short"],
)
def test_unknown_options_are_found(text: str, wrong: list[str]) -> None:
    assert unknown_options(text) == wrong
