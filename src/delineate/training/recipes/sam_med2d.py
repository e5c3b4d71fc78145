"""SAM-Med2D's alternating scheme (Cheng et al., arXiv 2308.16184 sec. 3.3; train.py of its repository).

Nine steps of the optimizer for each draw of pictures. The first trains adapters, prompt encoder and decoder on a point
or a box; the other eight train the decoder alone, on the embedding of the first, each with clicks on the errors of the
answer before and that answer as a probability. Five structures of each picture, two pictures; Adam 1e-4 without decay;
20 focal + Dice of the batch + IoU error. A system without adapters trains its whole encoder (their FT-SAM).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from delineate.adapters.sam_med2d import Med2DAdapter
from delineate.data.cases import Case
from delineate.training.finetune import Finetune, FinetuneObjective, TrainedPart, run_finetune
from delineate.training.frames import drawn_batch, split_frames
from delineate.training.loop import LoopOptions, Tell, TrainingOutcome
from delineate.training.losses import MED2D_LOSSES
from delineate.training.prompt_policies import MED2D_ROUNDS, PromptPolicy, SampledPrompts, med2d_first, med2d_then
from delineate.training.recipes.recipe import Recipe, RecipeOverrides


def options(output: Path) -> Finetune:
    """As published, but for the length."""
    return Finetune(
        LoopOptions(output, steps=450, rate=1e-4, weight_decay=0.0, every=45),
        TrainedPart.ALL,
        batch=10,
        of_each=5,
        prompts=PromptPolicy.SAM_MED2D,
        losses=MED2D_LOSSES,
        full_size=True,
    )


class Alternating(FinetuneObjective):
    """An ``Objective`` that changes with the step; between steps it remembers pictures and the answer before."""

    embedding: Tensor | None = None
    before: Tensor | None = None
    masks: np.ndarray | None = None

    def trained(self) -> list[dict[str, Any]]:
        """Adapters, or the whole encoder where there are none; prompt encoder; decoder."""
        encoder: nn.Module = self.host.vision_encoder
        inserted = [p for m in encoder.modules() if isinstance(m, Med2DAdapter) for p in m.parameters()]
        if self.adapter is not None:
            inserted = list(self.adapter.parameters())
        prompts = [p for n, p in self.host.prompt_encoder.named_parameters() if "positional_embedding" not in n]
        groups = {
            "adapters": inserted or list(encoder.parameters()),
            "prompts": prompts,
            "decoder": list(self.host.mask_decoder.parameters()),
        }
        kept = ("prompts", "decoder") if self.recipe.part is TrainedPart.DECODER else tuple(groups)
        return [{"params": groups[name], "name": name} for name in kept]

    def modules(self) -> nn.Module:
        return self.host

    def loss(self, rng: np.random.Generator, step: int) -> dict[str, Tensor]:
        """Of one answer: the first, or that of the round the step is in."""
        number = (step - 1) % (MED2D_ROUNDS + 1)
        if number == 0 or self.embedding is None or self.before is None or self.masks is None:
            batch = drawn_batch(rng, self.training, self.recipe.batch, self.recipe.of_each, self.recipe.flips)
            self.masks = batch.masks
            embedding, given = self.embedded(batch), med2d_first(rng, batch.masks)
            self.before, parts = self.answered(embedding, given, self._truth())
            self.embedding = cast(Tensor, embedding).detach()  # of a SAM
        else:
            outlines = self.outlines(self.before, self.masks)
            given = med2d_then(rng, SampledPrompts(), outlines, self.masks, number)
            with _frozen(self.host.prompt_encoder):
                self.before, parts = self.answered(self.embedding, given, self._truth(), self.before)
        self.before = self.before.detach()
        return parts

    def _truth(self) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(self.masks)).float()[:, None].to(self.device)

    def state(self) -> dict[str, Tensor]:
        found = super().state()
        if self.embedding is None or self.before is None or self.masks is None:
            return found
        masks = torch.from_numpy(np.ascontiguousarray(self.masks))
        return found | {"round.embedding": self.embedding, "round.before": self.before, "round.masks": masks}

    def restore(self, state: dict[str, Tensor]) -> None:
        super().restore({k: v for k, v in state.items() if not k.startswith("round.")})
        if "round.masks" in state:
            self.embedding = state["round.embedding"].to(self.device)
            self.before, self.masks = state["round.before"].to(self.device), state["round.masks"].numpy()


@contextmanager
def _frozen(module: nn.Module) -> Iterator[None]:
    """What is computed within trains nothing of the module."""
    trained = [p for p in module.parameters() if p.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


def run(predictor: Any, cases: Sequence[Case], wishes: RecipeOverrides, tell: Tell | None = None) -> TrainingOutcome:
    """Train with the scheme."""
    recipe = wishes.of(options(wishes.output))
    return run_finetune(Alternating(predictor, *split_frames(predictor, cases, recipe.frames), recipe), tell)


RECIPE = Recipe(
    "sam_med2d",
    "sam_med2d",
    "alternating: adapters, prompt encoder, decoder on the first prompt, then eight rounds of clicks for the decoder",
    "arXiv 2308.16184; train.py",
    run,
    lambda wishes: wishes.of(options(wishes.output)),
)
