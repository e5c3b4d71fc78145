"""Reading checkpoint files without torch: arrays as numpy has them, whatever they are wrapped in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.checkpoints.torch_archive import is_torch_archive, read_torch_archive
from delineate.checkpoints.wrappers import named_arrays, without_prefixes
from delineate.core.errors import ModelError

Arrays = dict[str, NDArray[Any]]


def read_arrays(path: Path) -> Arrays:
    """The named arrays of a ``.safetensors``, ``.pt`` or ``.pth`` file, wrappers and their prefixes taken off.

    Raises ModelError if there is no such file, it is damaged, it holds more than arrays or none, or it is of a kind
    that only torch or safetensors read.
    """
    if not path.is_file():
        raise ModelError("E-MODEL-MISSING", f"There is no checkpoint at {path}.", "Check the path.")
    if path.suffix == ".safetensors":
        return without_prefixes(_safetensors(path))
    if not is_torch_archive(path):
        raise ModelError(
            "E-MODEL-EXTRA",
            f"{path.name} is in torch's old format, or is no checkpoint; torch would have to read it.",
            'pip install "delineate[models]"',
        )
    return named_arrays(read_torch_archive(path), np.ndarray, path.name)


def _safetensors(path: Path) -> Arrays:
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
    except ImportError:
        raise ModelError(
            "E-MODEL-EXTRA", f"Reading {path.name} needs safetensors.", "pip install safetensors"
        ) from None
    try:
        return dict(load_file(path))
    except (SafetensorError, TypeError, KeyError) as error:  # the last two: an element type numpy does not have
        raise ModelError("E-MODEL-DAMAGED", f"{path.name} cannot be read: {error}", "Download it again.") from None
