"""Going on from what there is: an earlier run by its manifest, or a file of labels that a person drew."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from delineate.core.alignment import Fit, fit_of, moved
from delineate.core.errors import DelineateError, Notice, PromptError
from delineate.core.manifest import Manifest
from delineate.core.origin import origin_notices
from delineate.core.prompt_log import Event, Interpolate, Predict, PromptLog, Propagate
from delineate.core.prompts import Mask, Prompt
from delineate.core.rle import Rle
from delineate.core.scan import Scan, ScanKind
from delineate.core.segmentation import Segmentation
from delineate.io.saving import output_record
from delineate.labels.reading import open_segmentation
from delineate.predictors.capabilities import Scope
from delineate.predictors.frame_predictor import Predictor
from delineate.session import Session
from delineate.session.restoring import restored_session
from delineate.tracking.guards import GuardSettings
from delineate.verbs.request import Progress
from delineate.verbs.targets import Between, SegmentTarget, propagations, target_prompts


def start_files(start: Path | None) -> tuple[Path, ...]:
    """Every file that is read to go on from ``start``."""
    if start is None:
        return ()
    manifest = Manifest.read(start)
    return (start, *(start.parent / one.name for one in (manifest.outputs if manifest else ())))


@dataclass(frozen=True)
class Start:
    """What to go on from, and how.

    undo     of an earlier run, so many of the last things a person did are taken back first
    between  of a file of labels, how slices between drawn ones are outlined
    force    although the run was made on another file
    """

    file: Path
    undo: int = 0
    between: Between = Between.INTERPOLATE
    force: bool = False


def continued(
    start: Start,
    targets: Sequence[SegmentTarget],
    scan: Scan,
    predictor: Predictor,
    guards: GuardSettings | None = None,
    progress: Progress | None = None,
) -> tuple[Session, Sequence[Event]]:
    """What there was, with new prompts answered, and what is still to be done: only what they change.

    Raises PromptError where nothing is added, for a manifest of another scan, and for outputs that were changed since.
    """
    given = [(target, *_prompts(target, scan)) for target in targets]
    scan = scan.with_notices(*(notice for *_, notices in given for notice in notices))
    manifest = Manifest.read(start.file)
    if manifest is None:
        opened = open_segmentation(start.file)
        labels = opened.segmentation
        scan = scan.with_notices(*origin_notices(opened.scan, scan, start.file.name))
        session, limits = _drawn_on(start, labels, given, scan, predictor, guards)
        drawn, alone = list(labels.names), {target.name for target in targets if not target.propagate}
        return session, [*_fill(session, drawn, start.between, limits, alone), *_new(session, targets, drawn)]
    if not (targets or start.undo):
        text = "Nothing is added to the earlier run, and nothing taken back."
        hint = "Give a prompt such as --frame 9 --point 60,80, a --limit 3-9, or --undo 1."
        raise PromptError("E-PROMPT-NONE", text, hint)
    log = manifest.prompts
    if not start.undo and _by_classes(log) and predictor.capabilities.scope is not Scope.DENSE:
        scan = _same_scan(start, log, scan)
        outlines = _classes_written(start.file, manifest, scan)  # of every frame: nothing is filled between them
        given = [(_as_named(target, outlines.names), prompts, told) for target, prompts, told in given]
        session, _ = _drawn_on(start, outlines, given, scan, predictor, guards)
        return session, _new(session, [target for target, *_ in given], outlines.names)
    session = earlier_session(start, manifest, scan, predictor, guards, progress)
    before = session.segmentation.names
    known = [(as_before(target, log, session), prompts) for target, prompts, _ in given]
    _require_there(session, known)
    _point(session, known)
    for (own, _), target in zip(known, targets, strict=True):
        if target.limit is not None:
            session.limit(own.name, *target.limit)
    filled = frozenset(event.object for event in log.current if isinstance(event, Interpolate))
    again_filled = dict.fromkeys(target.name for target, _ in known if target.name in filled)  # in the order given
    events: list[Event] = [Interpolate(object=name) for name in again_filled]
    again = [target for target, _ in known if target.name not in filled and target.says_where]
    if start.undo and any(isinstance(event, Propagate) for event in log.current):
        named = {target.name for target in again} | filled
        rest = [name for name in before if name not in named and session.tracks[name].prompted]
        again += [as_before(SegmentTarget(name=name), log, session) for name in rest]
    return session, [*events, *(propagations(session, again) if len(session.scan) > 1 else ())]


def _by_classes(log: PromptLog) -> bool:
    """Whether a model with classes of its own outlined something, which one that is prompted cannot do again."""
    return any(isinstance(event, Predict) for event in log.current)


def _classes_written(file: Path, manifest: Manifest, scan: Scan) -> Segmentation:
    """What a model with classes wrote. Raises PromptError where it cannot be read back as it was."""
    found = _written(file, manifest, scan)
    if found is None:
        raise PromptError(
            "E-FROM-CLASSES",
            f"The outlines that {file.name} records cannot be read back as they were, and another model made them.",
            "Go on from a file of them: --from FILE, or take the model that made them: -m",
        )
    return found


def _drawn_on(
    start: Start,
    labels: Segmentation,
    given: Sequence[tuple[SegmentTarget, tuple[Prompt, ...], tuple[Notice, ...]]],
    scan: Scan,
    predictor: Predictor,
    guards: GuardSettings | None,
) -> tuple[Session, Mapping[str, tuple[int, int]]]:
    """A session with labels taken as drawn and the prompts on them; the limits that are given."""
    if start.undo:
        raise PromptError("E-UNDO", "--undo takes back steps of an earlier run.", "Give --from its manifest.")
    limits = {target.name: target.limit for target, *_ in given if target.limit is not None}
    session = drawn_session(labels, start.file.name, scan, predictor, guards, limits)
    _require_there(session, [(target, prompts) for target, prompts, _ in given])
    _point(session, [(target, prompts) for target, prompts, _ in given])
    return session, limits


def _new(session: Session, targets: Sequence[SegmentTarget], drawn: Sequence[str]) -> Sequence[Event]:
    """How structures that were not drawn are followed."""
    others = [target for target in targets if target.name not in drawn]
    return propagations(session, others) if len(session.scan) > 1 and others else []


def _prompts(target: SegmentTarget, scan: Scan) -> tuple[tuple[Prompt, ...], tuple[Notice, ...]]:
    """What points at a structure anew; nothing where it is only limited."""
    return target_prompts(target, scan) if target.says_where else ((), ())


def _require_there(session: Session, given: Sequence[tuple[SegmentTarget, tuple[Prompt, ...]]]) -> None:
    """Raise PromptError for a structure that is only limited, and is not there."""
    for target, prompts in given:
        if not prompts and target.name not in session.segmentation:
            names = ", ".join(session.segmentation.names)
            raise PromptError("E-LABEL-NAME", f'There is no "{target.name}" to limit.', f"There are: {names}.")


def _point(session: Session, given: Sequence[tuple[SegmentTarget, tuple[Prompt, ...]]]) -> None:
    for target, prompts in given:
        if not prompts:
            continue
        session.prompt_all(prompts, target.name, target.one_by_one)


def earlier_session(
    start: Start,
    manifest: Manifest,
    scan: Scan,
    predictor: Predictor,
    guards: GuardSettings | None = None,
    progress: Progress | None = None,
) -> Session:
    """The session that a manifest records; its outlines are read, not computed, unless something is taken back.

    Raises PromptError for a manifest of another scan, and where an output was changed since.
    """
    log = manifest.prompts
    if start.undo:
        return Session.replay(scan, log.without_last(start.undo), predictor, progress, start.force, guards)
    scan = _same_scan(start, log, scan)
    outlines = _written(start.file, manifest, scan)
    whole = all(event.stopped_after is None for event in log.current if isinstance(event, Propagate))
    if outlines is None or not whole:
        text = "The outlines of the earlier run cannot be read back as they were: they are computed again."
        again = scan.with_notices(Notice("W-FROM-AGAIN", text))
        return Session.replay(again, log, predictor, progress, start.force, guards)
    return restored_session(scan, log, outlines, manifest.objects, predictor, guards)


def _same_scan(start: Start, log: PromptLog, scan: Scan) -> Scan:
    """The scan, in slices as the earlier run had them. Raises PromptError where it was of another one."""
    if log.scan_sha256 and scan.file and log.scan_sha256 != scan.file.sha256 and not start.force:
        raise PromptError(
            "E-PROMPTS-OTHER-SCAN",
            f'The run was made on another file ("{log.scan}"): its content differs from this one.',
            "Use --force to go on all the same.",
        )
    if log.slice_axis is not None and scan.kind is ScanKind.VOLUME and log.slice_axis != scan.slice_axis:
        return scan.sliced_along(log.slice_axis)
    return scan


def _as_named(target: SegmentTarget, names: Sequence[str]) -> SegmentTarget:
    """Prompts without a name point at the only structure there is."""
    unnamed = target.name == SegmentTarget().name and target.name not in names
    return target.model_copy(update={"name": names[0]}) if unnamed and len(names) == 1 else target


def as_before(target: SegmentTarget, log: PromptLog, session: Session) -> SegmentTarget:
    """A structure's new prompts with its name, its limits and its way of following from the earlier run."""
    target, changes = _as_named(target, session.segmentation.names), dict[str, object]()
    name = target.name
    earlier = [one for one in log.current if isinstance(one, Propagate) and (not one.objects or name in one.objects)]
    if earlier and target.propagate:
        last, frames = earlier[-1], len(session.scan)
        if target.following is None:
            changes["following"] = last.following
        if target.limit is None and (last.first is not None or last.stop is not None):
            changes["limit"] = (last.first or 0, (frames if last.stop is None else last.stop) - 1)
    return target.model_copy(update=changes)


def drawn_session(
    labels: Segmentation,
    name: str,
    scan: Scan,
    predictor: Predictor,
    guards: GuardSettings | None = None,
    limits: Mapping[str, tuple[int, int]] | None = None,
) -> Session:
    """A session with every structure of some labels, its name, label and color, drawn on each of its slices.

    name    of their file
    limits  the first and the last slice that is taken of a structure, by its name

    Raises PromptError for labels that lie elsewhere than the scan.
    """
    outlines, notices = _on_scan(labels, scan, name)
    session = Session(scan.with_notices(*notices), predictor, guards)
    for one in outlines.objects:
        session.add_object(one.name, one.color, one.label)
        first, last = (limits or {}).get(one.name, (0, len(scan)))
        for frame in [frame for frame in one.frames if first <= frame <= last]:
            rle = one.masks[frame]
            drawn = Mask(height=rle.height, width=rle.width, counts=tuple(map(int, rle.counts)), frame=frame)
            session.prompt(drawn, one.name)
    return session


def _fill(
    session: Session,
    names: Sequence[str],
    between: Between,
    limits: Mapping[str, tuple[int, int]],
    alone: Collection[str],
) -> Iterator[Event]:
    """What outlines frames between those structures are drawn on; one on a single frame is followed, or ``alone``."""
    for name in names:
        drawn = sorted(frame for frame, mask in session.tracks[name].prompted.items() if mask.area)
        if len(drawn) == 1 and name in alone:
            continue
        if len(drawn) == 1:
            first, last = limits.get(name, (None, None))
            yield Propagate(objects=(name,), first=first, stop=None if last is None else last + 1)
        elif drawn and len(drawn) <= drawn[-1] - drawn[0]:
            gap = Propagate(objects=(name,), first=drawn[0], stop=drawn[-1] + 1)
            yield Interpolate(object=name) if between is Between.INTERPOLATE else gap


def _written(file: Path, manifest: Manifest, scan: Scan) -> Segmentation | None:
    """What an earlier run wrote, structure by structure; None where a file is gone, or does not hold all of it."""
    found = Segmentation.empty(scan)
    for record in manifest.objects:
        found = found.adding(record.name, label=record.label)
    for output in manifest.outputs:
        path = file.parent / output.name
        if not path.exists():
            return None
        if output_record(path, output.format).sha256 != output.sha256:
            raise PromptError(
                "E-FROM-CHANGED",
                f"{path.name} was changed since {file.name} was written.",
                f"Go on from what it holds now: --from {path.name}",
            )
        try:
            outlines, _ = _on_scan(open_segmentation(path).segmentation, scan, path.name)
        except DelineateError:
            return None
        for one in outlines.objects:
            name = next((record.name for record in manifest.objects if record.label == one.label), None)
            if name is not None:
                found = found.with_masks(name, dict(one.masks))
    lost = any(found[record.name].area != record.pixels for record in manifest.objects)  # overlapping structures
    return None if lost else found


def _on_scan(labels: Segmentation, scan: Scan, name: str) -> tuple[Segmentation, tuple[Notice, ...]]:
    """Outlines on the grid of a scan, frame by frame as the scan has them."""
    if labels.kind is not scan.kind or (scan.kind is not ScanKind.VOLUME and labels.grid.shape != scan.grid.shape):
        raise PromptError(
            "E-MASK-GRID", f"{name} is on {labels.grid!r}, the scan on {scan.grid!r}.", "Draw on the scan itself."
        )
    if scan.kind is not ScanKind.VOLUME:
        return labels, ()
    fit = fit_of(labels.grid, scan.grid)
    if fit is Fit.UNKNOWN:
        raise PromptError(
            "E-MASK-GRID",
            f"{name} is on {labels.grid!r}, the scan on {scan.grid!r}, and one does not say where it is.",
            "Draw on the scan itself.",
        )
    if fit is Fit.SAME and labels.slice_axis == scan.slice_axis:
        return replace(labels, grid=scan.grid), ()
    found = Segmentation.empty(scan)
    notices: tuple[Notice, ...] = ()
    for one in labels.objects:
        voxels = labels.voxels(one.name)
        if fit is not Fit.SAME:
            voxels = moved(voxels, labels.grid, scan.grid)
            how = "nearest voxel" if fit is Fit.BETWEEN else "the same voxels in another order"
            notices = (Notice("W-MASK-RESAMPLED", f"{name} was brought onto the grid of the scan ({how})."),)
        slices = np.moveaxis(voxels, scan.slice_axis, 0).transpose(0, 2, 1)
        masks = {int(n): Rle.encode(slices[n]) for n in np.flatnonzero(slices.any(axis=(1, 2)))}
        found = found.adding(one.name, one.color, one.label).with_masks(one.name, masks)
    if not any(one.masks for one in found.objects):
        raise PromptError("E-MASK-ELSEWHERE", f"{name} does not overlap the scan.", "Check that both are of one study.")
    return found, notices
