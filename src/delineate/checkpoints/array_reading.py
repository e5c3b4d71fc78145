"""Reading checkpoint files without torch: arrays as numpy has them, whatever they are wrapped in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.checkpoints.safetensors_file import read_safetensors
from delineate.checkpoints.torch_archive import is_torch_archive, read_torch_archive
from delineate.checkpoints.wrappers import named_arrays, without_prefixes
from delineate.core.errors import ModelError

Arrays = dict[str, NDArray[Any]]


def read_arrays(path: Path) -> Arrays:
    """The named arrays of a ``.safetensors``, ``.pt`` or ``.pth`` file, wrappers and their prefixes taken off.

    Raises ModelError if there is no such file, it is damaged, it holds more than arrays or none, or it is of a kind
    that only torch reads.
    """
    if not path.is_file():
        raise ModelError("E-MODEL-MISSING", f"There is no checkpoint at {path}.", "Check the path.")
    if path.suffix == ".safetensors":
        return without_prefixes(read_safetensors(path)[0])
    if not is_torch_archive(path):
        raise ModelError(
            "E-MODEL-EXTRA",
            f"{path.name} is in torch's old format, or is no checkpoint; torch would have to read it.",
            'pip install "delineate[models]"',
        )
    return named_arrays(read_torch_archive(path), np.ndarray, path.name)
