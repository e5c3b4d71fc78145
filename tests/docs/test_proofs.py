"""Tests that the documentation names as the proof of something are there."""

from __future__ import annotations

import re

from conftest import REPOSITORY

NAMED = re.compile(r"`(test_\w+)`")


def test_named_proofs_are_there() -> None:
    pages = (REPOSITORY / "docs").rglob("*.md")
    named = {name for page in pages for name in NAMED.findall(page.read_text(encoding="utf-8"))}
    files = list((REPOSITORY / "tests").rglob("test_*.py"))
    there = {file.stem for file in files}
    for file in files:
        there.update(re.findall(r"def (test_\w+)\(", file.read_text(encoding="utf-8")))
    assert len(named) > 15 and not named - there
