"""What is to be outlined, and what says where it is: prompts in the order they were typed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final

import typer

from delineate.cli import options
from delineate.cli.ordered import Typed
from delineate.core.errors import PromptError

if TYPE_CHECKING:
    from delineate.core.grid import Space
    from delineate.core.prompts import Prompt
    from delineate.verbs.targets import Between, SegmentTarget

Several = list[str] | None
DEFAULT_NAME: Final = "structure"
HOLDING: Final = ("label", "frame", "limit")  # options that hold for the prompts after them


@dataclass(frozen=True)
class Pointing:
    """What is to be outlined, and what says where it is."""

    TITLE: ClassVar[str] = "What to outline"

    label: Annotated[Several, typer.Option(help="Name of the structure that the prompts after it are on.")] = None
    frame: Annotated[Several, typer.Option(help="Slice or frame of the 2D prompts after it; from 0.")] = None
    box: Annotated[Several, typer.Option(help="x0,y0,x1,y1 (or i0,j0,k0,i1,j1,k1); upper ends excluded.")] = None
    point: Annotated[Several, typer.Option(help="x,y or i,j,k on the structure.")] = None
    neg: Annotated[Several, typer.Option(help="x,y or i,j,k that does not belong to it.")] = None
    scribble: Annotated[Several, typer.Option(help="x,y x,y ...: a line drawn over the structure.")] = None
    neg_scribble: Annotated[Several, typer.Option(help="x,y x,y ...: a line over what does not belong to it.")] = None
    lasso: Annotated[Several, typer.Option(help="x,y x,y ...: a closed line loosely around the structure.")] = None
    text: Annotated[Several, typer.Option(help="Its name, for systems that read: medsam_text.")] = None
    mask: Annotated[Several, typer.Option(help="A file with an outline; of several drawn slices all stay.")] = None
    markers: Annotated[Several, typer.Option(help="A volume with marks on some slices: a box on each between.")] = None
    mask_label: Annotated[
        Several, typer.Option(help="Which label of --mask or --markers, where they hold several.")
    ] = None
    limit: Annotated[
        Several, typer.Option(help="FIRST-LAST: frames the structure may be followed to, both included.")
    ] = None
    start: Annotated[
        Path | None,
        typer.Option("--from", help="Go on from the manifest of an earlier run, or from a file of labels."),
    ] = None
    undo: Annotated[int, typer.Option(min=0, help="With --from a manifest: take the last N prompts back.")] = 0
    between: Annotated[
        str | None,
        typer.Option(help="Slices between drawn ones: interpolate (by shapes) or follow (the picture)."),
    ] = None
    space: Annotated[str, typer.Option(help="What prompts are given in: voxel, RAS or LPS.")] = "voxel"
    one_by_one: Annotated[
        bool | None,
        typer.Option(
            "--prompts-one-by-one/--prompts-together",
            help="Answer prompts one after the other, or as one query.  [default: as the model does best]",
        ),
    ] = None
    prompts: Annotated[
        Path | None, typer.Option(help="Prompts in a short JSON, or a log or manifest saved by an earlier run.")
    ] = None
    force: Annotated[
        bool, typer.Option("--force", help="Apply prompts made on another file, or by another model or version.")
    ] = False

    @property
    def says_anything(self) -> bool:
        """Whether anything but a prompts file was given."""
        return replace(self, prompts=None, force=False) != Pointing()


def targets(typed: Typed, pointing: Pointing, following: options.PropagationGroup) -> tuple[SegmentTarget, ...]:
    """The structures and their prompts. Raises PromptError for what is none, or would hold for nothing."""
    from delineate.core.grid import Space

    space = {one.casefold(): one for one in Space}.get(pointing.space.casefold())
    if space is None:
        raise PromptError(
            "E-OPTION", f'--space "{pointing.space}" is not one of {", ".join(Space)}.', "Choose one of these."
        )
    drafts = _drafts(typed, space, bare=pointing.start is not None)
    if space != Space.VOXEL and not any(draft.coordinates for draft in drafts):
        raise _unused("--space", "says what coordinates are given in, and there are none")
    if pointing.one_by_one is not None and not any(draft.prompts or draft.mask for draft in drafts):
        choice = "--prompts-one-by-one" if pointing.one_by_one else "--prompts-together"
        raise _unused(choice, "says how prompts are answered, and there are none")
    if pointing.between is not None and not (pointing.start or any(draft.mask or draft.markers for draft in drafts)):
        raise _unused("--between", "is about slices between drawn ones, and no file is given")
    if pointing.undo and pointing.start is None:
        raise _unused("--undo", "takes back steps of an earlier run, and there is no --from")
    if pointing.start is not None and not any(draft.says_where or draft.limit for draft in drafts):
        return ()
    return tuple(draft.target(pointing, following) for draft in drafts)


def chosen_between(pointing: Pointing) -> Between | None:
    """Raises PromptError for a word that is not offered."""
    from delineate.verbs.targets import Between

    if pointing.between is not None and pointing.between not in list(Between):
        raise PromptError(
            "E-OPTION", f'--between "{pointing.between}" is not one of {", ".join(Between)}.', "Choose one of these."
        )
    return None if pointing.between is None else Between(pointing.between)


@dataclass
class _Draft:
    """One structure while its options are read."""

    name: str
    prompts: list[Prompt] = field(default_factory=list)
    mask: Path | None = None
    mask_frame: int | None = None
    markers: Path | None = None
    mask_label: int | None = None
    limit: tuple[int, int] | None = None
    coordinates: bool = False

    @property
    def says_where(self) -> bool:
        return bool(self.prompts or self.mask or self.markers)

    def target(self, pointing: Pointing, following: options.PropagationGroup) -> SegmentTarget:
        from delineate.verbs.targets import SegmentTarget

        return SegmentTarget(
            name=self.name,
            prompts=tuple(self.prompts),
            mask=self.mask,
            markers=self.markers,
            mask_label=self.mask_label,
            frame=self.mask_frame,
            limit=self.limit,
            between=chosen_between(pointing) if self.mask or self.markers else None,
            one_by_one=pointing.one_by_one,
            propagate=not following.frame_only,
            following=following.chosen,
        )

    def keep_to(self, limit: tuple[int, int] | None) -> None:
        """Limit what it may be followed to. Raises PromptError for a second limit, of which the last would win."""
        if self.limit is not None and limit is not None and self.limit != limit:
            two = " and ".join(f"{first}-{last}" for first, last in (self.limit, limit))
            raise PromptError(
                "E-OPTION",
                f'"{self.name}" gets two limits, {two}.',
                "Put all prompts of a structure behind its one --limit.",
            )
        self.limit = limit

    def take(self, option: str, value: str, frame: int | None, space: Space) -> None:
        """Add one prompt. Raises PromptError for what is none."""
        if option in ("mask", "markers"):
            if getattr(self, option) is not None:
                raise PromptError(
                    "E-OPTION", f'--{option} is given twice for "{self.name}".', "Draw both in one file, or name two."
                )
            setattr(self, option, Path(value))
            self.mask_frame = frame if option == "mask" else self.mask_frame
            return
        self.coordinates |= option != "text"
        prompt = _prompt(option, value, {"frame": frame, "space": space})
        self.prompts.append(prompt)


def _drafts(typed: Typed, space: Space, bare: bool = False) -> list[_Draft]:
    """Options read from left to right; one of HOLDING that is given once holds for all.

    bare  a --limit without a prompt is something to do
    """
    alone = {option: [value for name, value in typed if name == option] for option in HOLDING}
    holding = {option: given[0] for option, given in alone.items() if len(given) == 1}
    used = {"label"}
    drafts: dict[str, _Draft] = {}
    current: _Draft | None = None
    waiting: str | None = None  # a --mask-label before its file
    for position, (option, value) in enumerate(typed):
        if option in HOLDING:
            if len(alone[option]) > 1:
                _require_used(typed[position + 1 :], option, value)
                holding[option] = value
            continue
        if option == "mask-label":
            waiting = _labeled(current, waiting, value)
            continue
        for one in HOLDING:
            if alone[one] and one not in holding:
                raise _too_early(option, value, one)
        name = holding.get("label", DEFAULT_NAME)
        current = drafts.setdefault(name, _Draft(name))
        current.take(option, value, _frame(holding.get("frame")), space)
        current.keep_to(_limit(holding["limit"]) if "limit" in holding else None)
        used |= {"limit"} | ({"frame"} if option != "markers" else set())
        if waiting is not None and option in ("mask", "markers"):
            waiting = _labeled(current, None, waiting)
    if bare and not drafts and "limit" in holding:
        drafts[""] = _Draft(holding.get("label", DEFAULT_NAME), limit=_limit(holding["limit"]))
        used.add("limit")
    for option, given in alone.items():
        if len(given) == 1 and option not in used:
            raise _unused(f"--{option} {given[0]}", "holds for nothing: there is no prompt for it")
    if waiting is not None:
        raise _unused("--mask-label", "says which label of a mask is meant, and there is no mask")
    return list(drafts.values()) or [_Draft(holding.get("label", DEFAULT_NAME))]


def _labeled(draft: _Draft | None, waiting: str | None, value: str) -> str | None:
    """Which label of the file before it is meant; what has to wait for its file."""
    if waiting is not None or (draft is not None and draft.mask_label is not None):
        raise PromptError("E-OPTION", "--mask-label is given twice for one file.", "Give it once, after its --mask.")
    if draft is None or (draft.mask is None and draft.markers is None):
        return value
    draft.mask_label = _whole(value, "--mask-label", "Give the number of one label, such as 1.")
    return None


def _prompt(option: str, value: str, at: dict[str, Any]) -> Prompt:
    from delineate.core.prompts import Box, Lasso, Point, Scribble, Text

    match option:
        case "box":
            return Box(*options.numbers(value, (4, 6), "--box"), **at)
        case "point" | "neg":
            return Point(*options.numbers(value, (2, 3), f"--{option}"), positive=option == "point", **at)
        case "scribble" | "neg-scribble":
            return Scribble(points=tuple(_line(value, option)), positive=option == "scribble", **at)
        case "lasso":
            return Lasso(points=tuple(_line(value, option)), **at)
    return Text(value, frame=at["frame"])


def _line(value: str, option: str) -> Iterator[tuple[float, ...]]:
    return (options.numbers(place, (2, 3), f"--{option}") for place in value.split())


def _frame(value: str | None) -> int | None:
    return None if value is None else _whole(value, "--frame", "Frames count from 0.")


def _whole(value: str, option: str, hint: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise PromptError("E-OPTION", f'{option} "{value}" is no whole number.', hint) from None


def _limit(value: str) -> tuple[int, int]:
    first, dash, last = value.partition("-")
    if not (dash and first.isdigit() and last.isdigit()):
        raise PromptError("E-OPTION", f'--limit "{value}" is not FIRST-LAST.', "Give the frames, such as --limit 3-9.")
    return int(first), int(last)


def _require_used(rest: Typed, option: str, value: str) -> None:
    """Raise PromptError for a --label, --frame or --limit that no prompt follows before the next one."""
    for name, _ in rest:
        if name == option:
            break
        if name not in (*HOLDING, "mask-label"):
            return
    raise _unused(f"--{option} {value}", "holds for nothing: no prompt follows it")


def _too_early(option: str, value: str, held: str) -> PromptError:
    shown = f"{value[:40]}…" if len(value) > 40 else value
    return PromptError(
        "E-PROMPT-ORDER",
        f"--{option} {shown} stands before the first of several --{held}: a prompt belongs to the one before it.",
        f"Put its --{held} before it: --label LV --frame 3 --box 10,10,40,40 --label RV --frame 9 --point 60,20",
    )


def _unused(what: str, why: str) -> PromptError:
    return PromptError("E-OPTION-UNUSED", f"{what} {why}.", "Leave it out, or give the prompt it is for.")


def asked(given: Typed, pointing: Pointing, following: options.PropagationGroup) -> tuple[SegmentTarget, ...]:
    """The structures that are pointed at, on the command line or in a short JSON."""
    from delineate.verbs.targets import written_structures, written_targets

    written = None if pointing.prompts is None else written_structures(pointing.prompts)
    if written is None:
        if pointing.prompts is not None:
            raise _of_one_scan(pointing.prompts)
        return targets(given, pointing, following)
    if replace(pointing, start=None, undo=0, between=None).says_anything and pointing.prompts is not None:
        raise told_twice(pointing.prompts)
    return written_targets(written, not following.frame_only, following.chosen)


def _of_one_scan(file: Path) -> PromptError:
    """What is said of a log or a manifest where only structures by name are taken."""
    from delineate.core.prompt_log import PromptLog

    log = PromptLog.read(file)  # whatever else it is, is told
    return PromptError(
        "E-PROMPTS-TWICE",
        f"{file.name} is all that was done on {log.scan or 'one scan'}; here it cannot be taken.",
        "With --prompts goes a short JSON of structures by name; a log or manifest only alone, in segment.",
    )


def told_twice(file: Path) -> PromptError:
    """What is said where a file says all, and options say more."""
    return PromptError(
        "E-PROMPTS-TWICE",
        f"{file.name} already says all that is to be done; nothing can be prompted beside it.",
        "Give either --prompts, or prompts such as --box, and options such as --frame-only and --memory; to correct "
        "an earlier run, --from MANIFEST and the prompts that are new.",
    )
