"""One guard around libraries that read: every exception is one sentence, its cause is kept."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest

from delineate.core.errors import DelineateError, InputError, ModelError, Notice
from delineate.core.reading import reading
from delineate.core.scan import Scan
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


class OddFrames:
    """Says that frames are (3, 4) of uint8; gives something else for frame 1."""

    shape, dtype = (2, 3, 4), np.dtype(np.uint8)

    def __init__(self, odd: object) -> None:
        self.odd = odd

    def read(self, index: int) -> np.ndarray:
        if index == 0:
            return np.zeros((3, 4), np.uint8)
        if isinstance(self.odd, Exception):
            raise self.odd
        return self.odd  # type: ignore[return-value]


@pytest.mark.parametrize(
    "odd",
    [
        np.zeros((4, 3), np.uint8), np.zeros((3, 4, 3), np.uint8), np.zeros((3, 4), np.uint16), np.zeros((3, 4)),
        ValueError("cut"),
    ],
    ids=["turned", "colors", "sixteen-bit", "fractions", "raises"],
)  # fmt: skip
def test_a_frame_that_is_not_what_the_scan_says_is_refused(odd: object) -> None:
    scan = Scan.from_frames(OddFrames(odd))
    assert scan.pixels(0).shape == (3, 4)
    for use in (
        lambda: scan.pixels(1),
        lambda: scan.frame(1),
        lambda: list(scan.frames()),
    ):
        with pytest.raises(InputError, match="frame 1"):
            use()
    assert scan.intensities.statistics  # of the frames that can be read
