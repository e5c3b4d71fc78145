"""What networks are asked to be good at: Quill's own loss, and the published ones by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor
from torch.nn import functional as F

AMBIGUOUS_OTHERS, CLEAR_OTHERS = 0.05, 0.2  # weight of the mean over all outlines
SHARPNESS = 4.0  # of the choice among the outlines, where it is trained
SMALL_SHARE = 0.1  # targets that fill less of the crop count half as much again inside


@dataclass(frozen=True)
class QuillLoss:
    """total is what is minimized; the rest is for the log (iou_chosen: of the outline the network would show)."""

    total: Tensor
    masks: float
    judgment: float
    presence: float
    iou_chosen: float
    iou_best: float


def quill_loss(logits: Tensor, judged: Tensor, presence: Tensor, truth: Tensor, ambiguous: Tensor) -> QuillLoss:
    """Cross entropy and Dice on the outlines, the error of the predicted IoU and what choosing by it costs, presence.

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
    judgment = ((((judged.sigmoid() - iou) ** 2).mean(1) + regret) * there).mean()
    absence = F.binary_cross_entropy_with_logits(presence, there)
    return QuillLoss(
        masks + judgment + 0.15 * absence,
        masks.item(),
        judgment.item(),
        absence.item(),
        ((chosen * there).sum() / count).item(),
        ((iou.max(1).values * there).sum() / count).item(),
    )


def dice_loss(logits: Tensor, truth: Tensor, smooth: float = 1e-5) -> Tensor:
    """1 - Dice of (B, 1, H, W), squared denominators, mean over the batch (MedSAM's, after MONAI)."""
    chance, wanted = logits.sigmoid().flatten(1), truth.flatten(1)
    overlap = (chance * wanted).sum(1)
    return (1 - (2 * overlap + smooth) / ((chance**2).sum(1) + (wanted**2).sum(1) + smooth)).mean()


def focal_loss(logits: Tensor, truth: Tensor, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """Cross entropy that counts sure pixels less, mean over (B, 1, H, W) (arXiv 1708.02002 eq. 5; SAM's)."""
    entropy = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    chance = logits.sigmoid()
    right = chance * truth + (1 - chance) * (1 - truth)
    return ((alpha * truth + (1 - alpha) * (1 - truth)) * (1 - right) ** gamma * entropy).mean()


def plain_dice_loss(logits: Tensor, truth: Tensor, smooth: float = 1.0) -> Tensor:
    """1 - Dice of each of (B, 1, H, W), plain sums in the denominator, mean over the batch (SAM 2's)."""
    chance, wanted = logits.sigmoid().flatten(1), truth.flatten(1)
    return (1 - (2 * (chance * wanted).sum(1) + smooth) / (chance.sum(1) + wanted.sum(1) + smooth)).mean()


def batch_dice_loss(logits: Tensor, truth: Tensor, smooth: float = 1.0) -> Tensor:
    """1 - Dice of all structures of a batch taken as one (SAM-Med2D's)."""
    chance = logits.sigmoid()
    return 1 - (2 * (chance * truth).sum() + smooth) / (chance.sum() + truth.sum() + smooth)


def iou_of(logits: Tensor, truth: Tensor) -> Tensor:
    """IoU of (B, K, H, W) outlines above 0 with truth (B, 1, H, W): (B, K)."""
    found, wanted = logits.detach() > 0, truth > 0.5
    return (found & wanted).flatten(2).sum(2) / (found | wanted).flatten(2).sum(2).clamp(min=1)


class MaskLoss(StrEnum):
    """Losses of an outline's logits (B, 1, H, W) against truth 0..1 of the same shape."""

    DICE = "dice"
    CROSS_ENTROPY = "cross_entropy"
    FOCAL = "focal"
    PLAIN_DICE = "plain_dice"
    BATCH_DICE = "batch_dice"
    IOU = "iou"  # squared error of the predicted IoU


MASK_LOSSES: dict[MaskLoss, Callable[[Tensor, Tensor], Tensor]] = {
    MaskLoss.DICE: dice_loss,
    MaskLoss.CROSS_ENTROPY: F.binary_cross_entropy_with_logits,
    MaskLoss.FOCAL: focal_loss,
    MaskLoss.PLAIN_DICE: plain_dice_loss,
    MaskLoss.BATCH_DICE: batch_dice_loss,
}
MaskLosses = tuple[tuple[MaskLoss, float], ...]
MEDSAM_LOSSES: MaskLosses = ((MaskLoss.DICE, 1.0), (MaskLoss.CROSS_ENTROPY, 1.0))
LITE_MEDSAM_LOSSES: MaskLosses = (*MEDSAM_LOSSES, (MaskLoss.IOU, 1.0))
SAM_LOSSES: MaskLosses = ((MaskLoss.FOCAL, 20.0), (MaskLoss.PLAIN_DICE, 1.0), (MaskLoss.IOU, 1.0))
MED2D_LOSSES: MaskLosses = ((MaskLoss.FOCAL, 20.0), (MaskLoss.BATCH_DICE, 1.0), (MaskLoss.IOU, 1.0))


def mask_losses(weights: MaskLosses, logits: Tensor, truth: Tensor, iou: Tensor) -> dict[str, Tensor]:
    """Each loss by its name, and their weighted sum as "total".

    logits (B, 1, H, W) · truth (B, 1, H, W) 0..1 · iou (B, 1) as the network predicts it.
    """
    parts = {}
    for name, _ in weights:
        if name is MaskLoss.IOU:
            parts[str(name)] = F.mse_loss(iou, iou_of(logits, truth))
        else:
            parts[str(name)] = MASK_LOSSES[name](logits, truth)
    return {"total": torch.stack([weight * parts[str(name)] for name, weight in weights]).sum(), **parts}


@dataclass(frozen=True)
class Sam2Weights:
    """Of SAM 2's losses (released configuration sam2.1_hiera_b+_MOSE_finetune)."""

    focal: float = 20.0
    dice: float = 1.0
    iou: float = 1.0
    present: float = 1.0


def sam2_losses(
    logits: Tensor, iou: Tensor, present: Tensor, truth: Tensor, weights: Sam2Weights | None = None
) -> dict[str, Tensor]:
    """SAM 2's losses of an answer on a frame, by name, and their weighted sum as "total" (arXiv 2408.00714 sec. D.2).

    logits (O, K, h, w), enlarged to the truth (O, 1, S, S) 0..1 · iou (O, K) predicted · present (O, 1) logit.
    Of K outlines the one with the least focal and Dice loss is trained; the predicted IoU of all of them is (absolute
    error). Objects that are not on the frame train the object score alone. An outline the network itself calls absent
    was replaced by a constant and has no gradient; it is left out of the sum.
    """
    weights, size = weights or Sam2Weights(), truth.shape[-2:]
    with torch.no_grad():
        shown = _enlarged(logits.float(), size)
        costs = weights.focal * _focal_each(shown, truth) + weights.dice * _dice_each(shown, truth)
        best, overlap = costs.argmin(1), iou_of(shown, truth)
        there = truth.flatten(1).any(1).float()
        counted = there * (present[:, 0] > 0)
    chosen = _enlarged(logits[torch.arange(len(best), device=best.device), best][:, None].float(), size)
    parts = {
        "focal": (_focal_each(chosen, truth)[:, 0] * counted).mean(),
        "dice": (_dice_each(chosen, truth)[:, 0] * counted).mean(),
        "iou": ((iou.float() - overlap).abs().mean(1) * there).mean(),
        "present": F.binary_cross_entropy_with_logits(present[:, 0].float(), there),
    }
    return {"total": torch.stack([getattr(weights, name) * part for name, part in parts.items()]).sum(), **parts}


def dice_and_cross_entropy(logits: Tensor, iou: Tensor, present: Tensor, truth: Tensor) -> dict[str, Tensor]:
    """MedSAM2's (2024) and BioSAM 2's loss of one outline a structure: logits (O, 1, S, S), truth of the same size."""
    return mask_losses(MEDSAM_LOSSES, logits, truth, iou)


def heavy_cross_entropy(logits: Tensor, iou: Tensor, present: Tensor, truth: Tensor) -> dict[str, Tensor]:
    """BioSAM 2's other loss: cross entropy in which pixels of the structure count double."""
    entropy = F.binary_cross_entropy_with_logits(logits, truth, pos_weight=logits.new_tensor(2.0))
    return {"total": entropy, "cross_entropy": entropy}


class DecodingLoss(StrEnum):
    """Losses of a SAM 2-shaped system's answer: (logits, iou, present, truth) as in ``sam2_losses``."""

    SAM2 = "sam2"
    DICE_AND_CROSS_ENTROPY = "dice_and_cross_entropy"
    HEAVY_CROSS_ENTROPY = "heavy_cross_entropy"


DECODING_LOSSES: dict[DecodingLoss, Callable[[Tensor, Tensor, Tensor, Tensor], dict[str, Tensor]]] = {
    DecodingLoss.SAM2: sam2_losses,
    DecodingLoss.DICE_AND_CROSS_ENTROPY: dice_and_cross_entropy,
    DecodingLoss.HEAVY_CROSS_ENTROPY: heavy_cross_entropy,
}


def _enlarged(logits: Tensor, size: torch.Size) -> Tensor:
    return logits if logits.shape[-2:] == size else F.interpolate(logits, size=size, mode="bilinear")


def _focal_each(logits: Tensor, truth: Tensor, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """Focal loss of each outline: (O, K, S, S) -> (O, K)."""
    wanted = truth.expand_as(logits)
    entropy = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    missed = (logits.sigmoid() - wanted).abs()
    return ((alpha * wanted + (1 - alpha) * (1 - wanted)) * missed**gamma * entropy).mean((2, 3))


def _dice_each(logits: Tensor, truth: Tensor, smooth: float = 1.0) -> Tensor:
    """1 - Dice of each outline: (O, K, S, S) -> (O, K)."""
    chance = logits.sigmoid()
    overlap, sizes = (chance * truth).sum((2, 3)), chance.sum((2, 3)) + truth.sum((2, 3))
    return 1 - (2 * overlap + smooth) / (sizes + smooth)
