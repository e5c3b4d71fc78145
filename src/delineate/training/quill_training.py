"""Training Quill: ``delineate train quill``. A wall-clock budget, checkpoints that resume, an ONNX file at the end."""

from __future__ import annotations

import copy
import ctypes
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from delineate.errors import ModelError
from delineate.io.atomic import replacing, write_bytes
from delineate.models.quill import Quill
from delineate.training.correction import corrected
from delineate.training.export import export_quill
from delineate.training.losses import quill_loss
from delineate.training.quill_data import Batch, SamplePool

SIDE = 256  # of a crop
POOL = 2400  # samples kept
LOG_STEPS, SAVE_STEPS = 100, 500


@dataclass(frozen=True)
class QuillTraining:
    """The recipe.

    output   folder for checkpoint, log and model
    minutes  wall-clock budget; the learning rate falls to zero over it
    data     folder with a manifest.json, of which only items marked ``train`` are used; None: synthetic scenes only
    start    weights (.safetensors) to begin from, instead of random ones
    resume   go on where a run in ``output`` stopped
    growth   up to which share of the budget crops are shown at which side; after the last: 256 px
    correct  share of batches that are shown again with the network's own outline and a correcting click
    """

    output: Path
    minutes: float = 90.0
    data: Path | None = None
    start: Path | None = None
    resume: bool = False
    seed: int = 0
    batch: int = 32
    rate: float = 3e-3
    weight_decay: float = 0.02
    growth: tuple[tuple[float, int], ...] = ((0.3, 128), (0.6, 192))
    correct: float = 0.35
    version: str = "0"
    threads: int = 0
    workers: int = 1


@dataclass
class _Progress:
    step: int = 0
    samples: int = 0
    minutes: float = 0.0
    saved: int = 0  # the step of the last checkpoint
    log: list[dict[str, float]] = field(default_factory=list)


def train_quill(recipe: QuillTraining, tell: Callable[[dict[str, float]], None] | None = None) -> Path:
    """Train, and return the exported ONNX file. ``tell`` is called with each line of the log.

    Raises ModelError if the loss is no number: the last checkpoint is good.
    """
    _keep_memory()
    torch.manual_seed(recipe.seed)
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    recipe.output.mkdir(parents=True, exist_ok=True)
    network = Quill().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(network.parameters(), recipe.rate, weight_decay=recipe.weight_decay)
    average, progress = _begin(recipe, network, optimizer)
    pool = SamplePool(SIDE, POOL, recipe.seed + 10 * progress.step, recipe.data, recipe.workers)
    rng = np.random.default_rng(recipe.seed + progress.step)
    try:
        pool.fill(POOL // 3)  # the budget begins when there is enough to choose from
        began = time.monotonic() - progress.minutes * 60
        while progress.minutes < recipe.minutes:
            share = progress.minutes / recipe.minutes
            for group in optimizer.param_groups:
                group["lr"] = _rate(recipe, progress.step, share)
            side = next((s for until, s in recipe.growth if share < until), SIDE)
            batch = _shown(pool.draw(recipe.batch), side)
            outlines = _step(network, average, optimizer, batch, progress)
            if rng.random() < recipe.correct:
                again = corrected(rng, batch[0].numpy(), outlines, (batch[1] > 0.5).numpy())
                _step(network, average, optimizer, (torch.from_numpy(again), batch[1], batch[2] & False), progress)
            progress.minutes = (time.monotonic() - began) / 60
            if progress.step % LOG_STEPS < 2 and len(progress.log) > 10:
                _report(recipe, progress, tell)
            if progress.step - progress.saved >= SAVE_STEPS:
                _save(recipe.output, network, average, optimizer, progress)
    finally:
        pool.close()
    _save(recipe.output, network, average, optimizer, progress)
    path = recipe.output / "quill.onnx"
    export_quill(average, path, recipe.version)
    return path


def _keep_memory() -> None:
    """Let glibc keep what it frees: fresh pages for every activation cost more time than the convolutions."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    for option, value in ((-4, 0), (-1, 2**31 - 1), (-2, 256 * 2**20)):  # M_MMAP_MAX, M_TRIM_THRESHOLD, M_TOP_PAD
        mallopt(option, value)


def _rate(recipe: QuillTraining, step: int, share: float) -> float:
    """Short warm-up, then a half cosine to (nearly) zero at the end of the budget."""
    return recipe.rate * min(1.0, (step + 1) / 200) * 0.5 * (1 + math.cos(math.pi * min(1.0, share))) + 1e-5


Shown = tuple[Tensor, Tensor, Tensor]  # maps (B, C, S, S), truth (B, S, S) 0 to 1, ambiguous (B,)


def _shown(batch: Batch, side: int) -> Shown:
    """A batch at ``side`` pixels."""
    maps, truth = torch.from_numpy(batch.maps).float(), torch.from_numpy(batch.truth).float() / 255
    if side != maps.shape[-1]:
        maps = F.interpolate(maps, size=side, mode="bilinear", antialias=True)
        truth = F.interpolate(truth[:, None], size=side, mode="bilinear", antialias=True)[:, 0]
    return maps, truth, torch.from_numpy(batch.ambiguous)


def _step(
    network: Quill, average: Quill, optimizer: torch.optim.Optimizer, batch: Shown, progress: _Progress
) -> NDArray[np.bool_]:
    """One step; returns the outlines (B, S, S) the network would have shown."""
    maps, truth, ambiguous = batch
    network.train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits, judged, presence = network(maps.contiguous(memory_format=torch.channels_last))
    loss = quill_loss(logits, judged, presence, truth, ambiguous)
    if not torch.isfinite(loss.total):
        raise ModelError("E-TRAIN-NAN", f"The loss is no number at step {progress.step}.", "Go on with --resume.")
    optimizer.zero_grad(set_to_none=True)
    loss.total.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()
    progress.step += 1
    progress.samples += len(maps)
    progress.log.append({name: float(value) for name, value in vars(loss).items() if name != "total"})
    progress.log[-1]["side"] = maps.shape[-1]
    _follow(average, network, min(0.999, (1 + progress.step) / (10 + progress.step)))
    with torch.no_grad():
        best = judged.argmax(1)
        return (logits[torch.arange(len(maps)), best] > 0).numpy()


@torch.no_grad()
def _follow(average: Quill, network: Quill, decay: float) -> None:
    """Exponential moving average of weights and normalisation statistics."""
    for mean, new in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if mean.dtype.is_floating_point:
            mean.lerp_(new, 1 - decay)
        else:
            mean.copy_(new)


def _begin(recipe: QuillTraining, network: Quill, optimizer: torch.optim.Optimizer) -> tuple[Quill, _Progress]:
    average = copy.deepcopy(network).eval()
    if recipe.start is not None:
        for one in (network, average):
            one.load_state_dict(load_file(recipe.start))
    state = recipe.output / "state.json"
    if not recipe.resume:
        return average, _Progress()
    if not state.is_file():
        raise ModelError("E-TRAIN-RESUME", f"There is no run to resume in {recipe.output}.", "Leave --resume out.")
    tensors = load_file(recipe.output / "checkpoint.safetensors")
    network.load_state_dict(_part(tensors, "network."))
    average.load_state_dict(_part(tensors, "average."))
    moments = _part(tensors, "optimizer.")
    known = optimizer.state_dict()
    known["state"] = {
        n: {key: moments[f"{n}.{key}"] for key in ("step", "exp_avg", "exp_avg_sq")}
        for n in range(len(list(network.parameters())))
        if f"{n}.step" in moments
    }
    optimizer.load_state_dict(known)
    numbers = json.loads(state.read_text())
    return average, _Progress(numbers["step"], numbers["samples"], numbers["minutes"], numbers["step"])


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _save(folder: Path, network: Quill, average: Quill, optimizer: torch.optim.Optimizer, progress: _Progress) -> None:
    """Everything needed to go on, arrays only; and the averaged weights alone, to start another run from."""
    progress.saved = progress.step
    tensors = {f"network.{k}": v.contiguous() for k, v in network.state_dict().items()}
    tensors |= {f"average.{k}": v.contiguous() for k, v in average.state_dict().items()}
    for number, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{key}": value.contiguous() for key, value in state.items()}
    with replacing(folder / "checkpoint.safetensors") as temporary:
        save_file(tensors, temporary)
    with replacing(folder / "average.safetensors") as temporary:
        save_file({k: v.contiguous() for k, v in average.state_dict().items()}, temporary)
    numbers = {"step": progress.step, "samples": progress.samples, "minutes": progress.minutes}
    write_bytes(folder / "state.json", json.dumps(numbers).encode())


def _report(recipe: QuillTraining, progress: _Progress, tell: Callable[[dict[str, float]], None] | None) -> None:
    line: dict[str, float] = {"step": progress.step, "samples": progress.samples, "minutes": round(progress.minutes, 2)}
    line |= {name: round(float(np.mean([entry[name] for entry in progress.log])), 4) for name in progress.log[0]}
    progress.log.clear()
    with (recipe.output / "log.jsonl").open("a") as stream:
        stream.write(json.dumps(line) + "\n")
    if tell is not None:
        tell(line)
