"""Fine-tuning Quill on one's own labels: ``delineate train finetune DIR -m quill``, minutes on a laptop.

It begins with the model that ships, or any other exported one. Crops are made as for ``train quill``, from one's own
pictures, and some from synthetic scenes, so that it forgets less. Batch norms keep their statistics: ten pictures are
too few for new ones. What is measured on held-out subjects is the exported file with an exact box, as it will be used.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from delineate.core.errors import ModelError
from delineate.core.frame import Frame
from delineate.core.resolve import FramePrompts
from delineate.data.cases import Case
from delineate.predictors.capabilities import NetworkKind
from delineate.predictors.frame_predictor import Query
from delineate.preprocess.intensity import eight_bit
from delineate.quill.data.prompt_samples import PromptSample, prompt_sample
from delineate.quill.data.real_scenes import RealSource
from delineate.quill.data.scene import Scene
from delineate.quill.data.scene_pool import query_batch, random_scene
from delineate.quill.data.training_batch import TrainingBatch, render_batch
from delineate.quill.network import Quill
from delineate.quill.predictor import QuillPredictor
from delineate.quill.train.export import export_quill
from delineate.quill.train.start_from_onnx import start_from_export
from delineate.training.adapted import Adapted
from delineate.training.finetune import freeze_batch_norm
from delineate.training.frames import nothing_to_learn
from delineate.training.loop import LoopOptions
from delineate.training.losses import quill_loss
from delineate.training.prompt_policies import SampledPrompts
from delineate.training.prompt_simulation import bounding_box
from delineate.training.run_files import LAST, read_arrays
from delineate.training.sam2_objective import dice_of
from delineate.training.sequences import SequenceSource, drawn_from, split_sources

SIDE = 256  # of the crops that the model is used with
SYNTHETIC = 0.25  # share of crops
MEASURED = 12  # structures of a held-out frame, at most
CALIBRATION = 8  # batches from which the norms of an exported model are put back
MODEL, CURRENT = "quill.onnx", "current.onnx"
Prompting = Callable[[NDArray[np.bool_]], SampledPrompts]


@dataclass(frozen=True)
class QuillFinetune:
    """What is trained on what: all of Quill, on ``batch`` crops a step, shown at ``side`` pixels.

    held_out  share of subjects to measure on
    slices    of a volume or video that are used, at most, spread evenly
    probe     measure how much the answer depends on the prompt, before and after
    """

    loop: LoopOptions
    batch: int = 16
    side: int = 192
    held_out: float = 0.25
    slices: int = 4
    probe: bool = True


@dataclass(frozen=True, eq=False)
class LabeledFrameReader:
    """Labeled frames of scans, read when they are drawn."""

    sources: Sequence[SequenceSource]
    slices: int
    ready: dict[tuple[int, int], RealSource] = field(default_factory=dict)

    def drawn(self, rng: np.random.Generator) -> RealSource:
        """A random frame of a random scan."""

        def draw(source: SequenceSource) -> RealSource:
            frames = source.slices(self.slices)
            return self.picture(source, frames[int(rng.integers(len(frames)))])

        return drawn_from(self.sources, int(rng.integers(len(self.sources))), draw)

    def picture(self, source: SequenceSource, frame: int) -> RealSource:
        """A frame as uint8 (H, W, 3), with its labels."""
        key = source.number, frame
        if key not in self.ready:
            seen = eight_bit(source.opened.scan.frame(source.opened.frames[frame]))
            labels = source.opened.labels_on(frame).clip(0).astype(np.uint16)
            self.ready[key] = RealSource(source.case.dataset, seen, labels)
        return self.ready[key]

    def structures(self) -> Iterator[tuple[Frame, NDArray[np.bool_]]]:
        """Each frame, and its structures (O, H, W); of scans that cannot be read none.

        Raises InputError where there is none at all.
        """
        empty = True
        for source in self.sources:
            try:
                found = [self._structures(source, frame) for frame in source.slices(self.slices)]
            except Exception as error:
                source.leave_out(error)
                continue
            empty = empty and not found
            yield from found
        if empty:
            raise nothing_to_learn(len(self.sources))

    def _structures(self, source: SequenceSource, frame: int) -> tuple[Frame, NDArray[np.bool_]]:
        labels = self.picture(source, frame).labels
        values = sorted(source.areas[frame])[:MEASURED]
        return source.opened.scan.frame(source.opened.frames[frame]), np.stack([labels == value for value in values])


class QuillFinetuneObjective(Adapted):
    """An ``Objective``: crops with prompts, the answers compared with the labels."""

    def __init__(self, predictor: QuillPredictor, cases: Sequence[Case], recipe: QuillFinetune) -> None:
        training, testing = split_sources(cases, recipe.held_out, recipe.loop.seed)
        self.training, self.testing = (
            LabeledFrameReader(training, recipe.slices),
            LabeledFrameReader(testing, recipe.slices),
        )
        self.recipe, self.predictor, self.adapter = recipe, predictor, None
        torch.manual_seed(recipe.loop.seed)
        self.host = Quill().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        rng = np.random.default_rng(recipe.loop.seed)
        start_from_export(self.host, predictor.path, [self.batch(rng).maps for _ in range(CALIBRATION)])
        self._groups = [{"params": list(self.host.parameters()), "name": "all"}]

    def batch(self, rng: np.random.Generator) -> TrainingBatch:
        """Crops with prompts, as they are."""
        kept: list[tuple[Scene, PromptSample]] = []
        while len(kept) < self.recipe.batch:
            made_up = rng.random() < SYNTHETIC
            scene = random_scene(rng, []) if made_up else self.training.drawn(rng).scene(rng)
            one = None if scene is None else prompt_sample(rng, scene)
            if scene is not None and one is not None:
                kept.append((scene, one))
        with torch.autocast("cpu", enabled=False):
            return render_batch(query_batch(kept), self.recipe.side)

    def loss(self, rng: np.random.Generator, step: int) -> dict[str, Tensor]:
        freeze_batch_norm(self.host)
        batch = self.batch(rng)
        logits, judged, presence = self.host(batch.maps.contiguous(memory_format=torch.channels_last))
        with torch.autocast("cpu", enabled=False):
            found = quill_loss(logits, judged, presence, batch.truth, batch.ambiguous)
        parts = {name: torch.tensor(value) for name, value in vars(found).items() if name != "total"}
        return {"total": found.total, **parts}

    def measure(self) -> float:
        """Mean Dice of held-out structures, each with its exact box."""
        return self.dice_with(lambda masks: SampledPrompts(boxes=np.array([bounding_box(mask) for mask in masks])))

    def dice_with(self, prompts: Prompting) -> float:
        one, scores = QuillPredictor(self._exported(), self.predictor.threads), list[float]()
        for frame, masks in self.testing.structures():
            given = prompts(masks)
            answers = one.decode(one.encode(frame), [Query(frame_prompts(given, n)) for n in range(len(masks))])
            scores += [float(dice_of(answer.mask, mask)) for answer, mask in zip(answers, masks, strict=True)]
        return float(np.mean(scores))

    def keep(self, folder: Path) -> None:
        """What was just measured, as the file that is used."""
        shutil.copyfile(folder / CURRENT, folder / MODEL)

    def take(self, weights: Path) -> None:
        self.host.load_state_dict(read_arrays(weights)[0])

    def _exported(self) -> Path:
        """The network as it is, as a file."""
        path = self.recipe.loop.output / CURRENT
        path.parent.mkdir(parents=True, exist_ok=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # shapes are fixed where they look as if they were not
            version = f"{self.predictor.record.version}, fine-tuned"
            export_quill(self.host, path, version, SIDE, self.predictor.glance)
        self.host.to(memory_format=torch.channels_last)
        return path


def frame_prompts(given: SampledPrompts, number: int) -> FramePrompts:
    """Prompts of one structure, as a predictor takes them."""
    if given.boxes is not None:
        x0, y0, x1, y1 = (float(value) for value in given.boxes[number])
        return FramePrompts(box=(x0, y0, x1, y1))
    assert given.points is not None and given.labels is not None
    return FramePrompts(given.points[number], given.labels[number] == 1)


def quill_objective(predictor: Any, cases: Sequence[Case], recipe: QuillFinetune) -> QuillFinetuneObjective:
    """The objective of labeled scans.

    Raises ModelError if the system is not Quill, InputError if there are too few subjects.
    """
    if predictor.capabilities.network is not NetworkKind.QUILL:
        raise ModelError("E-TRAIN-SYSTEM", "This recipe trains Quill, and this is another system.", "Use -m quill.")
    return QuillFinetuneObjective(predictor, cases, recipe)


def remove_measurement_files(output: Path) -> None:
    """Remove what was only measured."""
    if (output / LAST).is_file():
        (output / CURRENT).unlink(missing_ok=True)
