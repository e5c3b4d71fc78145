"""What of a network learns: an ordered table of names, applied once before training, printed as a summary."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

POSITIONS = r"positional_embedding"  # fixed random frequencies, buffers in the original


@dataclass(frozen=True)
class PartCount:
    """Numbers of a part of a network that learn, and that do not."""

    part: str
    trained: int
    frozen: int


@dataclass(frozen=True)
class FreezePolicy:
    """Which parameters learn: the first of ``rules`` that a name matches says so; what none matches is frozen.

    rules  a pattern that is searched in names, and whether they learn
    """

    rules: tuple[tuple[str, bool], ...]

    @classmethod
    def training(cls, *patterns: str) -> FreezePolicy:
        """What matches one of the patterns learns; frequencies of position encodings never do."""
        return cls(((POSITIONS, False), *((pattern, True) for pattern in patterns)))

    def learns(self, name: str) -> bool:
        return next((learns for pattern, learns in self.rules if re.search(pattern, name)), False)

    def apply(self, network: nn.Module) -> FreezeTable:
        """Switch gradients on and off, and put batch norms of frozen parts into evaluation mode."""
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(self.learns(name))
        self.keep_statistics(network)
        return FreezeTable.of(network)

    def table(self, network: nn.Module) -> FreezeTable:
        """What will learn of a network, part by part."""
        return FreezeTable.counted((name, p.numel(), self.learns(name)) for name, p in network.named_parameters())

    def keep_statistics(self, network: nn.Module) -> None:
        """Batch norms that do not learn keep the statistics they have; call it after ``network.train()``."""
        from torch import nn

        for module in network.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                own = [p.requires_grad for p in module.parameters(recurse=False)]
                if not any(own):
                    module.eval()

    def names(self, network: nn.Module) -> set[str]:
        """Names of the arrays an adapter file holds: what learns, and statistics of batch norms that do."""
        learned = {name for name, _ in network.named_parameters() if self.learns(name)}
        parts = {name.rpartition(".")[0] for name in learned}
        return learned | {
            name for name, _ in network.named_buffers() if name.rpartition(".")[0] in parts and name in _saved(network)
        }


@dataclass(frozen=True)
class FreezeTable:
    """What learns, part by part."""

    rows: tuple[PartCount, ...]

    @classmethod
    def of(cls, network: nn.Module) -> FreezeTable:
        """Of a network's parameters, as they are switched on and off."""
        return cls.counted((name, p.numel(), p.requires_grad) for name, p in network.named_parameters())

    @classmethod
    def counted(cls, parameters: Iterable[tuple[str, int, bool]]) -> FreezeTable:
        """Of names, sizes and whether they learn; parts are named by the first word of a name."""
        counts: dict[str, list[int]] = {}
        for name, size, learns in parameters:
            counts.setdefault(name.partition(".")[0], [0, 0])[0 if learns else 1] += size
        return cls(tuple(PartCount(part, *row) for part, row in counts.items()))

    @property
    def trained(self) -> int:
        return sum(row.trained for row in self.rows)

    @property
    def frozen(self) -> int:
        return sum(row.frozen for row in self.rows)

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        width = max(len("part"), *(len(row.part) for row in self.rows)) if self.rows else 4
        yield f"{'part':{width}}  {'trained':>13}  {'frozen':>13}"
        for row in (*self.rows, PartCount("all", self.trained, self.frozen)):
            yield f"{row.part:{width}}  {row.trained:13,}  {row.frozen:13,}"


def _saved(network: nn.Module) -> set[str]:
    return set(network.state_dict())
