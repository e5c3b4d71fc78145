"""What objectives have in common that train a host network, with or without adapters in its image encoder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from delineate.training.encoder_adapters import LowRankAdapter
from delineate.training.loop import LoopOptions, Tell, TrainingOutcome, train
from delineate.training.prompt_policies import SampledPrompts
from delineate.training.run_files import add_to_log, read_arrays
from delineate.training.sensitivity import Sensitivity, prompt_sensitivity

ADAPTER = "adapter.safetensors"


class Adapted:
    """The part of an ``Objective`` that saves, takes and resumes weights.

    host       the system's network, its image encoder being ``vision_encoder``
    adapter    in that encoder, or None
    predictor  whose network it is
    _groups    the optimizer's groups
    """

    host: Any
    adapter: LowRankAdapter | None
    predictor: Any
    _groups: list[dict[str, Any]]

    def loss(self, rng: np.random.Generator, step: int) -> dict[str, Tensor]:
        raise NotImplementedError

    def measure(self) -> float:
        raise NotImplementedError

    def dice_with(self, prompts: Callable[[NDArray[np.bool_]], SampledPrompts]) -> float:
        """Mean Dice of held-out structures with what ``prompts`` makes of a frame's structures (O, S, S)."""
        raise NotImplementedError

    def groups(self) -> list[dict[str, Any]]:
        return self._groups

    def modules(self) -> nn.Module:
        return self.host

    def weights(self) -> dict[str, Tensor]:
        """All of the system, adapters merged, under the host's names: ``segment -m FILE`` opens it."""
        return self.host.state_dict() if self.adapter is None else self.adapter.merged(self.host)

    def keep(self, folder: Path) -> None:
        """The adapter's own small file, with all that learned beside it."""
        if self.adapter is not None:
            learned = {id(p) for group in self._groups for p in group["params"]}
            others = {n: p for n, p in self.host.named_parameters() if id(p) in learned and ".lora_" not in n}
            self.adapter.save(folder / ADAPTER, others, self.predictor.record.name, self.host)

    def take(self, weights: Path) -> None:
        """The best weights of a run, which ``weights`` and ``keep`` wrote."""
        if self.adapter is None:
            self.host.load_state_dict(read_arrays(weights)[0])
            return
        self.take_adapter(weights.with_name(ADAPTER))

    def take_adapter(self, file: Path) -> None:
        """What an adapter's own file holds, of the same layers and ranks."""
        assert self.adapter is not None
        arrays, _ = read_arrays(file)
        self.adapter.take(arrays)
        self.host.load_state_dict({n: v for n, v in arrays.items() if not n.startswith("adapter.")}, strict=False)

    def stepped(self, step: int) -> None:
        if self.adapter is not None:
            self.adapter.stepped(step)

    def state(self) -> dict[str, Tensor]:
        return {} if self.adapter is None else self.adapter.state()

    def restore(self, state: dict[str, Tensor]) -> None:
        if self.adapter is not None:
            self.adapter.restore(state)

    def with_penalty(self, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        """Losses, and what AdaLoRA adds to them."""
        extra = None if self.adapter is None else self.adapter.penalty()
        return losses if extra is None else losses | {"orthogonality": extra, "total": losses["total"] + extra}


def run_adapted(objective: Adapted, loop: LoopOptions, probe: bool, tell: Tell | None = None) -> TrainingOutcome:
    """The loop, and the probe of prompts before and after it, in the log under "sensitivity".

    At the end the network has the best weights: those it began with where nothing was better.
    """
    before: Sensitivity | None = prompt_sensitivity(objective) if probe else None
    outcome = train(objective, loop, tell)
    if outcome.weights is not None:
        objective.take(outcome.weights)
    if before is not None:
        after = before if outcome.weights is None else prompt_sensitivity(objective)
        add_to_log(loop.output, {"sensitivity": {"before": before.as_line(), "after": after.as_line()}})
    return outcome
