"""The hash that tells whether two files are the same."""

from __future__ import annotations

import hashlib
from pathlib import Path

_BLOCK = 1 << 20


def sha256_of(*paths: Path) -> str:
    """One SHA-256 over the bytes of files, in the order given."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
    return digest.hexdigest()


def both_hashes(sha256: str, adapter: Path | None) -> str:
    """The hash of weights with an adapter put in: over both files' hashes in a row; without one the weights' own."""
    return sha256 if adapter is None else hashlib.sha256((sha256 + sha256_of(adapter)).encode()).hexdigest()
