"""Low-resolution masks tidied up: no holes, no specks, no overlaps."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

FILLED = 0.1  # logit given to a filled hole (and, negative, to a removed speck)
SUPPRESSED = -10.0  # logits of an object where another one is stronger


def without_specks(logits: Tensor, area: int) -> Tensor:
    """Logits (O, 1, h, w) with holes and specks of up to ``area`` pixels turned over, on any device."""
    out = logits.clone()
    for one in out:
        inside = (one[0] > 0).cpu().numpy()
        for wanted, value in ((~inside, FILLED), (inside, -FILLED)):
            parts, count = ndimage.label(wanted, structure=ndimage.generate_binary_structure(2, 2))
            if not count:
                continue
            sizes = ndimage.sum_labels(wanted, parts, range(1, count + 1))
            small = [n + 1 for n, size in enumerate(sizes) if size <= area]
            if small:
                one[0][torch.from_numpy(np.isin(parts, small)).to(one.device)] = value
    return out


def apart(logits: Tensor) -> Tensor:
    """Logits (O, 1, h, w) of objects on one frame, each pixel left to the strongest (SAM 2's non-overlap rule)."""
    strongest = logits.argmax(dim=0, keepdim=True)
    mine = torch.arange(len(logits), device=logits.device).view(-1, 1, 1, 1) == strongest
    return torch.where(mine, logits, logits.clamp(max=SUPPRESSED))
