"""Names of files that stand in other files: what they lead to lies beside the file that names them, or is refused."""

from __future__ import annotations

from typing import Final

LONGEST: Final = 255  # bytes; what file systems take


def plain_name(name: str) -> str:
    """The name, where it is one without a folder that a file can have. Raises ValueError."""
    if name in (".", "..") or any(c in name for c in "/\\\0"):
        raise ValueError(f"{name[:80]!r} is no plain file name")
    if len(name.encode(errors="surrogatepass")) > LONGEST:
        raise ValueError(f"{name[:80]!r}... is longer than the name of a file can be")
    return name
