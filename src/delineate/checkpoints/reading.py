"""Reading checkpoint files: arrays only, whatever they are wrapped in."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from delineate.checkpoints.torch_archive import is_torch_archive, require_checksums
from delineate.checkpoints.wrappers import named_arrays, without_prefixes
from delineate.core.errors import ModelError
from delineate.core.reading import reason
from delineate.core.terminal_text import excerpt

Weights = dict[str, Tensor]


def read_weights(path: Path) -> Weights:
    """The named arrays of a ``.safetensors``, ``.pt`` or ``.pth`` file, wrappers and their prefixes taken off.

    Raises ModelError if there is no such file, it is damaged, it would run code when loaded, or it holds no arrays.
    """
    if not path.is_file():
        raise ModelError("E-MODEL-MISSING", f"There is no checkpoint at {path}.", "Check the path.")
    if path.suffix == ".safetensors":
        try:
            return without_prefixes(load_file(path))
        except Exception as error:
            raise _damaged(path, error) from error
    try:
        zipped = is_torch_archive(path)
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
        if zipped:
            require_checksums(path)
    except pickle.UnpicklingError:
        raise ModelError(
            "E-MODEL-PICKLE",
            f"{path.name} holds more than arrays (such as a pickled optimizer) and would run code when loaded.",
            "Ask those it comes from for its arrays alone, as .safetensors or as torch.save(model.state_dict(), FILE).",
        ) from None
    except Exception as error:
        raise _damaged(path, error) from error
    return _plain(named_arrays(content, Tensor, path.name), path)


def _plain(weights: Weights, path: Path) -> Weights:
    """The same, if all of them are ordinary arrays. Raises ModelError for sparse, nested, quantized and empty ones."""
    for name, value in weights.items():
        if value.layout is not torch.strided or value.is_nested or value.is_quantized or value.is_meta:
            raise ModelError(
                "E-MODEL-ARRAYS",
                f"{path.name}: {excerpt(name)} is no ordinary array ({value.layout}).",
                "Ask those it comes from for its arrays as torch.save(model.state_dict(), FILE) writes them.",
            )
    return weights


def _damaged(path: Path, error: Exception) -> ModelError:
    return ModelError("E-MODEL-DAMAGED", f"{path.name} cannot be read: {reason(error)}.", "Download it again.")
