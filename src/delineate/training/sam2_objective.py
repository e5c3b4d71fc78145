"""Fine-tuning a SAM 2-shaped system on clips of labeled scans: videos, volumes, and images as clips of one frame.

The files in ``recipes`` say with which figures each published system was trained; here is what they have in common.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from delineate.checkpoints.system_file import SystemCard, write_system
from delineate.core.errors import ModelError
from delineate.data.cases import Case
from delineate.memory.policies import FrameWindow, MemoryPolicy
from delineate.memory.reader import MemoryReader
from delineate.models.sam2 import Sam2Decoding, Sam2Maps
from delineate.predictors.capabilities import NetworkKind
from delineate.predictors.sam2 import Sam2Predictor
from delineate.systems import SYSTEMS
from delineate.training.activations import forget_activations
from delineate.training.adapted import Adapted, run_adapted
from delineate.training.encoder_adapters import AdapterOptions, LowRankAdapter
from delineate.training.finetune import freeze_batch_norm
from delineate.training.frames import nothing_to_learn
from delineate.training.layer_rates import EVERYTHING, LayerRates, Sam2Part, parameter_groups, part_of
from delineate.training.loop import BEST, LoopOptions, Tell, TrainingOutcome
from delineate.training.losses import DECODING_LOSSES, DecodingLoss
from delineate.training.prompt_policies import SampledPrompts
from delineate.training.sam2_forward import outlines, sequence_decodings
from delineate.training.sequence_prompts import Clicks, SequencePrompting, SimulatedPrompts, boxed
from delineate.training.sequences import FrameSequence, SequenceOptions, SequenceSource, drawn_from, split_sources
from delineate.training.shelf import LRUCache

PROJECTIONS = ("mask_decoder.conv_s0.", "mask_decoder.conv_s1.")  # fine maps are kept behind them
KEPT_BYTES = 4e9  # of embeddings in the computer's memory; others are computed again


class Compared(StrEnum):
    """At which size answers and labels are compared, where the loss does not say it."""

    LOGITS = "labels shrunk to the logits, nearest"
    INPUT = "logits enlarged to the input, nearest"


@dataclass(frozen=True)
class Sam2Finetune:
    """What is trained on what.

    loop       output, steps and the rest of the loop's options; its rate stands for groups without their own
    parts      of the network that are trained
    rates      by depth; None: the loop's everywhere
    clips      which clips are drawn
    prompting  how their objects are prompted and corrected
    loss       of an answer; SAM 2's is summed over frames and corrections, as released
    batch      clips a step
    policy     memories looked at while training; measured is with the system's own
    keep       embeddings are computed once: for a frozen image encoder, without augmentation. The decoder's two
               projections of fine maps are frozen then
    held_out   share of subjects to measure on, on ``measured`` frames of each, or ``slices`` of it one by one
    """

    loop: LoopOptions
    parts: tuple[Sam2Part, ...] = EVERYTHING
    rates: LayerRates | None = None
    clips: SequenceOptions = field(default_factory=SequenceOptions)
    prompting: SequencePrompting = field(default_factory=SequencePrompting)
    loss: DecodingLoss = DecodingLoss.SAM2
    compared: Compared = Compared.INPUT
    batch: int = 1
    policy: MemoryPolicy = field(default_factory=FrameWindow)
    keep: bool = False
    held_out: float = 0.25
    measured: int = 8
    slices: int = 4
    others: int = 0
    adapter: AdapterOptions | None = None
    checkpointing: bool = False
    probe: bool = True

    def __post_init__(self) -> None:
        if self.adapter is not None and Sam2Part.ENCODER not in self.parts:
            raise ModelError(
                "E-TRAIN-PART",
                "Adapters sit in the image encoder.",
                "Add --part all, or --part encoder for them alone.",
            )
        if self.keep and (Sam2Part.ENCODER in self.parts or self.clips.augment is not None):
            raise ModelError(
                "E-TRAIN-OPTION",
                "Embeddings cannot be kept while the image encoder is trained or frames are changed.",
                "Freeze the image encoder and leave augmentation out, or turn keeping off.",
            )


@dataclass(frozen=True, eq=False)
class ExactBoxes:
    """What is measured with: a box on the first frame, no corrections (``SequencePrompts``)."""

    truth: NDArray[np.bool_]
    device: torch.device
    starts: tuple[int, ...] = (0,)

    def first(self, index: int) -> Clicks | Tensor:
        return boxed(self.truth[:, index], self.device, np.random.default_rng(0))

    def corrections(self, index: int) -> int:
        return 0

    def correction(self, index: int, outlines: NDArray[np.bool_]) -> Clicks:
        raise NotImplementedError


class Sam2Objective(Adapted):
    """An ``Objective``: objects of clips are prompted, followed, corrected, and compared with their labels."""

    def __init__(
        self,
        predictor: Sam2Predictor,
        training: Sequence[SequenceSource],
        testing: Sequence[SequenceSource],
        recipe: Sam2Finetune,
    ) -> None:
        self.predictor, self.training, self.testing, self.recipe = predictor, training, testing, recipe
        self.network, self.host = predictor.network, predictor.network.host
        self.device = predictor.engine.device
        single = recipe.clips.frames == 1
        self.profile = (predictor.image_profile if single else predictor.video_profile)(self.network.side)
        self.kept: LRUCache[Sam2Maps] = LRUCache(KEPT_BYTES, bytes_of)
        self.sources = {source.number: source for source in (*training, *testing)}
        self.host.requires_grad_(False)
        self.adapter = None
        if recipe.adapter is not None:
            self.adapter = LowRankAdapter.put(self.host.vision_encoder, recipe.adapter, recipe.loop.steps)
        if recipe.checkpointing:
            forget_activations(self.host)
        self._groups = self.trained()
        for group in self._groups:
            for parameter in group["params"]:
                parameter.requires_grad_(True)

    def trained(self) -> list[dict[str, Any]]:
        """Parameter groups, before they are switched on."""
        loop = self.recipe.loop
        rates = self.recipe.rates or LayerRates(loop.rate, loop.rate, weight_decay=loop.weight_decay)
        groups = parameter_groups(self.host, self.recipe.parts, rates)
        if self.adapter is not None:
            frozen = {id(p) for name, p in self.host.named_parameters() if part_of(name) is Sam2Part.ENCODER}
            frozen -= {id(p) for p in self.adapter.parameters()}
            groups = without(groups, frozen)
        if self.recipe.keep:
            frozen = {id(p) for name, p in self.host.named_parameters() if name.startswith(PROJECTIONS)}
            groups = without(groups, frozen)
        return groups

    def keep(self, folder: Path) -> None:
        """The adapter's own file; of a system with a paper's parts the weights again, with a header that says so."""
        super().keep(folder)
        record = self.predictor.record
        if record.name in SYSTEMS and SYSTEMS[record.name].policy is not None:
            card = SystemCard(system=record.name, variant=record.variant, sizes=self.network.shape.sizes)
            write_system(folder / BEST, self.weights(), card)

    def loss(self, rng: np.random.Generator, step: int) -> dict[str, Tensor]:
        """Mean over the clips of a batch."""
        freeze_batch_norm(self.host)
        found = [self.sequence_loss(rng, self.drawn(rng)) for _ in range(self.recipe.batch)]
        return self.with_penalty({name: torch.stack([parts[name] for parts in found]).mean() for name in found[0]})

    def drawn(self, rng: np.random.Generator) -> FrameSequence:
        """A clip of a random labeled scan."""

        def draw(source: SequenceSource) -> FrameSequence:
            clip = source.drawn(rng, self.recipe.clips, self.profile, pixels=not self.recipe.keep)
            for position in clip.positions if clip.pixels is None else ():
                self._kept(clip.source, position)  # read now, so that one that cannot be read is left out
            return clip

        return drawn_from(self.training, int(rng.integers(len(self.training))), draw)

    def sequence_loss(self, rng: np.random.Generator, clip: FrameSequence) -> dict[str, Tensor]:
        """Summed over frames and corrections."""
        maps, truth = self.embedded(clip), torch.from_numpy(clip.truth).float().to(self.device)
        prompts = SimulatedPrompts.drawn(rng, clip.truth, self.recipe.prompting, self.device)
        sums: dict[str, Tensor] = {}
        with torch.autocast(self.device.type, enabled=False):
            frames = sequence_decodings(self.network, self.recipe.policy, maps, prompts, len(truth))
            for frame in frames:
                for answer in frame.answers if not frame.given else ():
                    for name, value in self.compared(answer, truth[:, frame.index, None]).items():
                        sums[name] = sums[name] + value if name in sums else value
        return sums

    def compared(self, answer: Sam2Decoding, truth: Tensor) -> dict[str, Tensor]:
        """The loss of an answer, of which nothing at the input's size is kept where that is asked for."""
        if not self.recipe.checkpointing:
            return self.decoding_loss(answer, truth)
        return checkpoint(self.decoding_loss, answer, truth, use_reentrant=False)

    def decoding_loss(self, answer: Sam2Decoding, truth: Tensor) -> dict[str, Tensor]:
        """Of one answer on one frame; truth (O, 1, S, S)."""
        function = DECODING_LOSSES[self.recipe.loss]
        if self.recipe.loss is DecodingLoss.SAM2:
            return function(answer.logits, answer.iou, answer.present, truth)
        logits = answer.best.float()
        if self.recipe.compared is Compared.LOGITS:
            truth = F.interpolate(truth, size=logits.shape[-2:], mode="nearest-exact")
        else:
            logits = F.interpolate(logits, size=truth.shape[-2:], mode="nearest")
        return function(logits, answer.best_iou[:, None], answer.present, truth)

    def embedded(self, clip: FrameSequence) -> list[Sam2Maps]:
        """The network's maps of each frame, in fp32."""
        if clip.pixels is None:
            return [self._kept(clip.source, position) for position in clip.positions]
        return [self._maps(one) for one in clip.pixels]

    def _maps(self, pixels: Tensor) -> Sam2Maps:
        maps = self.network.embed(pixels[None].to(self.device))
        return Sam2Maps(maps.coarse.float(), (maps.fine[0].float(), maps.fine[1].float()), maps.places.float())

    @torch.no_grad()
    def _kept(self, number: int, position: int) -> Sam2Maps:
        """Maps kept in half precision in the computer's memory."""

        def computed() -> Sam2Maps:
            opened = self.sources[number].opened
            pixels, _ = self.profile.prepare(opened.scan.frame(opened.frames[position]))
            return moved(self._maps(torch.from_numpy(pixels)), torch.device("cpu"), torch.half)

        return moved(self.kept.get((number, position), computed), self.device, torch.float32)

    def measure(self) -> float:
        """Mean Dice of held-out objects on all frames of their clips, each prompted once with its exact box."""
        scores = [score for clip in self.held_out() for score in self.dice_on(clip)]
        return float(np.mean(scores))

    def held_out(self) -> Iterator[FrameSequence]:
        """The same clips each time, one scan's in memory at a time. Raises InputError if no scan has an object."""
        count = 0
        for source in self.testing:
            if not any(source.areas):
                continue
            try:
                clips = self._clips_of(source)
            except Exception as error:
                source.leave_out(error)
                continue
            count += 1
            yield from clips
        if not count:
            raise nothing_to_learn(len(self.testing))

    def _clips_of(self, source: SequenceSource) -> list[FrameSequence]:
        """The clips of a held-out scan: one that is followed, or single frames."""
        recipe = self.recipe
        if recipe.clips.frames > 1:
            return [source.held_out(recipe.measured, self.profile, recipe.clips.objects)]
        frames = source.slices(recipe.slices)
        return [source.clip([n], sorted(source.visible[n]), self.profile) for n in frames]

    @torch.no_grad()
    def dice_with(self, prompts: Callable[[NDArray[np.bool_]], SampledPrompts]) -> float:
        """Mean Dice on the prompted frames of held-out clips, with what ``prompts`` makes of the objects there."""
        scores: list[float] = []
        for clip in self.held_out():
            pixels = None if clip.pixels is None else clip.pixels[:1]
            (maps,) = self.embedded(replace(clip, pixels=pixels, positions=clip.positions[:1]))
            truth = clip.truth[:, 0]
            answer = self.first_answer(maps, clicks_of(prompts(truth), self.device))
            scores += dice_of(outlines(answer.best, self.network.side), truth).tolist()
        return float(np.mean(scores))

    def first_answer(self, maps: Sam2Maps, given: Clicks) -> Sam2Decoding:
        """What is outlined on a frame where nothing is remembered."""
        recall = MemoryReader(self.network, self.recipe.policy)
        return recall.pointed(self.network.without_memory(maps), maps, given.points, given.labels, None)

    @torch.no_grad()
    def dice_on(self, clip: FrameSequence) -> list[float]:
        """Dice of each object on each frame; where it neither is nor is outlined, 1."""
        prompts = ExactBoxes(clip.truth, self.device)
        policy = self.predictor.policy if len(clip.positions) > 1 else self.recipe.policy
        frames = sequence_decodings(self.network, policy, self.embedded(clip), prompts, len(clip.truth))
        found = np.stack([outlines(frame.last.best, self.network.side) for frame in frames], axis=1)
        return dice_of(found, clip.truth).flatten().tolist()


def clicks_of(given: SampledPrompts, device: torch.device) -> Clicks:
    """Boxes as their corners, or clicks."""
    if given.boxes is not None:
        corners = torch.from_numpy(given.boxes).float().view(-1, 2, 2).to(device)
        return Clicks(corners, torch.tensor([[2, 3]] * len(corners), dtype=torch.int32, device=device))
    assert given.points is not None and given.labels is not None
    points, labels = torch.from_numpy(given.points), torch.from_numpy(given.labels)
    return Clicks(points.float().to(device), labels.int().to(device))


def without(groups: list[dict[str, Any]], frozen: set[int]) -> list[dict[str, Any]]:
    """The optimizer's groups without parameters of these ids."""
    left = [g | {"params": [p for p in g["params"] if id(p) not in frozen]} for g in groups]
    return [group for group in left if group["params"]]


def dice_of(found: NDArray[np.bool_], truth: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Dice over the last two axes; 1 where both are empty."""
    overlap, sizes = (found & truth).sum((-2, -1)), found.sum((-2, -1)) + truth.sum((-2, -1))
    return np.where(sizes, 2 * overlap / np.maximum(sizes, 1), 1.0)


def bytes_of(maps: Sam2Maps) -> float:
    return float(sum(t.numel() * t.element_size() for t in (maps.coarse, *maps.fine, maps.places)))


def moved(maps: Sam2Maps, device: torch.device, dtype: torch.dtype) -> Sam2Maps:
    fine = (maps.fine[0].to(device, dtype), maps.fine[1].to(device, dtype))
    return Sam2Maps(maps.coarse.to(device, dtype), fine, maps.places.to(device, dtype))


def sam2_objective(predictor: Any, cases: Sequence[Case], recipe: Sam2Finetune) -> Sam2Objective:
    """The objective of labeled scans.

    Raises ModelError if the system has no memory of SAM 2's kind, InputError if there are too few subjects.
    """
    training, testing = split_sources(cases, recipe.held_out, recipe.loop.seed)
    return Sam2Objective(with_memory(predictor), training, testing, recipe)


def with_memory(predictor: Any) -> Sam2Predictor:
    """Raises ModelError if the system has no memory of SAM 2's kind."""
    if predictor.capabilities.network is not NetworkKind.SAM2:
        raise ModelError(
            "E-TRAIN-SYSTEM",
            "This recipe trains systems with SAM 2's memory, and this is none.",
            "Choose another --recipe, or a system of SAM 2's shape.",
        )
    return cast(Sam2Predictor, predictor)


def run_sam2(objective: Sam2Objective, tell: Tell | None = None) -> TrainingOutcome:
    """The loop, and the probe of prompts before and after it."""
    return run_adapted(objective, objective.recipe.loop, objective.recipe.probe, tell)


def with_changes(recipe: Sam2Finetune, changes: Mapping[str, Any]) -> Sam2Finetune:
    """A recipe with other figures; a chosen rate is that of all parts, their proportions stay."""
    rate = changes.get("rate")
    asked = {name: value for name, value in changes.items() if name != "rate" and value is not None}
    if rate is not None and recipe.rates is not None:
        factor = rate / recipe.rates.rate
        asked["rates"] = replace(recipe.rates, rate=rate, encoder=recipe.rates.encoder * factor)
    return replace(recipe, **asked)
