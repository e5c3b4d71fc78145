"""The verb ``distill``: a small encoder that answers as a large one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from pydantic import Field

from delineate.core.errors import InputError, MissingExtraError, ModelError
from delineate.data.cases import Case
from delineate.data.layouts import read_dataset
from delineate.data.learned_from import LearningRecord
from delineate.data.subjects import split_by_subject
from delineate.data.unlabeled import read_unlabeled
from delineate.predictors.capabilities import NetworkKind
from delineate.systems import BuildOptions, build
from delineate.verbs.request import FollowLinks, ModelName, Progress, Request, Threads, Untrained, model_file
from delineate.verbs.training_run import Measured, TrainingStart, check_run, embed_by_graph, recorded_run, steps_of

FIXED: Final = ("student", "start", "recipe", "untrained", "seed")  # what a run that goes on cannot change


class DistillRequest(Request):
    """Everything ``distill`` needs to know; None: as the recipe has it."""

    data: Path = Field(description="A folder of scans, labeled or not; kd_sam alone uses labels.")
    follow_links: FollowLinks = False
    teacher: ModelName = Field(description="A SAM-shaped system, or its file.")
    teacher_system: str | None = Field(default=None, description="Which system the teacher's file belongs to.")
    student: ModelName = Field(default="mobile_sam", description="A SAM-shaped system, from random weights.")
    start: Path | None = Field(default=None, description="Weights the student begins from.")
    recipe: str = Field(default="mobile_sam", description="How: mobile_sam, lite_medsam or kd_sam.")
    output: Path = Field(default=Path("distilled"), description="Folder for the student and the log.")
    steps: int | None = Field(default=None, ge=1, description="Of the optimizer, in each stage.")
    batch: int | None = Field(default=None, ge=1, description="Pictures a step.")
    rate: float | None = Field(default=None, gt=0, description="Learning rate of the encoder.")
    every: int | None = Field(default=None, ge=1, description="Steps between measurements.")
    held_out: float | None = Field(default=None, ge=0, lt=1, description="Share of subjects to measure on.")
    seed: int = Field(default=0, ge=0, description="Of the split and the order.")
    resume: bool = Field(default=False, description="Go on where the run in the output folder stopped.")
    untrained: Untrained = False
    device: str = "auto"
    threads: Threads = 0


@dataclass(frozen=True)
class DistillResult:
    """Relative error of the student's embeddings on held-out subjects, before and after; its weights and system.

    dice  on held-out subjects before and after the decoder learned, where it did
    """

    before: float
    after: float
    weights: Path
    dice: tuple[float, float] | None
    student: str

    def as_json(self) -> dict[str, Any]:
        fields = asdict(self) | {"weights": str(self.weights)}
        return {name: value for name, value in fields.items() if name != "student"}


def distill(
    request: DistillRequest,
    progress: Progress | None = None,
    begun: Callable[[TrainingStart], None] | None = None,
    measured: Measured | None = None,
) -> DistillResult:
    """Teach a small encoder a large one's embeddings, and give it the large one's decoder.

    ``progress`` is called with (step, all), ``begun`` once before the first step, ``measured`` with each measurement.
    Raises ModelError for systems that are not SAM-shaped, InputError for the data, OutputError for a folder that holds
    something else.
    """
    read = (request.data, request.start, model_file(request.teacher), model_file(request.student))
    check_run(request.output, request.resume, *read)
    options = BuildOptions(None, request.untrained, request.threads, request.device, "fp32", "torch")
    teacher = build(request.teacher, options, request.teacher_system)
    student = build(request.student, replace(options, untrained=True, checkpoint=request.start))
    if any(one.capabilities.network is not NetworkKind.SAM for one in (teacher, student)):
        raise ModelError("E-DISTILL-SYSTEM", "Teacher and student must be SAM-shaped.", "See: delineate systems")
    try:
        from delineate.training.distill import distill as run
        from delineate.training.frames import trainable_frames
        from delineate.training.recipes import RecipeOverrides, distillation_named
    except ModuleNotFoundError as error:
        raise MissingExtraError("Training", "train") from error

    embed_by_graph(teacher, request.threads)
    wishes = RecipeOverrides(
        request.output,
        request.steps,
        request.batch,
        request.rate,
        every=request.every,
        held_out=request.held_out,
        seed=request.seed,
        resume=request.resume,
        probe=False,
        progress=steps_of(progress),
    )
    recipe = wishes.of_distillation(distillation_named(request.recipe, request.output))
    layout, cases = _cases(request, needs_labels=recipe.decoder is not None)
    if begun is not None:
        begun(TrainingStart(len(cases), layout, request.recipe))
    shares = 1 - recipe.held_out, recipe.held_out
    learned, held = split_by_subject(trainable_frames(cases), shares, request.seed)
    models = [request.teacher, *map(str, filter(None, [request.start]))]
    record = LearningRecord.of(learned, held, models, teacher.record.sha256)
    with recorded_run(request.output, "distill", request, record, request.resume, FIXED):
        found = run(teacher, student, cases, recipe, measured)
    return DistillResult(found.before, found.after, found.weights, found.dice, request.student)


def _cases(request: DistillRequest, needs_labels: bool) -> tuple[str, list[Case]]:
    """The layout of the data set and its cases; scans alone where it is none, and no labels are needed.

    Raises InputError where there are none.
    """
    try:
        return read_dataset(request.data, request.follow_links)
    except InputError as error:
        if error.code != "E-DATA-LAYOUT" or needs_labels:
            raise
        cases = read_unlabeled(request.data, request.follow_links)
        if not cases:
            raise
        return "scans without labels", cases
