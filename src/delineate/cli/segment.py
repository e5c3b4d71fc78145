"""``delineate segment``: one structure prompted, outlined everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from delineate.cli import options
from delineate.cli.console import progress_bar
from delineate.cli.groups import grouped
from delineate.cli.ordered import typed
from delineate.cli.pointing import Pointing, asked, chosen_between, told_twice
from delineate.cli.second_opinion import SecondOpinion
from delineate.cli.segment_report import end, print_result
from delineate.cli.stopping import stopping
from delineate.cli.where_picture import offer_picture
from delineate.core.errors import PromptError

if TYPE_CHECKING:
    from delineate.verbs.targets import SegmentTarget


@grouped
def segment(
    context: typer.Context,
    input: Annotated[Path, typer.Argument(help="Image, volume, video, DICOM folder or folder of frames.")],
    pointing: Pointing,
    writing: options.Writing,
    following: options.PropagationGroup,
    machine: options.Machine,
    opinion: SecondOpinion,
    reading: options.Reading,
    talking: options.PrintOptions,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the rest of this run, if stopped.")] = False,
) -> None:
    """Outline structures that you point at with boxes, clicks, lines, a mask, or a prompts file.

    A prompt belongs to the --label and --frame before it, or to the only one there is. In a volume or video a structure
    is followed in both directions. A model with classes of its own needs no pointing: it outlines each class. Beside
    the output a manifest is saved; delineate replay does the same again.

    delineate segment liver.nii.gz --box 120,80,210,190 --frame 40 --label liver
    delineate segment heart.nii.gz --label LV --frame 3 --box 73,104,129,160 --label RV --point 60,130
    delineate segment clip.mp4 --scribble 310,190 330,210 350,240 --label tool -o tool
    """
    from delineate.verbs.replay import request_from
    from delineate.verbs.segment import SegmentRequest
    from delineate.verbs.segment import segment as run

    told = _told(pointing, following)
    if told is not None:
        request, check = request_from(
            told,
            input,
            writing.choice,
            None if machine == options.Machine() else machine.choice,
            None if reading == options.Reading() else reading.options,
            pointing.force,
        )
    else:
        request, check = SegmentRequest(input=input, reading=reading.options, model=machine.choice, asked=()), None
    if told is None or pointing.start is not None:
        more: dict[str, Any] = {
            "start": pointing.start,
            "undo": pointing.undo,
            "force": pointing.force,
            "output": writing.choice,
        }
        if (between := chosen_between(pointing)) is not None:
            more["between"] = between
        request = request.model_copy(update=more | {"asked": _one_or_all(asked(typed(context), pointing, following))})
    request = opinion.wanted(request).model_copy(update={"resume": resume})
    try:
        title = "Outlining" if pointing == Pointing() else f"Following {', '.join(request.names)}"
        with progress_bar(title, talking.quiet or talking.json) as bar, stopping(bar) as progress:
            result = run(request, progress, check, (pointing.prompts,))
    except PromptError as error:
        if not (talking.quiet or talking.json):
            offer_picture(error, input, reading.options)
        raise
    print_result(result, talking)
    end(result)


def _told(pointing: Pointing, following: options.PropagationGroup) -> Path | None:
    """The record that says what was done before: a manifest or a log given as --prompts, or a manifest as --from."""
    from delineate.core.manifest import Manifest
    from delineate.verbs.targets import written_structures

    if pointing.start is not None:
        return None if Manifest.read(pointing.start) is None else pointing.start
    if pointing.prompts is None or written_structures(pointing.prompts) is not None:
        return None
    if pointing.says_anything or following != options.PropagationGroup():
        raise told_twice(pointing.prompts)
    return pointing.prompts


def _one_or_all(targets: tuple[SegmentTarget, ...]) -> SegmentTarget | tuple[SegmentTarget, ...]:
    return targets[0] if len(targets) == 1 else targets
