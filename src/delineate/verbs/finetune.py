"""The verbs ``train finetune`` and ``train recipes``: a published system, or Quill, taught on one's own labels."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import Field

from delineate.core.errors import MissingExtraError, ModelError
from delineate.data.layouts import read_dataset
from delineate.data.learned_from import LearningRecord
from delineate.data.subjects import split_by_subject
from delineate.predictors.capabilities import Capabilities
from delineate.systems import SYSTEMS, BuildOptions, build
from delineate.systems.building import needs_torch
from delineate.verbs.request import (
    FollowLinks,
    ModelName,
    Progress,
    Request,
    SystemName,
    Threads,
    Untrained,
    model_file,
)
from delineate.verbs.training_run import Measured, TrainingStart, check_run, embed_by_graph, recorded_run, steps_of

if TYPE_CHECKING:
    from delineate.checkpoints.system_file import SystemCard
    from delineate.training.encoder_adapters import AdapterOptions
    from delineate.training.finetune import TrainedPart
    from delineate.training.prompt_policies import PromptPolicy
    from delineate.training.recipes import Recipe, RecipeOverrides


# what a run that goes on cannot change: what learns, from what, and how it is measured
FIXED: Final = ("recipe", "part", "peft", "rank", "adapter", "teacher", "untrained", "seed")


class FinetuneRequest(Request):
    """Everything ``train finetune`` needs to know; None: as the recipe has it."""

    data: Path = Field(description="Labeled scans.")
    follow_links: FollowLinks = False
    model: ModelName = Field(default="lite_medsam", description="A system, or its file.")
    output: Path = Field(default=Path("finetuned"), description="Folder for weights and log.")
    recipe: str | None = Field(default=None, description="How; None: a paper's own, or the first that fits.")
    part: str | None = Field(default=None, description="What learns: decoder (embeddings are kept), encoder, all.")
    prompt: str | None = Field(
        default=None, description="How structures are pointed at in training, such as point, box."
    )
    peft: str | None = Field(default=None, description="Adapters in the encoder: lora, dora, adalora.")
    rank: int = Field(default=8, ge=1, description="Of the adapters.")
    memory: str | None = Field(default=None, description="Batch and precision are chosen to fit, such as 8GB.")
    steps: int | None = Field(default=None, ge=1, description="Of the optimizer.")
    batch: int | None = Field(default=None, ge=1, description="Structures a step.")
    rate: float | None = Field(default=None, gt=0, description="Learning rate.")
    every: int | None = Field(default=None, ge=1, description="Steps between measurements.")
    ema: float | None = Field(default=None, ge=0, lt=1, description="Decay of the weights' moving average; 0: none.")
    flips: float | None = Field(
        default=None, ge=0, le=1, description="Chance that a picture is mirrored, for each axis."
    )
    minutes: float | None = Field(default=None, gt=0, description="Of training, at most; the rate falls with them.")
    embeddings: Path | None = Field(
        default=None, description="Folder where embeddings of a frozen encoder stay for other runs."
    )
    adapter: Path | None = Field(
        default=None, description="An adapter of a decoder that learns further: a file, or the name of one that ships."
    )
    teacher: ModelName | None = Field(default=None, description="For lite_medsam: whose embeddings are learned first.")
    held_out: float = Field(default=0.25, ge=0, lt=1, description="Share of subjects to measure on.")
    seed: int = Field(default=0, ge=0, description="Of the split and the prompts.")
    resume: bool = Field(default=False, description="Go on where the run in the output folder stopped.")
    system: SystemName = None
    untrained: Untrained = False
    variant: str = Field(default="", description="One of the system's variants, where its authors do it in two ways.")
    classes: tuple[str, ...] = Field(
        default=(), description="What a system of classes shall name, where it begins anew (untrained)."
    )
    narrow: bool = Field(
        default=False, description="Of a system with a paper's parts on SAM ViT or SAM 2: begin with a small network."
    )
    device: str = "auto"
    precision: str | None = Field(default=None, description="Of training: fp32, bf16 or fp16.")
    threads: Threads = 0


@dataclass(frozen=True)
class FinetuneResult:
    """Quality on held-out subjects, before and at best; the weights, None where nothing was better than before.

    request      what was asked
    system       whose weights they are
    capabilities how it is asked, and what for
    adapter      what was learned alone, where it can be put into the base
    sensitivity  lines of a table: how much the answer depends on the prompt, where that was measured
    worse        kinds of prompt it is answered worse with than before
    verdict      what it came to by all that was measured, in a sentence
    """

    request: FinetuneRequest
    before: float
    best: float
    step: int
    weights: Path | None
    system: str
    capabilities: Capabilities
    adapter: Path | None
    sensitivity: tuple[str, ...]
    worse: tuple[str, ...]
    verdict: str

    def as_json(self) -> dict[str, Any]:
        gained = {"before": self.before, "best": self.best, "weights": str(self.weights or "")}
        return gained | {"worse": list(self.worse), "verdict": self.verdict}


def finetune(
    request: FinetuneRequest,
    progress: Progress | None = None,
    begun: Callable[[TrainingStart], None] | None = None,
    measured: Measured | None = None,
) -> FinetuneResult:
    """Fine-tune a system on labeled scans; measured before the first step, keeps only what is better than that.

    ``progress`` is called with (step, all), ``begun`` once before the first step, ``measured`` with each measurement.
    Raises ModelError for systems and options that do not go together, InputError for the data, OutputError for a folder
    that holds something else.
    """
    teacher_file = Path(request.teacher) if request.teacher else None
    read = (request.data, model_file(request.model), request.adapter, teacher_file)
    check_run(request.output, request.resume, *read)
    options = BuildOptions(None, request.untrained, request.threads, _own_device(request.device), "fp32", "torch")
    begins = replace(options, variant=request.variant, begun=_begun(request))
    predictor = build(request.model, begins, request.system)
    try:
        from delineate.training.recipes import recipe_for
        from delineate.training.sensitivity import logged_probes, probe_table, verdict
    except ModuleNotFoundError as error:
        raise MissingExtraError("Training", "train") from error
    from delineate.training.frames import trainable_frames

    recipe = recipe_for(request.recipe, predictor)
    wishes, memory = _wishes(request, recipe, predictor, options)
    figures = recipe.options(wishes)
    if _keeps_embeddings(figures):
        embed_by_graph(predictor, request.threads)
    layout, cases = read_dataset(request.data, request.follow_links)
    if begun is not None:
        table = () if recipe.learned is None else str(recipe.learned(predictor, figures)).splitlines()
        begun(TrainingStart(len(cases), layout, recipe.name, recipe.summary, memory, tuple(table)))
    fitting = recipe.fitting(predictor, trainable_frames(cases))
    learned, held = split_by_subject(fitting, (1 - request.held_out, request.held_out), request.seed)
    models = [request.model, *map(str, filter(None, (request.teacher, wishes.start)))]
    record = LearningRecord.of(learned, held, models, predictor.record.sha256)
    with recorded_run(request.output, "train finetune", request, record, request.resume, FIXED):
        outcome = recipe.run(predictor, cases, replace(wishes, progress=steps_of(progress)), measured)
    adapter, probes = request.output / "adapter.safetensors", logged_probes(request.output)
    return FinetuneResult(
        request,
        outcome.before,
        outcome.best,
        outcome.step,
        outcome.weights,
        predictor.record.name,
        predictor.capabilities,
        adapter if adapter.is_file() else None,
        tuple(probe_table(probes)),
        tuple(str(one) for one in probes if one.is_worse),
        verdict(outcome.before, outcome.best, outcome.weights is not None, probes),
    )


def _wishes(
    request: FinetuneRequest, recipe: Recipe, predictor: Any, options: BuildOptions
) -> tuple[RecipeOverrides, tuple[str, ...]]:
    """What a recipe is asked for, fitted into a memory where one is given; and lines on that."""
    from delineate.training.recipes import RecipeOverrides

    wishes = RecipeOverrides(
        request.output,
        request.steps,
        request.batch,
        request.rate,
        _part(request.part),
        _adapter(request.peft, request.rank),
        request.every,
        request.ema,
        precision=request.precision,
        held_out=request.held_out,
        seed=request.seed,
        resume=request.resume,
        teacher=None if request.teacher is None else build(request.teacher, options),
        flips=request.flips,
        minutes=request.minutes,
        embeddings=request.embeddings,
        start=_start(request.adapter, predictor.record.name),
        prompt=_prompt(request.prompt, recipe),
    )
    if request.memory is None:
        return wishes, ()
    wishes, plan = recipe.within(predictor, wishes, request.memory)
    return wishes, (*plan.estimate.lines(), *(f"  chosen: {change}" for change in plan.changes))


def _begun(request: FinetuneRequest) -> SystemCard | None:
    """What a system begins as that is not trained yet. Raises ModelError for one that does not take it."""
    if not request.classes and not request.narrow:
        return None
    needs_torch(request.model)
    from delineate.checkpoints.system_file import SystemCard
    from delineate.models.sizes import NARROW, NetworkSizes

    system = SYSTEMS.get(request.model)
    if not request.untrained or system is None or system.policy is None or (request.classes and system.prompts):
        raise ModelError(
            "E-MODEL-BEGUN", "--class and --narrow say what a system is that is begun anew.",
            'For example: -m medivista --untrained --narrow --class "left ventricle" --class myocardium. '
            "--narrow is of medical_sam_adapter and sam_unet, too.",
        )  # fmt: skip
    sizes = NARROW if request.narrow else NetworkSizes()
    return SystemCard(system=system.name, classes=request.classes, sizes=sizes)


def _keeps_embeddings(options: Any) -> bool:
    from delineate.training.finetune import Finetune

    return isinstance(options, Finetune) and options.keeps_embeddings


def _start(adapter: Path | None, system: str) -> Path | None:
    """The file of an adapter that is given, or named among those that ship with a system."""
    known = SYSTEMS.get(system)
    return adapter if adapter is None or known is None else known.adapter_file(adapter)


def _own_device(device: str) -> str:
    """Of several processes that were launched together, each takes its own GPU."""
    rank = os.environ.get("LOCAL_RANK")
    return f"cuda:{rank}" if device in ("auto", "cuda") and rank is not None and _has_gpu() else device


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def _part(name: str | None) -> TrainedPart | None:
    """Raises ModelError for parts there are not."""
    from delineate.training.finetune import TrainedPart

    if name is not None and name not in list(TrainedPart):
        raise ModelError("E-TRAIN-PART", f'There is no part "{name}".', f"--part is one of {', '.join(TrainedPart)}.")
    return None if name is None else TrainedPart(name)


def _prompt(name: str | None, recipe: Recipe) -> PromptPolicy | None:
    """Raises ModelError for ways there are not, and for recipes that have none or their own."""
    if name is None:
        return None
    from delineate.training.prompt_policies import CHOICES, PromptPolicy
    from delineate.training.recipes import RECIPES

    if not recipe.prompted:
        others = ", ".join(one.name for one in RECIPES.values() if one.prompted)
        raise ModelError(
            "E-TRAIN-PROMPT", f"How {recipe.name} points at structures is not chosen.",
            f"Leave --prompt out. Recipes that take it: {others}",
        )  # fmt: skip
    if name not in CHOICES:
        raise ModelError(
            "E-TRAIN-PROMPT", f'No structure is pointed at by "{name}".', f"--prompt is one of {', '.join(CHOICES)}."
        )
    return PromptPolicy(name)


def _adapter(kind: str | None, rank: int) -> AdapterOptions | None:
    """Raises ModelError for kinds there are not."""
    from delineate.training.encoder_adapters import AdapterKind, AdapterOptions

    if kind is not None and kind not in list(AdapterKind):
        raise ModelError(
            "E-TRAIN-PART", f'There is no adapter "{kind}".', f"--peft is one of {', '.join(AdapterKind)}."
        )
    return None if kind is None else AdapterOptions(AdapterKind(kind), rank, 2.0 * rank)


class ListRecipesRequest(Request):
    """Nothing needs to be said."""


@dataclass(frozen=True)
class RecipeCard:
    """What a recipe trains and how, whose it is, and where its figures come from."""

    name: str
    system: str
    summary: str
    source: str


@dataclass(frozen=True)
class ListRecipesResult:
    """The recipes of ``train finetune``."""

    recipes: tuple[RecipeCard, ...]

    def as_json(self) -> list[dict[str, str]]:
        return [asdict(one) for one in self.recipes]


def list_recipes(request: ListRecipesRequest) -> ListRecipesResult:
    """List the recipes of train finetune: what learns and how, whose it is, and where the figures come from."""
    try:
        from delineate.training.recipes import RECIPES
    except ModuleNotFoundError as error:
        raise MissingExtraError("Training", "train") from error
    return ListRecipesResult(tuple(RecipeCard(r.name, r.system, r.summary, r.source) for r in RECIPES.values()))
