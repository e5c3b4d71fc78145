"""What is drawn in a file that is given as a mask: label maps, probabilities, pictures with soft edges or transparency.

Not all that is not 0 is meant: a JPEG has noise around its edges, a palette may show 0 as white, a picture may be ink
on nothing, a probability is seldom 0, the background may be NaN, and a label map may hold several structures.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from delineate.core.errors import InputError, Notice, PromptError
from delineate.core.prompts import inside
from delineate.core.reading import reading
from delineate.data.label_pictures import PICTURES, read_labels
from delineate.io.limits import check_picture
from delineate.io.opening import open_scan
from delineate.io.options import ReadOptions

Mask = NDArray[np.bool_]

WHITE: Final = (255, 65535)  # of drawings with soft edges, which have many grays below it
MANY_GRAYS: Final = 8
SHOWN: Final = 8  # labels in a message
INK: Final = 128  # opacity from which on something is drawn


def picture_values(path: Path) -> NDArray[Any]:
    """What a picture (height, width) holds as a mask: labels, grays, or where there is ink on transparent ground."""
    ink = _ink(path)
    if ink is not None:
        return ink
    if path.suffix.lower() in PICTURES:
        try:
            return np.asarray(read_labels(path))
        except InputError as error:
            if error.code != "E-LABEL-COLOR":
                raise
    pixels = np.asarray(open_scan(path, palette_indices=True).pixels(0))
    return np.asarray(pixels.any(axis=2)) if pixels.ndim == 3 else pixels


def one_structure(values: NDArray[Any], name: str, label: int | None) -> tuple[Mask, tuple[Notice, ...]]:
    """The pixels or voxels of one structure, and what was decided about them.

    label  which one, where there are several

    Raises PromptError where the values are no mask, where there is no such label, and for several without one.
    """
    if values.dtype.kind == "f":
        if np.isinf(values).any():
            raise _no_mask(name, "infinite values")
        values = np.nan_to_num(values)
        whole = np.rint(values)
        if (values != whole).any():
            return _of_fractions(values, name)
        values = whole.astype(np.int64)
    if values.dtype == bool:
        values = values.view(np.uint8)
    labels = np.unique(values[values != 0])
    if label is not None:
        if label not in labels:
            raise PromptError("E-MASK-LABEL", f"{name} holds no label {label}.", f"It holds {_listed(labels)}.")
        return values == label, ()
    if len(labels) > MANY_GRAYS and labels[-1] in WHITE:
        text = f"{name} holds {len(labels)} grays, such as soft edges: what is lighter than half of white is taken."
        return values > labels[-1] // 2, (Notice("W-MASK-GRAY", text),)
    if len(labels) > 1:
        hint = f"Choose one: --mask-label {labels[0]}. Or keep all in segment, each by its name: --from FILE."
        raise PromptError("E-MASK-LABELS", f"{name} holds {len(labels)} labels: {_listed(labels)}.", hint)
    return values != 0, ()


def _of_fractions(values: NDArray[Any], name: str) -> tuple[Mask, tuple[Notice, ...]]:
    if values.min() < 0 or values.max() > 1:
        raise _no_mask(name, f"values from {values.min():g} to {values.max():g}")
    text = f"{name} holds fractions, such as probabilities: a half and more is taken."
    return inside(values), (Notice("W-MASK-FRACTIONS", text),)


def _no_mask(name: str, what: str) -> PromptError:
    return PromptError("E-MASK-VALUES", f"{name} is no mask: it holds {what}.", "A mask holds labels, or 0 to 1.")


def _listed(labels: NDArray[Any]) -> str:
    shown = ", ".join(str(value) for value in labels[:SHOWN]) or "none"
    return f"{shown}, …" if len(labels) > SHOWN else shown


def _ink(path: Path) -> Mask | None:
    """Where a picture is drawn on, if it is transparent elsewhere; None for pictures that are not."""
    if not path.is_file() or path.suffix.lower() not in PICTURES:
        return None
    with reading(path, "E-PICTURE-DAMAGED", what="is damaged or cut short"), Image.open(path) as picture:
        if picture.mode not in ("LA", "La", "RGBA", "RGBa"):
            return None
        check_picture(path, picture.width, picture.height, 4, ReadOptions())
        opacity = np.asarray(picture.convert("RGBA").getchannel("A"))
    return opacity >= INK if opacity.min() < INK <= opacity.max() else None
