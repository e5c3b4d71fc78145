"""The structures that ``segment`` is asked for: what says where each one is, and how far it is followed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from pydantic import Field

from delineate.core.errors import Notice, PromptError
from delineate.core.json_file import parse_json
from delineate.core.prompt_log import AddPrompt, AddPrompts, PromptLog, Propagate, require_file
from delineate.core.prompts import Prompt
from delineate.core.propagation_options import PropagationOptions
from delineate.core.scan import Scan
from delineate.core.written_prompts import WrittenStructures, is_written
from delineate.session import Session
from delineate.verbs.prompt_files import drawn_slices, marker_prompts, mask_prompt, slices_drawn_on
from delineate.verbs.request import Request


class Between(StrEnum):
    """How the frames between drawn ones are outlined."""

    INTERPOLATE = "interpolate"  # by the shapes drawn
    FOLLOW = "follow"  # by the model, from the nearest drawn one


class SegmentTarget(Request):
    """One structure, and what says where it is."""

    name: str = "structure"
    prompts: tuple[Prompt, ...] = ()
    mask: Path | None = Field(default=None, description="A file with its outline on one frame.")
    markers: Path | None = Field(default=None, description="A volume with marks on some slices.")
    frame: int | None = Field(default=None, description="The slice of the mask file that is meant.")
    mask_label: int | None = Field(default=None, description="Which of several labels in the mask or the markers.")
    between: Between | None = Field(
        default=None, description="Every drawn slice is kept as it is, and those between are outlined in this way."
    )
    limit: tuple[int, int] | None = Field(default=None, description="First and last frame it may be followed to.")
    one_by_one: bool | None = Field(
        default=None,
        description="Answer prompts on one frame one after the other, or as one query; default: as suits the model.",
    )
    propagate: bool = Field(default=True, description="Follow it to the other frames.")
    following: PropagationOptions | None = None

    @property
    def says_where(self) -> bool:
        return bool(self.prompts or self.mask or self.markers)


def written_structures(file: Path) -> WrittenStructures | None:
    """The short JSON of structures by name in a file; None for a log or a manifest.

    Raises PromptError for structures that are not well written.
    """
    require_file(file)
    try:
        content = file.read_bytes()
        data = parse_json(content)
    except (OSError, ValueError):
        return None  # what reads logs says why
    return WrittenStructures.parse(content, file.name) if is_written(data) else None


def written_targets(
    written: WrittenStructures, propagate: bool = True, following: PropagationOptions | None = None
) -> tuple[SegmentTarget, ...]:
    """Raises PromptError for numbers that are no prompt."""
    return tuple(
        SegmentTarget(
            name=name,
            prompts=written.prompts(name),
            limit=written.limit(name),
            propagate=propagate,
            following=following,
        )
        for name in written.root
    )


def as_drawn(targets: Sequence[SegmentTarget], scan: Scan) -> tuple[tuple[SegmentTarget, ...], tuple[Notice, ...]]:
    """Structures whose mask is drawn on several slices keep them all, unless a slice of it was named; what is told."""
    settled, notices = [], []
    for target in targets:
        if target.mask is not None and target.between is None and target.frame is None:
            count = slices_drawn_on(target.mask, scan, target.mask_label)
            if count > 1:
                text = (
                    f"{target.mask.name} is drawn on {count} slices; all are kept, and those between them are outlined "
                    "by the shapes. --between follow goes by the picture there; --frame N follows that one slice alone."
                )
                notices.append(Notice("W-MASK-SLICES", text))
                target = target.model_copy(update={"between": Between.INTERPOLATE})
        settled.append(target)
    return tuple(settled), tuple(notices)


def target_prompts(target: SegmentTarget, scan: Scan) -> tuple[tuple[Prompt, ...], tuple[Notice, ...]]:
    """What says where a structure is, files read; and what should be known about it."""
    prompts: list[Prompt] = []
    notices: tuple[Notice, ...] = ()
    if target.mask_label is not None and target.mask is None and target.markers is None:
        raise PromptError(
            "E-OPTION", "--mask-label says which label of a mask is meant, and there is no mask.", "Give --mask FILE."
        )
    if target.between is not None and target.mask is None and target.markers is None:
        raise PromptError(
            "E-OPTION-UNUSED", "--between is about slices between drawn ones, and no file is.", "Give --mask FILE."
        )
    for file in (target.mask, target.markers):
        if file is not None and target.between is not None:
            drawn, about = drawn_slices(file, scan, target.mask_label)
            prompts += drawn
            notices += about
    if target.mask is not None and target.between is None:
        outline, notices = mask_prompt(target.mask, scan, target.frame, target.mask_label)
        prompts.append(outline)
    if target.markers is not None and target.between is None:
        marks, about = marker_prompts(target.markers, scan, target.mask_label)
        prompts += marks
        notices += about
    prompts += target.prompts
    if not prompts:
        raise PromptError(
            "E-PROMPT-NONE",
            "Nothing says which structure is meant.",
            "Point at it with --box x0,y0,x1,y1, with --point x,y, with --mask FILE, or with --text WORDS "
            "(or give --prompts FILE). See where: delineate inspect FILE --picture where.png",
        )
    return tuple(prompts), notices


def propagations(session: Session, targets: Sequence[SegmentTarget]) -> list[Propagate]:
    """How structures that were pointed at are to be followed, those with the same limits and the same way together.

    Raises PromptError for a structure that was pointed at beyond its limit.
    """
    runs: dict[tuple[tuple[int, int] | None, str], list[SegmentTarget]] = {}
    for target in targets:
        if target.between is Between.INTERPOLATE:
            if target.propagate:
                session.interpolate(target.name)
        elif target.propagate:
            limit = _limit(session, target)
            how = "" if target.following is None else target.following.model_dump_json()
            runs.setdefault((limit, how), []).append(target)
    events = []
    for (limit, _), together in runs.items():
        names = [target.name for target in together if target.name in session.segmentation]
        every = not names or set(names) >= set(session.segmentation.names)  # none: a model with classes of its own
        first, stop = (None, None) if limit is None else (limit[0], limit[1] + 1)
        following = together[0].following or PropagationOptions()
        events.append(Propagate(objects=() if every else tuple(names), first=first, stop=stop, following=following))
    return events


def asks_the_same(log: PromptLog, targets: Sequence[SegmentTarget]) -> bool:
    """Whether a log is of these structures with these prompts and limits; of files of masks the names are not kept."""
    done: dict[str, Counter[Prompt]] = {}
    limits: dict[str, tuple[int, int] | None] = {}
    for event in log.current:
        if isinstance(event, AddPrompt | AddPrompts):
            done.setdefault(event.object, Counter()).update(event.prompts)
        elif isinstance(event, Propagate):
            ends = None if event.first is None or event.stop is None else (event.first, event.stop - 1)
            limits |= dict.fromkeys(event.objects or done, ends)
    if any(target.mask or target.markers for target in targets):
        return True
    asked = {target.name: Counter(target.prompts) for target in targets if target.prompts}
    return done == asked and all(target.limit == limits.get(target.name, target.limit) for target in targets)


def require_followed(targets: Sequence[SegmentTarget], scan: Scan) -> None:
    """Raise PromptError for ways and limits of following where nothing is followed."""
    for target in targets:
        chosen = [
            word for word, given in (("--limit", target.limit), ("a way of following", target.following)) if given
        ]
        if chosen and not (target.propagate and len(scan) > 1):
            why = "nothing is followed with --frame-only" if len(scan) > 1 else f"{scan.kind.value}s have one frame"
            raise PromptError("E-OPTION-UNUSED", f"{chosen[0]} is given, and {why}.", "Leave it out.")


def _limit(session: Session, target: SegmentTarget) -> tuple[int, int] | None:
    """The first and the last frame a structure may be followed to; of drawn slices, those drawn."""
    track = session.tracks.get(target.name)
    pointed = sorted(track.prompted) if track is not None else []
    if target.limit is None:
        drawn = target.markers is not None or target.between is not None
        return (pointed[0], pointed[-1]) if drawn and pointed else None
    first, last = target.limit
    word, frames = session.scan.frame_word, len(session.scan)
    if not 0 <= first <= last < frames:
        raise PromptError(
            "E-LIMIT", f"--limit {first}-{last} is not within {word} 0 to {frames - 1}.", "Give the first and the last."
        )
    beyond = [frame for frame in pointed if not first <= frame <= last]
    if beyond:
        raise PromptError(
            "E-LIMIT",
            f'"{target.name}" is pointed at on {word} {beyond[0]}, beyond --limit {first}-{last}.',
            "Let the limit include every frame that is pointed at.",
        )
    return first, last
