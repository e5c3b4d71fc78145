"""ISO base media files (``ftyp``): which of them hold pictures (HEIF) and no movie, by the brands they name."""

from __future__ import annotations

from typing import Final

_AVIF: Final = frozenset((b"avif", b"avis"))
_HEIF: Final = _AVIF | {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}


def is_heif(head: bytes) -> bool:
    """Whether it holds pictures: a decoder of movies sees one tile, or the first of them, and that unturned."""
    return not _HEIF.isdisjoint(_brands(head))


def is_avif(head: bytes) -> bool:
    """Whether they are AVIF pictures, which Pillow reads."""
    return not _AVIF.isdisjoint(_brands(head))


def _brands(head: bytes) -> frozenset[bytes]:
    """The major and the compatible brands that a file's first bytes name; none where it is no such file."""
    if head[4:8] != b"ftyp":
        return frozenset()
    size = min(int.from_bytes(head[:4], "big"), len(head))
    return frozenset(head[at : at + 4] for at in (8, *range(16, size - 3, 4)))
