"""CLIP's vocabulary of word pieces, which turns words into the numbers a text encoder reads.

The published file lists pairs of pieces to be joined, the commonest first (byte pair encoding, arXiv 1508.07909); the
vocabulary is all bytes, all bytes that end a word, the joined pairs, and two marks for start and end.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from delineate.checkpoints.download import Download
from delineate.checkpoints.store import cached_path
from delineate.core.errors import ModelError, PromptError
from delineate.core.reading import reading
from delineate.core.terminal_text import excerpt
from delineate.io.unpacking import Packing, unpacked

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import CLIPTokenizer

NAME: Final = "clip_vocabulary"  # under which it is kept
LICENSE: Final = "MIT"
PUBLISHED: Final = Download(
    "https://github.com/openai/CLIP/raw/main/clip/bpe_simple_vocab_16e6.txt.gz",
    "924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a",
)
START, END = "<|startoftext|>", "<|endoftext|>"
WORD_END: Final = "</w>"
BYTES: Final = 256
LONGEST: Final = 64 << 20  # bytes of a file once it is unpacked
LETTERS: Final = 50  # of a word piece, at most
WORDS: Final = 49408  # in the published vocabulary


@dataclass(frozen=True)
class Vocabulary:
    """Where word pieces come from: a file, or the one that was pulled.

    words   entries the text encoder has
    length  of a prompt in pieces: longer ones are refused, shorter ones padded
    file    ``bpe_simple_vocab_16e6.txt.gz`` or CLIP's ``merges.txt``; None for the one that is kept
    """

    words: int
    length: int
    file: Path | None = None

    def ids(self, text: str) -> Tensor:
        """Words as vocabulary indices (1, length).

        Raises ModelError where there is no vocabulary here or it is another one, PromptError for a text too long.
        """
        path = self.file or cached_path(NAME)
        if path is None or not path.is_file():
            raise ModelError(
                "E-TEXT-VOCABULARY",
                "Words need CLIP's vocabulary, which is not on this machine."
                if path is None
                else f"There is no vocabulary at {path}.",
                f"Fetch it (1.4 MB): delineate models pull {NAME}; or give the file: --vocabulary FILE",
            )
        reader = _reader(path, self.words)
        if len(text) > LETTERS * self.length:
            raise PromptError(
                "E-TEXT-LONG",
                f'"{excerpt(text, 40)}" has {len(text)} letters; {self.length} word pieces are read.',
                "Shorten it.",
            )
        found = reader(text, padding="max_length", max_length=self.length, return_tensors="pt")["input_ids"]
        if found.shape[1] > self.length:
            count = found.shape[1]
            raise PromptError(
                "E-TEXT-LONG", f'"{excerpt(text, 40)}" has {count} word pieces; {self.length} are read.', "Shorten it."
            )
        return found


def require(path: Path) -> None:
    """Raise ModelError unless this file makes the published vocabulary."""
    _reader(path, WORDS)


@cache
def _reader(path: Path, words: int) -> CLIPTokenizer:
    from transformers import CLIPTokenizer

    pairs = _pairs(path)[: words - 2 * BYTES - 2]
    letters = _letters()
    pieces = [*letters, *(letter + WORD_END for letter in letters), *("".join(pair) for pair in pairs), START, END]
    known = {*letters, *(letter + WORD_END for letter in letters)}
    joined = all(_joins(known, pair) for pair in pairs)
    if len(pieces) != words or len(set(pieces)) != words or not joined:
        raise ModelError(
            "E-TEXT-VOCABULARY",
            f"{path.name} makes a vocabulary of {len(pieces)} pieces; the text encoder has {words}.",
            f"Use the published one: delineate models pull {NAME}",
        )
    return CLIPTokenizer(vocab={piece: n for n, piece in enumerate(pieces)}, merges=pairs)  # type: ignore[arg-type]


def _pairs(path: Path) -> list[tuple[str, str]]:
    """The pairs in a file, in order; its first line is a heading."""
    with (
        reading(path, "E-TEXT-VOCABULARY", ModelError, "cannot be read", "Download it again."),
        path.open("rb") as stream,
    ):
        packing = Packing.GZIP if stream.read(2) == b"\x1f\x8b" else Packing.RAW
        stream.seek(0)
        content = unpacked(stream, packing, LONGEST, least=0)
        if content.surplus:
            raise ValueError("it is far too long")
        lines = content.stream.getvalue().decode("utf-8").split("\n")[1:]
    pairs = [tuple(line.split()) for line in lines if line.strip()]
    if any(len(pair) != 2 for pair in pairs):
        raise ModelError(
            "E-TEXT-VOCABULARY",
            f"{path.name} is no list of pairs of word pieces.",
            f"CLIP's is wanted: delineate models pull {NAME}",
        )
    return pairs  # type: ignore[return-value]


def _joins(known: set[str], pair: tuple[str, str]) -> bool:
    """Whether both pieces of a pair are known by then; what they make is known from then on."""
    known.add("".join(pair))
    return pair[0] in known and pair[1] in known


def _letters() -> list[str]:
    """A printable letter for each of the 256 bytes, in CLIP's order: those that print first, then the others."""
    printing = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(BYTES) if byte not in printing]
    return [chr(byte) for byte in printing] + [chr(BYTES + n) for n in range(len(others))]
