"""What a training run writes: its state (one file of arrays), its log (a line of JSON a measurement), scalars."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import torch
from pydantic import BaseModel, FiniteFloat, model_validator
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from delineate.core.errors import ModelError
from delineate.core.json_file import parsed_json
from delineate.core.reading import reading
from delineate.io.atomic import replacing
from delineate.training.average import MovingAverage

LAST = "last.safetensors"
LOG = "log.jsonl"
NO_RESUME = "Give the options of that run, or start anew with another -o."


class RunRecord(BaseModel):
    """What the header of a state says: how far the run is, and the state of the gradient scaler."""

    counts: dict[str, FiniteFloat]
    scaler: dict[str, Any] = {}

    @model_validator(mode="after")
    def _has_a_step(self) -> Self:
        if self.counts.get("step", -1) < 0:
            raise ValueError("counts say no step")
        return self


def _run_in(path: Path, said: Mapping[str, str]) -> RunRecord:
    what = "the state of a training run"
    if "run" not in said:
        raise ModelError("E-TRAIN-RESUME", f"{path.name} is not {what}.", NO_RESUME)
    return parsed_json(said["run"], RunRecord, path.name, "E-TRAIN-RESUME", what, NO_RESUME, ModelError)


def _step_in(line: str) -> float:
    """The step a line of a log is about; 0 where it does not say, infinite for a line that is damaged."""
    try:
        said = json.loads(line)
        return float(said.get("step", 0))
    except (ValueError, AttributeError, TypeError, RecursionError):
        return float("inf")


def save_arrays(path: Path, arrays: Mapping[str, Tensor], **said: str) -> None:
    """Write arrays, and words about them in the header; the file is there whole or not at all."""
    with replacing(path) as temporary:
        save_file({k: v.detach().cpu().contiguous().clone() for k, v in arrays.items()}, temporary, said or None)


def read_arrays(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Arrays of a file, and the words in its header. Raises ModelError if it cannot be read."""
    with reading(path, "E-MODEL-DAMAGED", ModelError, "cannot be read", NO_RESUME), safe_open(path, "pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118


def counts_in(path: Path) -> dict[str, float]:
    """How far the run is whose state this is; nothing else is read. Raises ModelError if it is no such file."""
    with reading(path, "E-MODEL-DAMAGED", ModelError, "cannot be read", NO_RESUME), safe_open(path, "pt") as file:
        return _run_in(path, file.metadata() or {}).counts


def averaged_weights(path: Path) -> dict[str, Tensor]:
    """The moving average of a run's weights, or the last ones where there is none; of a module all of which learned."""
    arrays, _ = read_arrays(path)
    names = [key.partition("/") for key in arrays]
    return {
        name: arrays.get(f"ema/{name}", arrays[f"{kind}/{name}"])
        for kind, _, name in names
        if kind in ("param", "buffer")
    }


def load_averaged(network: nn.Module, path: Path) -> None:
    """Put ``averaged_weights`` of a run into its network. Raises ModelError if they are of another network."""
    weights = averaged_weights(path)
    with reading(path, "E-TRAIN-RESUME", ModelError, "is the state of another network", NO_RESUME):
        network.load_state_dict(weights)


class RunState:
    """What a run needs to go on: trained parameters, buffers, the optimizer's moments, the average, counts.

    Frozen parameters are not written: they come with the system.
    """

    def __init__(self, module: nn.Module, adam: torch.optim.Optimizer, average: MovingAverage, scaler: Any) -> None:
        self.module, self.adam, self.average, self.scaler = module, adam, average, scaler
        known = {id(p): name for name, p in module.named_parameters()}
        self.trained: dict[str, Tensor] = {}
        for number, group in enumerate(adam.param_groups):
            for place, p in enumerate(group["params"]):
                self.trained[known.get(id(p), f"group{number}.{place}")] = p
        known = {id(value): name for name, value in [*self.trained.items(), *module.named_buffers()]}
        self.averaged = [known[id(value)] for value in average.parameters]

    def weights(self) -> dict[str, Tensor]:
        """All that a run changes of a network: trained parameters and buffers."""
        return self.trained | self._buffers()

    def save(self, path: Path, counts: Mapping[str, float], extra: Mapping[str, Tensor]) -> None:
        """Write all of it; ``counts`` are exact."""
        arrays = {f"param/{name}": p for name, p in self.trained.items()}
        arrays |= {f"buffer/{name}": value for name, value in self._buffers().items()}
        arrays |= {f"extra/{name}": value for name, value in extra.items()}
        for name, p in self.trained.items():
            arrays |= {f"adam/{key}/{name}": torch.as_tensor(v) for key, v in self.adam.state.get(p, {}).items()}
        if self.average.values:
            arrays |= {f"ema/{name}": v for name, v in zip(self.averaged, self.average.values, strict=True)}
        scaler = {} if self.scaler is None else self.scaler.state_dict()
        save_arrays(path, arrays, run=json.dumps({"counts": dict(counts), "scaler": scaler}))

    @torch.no_grad()
    def load(self, path: Path) -> tuple[dict[str, float], dict[str, Tensor]]:
        """Put everything back; the counts and what the objective had to say.

        Raises ModelError if the file belongs to another run.
        """
        arrays, said = read_arrays(path)
        for kind, wanted in (("param", self.trained), ("buffer", self._buffers())):
            for name, value in wanted.items():
                found = arrays.get(f"{kind}/{name}")
                if found is None or found.shape != value.shape:
                    raise ModelError(
                        "E-TRAIN-RESUME",
                        f"{path} is the state of another run: {name} is not in it, or of another shape.",
                        "Give the options of that run, or another -o.",
                    )
                value.copy_(found)
        run = _run_in(path, said)
        with reading(path, "E-TRAIN-RESUME", ModelError, "is the state of another run", NO_RESUME):
            for name, mean, value in zip(self.averaged, self.average.values, self.average.parameters, strict=False):
                mean.copy_(arrays.get(f"ema/{name}", value))
            self._load_moments(arrays)
            if self.scaler is not None and run.scaler:
                self.scaler.load_state_dict(run.scaler)
        extra = {k.removeprefix("extra/"): v for k, v in arrays.items() if k.startswith("extra/")}
        return run.counts, extra

    def _load_moments(self, arrays: dict[str, Tensor]) -> None:
        self.adam.state.clear()
        for key, value in arrays.items():
            if key.startswith("adam/"):
                _, moment, name = key.split("/", 2)
                parameter = self.trained[name]
                kept = value if moment == "step" else torch.empty_like(parameter).copy_(value)
                self.adam.state[parameter][moment] = kept

    def _buffers(self) -> dict[str, Tensor]:
        names = {name for name, _ in self.module.named_parameters()}
        return {name: value for name, value in self.module.state_dict().items() if name not in names}


class RunLog:
    """``log.jsonl``, and scalars for TensorBoard where that is installed; of a resumed run later lines are cut off."""

    def __init__(self, folder: Path, tensorboard: bool, writes: bool) -> None:
        self.path, self.writes, self.board = folder / LOG, writes, None
        self._folder, self._tensorboard = folder, tensorboard

    def begin(self, step: int, values: Mapping[str, float]) -> None:
        """Ready to go on after ``step``; ``values`` are what was known before the first one."""
        if not self.writes:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        lines = self.path.read_text().splitlines(keepends=True) if step and self.path.is_file() else []
        self.path.write_text("".join(line for line in lines if _step_in(line) <= step))
        self.board = self._writer(step) if self._tensorboard else None
        if self.board is not None and not step:
            for name, value in values.items():
                self.board.add_scalar(name, value, 0)

    def write(self, step: int, line: Mapping[str, Any]) -> None:
        """One measurement."""
        if not self.writes:
            return
        with self.path.open("a") as stream:
            stream.write(json.dumps(dict(line)) + "\n")
        if self.board is not None:
            for name, value in line.items():
                if name != "step" and isinstance(value, int | float):
                    self.board.add_scalar(name, value, step)
            self.board.flush()

    def close(self) -> None:
        if self.board is not None:
            self.board.close()

    def _writer(self, step: int) -> Any:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return None
        return SummaryWriter(str(self._folder / "tensorboard"), purge_step=step + 1 if step else None)


def add_to_log(folder: Path, line: Mapping[str, Any]) -> None:
    """One more line in a run's log, such as what a probe found."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOG).open("a") as stream:
        stream.write(json.dumps(dict(line)) + "\n")
