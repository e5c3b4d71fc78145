"""Reading checkpoint files: arrays only, whatever they are wrapped in."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from delineate.core.errors import ModelError

Weights = dict[str, Tensor]
WRAPPERS = ("state_dict", "model", "model_state_dict", "network")  # in the order they are unwrapped
PREFIXES = ("module.", "sam2_model.", "_orig_mod.")  # of training wrappers


def read_weights(path: Path) -> Weights:
    """The named arrays of a ``.safetensors``, ``.pt`` or ``.pth`` file, wrappers and their prefixes taken off.

    Raises ModelError if there is no such file, it is damaged, it would run code when loaded, or it holds no arrays.
    """
    if not path.is_file():
        raise ModelError("E-MODEL-MISSING", f"There is no checkpoint at {path}.", "Check the path.")
    if path.suffix == ".safetensors":
        try:
            return _bare(load_file(path))
        except Exception as error:
            raise _damaged(path, error) from None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=_can_map(path))
    except pickle.UnpicklingError:
        raise ModelError(
            "E-MODEL-PICKLE",
            f"{path.name} holds more than arrays (such as a pickled optimizer) and would run code when loaded.",
            "Ask those it comes from for its arrays alone, as .safetensors or as torch.save(model.state_dict(), FILE).",
        ) from None
    except Exception as error:
        raise _damaged(path, error) from None
    weights = _unwrapped(content)
    if not weights:
        found = ", ".join(map(str, list(content)[:6])) if isinstance(content, Mapping) else type(content).__name__
        raise ModelError("E-MODEL-NO-ARRAYS", f"{path.name} holds no named arrays; found: {found}.", "Is it a model?")
    return _bare(weights)


def _unwrapped(content: Any) -> Weights:
    """The innermost dictionary of arrays; a wrapper's entry counts only if it is a dictionary itself."""
    while isinstance(content, Mapping):
        inner = next((content[key] for key in WRAPPERS if isinstance(content.get(key), Mapping)), None)
        if inner is None:
            return {str(key): value for key, value in content.items() if isinstance(value, Tensor)}
        content = inner
    return {}


def _bare(weights: Weights) -> Weights:
    """Without prefixes that every key carries."""
    stripped = True
    while stripped:
        stripped = False
        for prefix in PREFIXES:
            if weights and all(key.startswith(prefix) for key in weights):
                weights = {key.removeprefix(prefix): value for key, value in weights.items()}
                stripped = True
    return weights


def _can_map(path: Path) -> bool:
    """Only files in the newer, zipped format can be mapped into memory."""
    with path.open("rb") as stream:
        return stream.read(2) == b"PK"


def _damaged(path: Path, error: Exception) -> ModelError:
    return ModelError("E-MODEL-DAMAGED", f"{path.name} cannot be read: {_first_line(error)}", "Download it again.")


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:200]
