"""What a training recipe is, and what a person may ask of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from delineate.adapters.freeze import FreezeTable
from delineate.core.errors import ModelError
from delineate.data.cases import Case
from delineate.predictors.capabilities import NetworkKind
from delineate.training.distill import Distillation
from delineate.training.encoder_adapters import AdapterOptions
from delineate.training.finetune import Finetune, TrainedPart
from delineate.training.layer_rates import Sam2Part
from delineate.training.loop import LoopOptions, Tell, TrainingOutcome
from delineate.training.memory_plan import Plan, bytes_of, planned
from delineate.training.prompt_policies import PromptPolicy
from delineate.training.sam2_objective import Sam2Finetune
from delineate.training.sequence_memory_plan import planned_sequences


@dataclass(frozen=True)
class RecipeOverrides:
    """What a person asks for; None: as the recipe has it.

    teacher  predictor whose embeddings are learned first, for recipes in two stages
    probe    measure how much the answer depends on the prompt
    frames, objects  of a clip, for systems of SAM 2's shape
    flips     chance of a picture being mirrored along each axis, for systems of SAM's shape
    minutes   budget of wall-clock time
    embeddings  folder where embeddings of a frozen encoder stay for other runs
    start     file of a decoder's adapter that is trained further
    prompt    how structures are pointed at in training, for recipes that are ``prompted``
    progress  called after every step with it, the last step, and the minutes left
    """

    output: Path
    steps: int | None = None
    batch: int | None = None
    rate: float | None = None
    part: TrainedPart | None = None
    adapter: AdapterOptions | None = None
    every: int | None = None
    ema: float | None = None
    accumulate: int | None = None
    precision: str | None = None
    checkpointing: bool = False
    held_out: float | None = None
    seed: int = 0
    resume: bool = False
    teacher: Any = None
    probe: bool = True
    frames: int | None = None
    objects: int | None = None
    flips: float | None = None
    minutes: float | None = None
    embeddings: Path | None = None
    start: Path | None = None
    prompt: PromptPolicy | None = None
    progress: Callable[[int, int, float], None] | None = None

    def of_loop(self, loop: LoopOptions) -> LoopOptions:
        """A recipe's options for the loop, with what was asked for."""
        names = ("steps", "rate", "every", "ema", "accumulate", "precision", "minutes")
        asked = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return replace(loop, seed=self.seed, resume=self.resume, progress=self.progress, **asked)

    def of(self, recipe: Finetune) -> Finetune:
        """A recipe for fine-tuning, with what was asked for. Raises ModelError for a teacher, which it cannot have."""
        if self.teacher is not None:
            raise ModelError(
                "E-TRAIN-TEACHER",
                "This recipe learns from labels alone, not from a teacher.",
                "Leave --teacher out, or take --recipe lite_medsam. See also: delineate distill",
            )
        asked = {n: getattr(self, n) for n in ("batch", "part", "held_out", "flips") if getattr(self, n) is not None}
        if self.prompt is not None:
            asked["prompts"] = self.prompt
        adapter = self.adapter or recipe.adapter
        if recipe.adapter is None and adapter is not None and self.part is None and recipe.keeps_embeddings:
            asked["part"] = TrainedPart.ALL
        return replace(
            recipe, loop=self.of_loop(recipe.loop), adapter=adapter, checkpointing=self.checkpointing,
            probe=self.probe, embeddings=self.embeddings, start=self.start, **asked,
        )  # fmt: skip

    def of_distillation(self, recipe: Distillation) -> Distillation:
        """A distillation, with what was asked for; the rate is the encoder's."""
        asked = {n: getattr(self, n) for n in ("batch", "held_out") if getattr(self, n) is not None}
        if self.flips is not None:
            asked["flips"] = self.flips > 0
        decoder = recipe.decoder
        if decoder is not None:
            held = asked.get("held_out", recipe.held_out)
            decoder = replace(decoder, loop=replace(self, rate=None).of_loop(decoder.loop), held_out=held)
        return replace(recipe, loop=self.of_loop(recipe.loop), decoder=decoder, **asked)


Run = Callable[
    [Any, Sequence[Case], RecipeOverrides, Tell | None], TrainingOutcome
]  # predictor, labeled scans, wishes, tell


@dataclass(frozen=True)
class Recipe:
    """One way of training.

    system   whose it is; others of the same shape can be trained with it
    source   paper or code the figures come from
    run      does it, with the predictor of a system
    options  its figures with what was asked for
    trains   the kind of network it can train
    plan     fits its figures for a predictor into so many bytes; None: those of SAM's and SAM 2's shape are known
    prompted  structures may be pointed at in another way than its own
    fitting  those of some scans that a predictor can learn from, before they are split by subject
    learned  what learns of a predictor's network with some figures; None: what the summary says
    """

    name: str
    system: str
    summary: str
    source: str
    run: Run
    options: Callable[[RecipeOverrides], Any]
    trains: NetworkKind = NetworkKind.SAM
    plan: Callable[[Any, Any, float], Plan[Any]] | None = None
    prompted: bool = False
    fitting: Callable[[Any, list[Case]], list[Case]] = lambda _, cases: cases
    learned: Callable[[Any, Any], FreezeTable] | None = None

    def within(self, predictor: Any, wishes: RecipeOverrides, memory: str) -> tuple[RecipeOverrides, Plan[Any]]:
        """Wishes that fit into a memory such as "8GB", and how. Raises ModelError if nothing fits."""
        wanted, size = self.options(wishes), bytes_of(memory)
        if self.plan is not None:
            found = self.plan(predictor, wanted, size)
            return fitting(found.recipe, wishes), found
        if not isinstance(wanted, Finetune | Sam2Finetune):
            raise ModelError(
                "E-TRAIN-MEMORY",
                f"What {self.name} takes is not planned.",
                "Leave --memory out; --batch 1 takes least.",
            )
        network, gpu = predictor.network, predictor.engine.device.type == "cuda"
        if isinstance(wanted, Finetune):
            plan = planned(network, wanted, size, gpu)
            return fitting(plan.recipe, replace(wishes, part=plan.recipe.part)), plan
        clips = planned_sequences(network, wanted, size, gpu)
        fits = clips.recipe
        part = TrainedPart.DECODER if fits.parts == (Sam2Part.DECODER,) else wishes.part
        chosen = replace(wishes, part=part, frames=fits.clips.frames, objects=fits.clips.objects)
        return fitting(fits, chosen), clips


def fitting(found: Any, wishes: RecipeOverrides) -> RecipeOverrides:
    """Wishes, with what a plan found for every shape of system."""
    return replace(
        wishes, batch=found.batch, accumulate=found.loop.accumulate, precision=found.loop.precision,
        adapter=getattr(found, "adapter", None), checkpointing=found.checkpointing,
    )  # fmt: skip


def finetuning(name: str, system: str, summary: str, source: str, options: Callable[[Path], Finetune]) -> Recipe:
    """A recipe that is one fine-tuning; ``options`` are its figures for an output folder."""
    from delineate.training.finetune import finetune

    def asked(wishes: RecipeOverrides) -> Finetune:
        return wishes.of(options(wishes.output))

    def run(
        predictor: Any, cases: Sequence[Case], wishes: RecipeOverrides, tell: Tell | None = None
    ) -> TrainingOutcome:
        return finetune(predictor, cases, asked(wishes), tell)

    return Recipe(name, system, summary, source, run, asked, prompted=True)
