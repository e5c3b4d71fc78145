"""What training programs wrap named arrays in: dictionaries around them, and prefixes of their names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from delineate.core.errors import ModelError

WRAPPERS = ("state_dict", "model", "model_state_dict", "network", "teacher")  # in the order they are unwrapped
PREFIXES = ("module.", "sam2_model.", "_orig_mod.")  # of training wrappers
DEEPEST = 16  # wrappers within each other

Array = TypeVar("Array")


def named_arrays(content: Any, kind: type[Array], file: str) -> dict[str, Array]:
    """The arrays of the innermost dictionary, by name, without prefixes that all names carry.

    kind  of arrays: a tensor, or numpy's
    Raises ModelError where there are none.
    """
    arrays: dict[str, Array] = {}
    inner = content
    for _ in range(DEEPEST):
        if not isinstance(inner, Mapping):
            break
        wrapped = next((inner[key] for key in WRAPPERS if isinstance(inner.get(key), Mapping)), None)
        if wrapped is None:
            arrays = {str(key): value for key, value in inner.items() if isinstance(value, kind)}
            break
        inner = wrapped
    if not arrays:
        found = ", ".join(map(str, list(content)[:6])) if isinstance(content, Mapping) else type(content).__name__
        raise ModelError("E-MODEL-NO-ARRAYS", f"{file} holds no named arrays; found: {found}.", "Is it a model?")
    return without_prefixes(arrays)


def without_prefixes(arrays: dict[str, Array]) -> dict[str, Array]:
    stripped = True
    while stripped:
        stripped = False
        for prefix in PREFIXES:
            if arrays and all(key.startswith(prefix) for key in arrays):
                arrays = {key.removeprefix(prefix): value for key, value in arrays.items()}
                stripped = True
    return arrays
