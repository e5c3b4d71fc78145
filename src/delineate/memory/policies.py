"""Which memories an object is compared with on a frame: the one place where trackers differ.

A policy is given the bank and the frame and returns memories in the order the network sees them, each with its slot:
0 for a prompted frame, else how many frames (or strides) away it is, None where time has no meaning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from typing import Any, Protocol, cast

import torch
from torch.nn import functional as F

from delineate.core.errors import PromptError
from delineate.core.propagation_options import MemoryRule, PropagationOptions
from delineate.core.registry import Registry
from delineate.memory.bank import Memory, MemoryBank
from delineate.models.variants import Pruning

Slots = list[tuple[int | None, Memory]]


class MemoryPolicy(Protocol):
    """slots: maps to attend to. ``length`` maps are remembered at most, ``stride`` frames apart.

    pointers  whether object pointers are looked at too
    """

    @property
    def length(self) -> int: ...
    @property
    def stride(self) -> int: ...
    @property
    def pointers(self) -> bool: ...
    def bank(self, reach: int, map_reach: int, around: bool) -> MemoryBank: ...
    def slots(self, bank: MemoryBank, index: int, reverse: bool) -> Slots: ...

    def prompted(self, bank: MemoryBank, index: int) -> dict[int, Memory]:
        """The prompted frames that count on this frame."""
        ...


@dataclass(frozen=True)
class FrameWindow:
    """SAM 2: the prompted frames, then the last ``length`` - 1, the nearest always, others ``stride`` apart.

    most_prompted  at most so many prompted frames: the nearest before and after, then the closest (-1: all)
    """

    length: int = 7
    stride: int = 1
    most_prompted: int = -1
    pointers: bool = True

    def bank(self, reach: int, map_reach: int, around: bool) -> MemoryBank:
        """An empty memory of one object."""
        return MemoryBank(reach, map_reach, around)

    def prompted(self, bank: MemoryBank, index: int) -> dict[int, Memory]:
        if self.most_prompted < 0 or len(bank.prompted) <= self.most_prompted:
            return dict(bank.prompted)
        before = max((i for i in bank.prompted if i < index), default=None)
        after = min((i for i in bank.prompted if i >= index), default=None)
        chosen = [i for i in (before, after) if i is not None]
        rest = sorted((i for i in bank.prompted if i not in chosen), key=lambda i: abs(i - index))
        return {i: bank.prompted[i] for i in [*chosen, *rest][: max(self.most_prompted, len(chosen))]}

    def slots(self, bank: MemoryBank, index: int, reverse: bool) -> Slots:
        chosen = self.prompted(bank, index)
        slots: Slots = [(0, memory) for memory in chosen.values()]
        for away in range(self.length - 1, 0, -1):
            place = self._place(index, away, reverse)
            memory = bank.tracked.get(place)
            if memory is None and place not in chosen:
                memory = bank.prompted.get(place)  # prompted, but not among the chosen
            if memory is not None and memory.tokens is not None:
                slots.append((away, memory))
        return slots

    def _place(self, index: int, away: int, reverse: bool) -> int:
        if away == 1:
            return index + 1 if reverse else index - 1
        if reverse:
            return -(-(index + 2) // self.stride) * self.stride + (away - 2) * self.stride
        return (index - 2) // self.stride * self.stride - (away - 2) * self.stride


@dataclass(frozen=True)
class EfficientFramePruning(FrameWindow):
    """Surgical SAM 2 (arXiv 2408.07931): leave out the memories most similar to the newest one.

    The first (a prompted frame) and the newest always stay. v1 leaves out two when seven or more were found; v2
    leaves out as many as it takes to keep five. The bank itself is not changed.
    """

    version: Pruning = Pruning.V2
    prune: int = 2

    def slots(self, bank: MemoryBank, index: int, reverse: bool) -> Slots:
        found = super().slots(bank, index, reverse)
        if self.version is Pruning.V1:
            surplus = 2 if len(found) >= self.length else 0
        else:
            surplus = max(0, len(found) + self.prune - self.length)
        candidates = range(1, len(found) - 1)
        surplus = min(surplus, len(candidates))
        if not surplus:
            return found
        newest = found[-1][1].tokens
        assert newest is not None
        likeness = torch.stack([_likeness(found[n][1].tokens, newest) for n in candidates])  # type: ignore[arg-type]
        dropped = {int(n) + 1 for n in likeness.topk(surplus).indices}
        return [slot for n, slot in enumerate(found) if n not in dropped]


def _likeness(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Cosine similarity of two memories (T, 64) along their channels, summed over places."""
    return F.cosine_similarity(one.float(), other.float(), dim=1).sum()


@dataclass
class CrossImageBank:
    """BioSAM 2 (arXiv 2408.03286; ``func/function.py``): a memory of other images, not of earlier frames.

    When it is full, a new memory replaces one of the two most similar old ones if it is less similar to the rest than
    they are to each other, and its outline is about as good.
    """

    size: int = 16
    margin: float = 0.1
    entries: list[Memory] = field(default_factory=list)

    def offer(self, memory: Memory) -> bool:
        """Keep a memory if it adds something; returns whether it was kept."""
        if len(self.entries) < self.size:
            self.entries.append(memory)
            return True
        kept = torch.stack([_flat(m) for m in self.entries])
        new = kept @ _flat(memory)
        odd = int(new.argmin())
        among = kept @ kept.T
        among.fill_diagonal_(-torch.inf)
        twin = int(among[odd].argmax())
        if new[odd] < among[odd, twin] and memory.iou > self.entries[twin].iou - self.margin:
            del self.entries[twin]
            self.entries.append(memory)
            return True
        return False


@dataclass
class DiverseBank(MemoryBank):
    """A memory that keeps, beside the prompted frames, those that add something, wherever they are."""

    diverse: CrossImageBank = field(default_factory=CrossImageBank)
    stride: int = 1

    def store(self, memory: Memory, prompted: bool) -> None:
        super().store(memory, prompted)
        if not prompted and memory.index % self.stride == 0:
            self.diverse.offer(memory)

    def reset(self) -> None:
        super().reset()
        self.diverse.entries.clear()

    def forget(self, index: int) -> None:
        super().forget(index)
        self.diverse.entries[:] = [memory for memory in self.diverse.entries if memory.index != index]

    def __iter__(self) -> Iterator[Memory]:
        yield from {id(memory): memory for memory in (*super().__iter__(), *self.diverse.entries)}.values()


@dataclass(frozen=True)
class CrossImage(FrameWindow):
    """BioSAM 2's bank on a series of frames: no time, no object pointers.

    Frames are not prompted one by one here as its images are, so those prompted are always looked at.
    """

    size: int = 16
    pointers: bool = False

    def bank(self, reach: int, map_reach: int, around: bool) -> MemoryBank:
        return DiverseBank(reach, map_reach, around, diverse=CrossImageBank(self.size), stride=self.stride)

    def slots(self, bank: MemoryBank, index: int, reverse: bool) -> Slots:
        others = bank.diverse.entries if isinstance(bank, DiverseBank) else []
        return [(None, memory) for memory in (*self.prompted(bank, index).values(), *others)]


@dataclass(frozen=True)
class NamedPolicy:
    """A memory policy as ``--memory`` names it.

    make  gives the policy with its own numbers; a dataclass, so that ``--stride`` and the like replace its fields
    """

    name: str
    make: Callable[[], MemoryPolicy]


BUILT_IN = (
    NamedPolicy(MemoryRule.WINDOW, FrameWindow),
    NamedPolicy(MemoryRule.PRUNING, EfficientFramePruning),
    NamedPolicy(MemoryRule.CROSS_IMAGE, CrossImage),
)
POLICIES: Registry[NamedPolicy] = Registry("delineate.memory_policies", NamedPolicy, (f"{__name__}:BUILT_IN",))


def chosen_policy(own: MemoryPolicy, following: PropagationOptions) -> MemoryPolicy:
    """A system's own policy, or the one chosen instead, with the numbers chosen.

    A choice that repeats the system's own rule keeps its version. Raises PromptError for a policy that is not in the
    table, and for numbers it does not have.
    """
    policy = own
    if following.memory != MemoryRule.SYSTEM:
        named = POLICIES.get(following.memory)
        if named is None:
            raise PromptError(
                "E-FOLLOW-MEMORY",
                f'There is no memory policy "{following.memory}".',
                f"Choose one of {', '.join([MemoryRule.SYSTEM, *POLICIES, MemoryRule.CHAIN])}.",
            )
        policy = own if type(own) is named.make else named.make()
    chosen: dict[str, int] = {"stride": following.stride} if following.stride > 1 else {}
    if following.memories is not None:
        chosen["length"] = following.memories
        if isinstance(policy, CrossImage):
            chosen["size"] = following.memories
    if following.prompted is not None:
        chosen["most_prompted"] = following.prompted
    unknown = sorted(set(chosen) - {field.name for field in fields(cast(Any, policy))})
    if unknown:
        raise PromptError(
            "E-FOLLOW-NUMBER", f'The memory policy "{following.memory}" has no {", ".join(unknown)}.', "Leave it out."
        )
    return cast(MemoryPolicy, replace(cast(Any, policy), **chosen))


def _flat(memory: Memory) -> torch.Tensor:
    assert memory.tokens is not None
    return F.normalize(memory.tokens.float().flatten(), dim=0)
