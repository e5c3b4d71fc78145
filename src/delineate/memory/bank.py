"""What a tracker keeps of one object: a small map and a pointer for each of a bounded number of frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Memory:
    """One object on one frame.

    index     of the frame
    tokens    (T, 64), the outline and the frame compressed, a token a place; None where only the pointer is kept
    pointer   (256,)
    present   logit of the object being there
    iou       predicted IoU of the outline
    logits    (1, 4 f, 4 f), kept on prompted frames, to be fed back with the next click
    """

    index: int
    tokens: Tensor | None
    pointer: Tensor
    present: float
    iou: float
    logits: Tensor | None = None

    @property
    def bytes(self) -> int:
        tensors = (t for t in (self.tokens, self.pointer, self.logits) if t is not None)
        return sum(t.numel() * t.element_size() for t in tensors)


@dataclass
class MemoryBank:
    """The memories of one object.

    prompted  prompted frames; all are kept
    tracked   frames it was followed on; kept up to ``reach`` frames away from the newest, maps up to ``map_reach``
    around    those as near to a prompted frame are kept too, for the way back
    """

    reach: int = 16
    map_reach: int = 16
    around: bool = False
    prompted: dict[int, Memory] = field(default_factory=dict)
    tracked: dict[int, Memory] = field(default_factory=dict)
    followed: dict[int, bool] = field(default_factory=dict)  # frames passed while following, and whether backwards

    def store(self, memory: Memory, prompted: bool) -> None:
        """Keep a memory, and forget what is out of reach."""
        if prompted:
            self.prompted[memory.index] = memory
            self.tracked.pop(memory.index, None)
        else:
            self.tracked[memory.index] = memory
        for index in [i for i in self.tracked if self._away(i, memory.index) > self.reach]:
            del self.tracked[index]
        for index, old in self.tracked.items():
            if old.tokens is not None and self._away(index, memory.index) > self.map_reach:
                self.tracked[index] = replace(old, tokens=None)
        for index in [i for i in self.followed if abs(i - memory.index) > self.reach and i not in self.prompted]:
            del self.followed[index]

    def _away(self, index: int, newest: int) -> int:
        """Frames to the nearest one that keeps others."""
        return min(abs(index - n) for n in (newest, *(self.prompted if self.around else ())))

    def pass_by(self, index: int, reverse: bool) -> None:
        """Note that the object was followed through this frame, starting from those prompted."""
        self.followed[index] = reverse
        for start in self.prompted:
            self.followed.setdefault(start, reverse)

    def at(self, index: int) -> Memory | None:
        return self.prompted.get(index) or self.tracked.get(index)

    def forget(self, index: int) -> None:
        """Drop what is known of one frame."""
        self.prompted.pop(index, None)
        self.tracked.pop(index, None)
        self.followed.pop(index, None)

    def reset(self) -> None:
        """Forget what was followed, keep what was prompted."""
        self.tracked.clear()
        self.followed.clear()

    def __iter__(self) -> Iterator[Memory]:
        yield from self.prompted.values()
        yield from self.tracked.values()

    @property
    def bytes(self) -> int:
        return sum(memory.bytes for memory in self)
