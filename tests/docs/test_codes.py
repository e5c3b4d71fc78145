"""Every code of the source is explained on the page that is made from it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from delineate.core import errors, manifest
from delineate.server import problems
from error_codes import CODE, KINDS, Place, mentioned, page, places

PLACES = list(places())
PAGE = page()


def test_every_code_of_the_source_is_on_the_page() -> None:
    entries = set(re.findall(r"^### (\S+)$", PAGE, flags=re.M))
    assert entries == mentioned() and len(entries) > 200


def test_every_code_says_what_happened() -> None:
    in_words = {p.code for p in PLACES if len(re.sub(r"‹[^›]*›", "", p.message)) > 3}
    assert {p.code for p in PLACES} - in_words == {"E-SYSTEM"}, "only the system's own errors have no words of ours"


def test_every_error_says_what_to_do() -> None:
    without = [f"{p.file}:{p.line} {p.code}" for p in PLACES if p.code.startswith("E-") and not p.hint.strip(" /")]
    assert not without, "give the command or the change that mends it, as the third argument"


def test_kinds_on_the_page_are_the_classes_there_are() -> None:
    assert {p.kind for p in PLACES} <= set(KINDS)
    assert all(any(hasattr(module, kind) for module in (errors, problems, manifest)) for kind in KINDS)


@pytest.fixture
def small_source(tmp_path: Path) -> Path:
    (tmp_path / "a.py").write_text(
        'HINT = "Do this."\n'
        "def f(path, bad):\n"
        '    text = "one" if bad else "two"\n'
        '    raise InputError("E-ONE", f"{path.name} is {text}.", HINT)\n'
        'n = Notice("W-TWO", "Seen." + " Twice.")\n'
        'known = ("E-ONE", "W-TWO")\n'
        'CODE: Final = "E-FOUR"\n'
        'raise InputError(CODE, "Gone.", "Look.")\n'
        'pair = "E-PAIR", f"{n} went wrong.", "Try again."\n'
    )
    return tmp_path


def test_texts_are_put_together(small_source: Path) -> None:
    def seen() -> Iterator[tuple[str, str, str]]:
        for place in places(small_source):
            assert isinstance(place, Place) and CODE.fullmatch(place.code)
            yield place.code, place.message, place.hint

    assert sorted(seen()) == [
        ("E-FOUR", "Gone.", "Look."),
        ("E-ONE", "‹path› is one / two.", "Do this."),
        ("E-PAIR", "‹n› went wrong.", "Try again."),
        ("W-TWO", "Seen. Twice.", ""),
    ]
