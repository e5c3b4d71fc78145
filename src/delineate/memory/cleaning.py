"""Low-resolution masks tidied up: holes filled, specks removed, no overlaps."""

from __future__ import annotations

import torch
from torch import Tensor

from delineate.preprocess.regions import small_parts

FILLED = 0.1  # logit given to a filled hole by SAM 2's video predictor
FILLED_SURELY = 10.0  # and by its image predictor
SUPPRESSED = -10.0  # logits of an object where another one is stronger


def tidied(logits: Tensor, holes: int, specks: int = 0, filled: float = FILLED) -> Tensor:
    """Logits (O, 1, h, w) with holes and specks of up to so many pixels turned over, on any device; 0: none.

    filled  logit of a filled hole, and, negative, of a removed speck
    """
    if not holes and not specks:
        return logits
    out = logits.clone()
    for one in out:
        inside = (one[0] > 0).cpu().numpy()
        for regions, area, value in ((~inside, holes, filled), (inside, specks, -filled)):
            small = small_parts(regions, area)
            if small.any():
                one[0][torch.from_numpy(small).to(one.device)] = value
    return out


def make_non_overlapping(logits: Tensor) -> Tensor:
    """Logits (O, 1, h, w) of objects on one frame, each pixel left to the strongest (SAM 2's non-overlap rule)."""
    strongest = logits.argmax(dim=0, keepdim=True)
    mine = torch.arange(len(logits), device=logits.device).view(-1, 1, 1, 1) == strongest
    return torch.where(mine, logits, logits.clamp(max=SUPPRESSED))
