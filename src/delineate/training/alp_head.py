"""The head of adaptive local prototypes with gradients: what ``fewshot.prototypes`` computes, in torch.

ALPNet (arXiv 2007.09886, section 3.2). It has no weights of its own; what learns is the encoder before it.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from delineate.fewshot.prototypes import LEAST_AREA, LEAST_NORM, PrototypeOptions, ShotReduction

Window = tuple[int, int]


def alp_logits(
    query: Tensor,
    supports: Tensor,
    masks: Tensor,
    options: PrototypeOptions | None = None,
    window: Window | None = None,
    large: Window | None = None,
) -> Tensor:
    """Background and foreground scores (2, h, w) of a query.

    Parameters
    ----------
    query
        Features (C, h, w).
    supports, masks
        Features (n, C, h, w) of the shots, and their masks (n, h, w), 0 to 1.
    options
        Thresholds and windows.
    window
        Cells of a window that gives a local prototype; None: that of validation. In training ``train_window``.
    large
        Cells of the windows that decide whether the structure is large; None: ``train_window``.
    """
    options = options or PrototypeOptions()
    window = window or (options.val_window, options.val_window)
    height, width = query.shape[-2:]
    large = large or options.train_window((height, width))
    background = _scores(query, supports, 1 - masks, options, window, options.bg_threshold, mean=False)
    whole = [bool(F.avg_pool2d(mask[None, None], large).max() >= options.fg_threshold) for mask in masks]
    if options.reduction is ShotReduction.MEAN and not any(whole):
        means = mask_prototypes(supports, masks).mean(0, keepdim=True)
        return torch.stack([background, _by_mean(query, means, options)])
    each = [
        _scores(query, supports[n : n + 1], masks[n : n + 1], options, window, options.fg_threshold, mean=True)
        if whole[n]
        else _by_mean(query, mask_prototypes(supports[n : n + 1], masks[n : n + 1]), options)
        for n in range(len(masks))
    ]
    return torch.stack([background, torch.stack(each).amax(0)])


def mask_prototypes(supports: Tensor, masks: Tensor) -> Tensor:
    """The mean (n, C) of each shot's features under its mask."""
    weighed = (supports * masks[:, None]).sum((2, 3))
    return weighed / (masks.sum((1, 2)) + LEAST_AREA)[:, None]


def _scores(
    query: Tensor, supports: Tensor, masks: Tensor, options: PrototypeOptions, window: Window, least: float, mean: bool
) -> Tensor:
    """Of local prototypes, and of the means where ``mean``; where no window passes, of the means alone."""
    filled = F.avg_pool2d(masks[:, None], window)[:, 0] > least
    local = F.avg_pool2d(supports, window).permute(0, 2, 3, 1)[filled]
    if mean:
        local = torch.cat([local, mask_prototypes(supports, masks)])
    if not len(local):
        return _by_mean(query, mask_prototypes(supports, masks), options)
    scores = options.temperature * torch.einsum("nc,cyx->nyx", _unit(local, 1), _unit(query, 0))
    return (scores.softmax(0) * scores).sum(0)


def _by_mean(query: Tensor, prototypes: Tensor, options: PrototypeOptions) -> Tensor:
    cosines = torch.einsum("nc,cyx->nyx", _unit(prototypes, 1), _unit(query, 0))
    return options.temperature * cosines.amax(0)


def _unit(vectors: Tensor, axis: int) -> Tensor:
    return vectors / vectors.norm(dim=axis, keepdim=True).clamp_min(LEAST_NORM)
