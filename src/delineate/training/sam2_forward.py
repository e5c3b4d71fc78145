"""SAM 2's way through a clip with gradients: N objects prompted, followed through memory, corrected.

Arithmetic and memory are the tracker's (``memory.recall``, ``memory.policies``); in evaluation mode the answers are
the tracker's too. In training mode the network learns as SAM 2 did (arXiv 2408.00714 sec. D.2): it remembers its own
soft outlines, and pointers of prompted frames count before their time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from delineate.memory.bank import MemoryBank
from delineate.memory.policies import MemoryPolicy
from delineate.memory.reader import MemoryReader
from delineate.models.sam2 import Sam2, Sam2Decoding, Sam2Maps
from delineate.training.sequence_prompts import Clicks, SequencePrompts


@dataclass(frozen=True, eq=False)
class FrameDecodings:
    """What the network said of the objects on one frame: at first, and after each correction.

    given  the true outlines went in, so that there is nothing to learn from what came out
    """

    index: int
    answers: tuple[Sam2Decoding, ...]
    given: bool = False

    @property
    def last(self) -> Sam2Decoding:
        return self.answers[-1]


def sequence_decodings(
    network: Sam2, policy: MemoryPolicy, frames: Sequence[Sam2Maps], prompts: SequencePrompts, objects: int
) -> list[FrameDecodings]:
    """Outline ``objects`` objects on every frame of a clip, in the order of the frames.

    Prompted frames come first, then the others in time; each is compared with the memories that ``policy`` chooses.
    What is remembered is not detached: gradients reach the memory encoder, and every frame before.
    """
    training = network.host.training
    recall = MemoryReader(network, policy, len(frames), ahead=training)
    banks = [recall.new_bank(len(frames)) for _ in range(objects)]
    order = [*prompts.starts, *(n for n in range(len(frames)) if n not in prompts.starts)]
    found: dict[int, FrameDecodings] = {}
    for index in order:
        found[index] = _on_frame(recall, banks, frames[index], index, prompts)
        if index == order[-1]:
            break
        pointed = index in prompts.starts or len(found[index].answers) > 1
        answer = found[index].last
        rows = range(objects)
        binary = pointed and not training
        memories = recall.memories(frames[index], index, answer.best, answer, rows, binary, torch.float32)
        for bank, memory in zip(banks, memories, strict=True):
            bank.store(memory, pointed)
    return [found[index] for index in range(len(frames))]


def outlines(logits: Tensor, side: int) -> NDArray[np.bool_]:
    """Logits (O, 1, 4 f, 4 f) as outlines (O, side, side)."""
    with torch.no_grad():
        shown = F.interpolate(logits.float(), size=(side, side), mode="bilinear", align_corners=False)
        return (shown[:, 0] > 0).cpu().numpy()


def _on_frame(
    recall: MemoryReader, banks: Sequence[MemoryBank], maps: Sam2Maps, index: int, prompts: SequencePrompts
) -> FrameDecodings:
    given: Clicks | None = None
    if index in prompts.starts:
        first = prompts.first(index)
        if isinstance(first, Tensor):
            return FrameDecodings(index, (recall.network.drawn(maps, first),), given=True)
        given, coarse = first, recall.network.without_memory(maps)
        answers = [recall.pointed(coarse, maps, given.points, given.labels, None)]
    else:
        coarse = recall.conditioned(maps, banks, index, reverse=False)
        answers = [recall.followed(coarse, maps)]
    for _ in range(prompts.corrections(index)):
        before = answers[-1].best
        more = prompts.correction(index, outlines(before, recall.network.side))
        given = more if given is None else given.followed_by(more)
        answers.append(recall.pointed(coarse, maps, given.points, given.labels, before))
    return FrameDecodings(index, tuple(answers), given=False)
