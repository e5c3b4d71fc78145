"""One scan being annotated: objects, prompts, answers, undo. Every app drives this one class."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from delineate.errors import DelineateError, Notice, PromptError
from delineate.following import Following
from delineate.manifest import InputRecord, Manifest, OutputRecord
from delineate.placing import FramePrompts, join, place
from delineate.preprocess.intensity import scan_window
from delineate.prompt_log import (
    AddObject,
    AddPrompt,
    ChooseCandidate,
    Event,
    LockObject,
    PromptLog,
    Propagate,
    RemoveObject,
)
from delineate.prompts import Prompt
from delineate.rle import Rle
from delineate.runtimes.frame_predictor import Candidates, Features, FramePredictor, Query
from delineate.scan import Scan, ScanKind
from delineate.segmentation import Colour, Segmentation
from delineate.session_state import FollowedFrom, ObjectTrack, SessionState, object_record
from delineate.tracking.guards import GuardSettings
from delineate.tracking.propagate import Anchor, Followed, propagate, territories

Progress = Callable[[int, int], None]
FEATURES_KEPT = 4  # frames whose encoding is kept, so that the next click on one is quick


@dataclass(frozen=True, eq=False)
class FrameResult:
    """What a prompt gave.

    mask        bool (height, width)
    score       predicted IoU, 0 to 1 (1 for an outline the person drew)
    candidates  all outlines offered, for an ambiguous prompt; None where the person drew the outline
    """

    object: str
    frame: int
    mask: NDArray[np.bool_]
    score: float
    candidates: Candidates | None


class Session:
    """One scan, its named objects and their prompts; every change is an event that can be undone and replayed.

    scan       what is annotated
    predictor  answers the prompts; by default the model that ships with the package
    guards     when an outline is doubted while it is followed
    """

    def __init__(
        self, scan: Scan, predictor: FramePredictor | None = None, guards: GuardSettings | None = None
    ) -> None:
        if predictor is None:
            from delineate.systems import shipped_predictor

            predictor = shipped_predictor()
        self.scan = scan
        self.predictor = predictor
        self.guards = guards or GuardSettings.of(scan.kind)
        self.log = PromptLog(
            scan=scan.file.path.name if scan.file else "",
            scan_sha256=scan.file.sha256 if scan.file else "",
            model=predictor.record.name,
            slice_axis=scan.slice_axis if scan.kind is ScanKind.VOLUME else None,
        )
        self._states = [SessionState(Segmentation.empty(scan), {})]
        self._features: OrderedDict[int, Features] = OrderedDict()

    # --- what is there -------------------------------------------------------------------------------------------

    @property
    def segmentation(self) -> Segmentation:
        """The outlines as they stand."""
        return self._state.segmentation

    @property
    def tracks(self) -> Mapping[str, ObjectTrack]:
        """Prompts, followed ranges and warnings of each object."""
        return self._state.tracks

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What the person should know: of the scan, and of the prompts."""
        return tuple(dict.fromkeys((*self.scan.notices, *self._state.notices)))

    def manifest(self, outputs: Sequence[OutputRecord] = ()) -> Manifest:
        """The record of this session to save beside its outputs."""
        return Manifest(
            software=f"delineate {version('delineate')}",
            input=InputRecord.of(self.scan, scan_window(self.scan, self.predictor.window_rule)),
            model=self.predictor.record,
            objects=[object_record(one, self.tracks[one.name], self.scan) for one in self.segmentation.objects],
            outputs=list(outputs),
            notices=[notice.message for notice in self.notices],
            prompts=self.log.model_copy(update={"events": self.log.current}),
        )

    @property
    def _state(self) -> SessionState:
        return self._states[self.log.done]

    # --- what a person does --------------------------------------------------------------------------------------

    def add_object(self, name: str | None = None, colour: Colour | None = None, label: int | None = None) -> str:
        """Start a new object; returns its name."""
        name = name or _free_name(self.segmentation)
        added = self.segmentation.adding(name, colour, label)[name]
        self._do(AddObject(object=name, label=added.label, colour=added.colour))
        return name

    def remove_object(self, name: str) -> None:
        self._do(RemoveObject(object=name))

    def lock(self, name: str, locked: bool = True) -> None:
        """Protect an object: its outline stays, and no other object may take its pixels."""
        self._do(LockObject(object=name, locked=locked))

    def prompt(self, prompt: Prompt, object: str | None = None) -> FrameResult:
        """Point at an object on one frame and get it outlined there.

        ``object`` is made if it does not exist; without a name the object added last is meant (or a first one made).
        Raises PromptError where the prompt does not fit the scan; nothing is changed then.
        """
        placed = place(prompt, self.scan)
        objects = self.segmentation.objects
        name = object or (objects[-1].name if objects else _free_name(self.segmentation))
        made = name not in self.segmentation
        if made:
            self.add_object(name)
        try:
            self._do(AddPrompt(object=name, prompt=prompt))
        except DelineateError:
            if made:
                self.undo()
            raise
        answer = self._state.candidates.get((name, placed.frame))
        one = self.segmentation[name]
        mask = self.segmentation.mask(name, placed.frame)
        return FrameResult(name, placed.frame, mask, one.scores.get(placed.frame, 0.0), answer)

    def choose(self, object: str, frame: int, candidate: int) -> None:
        """Take another of the outlines offered for an ambiguous prompt."""
        self._do(ChooseCandidate(object=object, frame=frame, candidate=candidate))

    def propagate(
        self,
        objects: Sequence[str] = (),
        first: int | None = None,
        stop: int | None = None,
        progress: Progress | None = None,
        following: Following | None = None,
    ) -> None:
        """Follow objects (all unless named) from their prompted frames through the frames ``first`` to ``stop``.

        Only what a new prompt, or another way of ``following``, affects is done again. An interruption leaves the
        session as it was. Raises PromptError for a way the predictor does not have.
        """
        how = following or Following()
        self._do(Propagate(objects=tuple(objects), first=first, stop=stop, following=how), progress)

    def undo(self) -> bool:
        """Take the last event back; False if there is none."""
        if not self.log.can_undo:
            return False
        self.log.done -= 1
        return True

    def redo(self) -> bool:
        """Do again what was undone last; False if there is nothing."""
        if not self.log.can_redo:
            return False
        self.log.done += 1
        return True

    @classmethod
    def replay(
        cls,
        scan: Scan,
        log: PromptLog,
        predictor: FramePredictor | None = None,
        progress: Progress | None = None,
        force: bool = False,
        guards: GuardSettings | None = None,
    ) -> Session:
        """The session that a log records, on the same scan.

        Raises PromptError if the log was made on another scan, unless ``force`` is given.
        """
        sha256 = scan.file.sha256 if scan.file else ""
        if log.scan_sha256 and sha256 and log.scan_sha256 != sha256 and not force:
            raise PromptError(
                "E-PROMPTS-OTHER-SCAN",
                f'The prompts were made on another file ("{log.scan}"): its content differs from this one.',
                "Use --force to apply them all the same.",
            )
        if log.slice_axis is not None and scan.kind is ScanKind.VOLUME and log.slice_axis != scan.slice_axis:
            scan = scan.sliced_along(log.slice_axis)
        session = cls(scan, predictor, guards)
        for event in log.current:
            session._do(event, progress)
        return session

    # --- how it is done ------------------------------------------------------------------------------------------

    def _do(self, event: Event, progress: Progress | None = None) -> None:
        state = self._after(event, progress)
        del self._states[self.log.done + 1 :]
        self._states.append(state)
        self.log.add(event)

    def _after(self, event: Event, progress: Progress | None) -> SessionState:
        state = self._state
        segmentation = state.segmentation
        match event:
            case AddObject():
                added = segmentation.adding(event.object, event.colour, event.label)
                return replace(state, segmentation=added).with_track(event.object, ObjectTrack())
            case RemoveObject():
                tracks = {name: track for name, track in state.tracks.items() if name != event.object}
                return replace(state, segmentation=segmentation.removing(event.object), tracks=tracks)
            case LockObject():
                changed = replace(segmentation[event.object], locked=event.locked)
                return replace(state, segmentation=segmentation.replacing(changed))
            case AddPrompt():
                return self._prompted(state, event)
            case ChooseCandidate():
                return self._chosen(state, event)
            case Propagate():
                return self._propagated(state, event, progress)

    def _prompted(self, state: SessionState, event: AddPrompt) -> SessionState:
        name = event.object
        before = state.segmentation[name]
        placed = place(event.prompt, self.scan)
        track = replace(state.tracks[name], placed=(*state.tracks[name].placed, placed))
        frames, notices = join([p for p in track.placed if p.frame == placed.frame])
        prompts = frames[placed.frame]
        known = before.masks.get(placed.frame)
        if not prompts.says_where and known is None:
            raise PromptError(
                "E-PROMPT-ONLY-NEGATIVE",
                f'Only negative points: nothing says where "{name}" is.',
                "Add a positive point or a box, or correct an outline that exists.",
            )
        if prompts.text is not None and not getattr(self.predictor, "takes_text", False):
            raise PromptError(
                "E-PROMPT-TEXT",
                f"{self.predictor.record.name} takes no words.",
                "Point with a box or a click, or take a system that reads: --model medsam_text",
            )
        candidates = dict(state.candidates)
        if _is_drawn(placed.prompts):
            mask, score = placed.prompts.mask, 1.0
            candidates.pop((name, placed.frame), None)
        else:
            answer = self._decode(placed.frame, prompts, known, candidates.get((name, placed.frame)))
            mask, score = answer.mask, answer.score
            candidates[name, placed.frame] = answer
        state = replace(
            state,
            candidates=candidates,
            notices=tuple(dict.fromkeys((*state.notices, *notices))),
        ).with_track(name, track)
        assert mask is not None
        return self._settled(state, name, placed.frame, mask, score)

    def _decode(self, frame: int, prompts: FramePrompts, known: Rle | None, before: Candidates | None) -> Candidates:
        previous = known.decode() if known is not None and len(prompts.points) else None
        feedback = None
        if previous is not None and before is not None and before.logits is not None:
            shown = [n for n, mask in enumerate(before.masks) if (mask == previous).all()]
            feedback = before.logits[shown[0]] if shown else None  # None where locked pixels or a person changed it
        return self.predictor.decode(self._encoded(frame), [Query(prompts, previous, feedback=feedback)])[0]

    def _chosen(self, state: SessionState, event: ChooseCandidate) -> SessionState:
        answer = state.candidates.get((event.object, event.frame))
        if answer is None or not 0 <= event.candidate < len(answer.masks):
            count = 0 if answer is None else len(answer.masks)
            raise PromptError(
                "E-CANDIDATE", f"Frame {event.frame} offers {count} outlines; there is no number {event.candidate}."
            )
        score = float(answer.scores[event.candidate])
        return self._settled(state, event.object, event.frame, answer.masks[event.candidate], score)

    def _settled(
        self, state: SessionState, name: str, frame: int, mask: NDArray[np.bool_], score: float
    ) -> SessionState:
        """With an outline the person asked for: it is what the object is followed from."""
        rle = Rle.encode(mask & ~state.segmentation.locked_pixels(frame, except_for=name))
        track = state.tracks[name]
        track = replace(
            track,
            prompted={**track.prompted, frame: rle},
            warnings={f: w for f, w in track.warnings.items() if f != frame},
        )
        segmentation = state.segmentation.with_masks(name, {frame: rle}, {frame: score})
        return replace(state, segmentation=segmentation).with_track(name, track)

    def _propagated(self, state: SessionState, event: Propagate, progress: Progress | None) -> SessionState:
        names = event.objects or tuple(o.name for o in state.segmentation.objects if not o.locked)
        anchors: list[Anchor] = []
        for name in names:
            known = state.segmentation[name]
            if known.locked:
                raise PromptError("E-OBJECT-LOCKED", f'"{name}" is locked.', "Unlock it first.")
            anchors += self._open_anchors(name, state.tracks[name], event)
        if not any(state.tracks[name].prompted for name in names):
            raise PromptError(
                "E-PROPAGATE-NOTHING", "There is no outline to follow yet.", "Point at a structure on one frame first."
            )
        found = list[Followed]()
        kept: dict[str, dict[int, Rle | None]] = {name: {} for name in names}
        for one in propagate(self.scan, self.predictor, anchors, self.guards, progress, event.following):
            mask = one.step.mask & ~state.segmentation.locked_pixels(one.frame, except_for=one.name)
            kept[one.name][one.frame] = Rle.encode(mask) if mask.any() else None
            found.append(replace(one, step=replace(one.step, mask=np.zeros((0, 0), dtype=bool))))
        for name in names:
            own, how = [a for a in anchors if a.name == name], event.following
            state = self._with_followed(state, name, own, [f for f in found if f.name == name], kept[name], how)
        return state

    def _open_anchors(self, name: str, track: ObjectTrack, event: Propagate) -> list[Anchor]:
        """The outlines of an object whose surroundings have not been followed yet, or not from this outline."""
        low, high = track.span or (0, len(self.scan))
        first = max(low, event.first or 0)
        stop = min(high, len(self.scan) if event.stop is None else event.stop)
        anchors = []
        outlined = [f for f, m in track.prompted.items() if m.area]
        for frame, (start, end) in territories(outlined, first, stop, event.following.directions).items():
            rle = track.prompted[frame]
            done = track.followed.get(frame)
            if done is not None and done.covers(FollowedFrom(rle, start, end, event.following)):
                continue
            anchors.append(Anchor(name, frame, rle.decode(), start, end, track.words(frame)))
        return anchors

    def _with_followed(
        self,
        state: SessionState,
        name: str,
        anchors: list[Anchor],
        steps: list[Followed],
        kept: dict[int, Rle | None],
        following: Following,
    ) -> SessionState:
        track = state.tracks[name]
        cleared: dict[int, Rle | None] = {
            f: None for a in anchors for f in range(a.first, a.stop) if f not in track.prompted
        }
        scores = {s.frame: s.step.confidence for s in steps if not s.step.lost}
        warnings = {f: w for f, w in track.warnings.items() if f not in cleared}
        warnings |= {s.frame: ", ".join(s.step.drift) for s in steps if s.step.drift and not s.ended}
        ended = {f: d for f, d in track.ended.items() if f not in cleared}
        ended |= {s.frame: s.direction.value for s in steps if s.ended}
        done = {a.frame: FollowedFrom(track.prompted[a.frame], a.first, a.stop, following) for a in anchors}
        followed = {**track.followed, **done}
        segmentation = state.segmentation.with_masks(name, {**cleared, **kept}, scores)
        track = replace(track, followed=followed, warnings=warnings, ended=ended)
        return replace(state, segmentation=segmentation).with_track(name, track)

    def _encoded(self, frame: int) -> Features:
        """The frame's encoding, kept for the next click."""
        if frame not in self._features:
            self._features[frame] = self.predictor.encode(self.scan.frame(frame))
            while len(self._features) > FEATURES_KEPT:
                self._features.popitem(last=False)
        self._features.move_to_end(frame)
        return self._features[frame]


def _is_drawn(prompts: FramePrompts) -> bool:
    """Whether the person drew the outline itself (a mask prompt), which is then taken as it is."""
    return prompts.mask is not None and prompts.box is None


def _free_name(segmentation: Segmentation) -> str:
    number = len(segmentation.objects) + 1
    while f"structure {number}" in segmentation:
        number += 1
    return f"structure {number}"
