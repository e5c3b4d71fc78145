"""From a network's logits to outlines on the frame."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from delineate.preprocess.fitting import Fitted
from delineate.preprocess.profiles import MaskDecoding

SURE = 10.0  # logit of a pixel inside an outline that was drawn, not predicted (SAM 2)


def masks_on_frame(logits: Tensor, place: Fitted, answer: MaskDecoding) -> Tensor:
    """Logits (K, h, w) of a frame fitted at ``place`` -> bool (K, height, width), as each system does it."""
    return values_on_frame(logits, place, answer) > answer.threshold(0)


def values_on_frame(logits: Tensor, place: Fitted, answer: MaskDecoding) -> Tensor:
    """Logits (K, h, w) -> what is cut into masks, (K, height, width): logits, or probabilities."""
    size = (place.height, place.width)
    x = logits.float()[None]
    match answer:
        case MaskDecoding.LOGITS_DIRECT:
            return _resized(x, size)[0]
        case MaskDecoding.SIGMOID_FIRST:
            return _resized(x.sigmoid(), size)[0]
        case MaskDecoding.CROPPED:
            return _resized(x[..., : place.inner[0], : place.inner[1]], size)[0]
        case MaskDecoding.LOGITS | MaskDecoding.CENTERED:
            whole = _resized(x, (place.side, place.side))
            rows = slice(place.top, place.top + place.inner[0])
            columns = slice(place.left, place.left + place.inner[1])
            return _resized(whole[..., rows, columns], size)[0]


def drawn_logits(mask: NDArray[np.bool_], place: Fitted, cells: int) -> Tensor:
    """An outline (height, width) as logits (1, 1, cells, cells) for a mask prompt: +-10, softer along its border.

    At the input's resolution it is black and white, as SAM 2's video predictor takes a mask.
    """
    whole = torch.zeros(1, 1, place.side, place.side)
    inner = F.interpolate(torch.from_numpy(mask).float()[None, None], size=place.inner, mode="bilinear", antialias=True)
    rows = slice(place.top, place.top + place.inner[0])
    whole[..., rows, place.left : place.left + place.inner[1]] = (inner >= 0.5).float()
    return F.interpolate(whole * 2 * SURE - SURE, size=(cells, cells), mode="bilinear", antialias=True)


def stability(values: Tensor, answer: MaskDecoding, offset: float) -> Tensor:
    """IoU of an outline with itself when the threshold is moved by +-offset logits.

    values  (K, height, width), see ``values_on_frame``: as SAM's and SAM 2's mask generators measure it, on the frame
    """
    inner = (values > answer.threshold(offset)).flatten(1).sum(1)
    outer = (values > answer.threshold(-offset)).flatten(1).sum(1)
    return inner / outer.clamp(min=1)


def _resized(x: Tensor, size: tuple[int, int]) -> Tensor:
    return x if x.shape[-2:] == size else F.interpolate(x, size=size, mode="bilinear", align_corners=False)
