"""Training an encoder so that prototypes tell structures apart, without labels (SSL-ALPNet, arXiv 2007.09886).

Any encoder of features, or the image encoder of a SAM-shaped system: all of it, or low-rank matrices beside its
attention (DINOv2-SSL, arXiv 2403.03273). Labels of held-out subjects only measure: one slice of another subject is the
support.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from delineate.core.errors import InputError
from delineate.core.frame import Frame
from delineate.data.cases import Case
from delineate.data.subjects import split_by_subject
from delineate.fewshot.prototypes import PrototypeOptions
from delineate.predictors.capabilities import NetworkKind
from delineate.training.adapted import Adapted, run_adapted
from delineate.training.alp_head import alp_logits
from delineate.training.encoder_adapters import AdapterOptions, LowRankAdapter
from delineate.training.episodes import Episode, EpisodeOptions, Onto, Prepare, PreparedSlice, Slices
from delineate.training.finetune import freeze_batch_norm
from delineate.training.frames import trainable_frames
from delineate.training.loop import LoopOptions, Tell, TrainingOutcome

LEAST_GRID = 32  # cells along a side; smaller maps are enlarged
ALIGN_WINDOW = 4  # cells of the windows by which the alignment loss calls a structure large, whatever the grid
MEASURED = 60  # pairs of slices, at most


class EmptyPolicy(StrEnum):
    """What the alignment loss does where the query's answer holds no structure."""

    KEEP = "keep"  # its mean feature is about zero (the released code)
    SKIP = "skip"


@dataclass(frozen=True)
class AlpnetTraining:
    """What is trained on what.

    episodes    slices, superpixels, augmentation
    prototypes  windows and thresholds
    align       weight of the alignment loss
    weights     of background and structure in the first loss
    empty       see EmptyPolicy
    adapter     low-rank matrices in the encoder, which are then all that is trained; None: all of the encoder
    frozen_norm batch norms keep their statistics, as they do beside an adapter and in systems of SAM's shape
    """

    loop: LoopOptions
    episodes: EpisodeOptions = field(default_factory=EpisodeOptions)
    prototypes: PrototypeOptions = field(default_factory=PrototypeOptions)
    align: float = 1.0
    weights: tuple[float, float] = (0.05, 1.0)
    empty: EmptyPolicy = EmptyPolicy.KEEP
    adapter: AdapterOptions | None = None
    batch: int = 1
    held_out: float = 0.25
    frozen_norm: bool = False


class AlpnetObjective(Adapted):
    """An ``Objective``: cross entropy of the query's scores, and of the support's predicted from them."""

    def __init__(self, predictor: Any, training: Slices, testing: Slices, recipe: AlpnetTraining) -> None:
        self.predictor, self.training, self.testing, self.recipe = predictor, training, testing, recipe
        self.encode, self.host, self.device = encoder_of(predictor)
        self.host.requires_grad_(False)
        encoder = self.host.vision_encoder
        self.adapter = None
        if recipe.adapter is not None:
            self.adapter = LowRankAdapter.put(encoder, recipe.adapter, recipe.loop.steps)
        learned = self.adapter.parameters() if self.adapter else list(encoder.parameters())
        for parameter in learned:
            parameter.requires_grad_(True)
        self._groups = [{"params": learned, "name": "encoder"}]
        sam = predictor.capabilities.network is NetworkKind.SAM
        self.frozen_norm = recipe.frozen_norm or self.adapter is not None or sam
        self.pairs = pairs_of(testing)
        if not self.pairs:
            raise InputError(
                "E-TRAIN-FEW", "No two held-out subjects show one structure, so nothing can be measured.",
                "Add labeled subjects, or hold more of them out: --held-out 0.5",
            )  # fmt: skip

    def modules(self) -> nn.Module:
        return self.host

    def features(self, pixels: Tensor) -> Tensor:
        """(B, 3, S, S) -> (B, C, h, w), at least 32 x 32."""
        values = self.encode(pixels.to(self.device)).float()
        if values.shape[2] * values.shape[3] < LEAST_GRID**2:
            values = F.interpolate(values, size=(LEAST_GRID, LEAST_GRID), mode="bilinear", align_corners=False)
        return values

    def loss(self, rng: np.random.Generator, step: int) -> dict[str, Tensor]:
        """Mean over the episodes of a step."""
        if self.frozen_norm:
            freeze_batch_norm(self.host)
        parts = [self.of_episode(self.training.episode(rng)) for _ in range(self.recipe.batch)]
        query = torch.stack([first for first, _ in parts]).mean()
        align = torch.stack([second for _, second in parts]).mean()
        return self.with_penalty({"query": query, "align": align, "total": query + self.recipe.align * align})

    def of_episode(self, episode: Episode) -> tuple[Tensor, Tensor]:
        """The loss of the query and the alignment loss."""
        support, query = self.features(episode.pixels)
        masks = episode.masks.to(self.device)
        options, size = self.recipe.prototypes, masks.shape[-2:]
        window = options.train_window((support.shape[-2], support.shape[-1]))
        on_grid = resized(masks[:1], support.shape[-2:])
        scores = alp_logits(query, support[None], on_grid, options, window)
        weights = torch.tensor(self.recipe.weights, device=self.device)
        first = F.cross_entropy(enlarged(scores, size), masks[1:].long(), weights)
        return first, self.alignment(scores, support, query, masks[0], window)

    def alignment(
        self, scores: Tensor, support: Tensor, query: Tensor, truth: Tensor, window: tuple[int, int]
    ) -> Tensor:
        """The support's mask (S, S), predicted from what the query was taken to be."""
        options = self.recipe.prototypes
        believed = scores.argmax(0).float()
        if self.recipe.empty is EmptyPolicy.SKIP and not believed.any():
            return scores.sum() * 0
        side = min(ALIGN_WINDOW, *believed.shape)
        back = alp_logits(support, query[None], believed[None], options, window, large=(side, side))
        return F.cross_entropy(enlarged(back, truth.shape[-2:]), truth[None].long())

    @torch.no_grad()
    def measure(self) -> float:
        """Mean Dice on held-out subjects, each structure shown by one slice of another subject."""
        return float(np.mean([score for score, _ in self.scored()]))

    @torch.no_grad()
    def scored(self) -> list[tuple[float, str]]:
        """The same a pair, with the structure's name."""
        kept: dict[int, Tensor] = {}

        def described(one: PreparedSlice) -> Tensor:
            if id(one) not in kept:
                kept[id(one)] = self.features(one.pixels[None])[0]
            return kept[id(one)]

        found = []
        for support, query, name in self.pairs:
            mask = torch.from_numpy(support.masks[name]).float()[None].to(self.device)
            known, asked = described(support), described(query)
            scores = alp_logits(asked, known[None], resized(mask, known.shape[-2:]), self.recipe.prototypes)
            found.append(
                (dice(enlarged(scores, mask.shape[-2:])[0].argmax(0).cpu().numpy() > 0, query.masks[name]), name)
            )
        return found


def train_alpnet(
    predictor: Any, cases: Sequence[Case], recipe: AlpnetTraining, tell: Tell | None = None
) -> TrainingOutcome:
    """Train on some subjects, measure on others, keep the best.

    Raises InputError if too few subjects can be held out, ModelError if the loss is NaN or infinite.
    """
    return run_adapted(objective_for(predictor, cases, recipe), recipe.loop, False, tell)


def objective_for(predictor: Any, cases: Sequence[Case], recipe: AlpnetTraining) -> AlpnetObjective:
    """The objective, cases split by subject; labels of those it learns from are not looked at."""
    shares = (1 - recipe.held_out, recipe.held_out)
    parts = split_by_subject(trainable_frames(cases), shares, recipe.loop.seed)
    preparation, measured = preparation_of(predictor), replace(recipe.episodes, excluded=(), labeled=True)
    training, testing = (
        Slices(part, preparation, how) for part, how in zip(parts, (recipe.episodes, measured), strict=True)
    )
    return AlpnetObjective(predictor, training, testing, recipe)


def encoder_of(predictor: Any) -> tuple[Callable[[Tensor], Tensor], Any, torch.device]:
    """What makes features of prepared pixels, its host, and where it computes."""
    if predictor.capabilities.network is NetworkKind.SAM:
        return predictor.network.embed, predictor.network.host, predictor.engine.device
    extractor = predictor.feature_extractor
    return extractor.encoder, predictor.host, extractor.engine.device


def preparation_of(
    predictor: Any,
) -> Prepare:
    """From a frame to pixels (3, S, S), and what brings its masks there."""

    def squared(frame: Frame) -> tuple[Tensor, Onto]:
        extractor = predictor.feature_extractor
        side = extractor.whole_side
        pixels = enlarged(torch.from_numpy(extractor.prepared(frame)), (side, side))[0]
        return pixels, lambda mask: nearest(mask, (side, side))

    def fitted(frame: Frame) -> tuple[Tensor, Onto]:
        pixels, place = predictor.behavior.profile.prepare(frame)

        def onto(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
            whole = np.zeros((place.side, place.side), bool)
            rows, columns = (slice(a, a + n) for a, n in zip((place.top, place.left), place.inner, strict=True))
            whole[rows, columns] = nearest(mask, place.inner)
            return whole

        return torch.from_numpy(pixels), onto

    return fitted if predictor.capabilities.network is NetworkKind.SAM else squared


def pairs_of(slices: Slices) -> list[tuple[PreparedSlice, PreparedSlice, str]]:
    """Support, query and structure: slices of a held-out case, shown by the middle one of the next case that has it."""
    by_case = [slices.of_case(number) for number in range(len(slices.cases))]
    pairs = []
    for number, own in enumerate(by_case):
        for query in own:
            for name in query.masks:
                support = _shown(by_case, number, name)
                if support is not None:
                    pairs.append((support, query, name))
    chosen = np.unique(np.linspace(0, len(pairs) - 1, min(MEASURED, len(pairs))).astype(int)) if pairs else ()
    return [pairs[n] for n in chosen]


def _shown(by_case: list[tuple[PreparedSlice, ...]], number: int, name: str) -> PreparedSlice | None:
    for step in range(1, len(by_case)):
        showing = [
            one for one in by_case[(number + step) % len(by_case)] if name in one.masks and one.masks[name].any()
        ]
        if showing:
            return showing[len(showing) // 2]
    return None


def dice(found: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    return float(2 * (found & truth).sum() / max(1, found.sum() + truth.sum()))


def resized(masks: Tensor, size: tuple[int, ...] | torch.Size) -> Tensor:
    """Masks (n, S, S) on a grid, bilinear, as ALPNet trains."""
    return F.interpolate(masks[:, None].float(), size=tuple(size), mode="bilinear", align_corners=False)[:, 0]


def enlarged(scores: Tensor, size: tuple[int, ...] | torch.Size) -> Tensor:
    """(C, h, w) -> (1, C, S, S)."""
    return F.interpolate(scores[None], size=tuple(size), mode="bilinear", align_corners=False)


def nearest(mask: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    values = torch.from_numpy(np.ascontiguousarray(mask, np.float32))[None, None]
    return np.asarray(F.interpolate(values, size=size, mode="nearest-exact")[0, 0].numpy() > 0.5)
