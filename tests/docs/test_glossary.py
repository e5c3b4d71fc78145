"""The words of the glossary are those of the code; names that were replaced stay away."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from conftest import REPOSITORY

SOURCES = sorted((REPOSITORY / "src").rglob("*.py"))
TEXT = "\n".join(p.read_text() for p in [*SOURCES, *sorted((REPOSITORY / "docs").rglob("*.md"))])
TEXT = " ".join([TEXT, TEXT.replace("_", " "), re.sub(r"(?<=[a-z])(?=[A-Z])", " ", TEXT)]).lower()
GLOSSARY = (REPOSITORY / "CONTRIBUTING.md").read_text().partition("## Glossary")[2].partition("\n## ")[0]
TERMS = [line.split("|")[1] for line in GLOSSARY.splitlines() if line.startswith("| ") and "term |" not in line]
WORDS = sorted({word.strip(" `()") for term in TERMS for word in re.split(r"[,(]|`(?= )", term)} - {""})
REPLACED = {
    "Asked", "Shown", "Exercise", "Question", "Places", "Look", "Wishes", "Shelf", "Objection", "Looked", "Recall",
    "Following", "EarlierFrame", "Placed", "Answer", "KeptPrompt", "EverythingSettings", "trust_in", "backed", "obeyed",
    "settle", "wise", "young", "least_iou", "least_stability", "without_specks", "unsee", "told_from",
    "questions_about", "to_learn_from", "require_kept",
}  # fmt: skip
BRITISH = re.compile(
    r"colour|behaviour|neighbour|licence|labelled(?!_frames)|normalis|recognis|initialis|\bgrey|_grey|centre(?!d\b.*WindowCenter)"
)


def identifiers(source: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(source.read_text())):
        match node:
            case ast.Name():
                found.add(node.id)
            case ast.Attribute():
                found.add(node.attr)
            case ast.arg() | ast.keyword():
                found.add(node.arg or "")
            case ast.ClassDef() | ast.FunctionDef():
                found.add(node.name)
            case ast.alias():
                found.add(node.asname or node.name)
    return found


@pytest.mark.parametrize("word", WORDS)
def test_a_term_of_the_glossary_is_used(word: str) -> None:
    assert word.lower() in TEXT or word.lower().replace("-", "_") in TEXT


def test_there_is_a_glossary() -> None:
    assert len(WORDS) > 60


@pytest.mark.parametrize("source", SOURCES, ids=lambda p: p.relative_to(REPOSITORY / "src" / "delineate").as_posix())
def test_names_are_the_fields(source: Path) -> None:
    names = identifiers(source)
    assert not names & REPLACED
    assert not sorted(name for name in names if BRITISH.search(name))
