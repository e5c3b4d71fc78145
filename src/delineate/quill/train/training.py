"""Training Quill: ``delineate train quill``. The shared loop, with a budget of wall-clock time, and an ONNX at the end.

Scenes and questions about them come from a pool that worker processes fill; some are shown again with the network's own
outline and a click where it is wrong, or on the next frame. What is measured, and shipped, is the moving average of the
weights.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.optim.swa_utils import update_bn

from delineate.compute.engine import Engine, Precision
from delineate.compute.threads import usable_threads
from delineate.core.errors import ModelError
from delineate.data.cases import refuse_outside
from delineate.data.confined import DataFolder
from delineate.quill.data.prompt_samples import PromptSample, prompt_samples
from delineate.quill.data.real_scenes import training_cases
from delineate.quill.data.scene import Scene
from delineate.quill.data.scene_pool import ScenePool, query_batch, random_scene
from delineate.quill.data.training_batch import IntensityAugmentation, TrainingBatch, render_batch
from delineate.quill.network import Quill
from delineate.quill.train.corrections import corrected_batch
from delineate.quill.train.export import export_quill
from delineate.quill.train.start_from_onnx import start_from_export
from delineate.training.loop import LoopOptions, Schedule, Tell, train
from delineate.training.losses import QuillLoss, quill_loss
from delineate.training.run_files import LAST, counts_in, load_averaged, save_arrays

SIDE = 256  # of a crop
POOL = 400  # scenes kept
ROUNDS = 6  # a batch is shown again, at most
HELD_OUT, HELD_OUT_SEED = 96, 2**31  # crops of synthetic scenes that are measured on, the same in every run
OF_A_SCENE = 3  # of these crops, at most
SIDES = ((0.5, 128), (0.25, 192), (0.25, SIDE))  # of crops: see QuillTraining.sides
MEASURED = 16  # batches from which norms are measured
WARMUP, DECAY = 200, 0.999  # steps until the highest rate; of the moving average
ENDLESS = 10**9  # steps, where time is what ends a run
BEGUN_FROM, AVERAGE = "start.safetensors", "average.safetensors"


@dataclass(frozen=True)
class QuillTraining:
    """The recipe.

    output   folder for checkpoint, log and model
    minutes  wall-clock budget; the learning rate falls along a cosine over it
    data     folder with a manifest.json, of which only items marked ``train`` are used; None: synthetic scenes only
    start    weights (.safetensors) or an exported model (.onnx) to begin from, instead of random ones
    resume   go on where a run in ``output`` stopped
    sides    share of the batches that are shown at which side, in pixels; the largest one is what the model is for,
             the smallest one what it looks through windows at after a first click
    correct  share of batches that are shown again, and of those again, with the network's own outlines: with a
             correcting click, or on the next frame
    every    steps between measurements; the state is saved then
    steps    of the optimizer, instead of a budget of time: so that two recipes can be compared on any machine
    keep     share of the weights begun from that is kept at the end: both are averaged, which holds on to what the
             start knew (WiSE-FT, arXiv 2109.01903)
    blind    channels of the prompt maps (``preprocess.prompt_maps``) that the network does not see
    threads  of the CPU, at most one for each core; 0: as many as torch takes
    workers  processes that make scenes; 0: one beside a CPU, one on every core but one beside a GPU
    device   where the network learns: auto, cpu, cuda, cuda:1; and in what precision: auto is bf16 where that is fast
    follow_links  whether paths and links of ``data`` may lead outside that folder (``data.confined``)
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
    sides: tuple[tuple[float, int], ...] = SIDES
    correct: float = 0.6
    version: str = "0"
    threads: int = 0
    workers: int = 0
    every: int = 300
    steps: int = 0
    keep: float = 0.0
    blind: tuple[int, ...] = ()
    device: str = "auto"
    precision: str = Precision.AUTO
    follow_links: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "threads", usable_threads(self.threads))

    @property
    def side(self) -> int:
        """Pixels along a side of the largest crops."""
        return max(side for _, side in self.sides)

    @property
    def scans(self) -> DataFolder | None:
        """The folder of real scans, if one is given."""
        return None if self.data is None else DataFolder(self.data, self.follow_links)

    @property
    def loop(self) -> LoopOptions:
        return LoopOptions(
            self.output, self.steps or ENDLESS, self.rate, self.weight_decay, WARMUP, Schedule.COSINE, every=self.every,
            ema=DECAY, seed=self.seed, resume=self.resume, precision=self.precision,
            minutes=0 if self.steps else self.minutes,
        )  # fmt: skip


def train_quill(recipe: QuillTraining, tell: Tell | None = None) -> Path:
    """Train, and return the exported ONNX file. ``tell`` is called with each measurement.

    Raises ModelError if the loss is NaN or infinite (the last state is good) or there is nothing to resume, OutputError
    if the folder holds another run and ``resume`` is off.
    """
    last = recipe.output / LAST
    known = last.is_file()  # else it was stopped before the first measurement, and begins anew
    if recipe.resume and not recipe.output.is_dir():
        raise ModelError(
            "E-TRAIN-RESUME",
            f"There is no run to resume in {recipe.output}.",
            "Leave --resume out; --start FILE begins from weights.",
        )
    begun = recipe.output / BEGUN_FROM
    if recipe.keep and not (begun.is_file() if known else recipe.start):
        raise ModelError("E-TRAIN-OPTION", "There is nothing to keep weights of.", "Name what is begun from: --start.")
    _keep_memory()
    torch.manual_seed(recipe.seed)
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    engine = Engine.chosen(recipe.device, recipe.precision)
    device, recipe = engine.device, replace(recipe, device=str(engine.device), precision=engine.precision)
    torch.backends.cudnn.benchmark = True
    if recipe.scans is not None:
        refuse_outside(training_cases(recipe.scans))
    network = Quill().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    exported = recipe.start is not None and recipe.start.suffix == ".onnx"
    if recipe.start is not None and not exported:
        network.load_state_dict(load_file(recipe.start))
    done = int(counts_in(last)["step"]) if recipe.resume and known else 0
    pool = ScenePool(POOL, recipe.seed + 10 * done, recipe.scans, recipe.workers or _spare_cores(device), device)
    try:
        objective = QuillObjective(network, pool, held_out_crops(HELD_OUT, recipe.batch, recipe.side, device), recipe)
        pool.fill(POOL // 3)  # the budget begins when there is enough to choose from
        if exported and not known:
            assert recipe.start is not None
            start_from_export(network, recipe.start, objective.some_maps())
        if recipe.keep and not known:
            save_arrays(begun, network.state_dict())
        train(objective, recipe.loop, tell)
        load_averaged(network, last)
        if recipe.keep:
            network.load_state_dict(mixed(load_file(begun), network.state_dict(), recipe.keep))
        network.hide_channels(recipe.blind)
        update_bn(objective.some_maps(), network, device)  # those of the average are not the average of those
    finally:
        pool.close()
    network.eval().to("cpu")
    save_arrays(recipe.output / AVERAGE, network.state_dict())
    path = recipe.output / "quill.onnx"
    export_quill(network, path, recipe.version, recipe.side, min(side for _, side in recipe.sides))
    return path


def mixed(start: dict[str, Tensor], end: dict[str, Tensor], keep: float) -> dict[str, Tensor]:
    """Weights of which ``keep`` (0 to 1) is the start's and the rest the end's; the norms have to be measured anew."""
    return {n: torch.lerp(v, start[n].to(v.device), keep) if v.is_floating_point() else v for n, v in end.items()}


def held_out_crops(count: int, batch: int, side: int = SIDE, device: torch.device | str = "cpu") -> list[TrainingBatch]:
    """Batches of crops of synthetic scenes that no run learns from, as they are."""
    rng = np.random.default_rng(HELD_OUT_SEED)
    kept: list[tuple[Scene, PromptSample]] = []
    while len(kept) < count:
        scene = random_scene(rng, [])
        found = [one for one in prompt_samples(rng, scene) if one.truth[int(one.follows)].any()]
        kept += [(scene, one) for one in found[:OF_A_SCENE]]
    batches = (query_batch(kept[n : min(n + batch, count)]).to(device) for n in range(0, count, batch))
    return [render_batch(one, side) for one in batches]


class QuillObjective:
    """An ``Objective``: crops from the pool; after some of them the same ones, corrected or followed on.

    A correction that was to come next is not kept in the state: a resumed run begins with a fresh batch.
    """

    def __init__(
        self, network: Quill, pool: ScenePool, held_out: Sequence[TrainingBatch], recipe: QuillTraining
    ) -> None:
        self.network, self.pool, self.held_out, self.recipe = network, pool, held_out, recipe
        self.device = next(network.parameters()).device
        self.again: TrainingBatch | None = None

    def groups(self) -> list[dict[str, Any]]:
        return [{"params": list(self.network.parameters()), "name": "all"}]

    def modules(self) -> Quill:
        return self.network

    def weights(self) -> dict[str, Tensor]:
        return self.network.state_dict()

    def loss(self, rng: np.random.Generator, step: int) -> dict[str, Tensor]:
        batch = self.again or self._drawn(rng)
        found, outlines = self._answered(batch)
        correct = batch.after < ROUNDS and rng.random() < self.recipe.correct
        with torch.autocast(self.device.type, enabled=False):
            self.again = corrected_batch(batch, outlines) if correct else None
        parts = {name: torch.tensor(value) for name, value in vars(found).items() if name != "total"}
        return {"total": found.total, **parts, "side": torch.tensor(float(batch.maps.shape[-1]))}

    def some_maps(self) -> Iterator[Tensor]:
        """Batches of prompt maps to measure norms on: questions as they are."""
        return (render_batch(self.pool.draw(self.recipe.batch), self.recipe.side).maps for _ in range(MEASURED))

    def _drawn(self, rng: np.random.Generator) -> TrainingBatch:
        """Questions from the pool, all turned and mirrored in one random way."""
        questions = self.pool.draw(self.recipe.batch)
        with torch.autocast(self.device.type, enabled=False):
            look = IntensityAugmentation.drawn(len(questions.window), self.device)
            return render_batch(questions, self._side(rng), look, int(rng.integers(4)), bool(rng.random() < 0.5))

    def _side(self, rng: np.random.Generator) -> int:
        shares, sides = zip(*self.recipe.sides, strict=True)
        return int(rng.choice(sides, p=shares))

    def measure(self) -> float:
        """Mean IoU of the outlines shown, on held-out crops."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.precision == Precision.BF16):
            scores = [(self._answered(batch)[0].iou_chosen, len(batch.maps)) for batch in self.held_out]
        return sum(score * count for score, count in scores) / sum(count for _, count in scores)

    def _answered(self, batch: TrainingBatch) -> tuple[QuillLoss, Tensor]:
        """The loss, and the outlines (B, S, S) the network would have shown."""
        maps = batch.maps
        if self.recipe.blind:
            maps = maps.index_fill(1, torch.tensor(self.recipe.blind, device=self.device), 0.0)
        if self.device.type == "cuda" and self.recipe.precision == Precision.BF16:
            maps = maps.bfloat16()  # as the first layers would make it, after two more copies
        else:
            maps = maps.contiguous(memory_format=torch.channels_last)
        logits, judged, presence = self.network(maps)
        with torch.autocast(self.device.type, enabled=False):
            found = quill_loss(logits, judged, presence, batch.truth, batch.ambiguous)
        best = judged.detach().argmax(1)[:, None, None, None]
        return found, logits.detach().take_along_dim(best, dim=1)[:, 0] > 0


def _spare_cores(device: torch.device) -> int:
    """How many processes make scenes: beside a CPU that learns one, beside a GPU all but one."""
    return 1 if device.type == "cpu" else max(1, (os.cpu_count() or 2) - 1)


def _keep_memory() -> None:
    """Let glibc keep what it frees: fresh pages for every activation cost more time than the convolutions."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    for option, value in ((-4, 0), (-1, 2**31 - 1), (-2, 256 * 2**20)):  # M_MMAP_MAX, M_TRIM_THRESHOLD, M_TOP_PAD
        mallopt(option, value)
