"""Medical SAM Adapter on volumes: clips of neighboring slices that see each other (arXiv 2304.12620 sec. 3.2).

Published: as in 2D, with Dice beside cross entropy, slices of a volume as one batch, a prompt on each. Here a clip is
prompted in one of three ways, drawn each time, as it is prompted in use: a click on every slice that shows the
structure, a box of each of these slices (what following makes), or one box round all of them. Measured is a volume in
one 3D box, the way ``segment --box`` asks it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from delineate.adapters.slots import SlotContext
from delineate.core.volume_prompts import VolumePrompts
from delineate.data.cases import Case, LabeledScan, Target
from delineate.models.sizes import NetworkSizes
from delineate.predictors.capabilities import NetworkKind
from delineate.predictors.clip_volume import ClipVolumePredictor
from delineate.training.finetune import Finetune, run_finetune
from delineate.training.loop import Tell, TrainingOutcome
from delineate.training.parts_memory_plan import planned_slices
from delineate.training.prompt_policies import SampledPrompts, medsam_boxes, one_point
from delineate.training.prompt_simulation import bounding_box
from delineate.training.recipes import medical_sam_adapter
from delineate.training.recipes.parts_recipe import PartsObjective, learned_parts, own_parts
from delineate.training.recipes.recipe import Recipe, RecipeOverrides
from delineate.training.slice_clips import SliceClip, SliceClips, slices_of, split_slices

NAME = "medical_sam_adapter_3d"


def options(output: Path) -> Finetune:
    """As in 2D; a batch counts clips."""
    recipe = medical_sam_adapter.options(output)
    return replace(recipe, batch=1, probe=False)


class SlicesObjective(PartsObjective):
    """An ``Objective``: slices of a clip are embedded together, and each that shows the structure is decoded."""

    def __init__(
        self, predictor: ClipVolumePredictor, training: SliceClips, testing: SliceClips, recipe: Finetune
    ) -> None:
        self.volumes, self.clips, self.held = predictor, training, testing
        super().__init__(predictor.frames, training, testing, recipe)

    def loss(self, rng: np.random.Generator, step: int) -> dict[str, Tensor]:
        """Mean over the clips of a step."""
        parts = [self._of_clip(rng) for _ in range(self.recipe.batch)]
        return self.with_penalty({name: torch.stack([one[name] for one in parts]).mean() for name in parts[0]})

    def _of_clip(self, rng: np.random.Generator) -> dict[str, Tensor]:
        clip: SliceClip = self.clips.drawn(rng)
        axes = tuple(axis for axis in (1, 2) if rng.random() < self.recipe.flips)
        clip = clip.mirrored(axes) if axes else clip
        self.keep_statistics()
        embedding = self.network.embed(clip.pixels.to(self.device), SlotContext(depth=len(clip.pixels)))
        showing = clip.masks.any((1, 2))
        masks = clip.masks[showing]
        return self.answered(embedding[torch.from_numpy(showing)], prompted(rng, masks), self.truth(masks))[1]

    def measure(self) -> float:
        """Mean Dice of held-out structures, each in one 3D box, over the whole volume."""
        volumes = ClipVolumePredictor(self.volumes.frames, self.volumes.depth)  # what it embeds is kept: begin anew
        return float(np.mean([dice_in_box(volumes, opened, target) for opened, target in self.held.structures()]))

    def sizes(self) -> NetworkSizes:
        return super().sizes().model_copy(update={"depth": self.volumes.depth})


def prompted(rng: np.random.Generator, masks: NDArray[np.bool_]) -> SampledPrompts:
    """Clicks, boxes or one box for all (D, S, S) of a clip's slices."""
    match int(rng.integers(3)):
        case 0:
            return one_point(rng, masks)
        case 1:
            return medsam_boxes(rng, masks)
        case _:
            whole = medsam_boxes(rng, np.any(masks, axis=0, keepdims=True))
            assert whole.boxes is not None
            return SampledPrompts(boxes=whole.boxes.repeat(len(masks), axis=0))


def dice_in_box(predictor: ClipVolumePredictor, opened: LabeledScan, target: Target) -> float:
    """Dice of a structure's labeled slices, outlined in the box that just holds it."""
    showing = slices_of(opened, target)
    x0, y0, x1, y1 = bounding_box(np.any([opened.truth(n, target) for n in showing], axis=0)).tolist()
    prompts = VolumePrompts(boxes=((x0, y0, float(showing[0]), x1, y1, float(showing[-1] + 1)),))
    found = predictor.segment(opened.scan, {"it": prompts})["it"]
    nothing = np.zeros((opened.scan.height, opened.scan.width), bool)
    shown = np.stack([found[n].mask if n in found else nothing for n in opened.frames])
    truth = np.stack([opened.truth(n, target) for n in opened.frames])
    return float(2 * (shown & truth).sum() / (shown.sum() + truth.sum()))


def run(predictor: Any, cases: Sequence[Case], wishes: RecipeOverrides, tell: Tell | None = None) -> TrainingOutcome:
    """Train the adapters of a system that sees slices together."""
    recipe = asked(wishes)
    parts = split_slices(predictor.frames, cases, predictor.depth, recipe.held_out, recipe.loop.seed)
    return run_finetune(SlicesObjective(predictor, *parts, recipe), tell)


def asked(wishes: RecipeOverrides) -> Finetune:
    """With what was asked for; how much depends on the prompt is measured in 2D alone."""
    return replace(own_parts(wishes, options(wishes.output)), probe=False)


RECIPE = Recipe(
    NAME,
    NAME,
    "the adapters alone, slices of a clip seeing each other; clicks and boxes; cross entropy and Dice; Adam 1e-4",
    "arXiv 2304.12620 sec. 3.2; train.py of its repository",
    run,
    asked,
    trains=NetworkKind.SLICES,
    plan=planned_slices,
    learned=learned_parts,
)
