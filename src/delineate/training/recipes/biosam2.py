"""BioSAM 2's training on images with a memory of other images (Yan et al., arXiv 2408.03286; func/function.py).

One image after the other, one structure each: the coarse map is compared with all memories of the bank (no time, no
object pointers; with an empty bank nothing is added), a click or a box points at the structure, one outline is the
answer, and it is offered to the bank with the map it was made from. Memories are detached. Loss: Dice and cross
entropy of the logits at the input's size, or cross entropy with the structure counted double. Adam 1e-4, no weight
decay, batch 4; the bank is emptied each epoch. The rate's steps (0.9 every ten epochs) are left out.

The paper trains image encoder and mask decoder; the released script freezes the image encoder, so that memory
attention and mask decoder learn. Both are here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from delineate.data.cases import Case
from delineate.memory.bank import Memory
from delineate.memory.policies import CrossImage, CrossImageBank, DiverseBank
from delineate.memory.reader import MemoryReader
from delineate.models.sam2 import Sam2Decoding, Sam2Maps
from delineate.training.layer_rates import Sam2Part
from delineate.training.loop import LoopOptions
from delineate.training.losses import DecodingLoss
from delineate.training.recipes.sequence_recipe import sequence_recipe
from delineate.training.sam2_forward import outlines
from delineate.training.sam2_objective import Compared, Sam2Finetune, Sam2Objective, dice_of, with_memory
from delineate.training.sequence_prompts import BoxKind, Clicks, SequencePrompting, SimulatedPrompts, boxed
from delineate.training.sequences import FrameSequence, SequenceOptions, split_sources

ENTRIES = 16  # memories of other images


class Trained(StrEnum):
    PAPER = "image encoder and mask decoder"
    CODE = "memory attention and mask decoder"


PARTS = {
    Trained.PAPER: (Sam2Part.ENCODER, Sam2Part.DECODER),
    Trained.CODE: (Sam2Part.ATTENTION, Sam2Part.DECODER),
}


@dataclass(frozen=True)
class BankInput:
    """What the bank was fed with: maps of an image, compared or not, and its answer."""

    maps: Sam2Maps
    answer: Sam2Decoding
    clicked: bool


def options(output: Path, trained: Trained = Trained.CODE, heavy: bool = False) -> Sam2Finetune:
    """As published, but for the length. ``heavy``: the other loss.

    As released, embeddings do not change, so they are kept; the decoder's projections of fine maps are then frozen
    too (``replace(options(...), keep=False)`` trains them).
    """
    return Sam2Finetune(
        LoopOptions(output, steps=400, rate=1e-4, weight_decay=0.0),
        parts=PARTS[trained],
        clips=SequenceOptions(frames=1, objects=1),
        prompting=SequencePrompting(pointed=1.0, box=0.5, boxes=BoxKind.SCALED, most_starts=1, corrected=0),
        loss=DecodingLoss.HEAVY_CROSS_ENTROPY if heavy else DecodingLoss.DICE_AND_CROSS_ENTROPY,
        compared=Compared.INPUT,
        batch=4,
        others=ENTRIES,
        keep=trained is Trained.CODE,
    )


class CrossImageObjective(Sam2Objective):
    """An ``Objective`` with a bank of memories of other images, emptied after as many images as there are scans."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.bank = CrossImageBank(ENTRIES)
        self.seen = 0

    def loss(self, rng: np.random.Generator, step: int) -> dict[str, Tensor]:
        found = []
        for _ in range(self.recipe.batch):
            clip = self.drawn(rng)
            truth = torch.from_numpy(clip.truth).float().to(self.device)
            prompts = SimulatedPrompts.drawn(rng, clip.truth, self.recipe.prompting, self.device)
            maps, given = self.embedded(clip)[0], prompts.first(0)
            assert isinstance(given, Clicks)
            with torch.autocast(self.device.type, enabled=False):
                fed = self.answered(maps, given, self.bank)
                found.append(self.compared(fed.answer, truth[:, 0, None]))
                self.offer(fed, self.bank)
            self.seen += 1
            if self.seen >= len(self.training):
                self.bank, self.seen = CrossImageBank(ENTRIES), 0
        return self.with_penalty({name: torch.stack([parts[name] for parts in found]).mean() for name in found[0]})

    def answered(self, maps: Sam2Maps, given: Clicks, bank: CrossImageBank) -> BankInput:
        """One outline of each structure prompted."""
        coarse = maps.coarse
        if bank.entries:
            policy = CrossImage(size=ENTRIES)
            recall = MemoryReader(self.network, policy)
            coarse = recall.conditioned(maps, [DiverseBank(diverse=bank)], 0, reverse=False)
        answer = self.network.decode(coarse, maps, given.points, given.labels, None, multimask=False)
        clicked = given.labels.shape[1] == 1
        return BankInput(replace(maps, coarse=coarse), answer, clicked)

    def first_answer(self, maps: Sam2Maps, given: Clicks) -> Sam2Decoding:
        return self.answered(maps, given, CrossImageBank(ENTRIES)).answer

    @torch.no_grad()
    def offer(self, fed: BankInput, bank: CrossImageBank) -> None:
        """Remember the first structure of an answer, if that adds something."""
        recall = MemoryReader(self.network, CrossImage(size=ENTRIES))
        best, binary = fed.answer.best[:1], fed.clicked and not self.host.training
        (memory,) = recall.memories(fed.maps, 0, best, fed.answer, [0], binary, torch.float32)
        bank.offer(replace(memory, pointer=memory.pointer.detach()))

    def state(self) -> dict[str, Tensor]:
        """The bank, for a run that goes on."""
        found = super().state() | {"bank.seen": torch.tensor(self.seen)}
        if self.bank.entries:
            tokens = [memory.tokens for memory in self.bank.entries if memory.tokens is not None]
            found |= {"bank.tokens": torch.stack(tokens), "bank.pointers": self._column("pointer")}
            found |= {"bank.iou": self._column("iou"), "bank.present": self._column("present")}
        return found

    def restore(self, state: dict[str, Tensor]) -> None:
        super().restore({k: v for k, v in state.items() if not k.startswith("bank.")})
        self.bank, self.seen = CrossImageBank(ENTRIES), int(state["bank.seen"])
        if "bank.tokens" in state:
            columns = (state[f"bank.{name}"] for name in ("tokens", "pointers", "present", "iou"))
            for tokens, pointer, present, iou in zip(*columns, strict=True):
                memory = Memory(0, tokens.to(self.device), pointer.to(self.device), float(present), float(iou))
                self.bank.entries.append(memory)

    def _column(self, name: str) -> Tensor:
        return torch.stack([torch.as_tensor(getattr(memory, name)) for memory in self.bank.entries])

    def measure(self) -> float:
        """Mean Dice of held-out structures with exact boxes, one image after the other, from an empty bank."""
        bank = CrossImageBank(ENTRIES)
        return float(np.mean([score for clip in self.held_out() for score in self.dice_beside(clip, bank)]))

    @torch.no_grad()
    def dice_beside(self, clip: FrameSequence, bank: CrossImageBank) -> list[float]:
        """Dice of each structure of an image, which is then offered to the bank."""
        truth = clip.truth[:, 0]
        fed = self.answered(self.embedded(clip)[0], boxed(truth, self.device, np.random.default_rng(0)), bank)
        self.offer(fed, bank)
        return dice_of(outlines(fed.answer.best, self.network.side), truth).tolist()


def objective(predictor: Any, cases: Sequence[Case], recipe: Sam2Finetune) -> Sam2Objective:
    """What is trained, for the loop."""
    training, testing = split_sources(cases, recipe.held_out, recipe.loop.seed)
    return CrossImageObjective(with_memory(predictor), training, testing, recipe)


RECIPE = sequence_recipe(
    "biosam2",
    "biosam2",
    "memory attention and decoder, on images with a memory of other images; clicks and boxes; Dice and cross entropy",
    "arXiv 2408.03286; func/function.py",
    options,
    objective,
)
