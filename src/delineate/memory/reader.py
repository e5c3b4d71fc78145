"""From memories to a frame's map: what a tracker and training have in common (arXiv 2408.00714 sec. 4).

Memories become tokens with a place and a time, a frame is compared with them, and its outlines become memories. No
state is kept here, and gradients pass wherever the caller lets them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from delineate.core.errors import PromptError
from delineate.core.propagation_options import MOST_MEMORIES
from delineate.memory.bank import Memory, MemoryBank
from delineate.memory.policies import MemoryPolicy, Slots
from delineate.models.sam2 import FEEDBACK_LIMIT, Sam2, Sam2Decoding, Sam2Maps

POINTERS = 16  # object pointers looked at
AMBIGUOUS = 1  # up to so many clicks may mean several things


@dataclass(frozen=True, eq=False)
class ChosenMemories:
    """What is looked at of one object on one frame.

    slots     maps, as the policy gives them
    pointers  object pointers, each with how many frames away it is
    """

    slots: Slots
    pointers: list[tuple[int, Memory]]

    @property
    def amount(self) -> tuple[int, int]:
        """How many maps and how many pointers; objects with as many of both go together."""
        return len(self.slots), len(self.pointers)


@dataclass(frozen=True)
class MemoryReader:
    """How a network looks at what is remembered of objects.

    frames  number of frames in all, where known: object pointers of short videos are timed differently
    ahead   pointers of prompted frames count before their time too, as in SAM 2's training
    inside  the context memory attention and memory encoder run in, such as a lower precision
    """

    network: Sam2
    policy: MemoryPolicy
    frames: int | None = None
    ahead: bool = False
    inside: Callable[[], AbstractContextManager[object]] = nullcontext

    def new_bank(self, keep: int, around: bool = False) -> MemoryBank:
        """An empty memory of one object; ``keep`` frames behind the newest one at least, ``around``: see the bank."""
        window = (self.policy.length - 1) * self.policy.stride
        return self.policy.bank(max(keep, POINTERS - 1, window), max(keep, window), around)

    def chosen(self, bank: MemoryBank, index: int, reverse: bool) -> ChosenMemories:
        """What frame ``index`` is compared with of one object; the policy is asked here alone, once a frame."""
        slots = self.policy.slots(bank, index, reverse)
        wrong = next((slot for slot, _ in slots if slot is not None and not 0 <= slot < MOST_MEMORIES), None)
        if wrong is not None:
            raise PromptError(
                "E-MEMORY-SLOT",
                f"{type(self.policy).__name__}, the memory policy, gave the slot {wrong}.",
                f"Give 0 for prompted frames, 1 to {MOST_MEMORIES - 1} for others, None where time has no meaning.",
            )
        return ChosenMemories(slots, self._timed(bank, index, reverse))

    def conditioned(self, maps: Sam2Maps, banks: Sequence[MemoryBank], index: int, reverse: bool) -> Tensor:
        """The coarse map (O, 256, f, f) of frame ``index`` for O objects with as much memory each."""
        return self.compared(maps, [self.chosen(bank, index, reverse) for bank in banks])

    def compared(self, maps: Sam2Maps, memories: Sequence[ChosenMemories]) -> Tensor:
        """The same with what is looked at of each object, which has to be as much."""
        looked_at = [self._looked_at(chosen, maps) for chosen in memories]
        memory, places = (torch.stack([one[n] for one in looked_at]) for n in (0, 1))  # type: ignore[misc]
        _, _, count, pointers = looked_at[0]
        with self.inside():
            return self.network.with_memory(maps, memory, places, count, pointers).float()

    def pointed(
        self, coarse: Tensor, maps: Sam2Maps, points: Tensor, labels: Tensor, feedback: Tensor | None
    ) -> Sam2Decoding:
        """The answer to clicks or boxes: points (O, N, 2), labels (O, N).

        feedback  logits (O, 1, 4 f, 4 f) of the answer before, where there was one
        """
        masks = None if feedback is None else feedback.clamp(-FEEDBACK_LIMIT, FEEDBACK_LIMIT)
        return self.network.decode(coarse, maps, points, labels, masks, multimask=labels.shape[1] <= AMBIGUOUS)

    def followed(self, coarse: Tensor, maps: Sam2Maps) -> Sam2Decoding:
        """The answer from memory alone."""
        return self.network.decode(coarse, maps, None, None, multimask=True)

    def memories(
        self,
        maps: Sam2Maps,
        index: int,
        logits: Tensor,
        answer: Sam2Decoding,
        rows: Sequence[int],
        binary: bool,
        dtype: torch.dtype,
    ) -> list[Memory]:
        """What is remembered of outlines, logits (R, 1, 4 f, 4 f), which are those ``rows`` of an answer.

        binary  they are remembered as black and white
        """
        chosen = list(rows)
        flags = torch.full((len(chosen),), binary, device=logits.device)
        with self.inside():
            kept = self.network.remember(maps, logits, answer.present[chosen], flags).to(dtype)
        present, iou = answer.present.detach(), answer.best_iou.detach()
        return [  # each its own, so that one can be forgotten without the others
            Memory(index, tokens.clone(), answer.pointers[row].clone(), float(present[row]), float(iou[row]))
            for tokens, row in zip(kept, chosen, strict=True)
        ]

    def _looked_at(self, chosen: ChosenMemories, maps: Sam2Maps) -> tuple[Tensor, Tensor, int, int]:
        """Memory tokens (T, 64) of one object, their places (T, 64), how many frames they are of, how many pointers."""
        slots, timed = chosen.slots, chosen.pointers
        grid = self.network.memory_places(maps)
        tokens, places = [], []
        for slot, memory in slots:
            assert memory.tokens is not None
            tokens.append(memory.tokens.to(torch.float32))
            places.append(grid if slot is None else grid + self.network.time_of_memory(slot))
        if timed:
            pointers = torch.stack([memory.pointer for _, memory in timed]).float()
            times = torch.tensor([float(away) for away, _ in timed], device=maps.coarse.device)
            parts = pointers.shape[1] // 64
            tokens.append(pointers.reshape(-1, 64))
            encoded = self.network.time_of_pointers(times, self._most_pointers() - 1)
            places.append(encoded.repeat_interleave(parts, dim=0))
        count = tokens[-1].shape[0] if timed else 0
        return torch.cat(tokens), torch.cat(places), len(slots), count

    def _most_pointers(self) -> int:
        return POINTERS if self.frames is None else max(2, min(self.frames, POINTERS))

    def _timed(self, bank: MemoryBank, index: int, reverse: bool) -> list[tuple[int, Memory]]:
        """Object pointers and how many frames away they are: prompted frames in the past, then the last fifteen."""
        if not self.policy.pointers:
            return []
        sign = -1 if reverse else 1
        chosen = self.policy.prompted(bank, index)
        past = [(i, m) for i, m in chosen.items() if self.ahead or (i >= index if reverse else i <= index)]
        timed = [((index - i) * sign, memory) for i, memory in past]
        for away in range(1, self._most_pointers()):
            place = index + away if reverse else index - away
            if place < 0 or (self.frames is not None and place >= self.frames):
                break
            memory = bank.tracked.get(place)
            if memory is None and place not in chosen:
                memory = bank.prompted.get(place)
            if memory is not None:
                timed.append((away, memory))
        return timed
