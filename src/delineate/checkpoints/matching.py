"""Whether the weights of a file are those of a network. Free of torch."""

from __future__ import annotations

from collections.abc import Mapping

from delineate.core.errors import ModelError
from delineate.core.terminal_text import excerpt

SHOWN = 4  # names listed of each kind

Shapes = Mapping[str, tuple[int, ...]]


def require_match(wanted: Shapes, given: Shapes, file: str, optional: Shapes | None = None) -> None:
    """Compare names and shapes of weights.

    Parameters
    ----------
    wanted, given
        Shapes by name: of the network's weights, and of the file's.
    file
        What the file is called in messages.
    optional
        Weights that the file may have, too.

    Raises
    ------
    ModelError
        If any is missing, left over or of another shape.
    """
    missing = [name for name in wanted if name not in given]
    unknown = [name for name in given if name not in wanted and name not in (optional or {})]
    other = [
        f"{name} {given[name]} for {shape}" for name, shape in wanted.items() if name in given and given[name] != shape
    ]
    if not (missing or unknown or other):
        return
    found = "; ".join(
        f"{len(names)} {word}: {', '.join(map(excerpt, names[:SHOWN]))}{' ...' if len(names) > SHOWN else ''}"
        for names, word in ((missing, "missing keys"), (unknown, "unexpected keys"), (other, "of another shape"))
        if names
    )
    raise ModelError(
        "E-MODEL-KEYS",
        f"{file} does not fit: of {len(wanted)} arrays wanted and {len(given)} found, {found}.",
        "Name the system it belongs to with --system.",
    )
