"""The training loop of every system: what is trained is an ``Objective``, how is in ``LoopOptions``.

Quality is measured before the first step, and weights are kept only where they are better than that and than all
before. A run that was stopped goes on from its last measurement to the same weights: the random numbers of a step
depend on the seed, the step and the process alone. Runs on a CPU, on one GPU, and on many (``accelerate launch``):
gradients are averaged over processes, whatever the objective computes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from delineate.compute.engine import Precision
from delineate.core.errors import MissingExtraError, ModelError, OutputError
from delineate.training.average import MovingAverage
from delineate.training.plateau import Plateau
from delineate.training.run_files import LAST, RunLog, RunState, save_arrays

if TYPE_CHECKING:
    from accelerate import Accelerator

BEST = "best.safetensors"
DECAYS = (
    (1 / 3, 0.5),
    (2 / 3, 0.5),
)  # of the step schedule: shares of the run, factors (SAM-Med2D: epochs 5, 10 of 15)
COSINE_FLOOR = 0.01  # of the highest rate, at the end
Tell = Callable[[dict[str, float]], None]


class Objective(Protocol):
    """What is trained.

    groups   the optimizer's parameter groups: "params", and if they differ "lr", "weight_decay", "name"
    loss     of a batch drawn with ``rng``: "total" is minimized, the other entries are logged
    measure  quality on held-out cases, higher is better
    modules  what the moving average follows and what is put into training and evaluation mode
    weights  what is saved when better than before
    """

    def groups(self) -> list[dict[str, Any]]: ...
    def loss(self, rng: np.random.Generator, step: int) -> dict[str, Tensor]: ...
    def measure(self) -> float: ...
    def modules(self) -> torch.nn.Module: ...
    def weights(self) -> dict[str, Tensor]: ...


@runtime_checkable
class Remembers(Protocol):
    """An objective that carries something from step to step, which a resumed run needs too."""

    def state(self) -> dict[str, Tensor]: ...
    def restore(self, state: dict[str, Tensor]) -> None: ...


@runtime_checkable
class FollowsSteps(Protocol):
    """An objective that changes what it trains: called after each step, while the gradients are still there."""

    def stepped(self, step: int) -> None: ...


@runtime_checkable
class KeepsMore(Protocol):
    """An objective with more to write than ``weights``: called when those were written."""

    def keep(self, folder: Path) -> None: ...


class Schedule(StrEnum):
    CONSTANT = "constant"
    COSINE = "cosine"
    STEP = "step"
    POLYNOMIAL = "polynomial"  # (1 - share of the run) to a power
    PLATEAU = "plateau"  # see ``plateau.Plateau``; measurements are what it counts


@dataclass(frozen=True)
class LoopOptions:
    """How it is trained.

    output      folder of weights, log and the state a resumed run needs
    steps       of the optimizer, at most
    rate        highest learning rate (groups may have their own), reached after ``warmup`` steps
    power       of the polynomial schedule
    clip        norm of the gradient that is not exceeded; 0: any
    every       steps between measurements; the state is saved then
    ema         decay of the moving average that is measured and saved instead of the last weights; 0: none
    accumulate  losses a step
    precision   fp32, bf16 or fp16, of what the objective does not compute in fp32 by itself
    tensorboard scalars beside the log, where tensorboard is installed
    minutes     budget of wall-clock time, pauses not counted, which the rate follows too; 0: steps alone decide
    progress    called after every step with it, the last step, and the minutes left
    """

    output: Path
    steps: int
    rate: float
    weight_decay: float = 0.01
    warmup: int = 0
    schedule: Schedule = Schedule.CONSTANT
    power: float = 0.9
    clip: float = 1.0
    every: int = 50
    ema: float = 0.0
    accumulate: int = 1
    seed: int = 0
    resume: bool = False
    precision: str = "fp32"
    tensorboard: bool = True
    minutes: float = 0.0
    progress: Callable[[int, int, float], None] | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if (
            min(self.steps, self.every, self.accumulate) < 1
            or not 0 <= self.ema < 1
            or self.rate <= 0
            or self.minutes < 0
        ):
            raise ModelError(
                "E-TRAIN-OPTION", f"These make no run: {self}.", "Steps and rates are above 0, ema below 1."
            )
        if self.precision not in (Precision.FP32, Precision.BF16, Precision.FP16):
            raise ModelError("E-OPTION", f'Nothing is trained in "{self.precision}".', "One of fp32, bf16, fp16.")

    def share(self, step: int, minutes: float = 0.0) -> float:
        """Of the run that is over before a step counted from 1: by steps after the warm-up, or by time."""
        by_steps = max(0, step - self.warmup - 1) / max(1, self.steps - self.warmup)
        return min(1.0, max(by_steps, minutes / self.minutes)) if self.minutes else by_steps

    def over(self, step: int, minutes: float) -> bool:
        """Whether this step was the last one."""
        return step >= self.steps or 0 < self.minutes <= minutes

    def factor(self, step: int, minutes: float = 0.0) -> float:
        """Of the highest rate, at a step counted from 1, after so many minutes."""
        if step <= self.warmup:
            return step / self.warmup
        share = self.share(step, minutes)
        match Schedule(self.schedule):
            case Schedule.CONSTANT | Schedule.PLATEAU:
                return 1.0
            case Schedule.COSINE:
                return COSINE_FLOOR + (1 - COSINE_FLOOR) * 0.5 * (1 + math.cos(math.pi * share))
            case Schedule.POLYNOMIAL:
                return float((1 - share) ** self.power)
            case Schedule.STEP:
                return math.prod(factor for begin, factor in DECAYS if share >= begin)


@dataclass(frozen=True)
class TrainingOutcome:
    """Quality on held-out cases, before and at best, at which step; the weights (None where nothing was better)."""

    before: float
    best: float
    step: int
    weights: Path | None


def train(objective: Objective, options: LoopOptions, tell: Tell | None = None) -> TrainingOutcome:
    """Train, measure, keep the best. ``tell`` is called with each measurement.

    Where nothing was better than before, the network is left as it was before; else with the last weights.
    Raises ModelError E-TRAIN-NAN if the loss or the gradient is NaN or infinite; the last good state and the best
    weights stay on disk. OutputError if the folder holds another run and ``resume`` is off.
    """
    return _Run(objective, options).complete(tell)


class _Run:
    """One run: the objective, its optimizer, and how far it is."""

    def __init__(self, objective: Objective, options: LoopOptions) -> None:
        self.objective, self.options = objective, options
        self.module = objective.modules()
        groups = objective.groups()
        self.trained: list[Tensor] = [p for group in groups for p in group["params"]]
        if not self.trained:
            raise ModelError("E-TRAIN-NOTHING", "Nothing would be trained.", "Choose another part of the network.")
        self.accelerator = _accelerator(self.trained[0].device, Precision(options.precision))
        self.adam = torch.optim.AdamW(groups, options.rate, weight_decay=options.weight_decay)
        self.rates = [float(group["lr"]) for group in self.adam.param_groups]
        self.optimizer = self.accelerator.prepare(self.adam)
        self._same_everywhere()
        self.average = MovingAverage([*self.trained, *_statistics(self.module)], options.ema)
        self.state = RunState(self.module, self.adam, self.average, self.accelerator.scaler)
        self.begun = {name: value.detach().cpu().clone() for name, value in self.state.weights().items()}
        self.before = self.best = -math.inf
        self.step = self.best_step = 0
        self.plateau = Plateau()
        self.minutes = 0.0

    def complete(self, tell: Tell | None) -> TrainingOutcome:
        options = self.options
        path = options.output / LAST
        known = path.is_file()
        if known and not options.resume:
            raise OutputError(
                "E-OUTPUT-EXISTS", f"{options.output} holds a run already.", "Go on with --resume, or choose -o."
            )
        log = RunLog(options.output, options.tensorboard, self.accelerator.is_main_process)
        if known:
            self._restore(path)
        else:
            self.before = self.best = self._measured()
        log.begin(self.step, {"quality": self.before})
        began, first, earlier = time.monotonic(), self.step, self.minutes
        sums, since = dict[str, float](), 0
        while not options.over(self.step, self.minutes):
            self.step, since = self.step + 1, since + 1
            for name, value in self._stepped().items():
                sums[name] = sums.get(name, 0.0) + value
            spent = (time.monotonic() - began) / 60
            self.minutes = self._agreed(earlier + spent) if options.minutes else earlier + spent
            left = spent / (self.step - first) * (options.steps - self.step)
            left = min(left, max(0.0, options.minutes - self.minutes)) if options.minutes else left
            if options.progress is not None and self.accelerator.is_main_process:
                options.progress(self.step, options.steps, left)
            if self.step % options.every and not options.over(self.step, self.minutes):
                continue
            parts = {name: total / since for name, total in sums.items()}
            sums, since = {}, 0
            line = self._checked(parts) | {"minutes": round(self.minutes, 2), "minutes_left": round(left, 1)}
            log.write(self.step, line)
            if tell is not None and self.accelerator.is_main_process:
                tell(line)
        log.close()
        if not self.best_step:
            self._put_back()
        weights = options.output / BEST if self.best_step else None
        return TrainingOutcome(self.before, self.best, self.best_step, weights)

    @torch.no_grad()
    def _put_back(self) -> None:
        """Weights as they were before the first step."""
        for name, value in self.state.weights().items():
            value.copy_(self.begun[name])

    def _stepped(self) -> dict[str, float]:
        """One step of the optimizer; what the parts of the loss were."""
        options, parts = self.options, dict[str, float]()
        for group, rate in zip(self.adam.param_groups, self.rates, strict=True):
            group["lr"] = rate * options.factor(self.step, self.minutes) * self.plateau.factor
        place = (options.seed, self.step, self.accelerator.process_index)
        rng = np.random.default_rng(place)
        torch.manual_seed(int(rng.integers(2**62)))
        self.module.train()
        self.optimizer.zero_grad(set_to_none=True)
        for _ in range(options.accumulate):
            with self._precise():
                losses = self.objective.loss(rng, self.step)
            if not math.isfinite(losses["total"].item()):
                raise self._no_number("loss")
            self.accelerator.backward(losses["total"] / options.accumulate)
            for name, value in losses.items():
                parts[name] = parts.get(name, 0.0) + float(value.detach()) / options.accumulate
        self._average_gradients()
        norm = self.accelerator.clip_grad_norm_(self.trained, options.clip or math.inf)
        if self.accelerator.scaler is None and norm is not None and not math.isfinite(float(norm)):
            raise self._no_number("gradient")
        self.optimizer.step()
        if isinstance(self.objective, FollowsSteps):
            self.objective.stepped(self.step)
        self.average.follow(self.step)
        parts["loss"] = parts.pop("total")
        return parts

    def _checked(self, parts: dict[str, float]) -> dict[str, float]:
        """Measure, keep what is better, save the state; the line for the log."""
        if not all(bool(p.isfinite().all()) for p in self.trained):
            raise self._no_number("network")
        if self.options.schedule is Schedule.PLATEAU:
            self.plateau.note(self._agreed(parts["loss"]))
        with self.average.shown():
            found = self._measured()
            if found > self.best:
                self.best, self.best_step = found, self.step
                if self.accelerator.is_main_process:
                    save_arrays(self.options.output / BEST, self.objective.weights())
                    if isinstance(self.objective, KeepsMore):
                        self.objective.keep(self.options.output)
        if self.accelerator.is_main_process:
            extra = self.objective.state() if isinstance(self.objective, Remembers) else {}
            self.state.save(self.options.output / LAST, self._counts(), extra)
        self.accelerator.wait_for_everyone()
        rounded = {name: round(value, 5) for name, value in parts.items()}
        quality = {"quality": round(found, 4), "best": round(self.best, 4), "before": round(self.before, 4)}
        return {"step": self.step, **rounded, **quality, "rate": self.adam.param_groups[0]["lr"]}

    def _counts(self) -> dict[str, float]:
        counts = {"step": self.step, "best_step": self.best_step, "before": self.before, "best": self.best}
        return counts | {"minutes": self.minutes} | self.plateau.counts()

    def _restore(self, path: Path) -> None:
        counts, extra = self.state.load(path)
        self.step, self.best_step = int(counts["step"]), int(counts["best_step"])
        self.before, self.best, self.minutes = counts["before"], counts["best"], counts.get("minutes", 0.0)
        self.plateau = Plateau.of(counts)
        if isinstance(self.objective, Remembers):
            self.objective.restore(extra)

    @torch.no_grad()
    def _measured(self) -> float:
        self.module.eval()
        found = float(self.objective.measure())
        if not math.isfinite(found):
            raise self._no_number("measured quality")
        return self._agreed(found)

    def _agreed(self, value: float) -> float:
        """The main process's value."""
        if self.accelerator.num_processes == 1:
            return value
        from accelerate.utils import broadcast

        return float(broadcast(torch.tensor([value], dtype=torch.float32, device=self.accelerator.device)))

    def _precise(self) -> AbstractContextManager[None]:
        return self.accelerator.autocast()

    def _no_number(self, what: str) -> ModelError:
        kept = self.options.output / LAST
        where = f"The state of the last measurement is kept in {kept}." if kept.is_file() else ""
        return ModelError(
            "E-TRAIN-NAN",
            f"The {what} is NaN or infinite at step {self.step}.",
            f"{where} Try a lower rate, or fp32.".strip(),
        )

    def _same_everywhere(self) -> None:
        """Every process begins with the main one's weights."""
        if self.accelerator.num_processes > 1:
            from accelerate.utils import broadcast

            for value in self.module.state_dict().values():
                value.copy_(broadcast(value))

    def _average_gradients(self) -> None:
        """The mean over processes, in one message; a parameter without a gradient anywhere keeps none."""
        if self.accelerator.num_processes == 1:
            return
        device = self.trained[0].device
        there = torch.tensor([float(p.grad is not None) for p in self.trained], device=device)
        used = self.accelerator.reduce(there, "sum").tolist()
        having = [p for p, count in zip(self.trained, used, strict=True) if count]
        for parameter in having:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        flat = self.accelerator.reduce(torch.cat([p.grad.flatten() for p in having if p.grad is not None]), "mean")
        _spread(flat, having)


def _statistics(module: torch.nn.Module) -> list[Tensor]:
    """What batch norms know of the data: averaged as weights are."""
    norms = [m for m in module.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    return [value for m in norms for value in (m.running_mean, m.running_var) if value is not None]


def _spread(flat: Tensor, parameters: Sequence[Tensor]) -> None:
    for parameter, part in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
        parameter.grad = part.view_as(parameter).clone()


def _accelerator(device: torch.device, precision: Precision) -> Accelerator:
    """Raises MissingExtraError where accelerate is not installed, ModelError for fp16 on a CPU."""
    try:
        from accelerate import Accelerator
        from accelerate.state import AcceleratorState, PartialState
    except ModuleNotFoundError as error:
        raise MissingExtraError("Training", "train") from error
    if precision is Precision.FP16 and device.type == "cpu":
        raise ModelError("E-PRECISION", "fp16 gains nothing on a CPU.", "Use --precision bf16 or fp32.")
    if PartialState().num_processes == 1:  # an earlier run of this process may have had another device or precision
        AcceleratorState._reset_state(reset_partial_state=True)
    words = {Precision.FP32: "no", Precision.BF16: "bf16", Precision.FP16: "fp16"}
    return Accelerator(mixed_precision=words[precision], cpu=device.type == "cpu", device_placement=False)
