"""How far a student's embeddings are from its teacher's, by name."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

import torch
from torch import Tensor
from torch.nn import functional as F

from delineate.models.sam import Sam, SamPrompts

POINTS = 4  # places a picture the teacher's decoder is asked at, in the perceptual loss


class FeatureLoss(StrEnum):
    """Losses of embeddings (B, C, f, f) against a teacher's of the same shape."""

    MSE = "mse"
    L1 = "l1"
    CHANNEL_SUM = "channel_sum"  # root of the mean, over places, of squared errors summed over channels
    COSINE = "cosine"
    PERCEPTUAL = "perceptual"  # what the teacher's decoder makes of either


def channel_sum_loss(found: Tensor, wanted: Tensor) -> Tensor:
    """sqrt(mean over places of the squared error summed over channels), as re-implementations of MobileSAM have it."""
    return ((found - wanted) ** 2).sum(1).mean().sqrt()


def cosine_loss(found: Tensor, wanted: Tensor) -> Tensor:
    """1 - cosine of the angle between channel vectors, mean over places."""
    return 1 - F.cosine_similarity(found, wanted, dim=1).mean()


class DecoderPerception:
    """Squared error between what a frozen decoder makes of the student's and of the teacher's embedding.

    Compared are its enlarged features (64 channels at 2 f) and its three answers to a few random points, each divided
    by the spread the teacher's have. KD SAM (arXiv 2501.16740) has a perceptual loss on deep features without saying
    which; the decoder's are those that matter to masks.
    """

    def __init__(self, network: Sam) -> None:
        self.network = network.requires_grad_(False)

    def __call__(self, found: Tensor, wanted: Tensor) -> Tensor:
        side = self.network.shape.side
        points = torch.rand(len(found), POINTS, 1, 2).to(found.device) * side
        with torch.no_grad():
            target = self._seen(wanted, points)
        return torch.stack(
            [((a - b) ** 2).mean() / (b.var() + 1e-6) for a, b in zip(self._seen(found, points), target, strict=True)]
        ).mean()

    def _seen(self, embedding: Tensor, points: Tensor) -> list[Tensor]:
        features: list[Tensor] = []
        decoder = self.network.host.mask_decoder
        hook = decoder.upscale_conv1.register_forward_hook(lambda _, __, made: features.append(made))
        try:
            labels = torch.ones(points.shape[1:3], dtype=torch.int64, device=points.device)
            answers = [
                self.network.decode(one[None], SamPrompts(places, labels), multimask=True)[0]
                for one, places in zip(embedding, points, strict=True)
            ]
        finally:
            hook.remove()
        return [torch.cat(features), torch.cat(answers)]


FEATURE_LOSSES: dict[FeatureLoss, Callable[[Tensor, Tensor], Tensor]] = {
    FeatureLoss.MSE: F.mse_loss,
    FeatureLoss.L1: F.l1_loss,
    FeatureLoss.CHANNEL_SUM: channel_sum_loss,
    FeatureLoss.COSINE: cosine_loss,
}
