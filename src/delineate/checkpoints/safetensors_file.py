"""Reading ``.safetensors`` with numpy alone, so that adapters and trained weights run from the core install.

The file: 8 bytes with the length N of the header, N bytes of JSON (``name: {dtype, shape, data_offsets}``, and under
``__metadata__`` words about them), then the arrays' bytes, little-endian, offsets counted from the end of the header.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, NonNegativeInt, TypeAdapter, ValidationError

from delineate.core.errors import ModelError
from delineate.core.terminal_text import excerpt

KINDS = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "<i1", "U64": "<u8",
    "U32": "<u4", "U16": "<u2", "U8": "<u1", "BOOL": "?",
}  # fmt: skip
BRAIN = "BF16"  # the upper half of an fp32, which numpy has no kind for: read as fp32
LONGEST_HEADER = 100_000_000  # bytes, as in the library
WORDS = "__metadata__"


class _Entry(BaseModel):
    """An array, as the header has it."""

    dtype: str
    shape: list[NonNegativeInt]
    data_offsets: tuple[NonNegativeInt, NonNegativeInt]


_Header = TypeAdapter(dict[str, _Entry])
_Words = TypeAdapter(dict[str, str])


def read_safetensors(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """The arrays of a file by name, and the words in its header.

    Raises ModelError E-MODEL-DAMAGED for a file that is damaged, or holds a kind of number that is not known.
    """
    content = path.read_bytes()
    try:
        length = int.from_bytes(content[:8], "little")
        if len(content) < 8 or length > min(LONGEST_HEADER, len(content) - 8):
            raise ValueError("it ends within its header")
        said = dict(json.loads(content[8 : 8 + length]))
        words = _Words.validate_python(said.pop(WORDS, {}))
        data = memoryview(content)[8 + length :]
        return {name: _array(data, entry) for name, entry in _Header.validate_python(said).items()}, words
    except (ValueError, TypeError, RecursionError) as error:  # of JSON and of pydantic too
        reason = "its header is none" if isinstance(error, ValidationError | TypeError) else excerpt(str(error))
        raise ModelError("E-MODEL-DAMAGED", f"{path.name} cannot be read: {reason}.", "Download it again.") from error


def _array(data: memoryview, entry: _Entry) -> NDArray[Any]:
    kind = "<u2" if entry.dtype == BRAIN else KINDS.get(entry.dtype)
    if kind is None:
        raise ValueError(f"{entry.dtype} is no kind of number known here")
    begin, end = entry.data_offsets
    if end > len(data) or end - begin != math.prod(entry.shape) * np.dtype(kind).itemsize:
        raise ValueError(f"bytes {begin} to {end} hold no array of {entry.shape}")
    array = np.frombuffer(data[begin:end], kind).reshape(entry.shape)
    if entry.dtype == BRAIN:
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array
