"""What Quill is asked to be good at."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

AMBIGUOUS_OTHERS, CLEAR_OTHERS = 0.05, 0.2  # weight of the mean over all outlines
SHARPNESS = 4.0  # of the choice among the outlines, where it is trained
SMALL_SHARE = 0.1  # targets that fill less of the crop count half as much again inside


@dataclass(frozen=True)
class QuillLoss:
    """total is what is minimised; the rest is for the log (iou_chosen: of the outline the network would show)."""

    total: Tensor
    masks: float
    judgement: float
    presence: float
    iou_chosen: float
    iou_best: float


def quill_loss(logits: Tensor, judged: Tensor, presence: Tensor, truth: Tensor, ambiguous: Tensor) -> QuillLoss:
    """Cross entropy and Dice on the outlines, squared error of the predicted IoU and what choosing by it costs, presence.

    logits (B, K, S, S) · judged (B, K) logits of the IoU · presence (B,) · truth (B, S, S) 0..1 · ambiguous bool (B,).
    The best outline is trained (as SAM does, arXiv 2304.02643 sec. 3), and the others a little, to keep them alive;
    even a box can mean a ring or all within it, and an average of both is neither.
    """
    logits, judged, presence = logits.float(), judged.float(), presence.float()
    inside = truth > 0.5
    there = (inside.flatten(1).sum(1) > 4).float()
    target = truth[:, None]
    entropy = F.binary_cross_entropy_with_logits(logits, target.expand_as(logits), reduction="none")
    small = target.mean((2, 3), keepdim=True) < SMALL_SHARE
    entropy = (entropy * (1 + 0.5 * small * target)).mean((2, 3))
    chance = logits.sigmoid()
    overlap = (chance * target).sum((2, 3))
    dice = 1 - (2 * overlap + 8) / (chance.sum((2, 3)) + target.sum((2, 3)) + 8)
    each = 2 * entropy + dice
    best = each.min(dim=1).values
    per_sample = best + torch.where(ambiguous, AMBIGUOUS_OTHERS, CLEAR_OTHERS) * each.mean(1)
    masks = (per_sample * there).sum() / there.sum().clamp(min=1) + 0.3 * (entropy.mean(1) * (1 - there)).mean()
    with torch.no_grad():
        found, wanted = logits > 0, inside[:, None]
        iou = (found & wanted).sum((2, 3)) / (found | wanted).sum((2, 3)).clamp(min=1)
        chosen = iou.gather(1, judged.argmax(1, keepdim=True))[:, 0]
        count = there.sum().clamp(min=1)
    regret = (torch.softmax(SHARPNESS * judged, 1) * (iou.max(1, keepdim=True).values - iou)).sum(1)
    judgement = ((((judged.sigmoid() - iou) ** 2).mean(1) + 0.5 * regret) * there).mean()
    absence = F.binary_cross_entropy_with_logits(presence, there)
    return QuillLoss(
        masks + judgement + 0.15 * absence,
        masks.item(),
        judgement.item(),
        absence.item(),
        ((chosen * there).sum() / count).item(),
        ((iou.max(1).values * there).sum() / count).item(),
    )


def dice_loss(logits: Tensor, truth: Tensor, smooth: float = 1e-5) -> Tensor:
    """1 - Dice of (B, 1, H, W), squared denominators, mean over the batch (MedSAM's, after MONAI)."""
    chance, wanted = logits.sigmoid().flatten(1), truth.flatten(1)
    overlap = (chance * wanted).sum(1)
    return (1 - (2 * overlap + smooth) / ((chance**2).sum(1) + (wanted**2).sum(1) + smooth)).mean()
