"""``delineate segment``: one structure prompted, outlined everywhere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from delineate.cli import options
from delineate.cli.console import progress_bar
from delineate.cli.groups import grouped
from delineate.cli.second_opinion import SecondOpinion
from delineate.cli.segment_report import print_result
from delineate.core.errors import PromptError

if TYPE_CHECKING:
    from delineate.core.prompts import Prompt
    from delineate.verbs.segment import SegmentTarget


@dataclass(frozen=True)
class Pointing:
    """What is to be outlined, and what says where it is."""

    TITLE: ClassVar[str] = "What to outline"

    box: Annotated[list[str] | None, typer.Option(help="x0,y0,x1,y1 (or i0,j0,k0,i1,j1,k1); upper ends excluded.")] = (
        None
    )
    point: Annotated[list[str] | None, typer.Option(help="x,y or i,j,k on the structure.")] = None
    neg: Annotated[list[str] | None, typer.Option(help="x,y or i,j,k that does not belong to it.")] = None
    mask: Annotated[Path | None, typer.Option(help="A file with an outline on one frame to follow or correct.")] = None
    markers: Annotated[
        Path | None, typer.Option(help="A volume with marks on some slices: a box on each slice between.")
    ] = None
    mask_label: Annotated[
        int | None, typer.Option(help="Which label of --mask or --markers, where they hold several.")
    ] = None
    text: Annotated[str | None, typer.Option(help="Its name, for systems that read: medsam_text.")] = None
    frame: Annotated[int | None, typer.Option(help="Slice or frame that 2D prompts are on.")] = None
    space: Annotated[str, typer.Option(help="What prompts are given in: voxel, RAS or LPS.")] = "voxel"
    label: Annotated[str, typer.Option(help="Name of the structure.")] = "structure"
    one_by_one: Annotated[
        bool | None,
        typer.Option(
            "--prompts-one-by-one/--prompts-together",
            help="Answer prompts one after the other, or as one query.  [default: as the model does best]",
        ),
    ] = None
    prompts: Annotated[Path | None, typer.Option(help="Prompts or a manifest saved by an earlier run.")] = None
    force: Annotated[
        bool, typer.Option("--force", help="Apply prompts made on another file, or by another model or version.")
    ] = False

    @property
    def has_prompt(self) -> bool:
        return bool(self.box or self.point or self.neg or self.mask or self.text or self.markers) or (
            self.frame is not None or self.one_by_one is not None
        )

    def target(self, following: options.PropagationGroup) -> SegmentTarget:
        """The structure and its prompts. Raises PromptError for numbers and words that are none."""
        from delineate.core.grid import Space
        from delineate.core.prompts import Box, Point, Text
        from delineate.verbs.segment import SegmentTarget

        if self.space not in list(Space):
            raise PromptError(
                "E-OPTION", f'--space "{self.space}" is not one of {", ".join(Space)}.', "Choose one of these."
            )
        at: dict[str, Any] = {"space": Space(self.space), "frame": self.frame}
        prompts: list[Prompt] = [] if self.text is None else [Text(self.text, frame=self.frame)]
        prompts += [Box(*options.numbers(b, (4, 6), "--box"), **at) for b in self.box or ()]
        prompts += [Point(*options.numbers(p, (2, 3), "--point"), **at) for p in self.point or ()]
        prompts += [Point(*options.numbers(p, (2, 3), "--neg"), positive=False, **at) for p in self.neg or ()]
        return SegmentTarget(
            name=self.label,
            prompts=tuple(prompts),
            mask=self.mask,
            markers=self.markers,
            mask_label=self.mask_label,
            frame=self.frame,
            one_by_one=self.one_by_one,
            propagate=not following.frame_only,
            following=following.chosen,
        )


@grouped
def segment(
    input: Annotated[Path, typer.Argument(help="Image, volume, video, DICOM folder or folder of frames.")],
    pointing: Pointing,
    writing: options.Writing,
    following: options.PropagationGroup,
    machine: options.Machine,
    opinion: SecondOpinion,
    reading: options.Reading,
    talking: options.PrintOptions,
) -> None:
    """Outline a structure that you point at with a box, points, a mask, or a prompts file.

    A model with classes of its own needs no pointing: it outlines each class.

    In a volume or video it is followed in both directions. Beside the output a manifest is saved; delineate replay does
    the same again.

    delineate segment liver.nii.gz --box 120,80,40,210,190,90 --label liver
    delineate segment clip.mp4 --point 320,200 --label tool -o tool
    """
    from delineate.verbs.replay import request_from
    from delineate.verbs.segment import SegmentRequest
    from delineate.verbs.segment import segment as run

    check = None
    if pointing.prompts is not None:
        if pointing.has_prompt or following != options.PropagationGroup():
            raise _told_twice(pointing.prompts)
        request, check = request_from(
            pointing.prompts,
            input,
            writing.choice,
            None if machine == options.Machine() else machine.choice,
            None if reading == options.Reading() else reading.options,
            pointing.force,
        )
    else:
        request = SegmentRequest(
            input=input,
            reading=reading.options,
            model=machine.choice,
            asked=pointing.target(following),
            output=writing.choice,
        )
    request = opinion.wanted(request)
    with progress_bar(f"Following {', '.join(request.names)}", talking.quiet or talking.json) as progress:
        result = run(request, progress, check, (pointing.prompts,))
    print_result(result, talking)


def _told_twice(file: Path) -> PromptError:
    return PromptError(
        "E-PROMPTS-TWICE",
        f"{file.name} already says all that is to be done; nothing can be prompted beside it.",
        "Give either --prompts, or prompts such as --box, and options such as --frame-only and --memory.",
    )
