"""Named places in a network where papers put modules, and what such a module may ask for.

Every encoder, mask decoder and memory of the house is written with slots (``models.hosts``). A module in one of them
runs in training, in use and when it is exported; an empty slot changes nothing, bit for bit, and the host's own
weights keep their names. Modules in one slot run in the order in which they were put there.

A slot's module is called with the following, and gives what comes after the arrow:

- BEFORE, BETWEEN, AFTER, HYPER, IMAGE_UPDATE: (tokens, context) -> the tokens to go on with
- ATTENTION_INPUT: (normed tokens, context) -> those that go into attention
- ATTENTION: (normed tokens, replaced, context) -> what attention would give; ``replaced`` gives it
- ATTENTION_OUTPUT: (what attention gave, context) -> the same, before it is added
- ATTENTION_PARALLEL: (normed tokens, replaced, context) -> tokens added after attention
- MLP_PARALLEL: (tokens, normed tokens, context) -> tokens added beside the MLP
- STEM: (pixels, replaced, context) -> tokens
- NECK: (tokens, replaced, context) -> the embedding (B, 256, f, f); in Hiera a tuple of maps -> maps, their positions

Of several modules in a replacing slot each stands in for the one before it.

Tokens of an encoder are maps (B, H, W, C); where a block of Hiera pools its queries, those behind attention have half
the sides and another width. Tokens of a decoder are (O, T, 256), those of the image (1 or O, N, 256).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, ClassVar

from torch import Tensor, nn

from delineate.core.errors import ModelError


class Slot(StrEnum):
    """Of a block of an image encoder: ``y = x + attention(norm(x)); z = y + mlp(norm(y))``."""

    BEFORE = "before"  # x
    ATTENTION_INPUT = "attention_input"  # norm(x)
    ATTENTION = "attention"  # in its place
    ATTENTION_PARALLEL = "attention_parallel"
    ATTENTION_OUTPUT = "attention_output"
    BETWEEN = "between"  # y
    MLP_PARALLEL = "mlp_parallel"
    AFTER = "after"  # z


class DecoderSlot(StrEnum):
    """Of a two-way block of a mask decoder."""

    HYPER = "hyper"  # tokens, after attention to the image
    MLP_PARALLEL = "mlp_parallel"
    IMAGE_UPDATE = "image_update"  # the image, after attention to the tokens


class MemorySlot(StrEnum):
    """Of a layer of attention to memories; tokens are those of the frame, (1 or O, N, 256)."""

    BEFORE = "before"
    BETWEEN = "between"  # after attention to memories
    MLP_PARALLEL = "mlp_parallel"
    AFTER = "after"


class EncoderSlot(StrEnum):
    """Of an image encoder as a whole, both replacing."""

    STEM = "stem_slot"  # pixels to tokens
    NECK = "neck_slot"  # tokens to the embedding


AnySlot = Slot | DecoderSlot | MemorySlot | EncoderSlot


class Blocks(StrEnum):
    """Which blocks of a network get a module."""

    ALL = "all"
    GLOBAL = "global"  # attention over the whole map
    WINDOWED = "windowed"


@dataclass(frozen=True, eq=False)
class Taps:
    """Tokens behind some blocks of an encoder, to be read after a call: ``tokens[block]`` is (B, H, W, C)."""

    blocks: tuple[int, ...]
    tokens: dict[int, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class SlotContext:
    """What a module in a slot can know beside its tokens. A caller gives the first five, hosts fill in the others.

    depth    frames of a clip or slices of a volume that follow each other in the batch (B = clips x depth)
    valid    bool (clips, depth): frames that are there and not repeated to fill up; None: all are
    spacing  mm between slices, rows and columns
    branch   features of a branch beside the encoder, by name
    taps     where tokens behind blocks are wanted
    block    number of the block in its encoder, decoder or memory
    grid     rows and columns of the map that went into the block
    prompt   prompt tokens (O, T, 256); None in an encoder
    """

    depth: int = 1
    valid: Tensor | None = None
    spacing: tuple[float, float, float] | None = None
    branch: Mapping[str, Tensor] = field(default_factory=dict)
    taps: Taps | None = None
    block: int = 0
    grid: tuple[int, int] = (0, 0)
    prompt: Tensor | None = None

    def at(self, block: int, grid: Sequence[int]) -> SlotContext:
        """The context of a block."""
        return replace(self, block=block, grid=(grid[0], grid[1]))

    def tapped(self, tokens: Tensor) -> Tensor:
        """What came out of the block of this context, kept where it is wanted."""
        if self.taps is not None and self.block in self.taps.blocks:
            self.taps.tokens[self.block] = tokens
        return tokens


NO_CONTEXT = SlotContext()


@dataclass(frozen=True, eq=False)
class Replaced:
    """What a module of a replacing slot stands in for; calling it gives what would have been there without.

    module  the host's own, such as attention with its ``qkv``; attention takes any map, window or line of tokens
    run     what the host does with it, such as cutting the map into windows
    lines   attention among the tokens of any grid (N, h, w, C), queries not pooled; None: ``module`` itself
    pool    what the host does to a map of answers where it pools queries
    """

    module: nn.Module
    run: Callable[[Any], Any]
    lines: Callable[[Tensor], Tensor] | None = None
    pool: Callable[[Tensor], Tensor] | None = None

    def __call__(self, x: Any) -> Any:
        return self.run(x)

    def among(self, x: Tensor) -> Tensor:
        """Attention among the tokens of every grid (N, h, w, C), as they are."""
        return self.module(x) if self.lines is None else self.lines(x)

    def pooled(self, x: Tensor) -> Tensor:
        """A map (B, H, W, C) with as many rows and columns as the host goes on with."""
        return x if self.pool is None else self.pool(x)


class Slotted(nn.Module):
    """Mixed into a host's class: its forward says where the slots are.

    offers  its slots
    window  tokens along a side of a window; 0: attention over the whole map
    """

    offers: ClassVar[tuple[StrEnum, ...]] = tuple(Slot)
    window: int = 0

    def has(self, slot: StrEnum) -> bool:
        return any(one is slot for one in self.offers)  # names of different kinds of slots may be the same

    def widths(self, slot: StrEnum) -> tuple[int, int]:
        """Channels that go into a module of the slot, and that must come out of it."""
        raise NotImplementedError

    def filling(self, slot: StrEnum) -> Iterator[nn.Module]:
        """The modules in a slot, in order."""
        name, number = slot.value, 1
        while (module := self._modules.get(name)) is not None:
            yield module
            number += 1
            name = f"{slot.value}_{number}"

    def through(self, slot: StrEnum, x: Tensor, context: SlotContext) -> Tensor:
        """Tokens changed by a slot."""
        for module in self.filling(slot):
            x = module(x, context)
        return x

    def plus(self, slot: StrEnum, x: Tensor, *given: Any) -> Tensor:
        """Tokens and what a parallel slot adds to them."""
        for module in self.filling(slot):
            x = x + module(*given)
        return x

    def instead(self, slot: StrEnum, own: Replaced, x: Any, context: SlotContext) -> Any:
        """What a replacing slot gives; each module stands in for the one before it, the first one for the host's."""
        for module in self.filling(slot):
            own = replace(own, run=_bound(module, own, context))
        return own(x)


def _bound(module: nn.Module, own: Replaced, context: SlotContext) -> Callable[[Any], Any]:
    return lambda x: module(x, own, context)


@dataclass(frozen=True)
class Insertion:
    """One row of a plan.

    make    from the channels that go in and must come out to a module; called once a block
    blocks  which blocks get one, or their numbers
    """

    slot: AnySlot
    make: Callable[[int, int], nn.Module]
    blocks: Blocks | tuple[int, ...] = Blocks.ALL


def insert(network: nn.Module, *plan: Insertion) -> None:
    """Put modules into slots of a network or of a part of it.

    Raises ModelError if the network has no such slot, or no such block.
    """
    for row in plan:
        offering = [m for m in network.modules() if isinstance(m, Slotted) and m.has(row.slot)]
        if not offering:
            raise _refusal(
                network, row.slot, [s for m in network.modules() if isinstance(m, Slotted) for s in m.offers]
            )
        for block in _chosen(offering, row.blocks):
            put(block, row.slot, row.make(*block.widths(row.slot)))


def put(block: nn.Module, slot: AnySlot, module: nn.Module) -> None:
    """Put a module into a slot of one block, after those that are there already.

    Raises ModelError if the block has no such slot.
    """
    if not isinstance(block, Slotted):
        raise _refusal(block, slot, [])
    if not block.has(slot):
        raise _refusal(block, slot, block.offers)
    number = len(list(block.filling(slot))) + 1
    block.add_module(slot.value if number == 1 else f"{slot.value}_{number}", module.train(block.training))


def remove(network: nn.Module, *slots: AnySlot) -> None:
    """Take every module out of some slots of a network; what is left answers as if they had never been put there."""
    for block in [one for one in network.modules() if isinstance(one, Slotted)]:
        for slot in slots:
            for module in list(block.filling(slot)) if block.has(slot) else ():
                del block._modules[next(name for name, one in block._modules.items() if one is module)]


def _refusal(network: nn.Module, slot: StrEnum, offered: Sequence[StrEnum]) -> ModelError:
    names = dict.fromkeys(f"{type(one).__name__}.{one.name}" for one in offered)
    there = f"It has {', '.join(names)}." if names else "It has no slots at all."
    return ModelError("E-SLOT", f"{type(network).__name__} has no {type(slot).__name__}.{slot.name}.", there)


def _chosen(blocks: list[Slotted], wanted: Blocks | tuple[int, ...]) -> list[Slotted]:
    if isinstance(wanted, Blocks):
        return [b for b in blocks if wanted is Blocks.ALL or (b.window == 0) is (wanted is Blocks.GLOBAL)]
    missing = [n for n in wanted if not 0 <= n < len(blocks)]
    if missing:
        raise ModelError("E-SLOT", f"There is no block {missing[0]}.", f"The blocks are 0 to {len(blocks) - 1}.")
    return [blocks[n] for n in wanted]
