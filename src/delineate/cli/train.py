"""``delineate train``: Quill from nothing, or a published system on your own labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from delineate.cli import options
from delineate.cli.console import result, result_json, step_counter, tell
from delineate.cli.groups import grouped, request_of
from delineate.core.terminal_text import command, counted
from delineate.predictors.capabilities import Capabilities, PromptKind, Scope

if TYPE_CHECKING:
    from delineate.verbs.finetune import FinetuneResult
    from delineate.verbs.train_quill import TrainQuillResult
    from delineate.verbs.training_run import TrainingStart


@dataclass(frozen=True)
class QuillLearning:
    """What is learned from, and how."""

    TITLE: ClassVar[str] = "What is learned, and how"

    data: Annotated[
        Path | None, typer.Option(help="Folder with a manifest.json; only items marked train are used.")
    ] = None
    follow_links: options.FollowLinks = False
    start: Annotated[Path | None, typer.Option(help="Weights (.safetensors) or quill.onnx to begin from.")] = None
    keep: Annotated[float, typer.Option(min=0, max=1, help="Share of --start's weights kept at the end.")] = 0.0
    minutes: Annotated[float, typer.Option(help="Wall-clock budget.")] = 90.0
    batch: Annotated[int, typer.Option(help="Crops a step.")] = 32
    rate: Annotated[float, typer.Option(help="Highest learning rate.")] = 2e-3
    seed: Annotated[int, typer.Option(help="Seed of data, prompts and weights.")] = 0


@dataclass(frozen=True)
class QuillMachine:
    """What it runs on."""

    TITLE: ClassVar[str] = "Machine"

    device: Annotated[str, typer.Option("--device", help="Where it learns: auto, cpu, cuda, cuda:1.")] = "auto"
    workers: Annotated[int, typer.Option(help="Processes that make scenes; 0: as many as make sense.")] = 0
    threads: options.Threads = 0


@dataclass(frozen=True)
class QuillWriting:
    """What is written where."""

    TITLE: ClassVar[str] = "Output"

    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for checkpoints, log and model.")] = Path(
        "runs/quill"
    )
    resume: options.Resume = False
    version: Annotated[str, typer.Option(help="Version written into the model.")] = "0"


@grouped
def quill(
    learning: QuillLearning,
    machine: QuillMachine,
    writing: QuillWriting,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Train the small model from synthetic scenes, and from real ones marked for training if a data folder is given."""
    from delineate.verbs.train_quill import TrainQuillRequest, train_quill

    def show(line: dict[str, float]) -> None:
        tell(
            f"{line['minutes']:7.1f} min  step {line['step']:6.0f}  loss {line['loss']:.3f}  "
            f"IoU shown {line['iou_chosen']:.3f}  held out {line['quality']:.3f}"
        )

    done = train_quill(request_of(TrainQuillRequest, learning, machine, writing), None if quiet else show)
    print_quill(done)


def print_quill(done: TrainQuillResult) -> None:
    result(str(done.weights))
    tell(f"Try it: delineate segment FILE --box … {command('--model', done.weights)}")


@dataclass(frozen=True)
class Learning:
    """How it learns."""

    TITLE: ClassVar[str] = "How it learns"

    recipe: Annotated[
        str | None,
        typer.Option(help="How; by default a paper's own or the first that fits: delineate train recipes."),
    ] = None
    part: Annotated[str | None, typer.Option(help="What learns: decoder (embeddings are kept), encoder, all.")] = None
    prompt: Annotated[
        str | None,
        typer.Option(help="How structures are pointed at: point, box, shifted_box, sam_iterative, interactive."),
    ] = None
    peft: Annotated[str | None, typer.Option(help="Adapters in the encoder: lora, dora, adalora.")] = None
    rank: Annotated[int, typer.Option(help="Of the adapters.")] = 8
    steps: options.Steps = None
    minutes: Annotated[float | None, typer.Option(help="Of training, at most; the rate falls with them.")] = None
    batch: Annotated[int | None, typer.Option(help="Structures a step.")] = None
    rate: Annotated[float | None, typer.Option(help="Learning rate.")] = None
    every: options.Every = None
    ema: Annotated[float | None, typer.Option(help="Decay of a moving average of the weights; 0: none.")] = None
    flips: Annotated[
        float | None, typer.Option(help="Chance of a picture being mirrored along an axis; 0 where sides matter.")
    ] = None
    adapter: Annotated[
        Path | None, typer.Option(help="An adapter that learns further, with --recipe interactive: a file, or a name.")
    ] = None
    teacher: Annotated[str | None, typer.Option(help="For lite_medsam: whose embeddings are learned first.")] = None
    held_out: Annotated[float, typer.Option(help="Share of subjects to measure on.")] = 0.25
    seed: Annotated[int, typer.Option(help="Of the split and the prompts.")] = 0


@dataclass(frozen=True)
class LearningMachine:
    """Which model learns, and on what."""

    TITLE: ClassVar[str] = "Model and machine"

    model: Annotated[str, typer.Option("--model", "-m", help="A system, or its file.")] = "lite_medsam"
    system: options.SystemName = None
    untrained: options.Untrained = False
    variant: options.Variant = ""
    classes: Annotated[
        list[str] | None,
        typer.Option("--class", help="What a system of classes shall name, with --untrained; may be repeated."),
    ] = None
    narrow: Annotated[
        bool,
        typer.Option(
            "--narrow", help="With --untrained, on SAM's ViT or SAM 2: a small network, which a CPU can teach."
        ),
    ] = False
    memory: Annotated[str | None, typer.Option(help="Choose batch and precision to fit, such as 8GB.")] = None
    device: options.Device = "auto"
    precision: Annotated[str | None, typer.Option(help="Of training: fp32, bf16 or fp16.")] = None
    threads: options.Threads = 0


@dataclass(frozen=True)
class LearningOutput:
    """What is written where."""

    TITLE: ClassVar[str] = "Output"

    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for weights and log.")] = Path("finetuned")
    resume: options.Resume = False
    embeddings: Annotated[
        Path | None, typer.Option(help="Folder where embeddings of a frozen encoder stay for other runs.")
    ] = None


@grouped
def finetune(
    data: Annotated[Path, typer.Argument(help="Labeled scans: delineate dataset check says what it sees.")],
    learning: Learning,
    machine: LearningMachine,
    writing: LearningOutput,
    follow_links: options.FollowLinks = False,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Fine-tune a system on labeled scans; measured before the first step, keeps only what is better than that."""
    from delineate.verbs.finetune import FinetuneRequest
    from delineate.verbs.finetune import finetune as run

    more = {"data": data, "follow_links": follow_links, "classes": tuple(machine.classes or ())}
    request = request_of(FinetuneRequest, learning, machine, writing, **more)
    with step_counter(json) as (say, progress):
        done = run(request, progress, lambda start: say(begun(start)), lambda line: say(_measured(line)))
    if json:
        result_json(done.as_json())
    else:
        print_finetuned(done)


@grouped
def recipes(json: options.Json = False) -> None:
    """List the recipes of train finetune: what learns and how, whose it is, and where the figures come from."""
    from delineate.verbs.finetune import ListRecipesRequest, list_recipes

    done = list_recipes(ListRecipesRequest())
    if json:
        result_json(done.as_json())
        return
    for one in done.recipes:
        result(f"{one.name:18}  {one.summary}\n{'':18}  {one.system}; {one.source}")


def begun(start: TrainingStart) -> str:
    """What a run begins with, for people."""
    about = f"{start.recipe}: {start.summary}" if start.summary else start.recipe
    memory = ["Memory, estimated:", *start.memory] if start.memory else []
    return "\n".join([*memory, f"{counted(start.cases, 'case')} ({start.layout}); recipe {about}", *start.learned])


def _measured(line: dict[str, float]) -> str:
    return (
        f"  step {line['step']:6.0f}  loss {line['loss']:.4f}  held out {line['quality']:.4f}  "
        f"(best {line['best']:.4f}, before {line['before']:.4f})  {line['minutes_left']:.1f} min left"
    )


def print_finetuned(done: FinetuneResult) -> None:
    """What was gained, for people; and how much the answer depends on the prompt, where that was measured."""
    for line in done.sensitivity:
        tell(line)
    result(f"Dice on held-out subjects: {done.before:.3f} before, {done.best:.3f} at best (step {done.step})")
    if done.weights is not None:
        _tell_use(done.weights, done)
    result(done.verdict)


def _tell_use(weights: Path, done: FinetuneResult) -> None:
    """Commands to use what was learned, and to see it beside what it was learned from."""
    from delineate.verbs.request import model_file

    name, request, kind = done.system, done.request, _pointed_by(done.capabilities)
    ask = "delineate segment FILE" + ("" if kind is None else f" --{kind} ...")
    system = () if weights.suffix == ".onnx" else ("--system", name)
    result(f"  {weights}\nUse it: {ask} {command('-m', weights, *system)}")

    def named(file: Path) -> str:
        return f"{name}={file}" if system else str(file)

    begun = model_file(request.model)
    before = () if request.untrained else (name if begun is None else named(begun),)
    data = (
        "--data",
        request.data,
        *(["--follow-links"] if request.follow_links else []),
        *_protocol(done.capabilities),
    )
    predictors = ("--predictors", ",".join((*before, named(weights))))
    result(f"See it on what was held out: {command('delineate', 'evaluate', *data, *predictors, '-o', 'report')}")
    if done.adapter is not None:
        result(f"Or, where the base is: {ask} {command('-m', name, '--adapter', done.adapter)}")


def _pointed_by(capabilities: Capabilities) -> PromptKind | None:
    """What a structure is pointed at with; None for a system that names what it sees."""
    kinds = (PromptKind.BOX, PromptKind.POINT, PromptKind.MASK)
    return next((kind for kind in kinds if kind in capabilities.prompts), None)


def _protocol(capabilities: Capabilities) -> tuple[str, ...]:
    """The protocol that asks a system as it is asked in use, where that is not the usual one."""
    match capabilities.scope, _pointed_by(capabilities):
        case Scope.DENSE, _:
            return ("--protocol", "classes")
        case Scope.VOLUME, _:
            return ("--protocol", "box-3d")
        case _, PromptKind.POINT:
            return ("--protocol", "clicks-2d")
        case _, PromptKind.MASK:
            return ("--protocol", "one-shot-volume")
    return ()
