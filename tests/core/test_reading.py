"""One guard around libraries that read: every exception is one sentence, its cause is kept."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest

from delineate.core.errors import DelineateError, InputError, ModelError, Notice
from delineate.core.reading import reading
from delineate.core.terminal_text import excerpt, is_active

RAISED = {
    "value": (ValueError("a bad\nnumber"), "a bad"),
    "key": (KeyError("sizes"), "KeyError 'sizes'"),
    "nothing-said": (AssertionError(), "AssertionError"),
    "zlib": (zlib.error("Error -3 while decompressing"), "Error -3 while decompressing"),
    "system": (PermissionError(13, "Permission denied"), "Permission denied"),
    "deep": (RecursionError("maximum recursion depth exceeded"), "nested too deep"),
    "escapes": (ValueError("odd \x1b[2J value"), r"odd \x1b[2J value"),
    "long": (ValueError("a " * 9000), "a a a"),
    "memory": (MemoryError(), "asks for more memory"),
}


@pytest.mark.parametrize(("raised", "says"), RAISED.values(), ids=RAISED)
def test_what_a_library_raises_is_one_sentence(raised: Exception, says: str) -> None:
    with pytest.raises(ModelError) as caught, reading(Path("a/b.bin"), "E-TEST", ModelError):
        raise raised
    assert says in caught.value.message and caught.value.message.startswith("b.bin ")
    assert caught.value.code in ("E-TEST", "E-MEMORY") and caught.value.__cause__ is raised
    assert len(str(caught.value)) < 500 and "\n" not in caught.value.message


def test_what_is_said_already_passes() -> None:
    said = InputError("E-SAID", "It is said.")
    with pytest.raises(InputError) as caught, reading("a"):
        raise said
    assert caught.value is said


@pytest.mark.parametrize(
    "odd", ["\x1b[2J\x1b]0;x\x07", "\u202egnp", "\ud800", "a\rb", "\x00", "x" * 90_000, "x y " * 90_000]
)
def test_no_error_or_notice_acts_or_goes_on(odd: str) -> None:
    for told in (
        DelineateError("E-A", f"The field {odd} is odd.", f"Not {odd}").__str__(),
        Notice("W-A", f"It {odd}").message,
    ):
        assert len(told) < 1200 and not [c for c in told if is_active(c) and c != "\n"]
    assert len(excerpt(odd)) <= 80 and excerpt(odd).isprintable()
