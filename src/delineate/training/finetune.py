"""Fine-tuning a SAM-shaped system on labeled scans: ``delineate train finetune``.

With ``part = decoder`` every embedding is computed once and kept, so that a step is the decoder's alone. Prompts,
losses and what is trained are named; the files in ``recipes`` say which of them each published system was trained with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from delineate.checkpoints.adapter_file import DECODER, AdapterFile, adapted
from delineate.core.errors import ModelError
from delineate.data.cases import Case
from delineate.models.cells import Cells
from delineate.models.sam import ALL_CELLS, Sam
from delineate.models.sam2 import Sam2Maps
from delineate.predictors.postprocess import SURE
from delineate.predictors.sam import SamPredictor
from delineate.predictors.sam_behavior import MaskPrompt, Multimask
from delineate.training.activations import forget_activations
from delineate.training.adapted import Adapted, run_adapted
from delineate.training.encoder_adapters import AdapterOptions, LowRankAdapter, as_arrays, decoder_layers
from delineate.training.frames import Batch, FrameOptions, Frames, drawn_batch, split_frames
from delineate.training.loop import LoopOptions, Tell, TrainingOutcome
from delineate.training.losses import MEDSAM_LOSSES, MaskLosses, mask_losses
from delineate.training.prompt_policies import SIMULATIONS, PromptPolicy, SampledPrompts, measured_prompts
from delineate.training.prompt_simulation import bounding_box

Embedding = Tensor | Sam2Maps  # (B, 256, f, f), SAM 2's with finer maps
FEEDBACK_LIMIT = 32.0  # of logits that go back as a prompt
NEARLY_RIGHT = 0.7  # IoU of what the network said itself, to be learned from
MEASURED = 12  # structures of a held-out frame, at most


class TrainedPart(StrEnum):
    DECODER = "decoder"  # mask decoder alone, on kept embeddings; with an adapter, in the decoder
    ENCODER = "encoder"  # image encoder alone
    ALL = "all"  # encoder and decoder, prompt encoder frozen (MedSAM)


@dataclass(frozen=True)
class Finetune:
    """What is trained on what.

    loop      output, steps, rate and the rest of the loop's options
    batch     structures a step, ``of_each`` of them from one frame
    flips     chance of a frame being mirrored along each axis (not with kept embeddings)
    full_size truth is compared at the input's size instead of the logits'
    held_out  share of subjects to measure on
    slices    of a volume or video that are used, at most, spread evenly
    adapter   low-rank matrices in the encoder, which are then all that is trained of it; where the decoder alone is
              trained they are in that one
    prompts_learn  embeddings of points, box corners and masks learn too
    stride    the decoder is trained on every ``stride``-th cell each way, other ones each step (``models.cells``)
    self_labeled   share of batches whose truth is what the network said of exact boxes before it was trained, where
              that was nearly right: so it learns other prompts and keeps what it knows
    embeddings     folder where kept embeddings stay for other runs; None: in memory alone
    start          file of a decoder's adapter that is trained further
    checkpointing  activations of the encoder are computed again on the way back, not kept
    probe     measure how much the answer depends on the prompt, before and after
    """

    loop: LoopOptions
    part: TrainedPart = TrainedPart.DECODER
    batch: int = 8
    of_each: int = 1
    prompts: PromptPolicy = PromptPolicy.BOX
    losses: MaskLosses = field(default=MEDSAM_LOSSES)
    flips: float = 0.0
    full_size: bool = False
    held_out: float = 0.25
    slices: int = 4
    adapter: AdapterOptions | None = None
    checkpointing: bool = False
    probe: bool = True
    prompts_learn: bool = False
    stride: int = 1
    self_labeled: float = 0.0
    embeddings: Path | None = None
    start: Path | None = None

    @property
    def keeps_embeddings(self) -> bool:
        return self.part is TrainedPart.DECODER

    @property
    def frames(self) -> FrameOptions:
        return FrameOptions(self.slices, self.keeps_embeddings, self.held_out, self.loop.seed, self.embeddings)


class FinetuneObjective(Adapted):
    """An ``Objective``: prompts are simulated, the answers compared with the labels.

    Of three outlines the one with the least loss is trained, as SAM does; of a system that always offers three the
    one with the greatest predicted IoU, as SAM-Med2D does.
    """

    def __init__(
        self,
        predictor: SamPredictor,
        training: Frames,
        testing: Frames,
        recipe: Finetune,
    ) -> None:
        self.predictor, self.training, self.testing, self.recipe = predictor, training, testing, recipe
        self.network: Any = predictor.network
        self.host = predictor.network.host
        self.device = predictor.engine.device
        self.host.requires_grad_(False)
        self.first: Any = without_encoder(self.network) if recipe.self_labeled else None
        self.adapter = None
        if recipe.start is not None:
            require_start(self.host, recipe)
        if recipe.adapter is not None and recipe.part is TrainedPart.DECODER:
            self.adapter = LowRankAdapter.put_in_decoder(self.host.mask_decoder, recipe.adapter, recipe.loop.steps)
        elif recipe.adapter is not None:
            self.adapter = LowRankAdapter.put(self.host.vision_encoder, recipe.adapter, recipe.loop.steps)
        if recipe.start is not None:
            self.take_adapter(recipe.start)
        if recipe.checkpointing:
            forget_activations(self.host.vision_encoder)
        self._groups = self.trained()
        for group in self._groups:
            for parameter in group["params"]:
                parameter.requires_grad_(True)

    def trained(self) -> list[dict[str, Any]]:
        """Parameter groups, before they are switched on."""
        part, groups = self.recipe.part, []
        adapted = self.adapter.parameters() if self.adapter else None
        if part is not TrainedPart.DECODER:
            groups.append({"params": adapted or list(self.host.vision_encoder.parameters()), "name": "encoder"})
        if part is TrainedPart.DECODER and adapted:
            groups.append({"params": adapted, "name": "decoder"})
        elif part is not TrainedPart.ENCODER:
            groups.append({"params": list(self.host.mask_decoder.parameters()), "name": "decoder"})
        if self.recipe.prompts_learn:
            fixed = self.host.prompt_encoder.shared_embedding.positional_embedding
            prompts = [p for p in self.host.prompt_encoder.parameters() if p is not fixed]
            groups.append({"params": prompts, "name": "prompts"})
        return groups

    def modules(self) -> nn.Module:
        if self.recipe.part is not TrainedPart.DECODER:
            return self.host
        if not self.recipe.prompts_learn:
            return self.host.mask_decoder
        return nn.ModuleDict({"decoder": self.host.mask_decoder, "prompts": self.host.prompt_encoder})

    def loss(self, rng: np.random.Generator, step: int) -> dict[str, Tensor]:
        """Of the first prompts and of every round of corrections, their mean."""
        recipe, simulation = self.recipe, SIMULATIONS[self.recipe.prompts]
        batch = drawn_batch(rng, self.training, recipe.batch, recipe.of_each, recipe.flips)
        embedding, masks, cells = self.embedded(batch), batch.masks, Cells.drawn(rng, recipe.stride)
        if rng.random() < recipe.self_labeled:
            masks = self.self_labeled(embedding, masks)
        given = simulation.first(rng, masks)
        f = embedding.shape[-1]
        seen = cells.pixels(masks, f)
        truth = self.truth(seen)
        before = int(rng.integers(simulation.unlearned + 1)) if simulation.unlearned else 0
        logits: Tensor | None = None
        rounds = []
        for number in range(before + simulation.rounds + 1):
            if logits is not None:
                assert simulation.then is not None
                corrected = simulation.then(rng, given, self.outlines(logits, seen), seen, number)
                given = placed(given, corrected, cells, masks.shape[-1] // f)
            with torch.set_grad_enabled(number >= before):
                logits, parts = self.answered(embedding, given, truth, logits, cells)
            rounds += [parts] if number >= before else []
        return self.with_penalty({name: torch.stack([parts[name] for parts in rounds]).mean() for name in rounds[0]})

    @torch.no_grad()
    def self_labeled(self, embedding: Embedding, masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """What the network said of exact boxes before it was trained, (O, S, S); the truth where that was wrong."""
        assert self.first is not None
        prompts = SampledPrompts(boxes=np.array([bounding_box(mask) for mask in masks]))
        said = self.outlines(self.first.decode(embedding, prompts.tensors(self.device), False)[0], masks)
        overlap = (said & masks).sum((1, 2)) / (said | masks).sum((1, 2))
        return np.where((overlap >= NEARLY_RIGHT)[:, None, None], said, masks)

    def embedded(self, batch: Batch) -> Embedding:
        """(O, 256, f, f), one a structure."""
        embedding: Embedding
        if batch.embeddings is not None:
            embedding = batch.embeddings.to(self.device)
        else:
            assert batch.pixels is not None
            self.keep_statistics()
            embedding = self.network.embed(batch.pixels.to(self.device))
        return embedding.repeat_interleave(len(batch.masks) // embedding.shape[0], dim=0)

    def keep_statistics(self) -> None:
        """Batch norms keep what they came with."""
        freeze_batch_norm(self.host)

    def truth(self, masks: NDArray[np.bool_]) -> Tensor:
        """(O, S, S) -> (O, 1, S, S)."""
        return torch.from_numpy(np.ascontiguousarray(masks)).float()[:, None].to(self.device)

    def answered(
        self,
        embedding: Embedding,
        given: SampledPrompts,
        truth: Tensor,
        before: Tensor | None = None,
        cells: Cells = ALL_CELLS,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The answer's logits (O, 1, 4 f, 4 f) that count, and the losses; ``before``: what may go back."""
        logits, iou = self.decoded(embedding, given, before, cells)
        size = truth.shape[-2:] if self.recipe.full_size else logits.shape[-2:]
        wanted = truth if size == truth.shape[-2:] else F.interpolate(truth, size=size, mode="area")
        shown = logits if size == logits.shape[-2:] else F.interpolate(logits, size=size, mode="bilinear")
        if logits.shape[1] == 1:
            return logits, mask_losses(self.recipe.losses, shown, wanted, iou)
        best = self._best(shown.detach(), iou.detach(), wanted)
        at = torch.arange(len(logits), device=self.device)
        parts = mask_losses(self.recipe.losses, shown[at, best][:, None], wanted, iou[at, best][:, None])
        return logits[at, best][:, None], parts

    def _best(self, shown: Tensor, iou: Tensor, wanted: Tensor) -> Tensor:
        if self.predictor.behavior.multimask is Multimask.ALWAYS:
            return iou.argmax(1)
        costs = [
            [
                mask_losses(self.recipe.losses, s[k : k + 1, None], w[None], i[k : k + 1, None])["total"]
                for k in range(3)
            ]
            for s, w, i in zip(shown, wanted, iou, strict=True)
        ]
        return torch.tensor(costs, device=self.device).argmin(1)

    def decoded(
        self,
        embedding: Embedding,
        given: SampledPrompts,
        before: Tensor | None = None,
        cells: Cells = ALL_CELLS,
    ) -> tuple[Tensor, Tensor]:
        """Logits and predicted IoU in fp32: of one outline, or of three where the system would offer them."""
        masks = None
        if given.outlines is not None:
            f = embedding.shape[-1]
            drawn = 2 * SURE * self.truth(given.outlines) - SURE
            masks = cells.pixels(F.interpolate(drawn, size=(4 * f, 4 * f), mode="bilinear", antialias=True), f)
        elif before is not None and given.feedback:
            masks = before.detach().float().clamp(-FEEDBACK_LIMIT, FEEDBACK_LIMIT)
        if masks is not None and self.predictor.behavior.mask_prompt is MaskPrompt.PROBABILITY:
            masks = masks.sigmoid()
        match self.predictor.behavior.multimask:
            case Multimask.ALWAYS:
                several = True
            case Multimask.NEVER:
                several = False
            case Multimask.AMBIGUOUS:
                several = given.boxes is None and masks is None
        clicks = None if given.points is None else self.predictor.behavior.ordered(given.points)
        asked = replace(given, points=clicks)
        with torch.autocast(self.device.type, enabled=False):
            return self.network.decode(embedding.float(), asked.tensors(self.device, masks), several, cells=cells)

    @torch.no_grad()
    def outlines(self, logits: Tensor, masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """(O, 1, 4 f, 4 f) -> (O, S, S)."""
        size = masks.shape[-2:]
        return F.interpolate(logits.float(), size=size, mode="bilinear")[:, 0].cpu().numpy() > 0

    def measure(self) -> float:
        """Mean Dice of held-out structures, over the kinds of prompts that are measured with."""
        return float(np.mean([self.dice_with(prompts) for prompts in measured_prompts(self.recipe.prompts)]))

    @torch.no_grad()
    def dice_with(self, prompts: Callable[[NDArray[np.bool_]], SampledPrompts]) -> float:
        """Mean Dice on held-out frames with what ``prompts`` makes of a frame's structures (O, S, S)."""
        scores: list[float] = []
        for frame in self.testing:
            masks = frame.masks[:MEASURED]
            whole = Batch(
                None if frame.pixels is None else frame.pixels[None],
                None if frame.embedding is None else frame.embedding[None].float(),
                masks,
            )
            logits, iou = self.decoded(self.embedded(whole)[: len(masks)], prompts(masks))
            best = logits[torch.arange(len(logits)), iou.argmax(1)][:, None]
            found = self.outlines(best, masks)
            overlap = (found & masks).sum((1, 2))
            scores += (2 * overlap / np.maximum(1, found.sum((1, 2)) + masks.sum((1, 2)))).tolist()
        return float(np.mean(scores))


def require_start(host: nn.Module, recipe: Finetune) -> None:
    """Raise ModelError where what is to be trained further is no adapter as the recipe trains one, on these weights."""
    assert recipe.start is not None
    wanted = recipe.adapter if recipe.part is TrainedPart.DECODER else None
    if wanted is None:
        raise ModelError(
            "E-TRAIN-ADAPTER",
            "This recipe trains no adapter in a decoder, so none can learn further.",
            "Add --recipe interactive, or leave --adapter out.",
        )
    put_in = adapted(as_arrays(host.state_dict()), recipe.start)  # refuses what does not fit
    found = {(one.kind, len(one.down), one.alpha) for one in AdapterFile.read(recipe.start).layers.values()}
    layers = {f"{DECODER}.{name}.weight" for name in decoder_layers(host.get_submodule(DECODER))}
    if found != {(wanted.kind, wanted.rank, wanted.alpha)} or not layers <= put_in.keys():
        raise ModelError(
            "E-TRAIN-ADAPTER",
            f"{recipe.start.name} is not in the layers, or not of the rank, that this recipe trains.",
            f"Give one of rank {wanted.rank} that the same recipe wrote, or leave --adapter out.",
        )


def placed(before: SampledPrompts, after: SampledPrompts, cells: Cells, k: int) -> SampledPrompts:
    """Clicks that were made among the pixels of some cells, ``k`` a cell, moved to where those lie in the input."""
    if cells.stride == 1 or after.points is None:
        return after
    kept = 0 if before.points is None or after.points.shape[1] <= before.points.shape[1] else before.points.shape[1]
    points = np.concatenate([after.points[:, :kept], cells.places(after.points[:, kept:], k)], axis=1)
    return replace(after, points=points)


def without_encoder(network: Sam) -> Sam:
    """A frozen copy of a network's decoder and prompt encoder."""
    encoder = network.host.vision_encoder
    network.host.vision_encoder = nn.Identity()  # type: ignore[assignment]
    try:
        return deepcopy(network).requires_grad_(False).eval()
    finally:
        network.host.vision_encoder = encoder


def freeze_batch_norm(network: nn.Module) -> None:
    """Batch norms keep the statistics they came with: a few pictures a step are too few for new ones."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


def finetune(
    predictor: SamPredictor, cases: Sequence[Case], recipe: Finetune, tell: Tell | None = None
) -> TrainingOutcome:
    """Train on some subjects, measure on others, keep the best. ``tell`` is called with each measurement.

    Raises InputError if there are too few subjects to hold any out, ModelError if the loss is NaN or infinite.
    """
    training, testing = split_frames(predictor, cases, recipe.frames)
    return run_finetune(FinetuneObjective(predictor, training, testing, recipe), tell)


def run_finetune(objective: FinetuneObjective, tell: Tell | None = None) -> TrainingOutcome:
    """The loop, and the probe of prompts before and after it."""
    return run_adapted(objective, objective.recipe.loop, objective.recipe.probe, tell)
