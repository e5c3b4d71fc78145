"""How many bytes of tensors are alive while something is computed: what a graph keeps, and the most at any time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

EVERY = 40  # operations from one look to the next


class Live(TorchDispatchMode):
    """Counts storages that operations made and that are still there; ``known`` ones (weights) are not counted."""

    def __init__(self, known: Iterable[Tensor]) -> None:
        super().__init__()
        self.known = {one.untyped_storage().data_ptr() for one in known}
        self.made: dict[int, tuple[StorageWeakRef, int]] = {}
        self.peak = self.count = 0

    def now(self) -> int:
        """Bytes that are alive."""
        self.made = {key: one for key, one in self.made.items() if not one[0].expired()}
        return sum(size for _, size in self.made.values())

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        for one in tree_leaves(found):
            if not isinstance(one, torch.Tensor):
                continue
            storage = one.untyped_storage()
            old = self.made.get(storage._cdata)
            if storage.data_ptr() not in self.known and (old is None or old[0].expired()):
                self.made[storage._cdata] = StorageWeakRef(storage), storage.nbytes()
        self.count += 1
        if self.count % EVERY == 0:
            self.peak = max(self.peak, self.now())
        return found
