"""Options that several verbs share: single ones, and groups of them (``groups``)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from delineate.cli.groups import values
from delineate.core.errors import DelineateWarning, PromptError

if TYPE_CHECKING:
    from delineate.core.propagation_options import PropagationOptions
    from delineate.io.options import ReadOptions
    from delineate.verbs.request import ModelChoice, OutputChoice

Json = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no remarks.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show where an error came from.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace outputs that exist.")]
KeepHeader = Annotated[bool, typer.Option("--keep-header", help="Copy a NIfTI header whole, patient texts too.")]
FollowLinks = Annotated[
    bool, typer.Option("--follow-links", help="Paths and links of the data set may lead outside its folder.")
]
Model = Annotated[str, typer.Option("--model", "-m", help="A system's name, a model file, or an exported folder.")]
Device = Annotated[str, typer.Option("--device", help="Where published systems run: auto, cpu, cuda, cuda:1, mps.")]
Precision = Annotated[str, typer.Option("--precision", help="Of image encoders: auto, fp32, bf16 or fp16.")]
Backend = Annotated[str, typer.Option("--backend", help="What computes: auto, torch, onnx, openvino.")]
SystemName = Annotated[str | None, typer.Option("--system", help="Which system a checkpoint belongs to.")]
Untrained = Annotated[
    bool,
    typer.Option(
        "--untrained",
        help="Random weights, whatever is kept: to try the machinery. A paper's parts begin so beside their host's.",
    ),
]
Variant = Annotated[str, typer.Option("--variant", help="Where authors do it in two ways: delineate systems NAME.")]
Adapter = Annotated[
    Path | None,
    typer.Option(
        "--adapter", help="What train finetune --peft wrote, put into -m; or the name of one that ships (systems NAME)."
    ),
]
Vocabulary = Annotated[Path | None, typer.Option("--vocabulary", help="Word pieces for --text (CLIP's file).")]
Memory = Annotated[
    str | None, typer.Option("--memory", help="Frames it is compared with: window, pruning, cross-image; or chain.")
]
Stride = Annotated[int | None, typer.Option("--stride", help="Frames between two memories.")]
Memories = Annotated[int | None, typer.Option("--memories", help="Most frames remembered, 1 to 7.")]
PromptedMemories = Annotated[int | None, typer.Option("--prompted-memories", help="Most of those prompted.")]
Fill = Annotated[int | None, typer.Option("--fill", help="Fill holes up to this low-resolution area.")]
Specks = Annotated[int | None, typer.Option("--specks", help="Remove specks up to this low-resolution area.")]
Apart = Annotated[bool, typer.Option("--no-overlap", help="Followed structures share no pixel.")]
Direction = Annotated[str | None, typer.Option("--directions", help="Follow it both, forward or backward.")]
Reset = Annotated[
    bool | None,
    typer.Option(
        "--reset/--no-reset",
        help="Start the second direction anew, or keep the memory.  [default: as the system's authors do]",
    ),
]
Outlines = Annotated[
    bool, typer.Option("--follow-outlines", help="A memory starts from outlines, not from clicks and boxes.")
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on where the run in the output folder stopped.")]
Steps = Annotated[int | None, typer.Option(help="Optimiser steps.")]
Every = Annotated[int | None, typer.Option(help="Steps between measurements.")]
Threads = Annotated[int, typer.Option("--threads", help="CPU threads, at most one a core; 0 means all.")]
Axis = Annotated[str | None, typer.Option("--axis", help="Axis slices are taken along: i, j, k or R, A, S.")]
Series = Annotated[str | None, typer.Option("--series", help="Which DICOM series: number, #position or description.")]
Index = Annotated[int | None, typer.Option("--index", help="Which volume of a 4D file, or which page.")]
Channel = Annotated[int | None, typer.Option("--channel", help="Which channel of a TIFF that has several.")]
PagesOption = Annotated[str | None, typer.Option("--pages", help="What several pages are: stack or video.")]
AffineOption = Annotated[str | None, typer.Option("--affine", help="Which NIfTI affine to believe: sform or qform.")]
Spacing = Annotated[str | None, typer.Option("--spacing-order", help="Order of an npz file's spacing: xyz or zyx.")]
Modality = Annotated[
    str | None, typer.Option("--modality", help="What kind of scan it is, where the file does not say: ultrasound, MR.")
]
Window = Annotated[
    str | None,
    typer.Option("--window", help="Intensities models see: lung, brain, bone, soft, abdomen, mediastinum or LOW,HIGH."),
]
ToGrey = Annotated[bool, typer.Option("--to-gray", help="Turn a color volume into gray values.")]
Irregular = Annotated[bool, typer.Option("--resample-irregular", help="Fill DICOM gaps, straighten tilted gantries.")]
Stored = Annotated[bool, typer.Option("--stored-orientation", help="Ignore a photograph's EXIF rotation.")]
SkipDamaged = Annotated[
    bool, typer.Option("--skip-damaged", help="The frame before stands in for one that cannot be read.")
]
MaxPixels = Annotated[int, typer.Option("--max-pixels", help="Largest picture that is opened.")]
MaxVoxels = Annotated[int, typer.Option("--max-voxels", help="Largest volume that is opened.")]
MaxFrames = Annotated[int, typer.Option("--max-frames", help="Most frames of a video.")]
MaxFiles = Annotated[int, typer.Option("--max-files", help="Most files of a folder that are looked at.")]


@dataclass(frozen=True)
class Reading:
    """How the file is read."""

    TITLE: ClassVar[str] = "How to read the file"

    axis: Axis = None
    series: Series = None
    index: Index = None
    channel: Channel = None
    pages: PagesOption = None
    affine: AffineOption = None
    spacing_order: Spacing = None
    modality: Modality = None
    window: Window = None
    to_gray: ToGrey = False
    resample_irregular: Irregular = False
    stored_orientation: Stored = False
    skip_damaged: SkipDamaged = False
    max_pixels: MaxPixels = 200_000_000
    max_voxels: MaxVoxels = 2_000_000_000
    max_frames: MaxFrames = 1_000_000
    max_files: MaxFiles = 20_000

    @property
    def options(self) -> ReadOptions:
        """Raises InputError for words that are not offered."""
        from delineate.io.options import ReadOptions

        given = values(self)
        return ReadOptions(slice_axis=given.pop("axis"), **given)


@dataclass(frozen=True)
class PropagationGroup:
    """How structures are followed."""

    TITLE: ClassVar[str] = "Following"

    frame_only: Annotated[
        bool, typer.Option("--frame-only", "--no-propagate", help="Do not follow it to other frames.")
    ] = False
    directions: Direction = None
    memory: Memory = None
    stride: Stride = None
    memories: Memories = None
    prompted_memories: PromptedMemories = None
    reset: Reset = None
    outlines: Outlines = False
    fill: Fill = None
    specks: Specks = None
    no_overlap: Apart = False

    @property
    def chosen(self) -> PropagationOptions | None:
        """None where nothing was chosen. Raises PromptError for what is not offered, or would not be done."""
        if self.frame_only and self != PropagationGroup(frame_only=True):
            raise PromptError(
                "E-OPTION-UNUSED",
                "With --frame-only nothing is followed, and a way of following is given.",
                "Leave it out.",
            )
        return following(
            memory=self.memory,
            stride=self.stride,
            memories=self.memories,
            prompted=self.prompted_memories,
            fill=self.fill,
            specks=self.specks,
            exclusive=self.no_overlap or None,
            directions=self.directions,
            reset=self.reset,
            outlines=self.outlines or None,
        )


@dataclass(frozen=True)
class Machine:
    """Which model answers, and what it runs on; None where nobody said."""

    TITLE: ClassVar[str] = "Model and machine"

    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", help="A system's name, a model file, an exported folder, or auto.  [default: quill]"
        ),
    ] = None
    adapter: Adapter = None
    system: SystemName = None
    variant: Variant = ""
    untrained: Untrained = False
    device: Device = "auto"
    precision: Precision = "auto"
    backend: Backend = "auto"
    threads: Threads = 0
    vocabulary: Vocabulary = None

    @property
    def choice(self) -> ModelChoice:
        from delineate.verbs.request import ModelChoice

        given = values(self)
        name = given.pop("model") or "quill"
        if self.backend == "torch" and (name == "quill" or name.endswith(".onnx")):
            text = 'ONNX Runtime or OpenVINO computes Quill; --backend "torch" changes nothing.'
            warnings.warn(text, DelineateWarning, stacklevel=2)
        return ModelChoice(name=name, **given)


@dataclass(frozen=True)
class Writing:
    """What is written where."""

    TITLE: ClassVar[str] = "Output"

    output: Annotated[Path | None, typer.Option("--output", "-o", help="File or folder to write.")] = None
    split: Annotated[bool, typer.Option("--split", help="One file for each structure.")] = False
    film: Annotated[bool, typer.Option("--film", help="Also write a video with its outlines (MP4).")] = False
    keep_header: KeepHeader = False
    overwrite: Overwrite = False

    @property
    def choice(self) -> OutputChoice:
        from delineate.verbs.request import OutputChoice

        given = values(self)
        return OutputChoice(path=given.pop("output"), **given)


@dataclass(frozen=True)
class PrintOptions:
    """What is printed."""

    TITLE: ClassVar[str] = "What is printed"

    json: Json = False
    quiet: Quiet = False
    debug: Debug = False


def following(**given: Any) -> PropagationOptions | None:
    """How structures are followed, from the options that were given; None where none was.

    given  fields of ``PropagationOptions``, None where left out. Raises PromptError for what is not offered.
    """
    from importlib.metadata import entry_points

    from delineate.core.propagation_options import Directions, MemoryRule, PropagationOptions

    chosen = {name: value for name, value in given.items() if value is not None}
    added = entry_points(group="delineate.memory_policies").names  # each by the name of its policy
    for name, words in (("memory", [*MemoryRule, *sorted(added)]), ("directions", [*Directions])):
        if name in chosen and chosen[name] not in words:
            raise PromptError(
                "E-OPTION", f'--{name} "{chosen[name]}" is not one of {", ".join(words)}.', "Choose one of these."
            )
    return PropagationOptions(**chosen) if chosen else None


def numbers(text: str, counts: tuple[int, ...], option: str) -> tuple[float, ...]:
    """``10,20,30,40`` as numbers.

    Raises PromptError if there are not as many as expected, or one is none.
    """
    parts = text.strip("[]() ").split(",")
    try:
        found = tuple(float(part) for part in parts)
    except ValueError:
        raise PromptError(
            "E-PROMPT-NUMBER",
            f'{option} "{text}" holds something that is not a number.',
            "Give finite numbers, separated by commas: 120,80.",
        ) from None
    if len(found) not in counts:
        expected = " or ".join(str(n) for n in counts)
        raise PromptError(
            "E-PROMPT-LENGTH",
            f'{option} "{text}" has {len(found)} numbers; it needs {expected}.',
            "A point is x,y on a frame or i,j,k in a volume; a box x0,y0,x1,y1 or i0,j0,k0,i1,j1,k1.",
        )
    return found
