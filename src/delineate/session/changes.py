"""What each event makes of a session's state: the outlines a prompt gives, and all that follows from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from delineate.core.errors import Notice, PromptError
from delineate.core.prompt_log import (
    AddObject,
    AddPrompt,
    AddPrompts,
    ChooseCandidate,
    CleanObject,
    Event,
    Interpolate,
    LimitObject,
    LockObject,
    Predict,
    Propagate,
    RemoveObject,
)
from delineate.core.prompts import Example, Prompt
from delineate.core.propagation_options import MemoryRule
from delineate.core.resolve import BOX_TWICE, FramePrompts, ResolvedPrompt, join, require_frame, resolve_prompt
from delineate.core.rle import Rle
from delineate.core.scan import Scan, ScanKind
from delineate.core.segmentation import Segmentation
from delineate.predictors.answers import decoded
from delineate.predictors.capabilities import PromptKind
from delineate.predictors.frame_predictor import Candidates, FramePredictor, Predictor, Query
from delineate.session.answering import answering_for, answering_on, class_names, require_answered
from delineate.session.doubts import DOUBTED, WORDS, ValueRanges, nothing_to_see, points_at_background
from delineate.session.examples import ExampleFinder
from delineate.session.features import FeatureKey, FeatureStore
from delineate.session.journal import Journal
from delineate.session.propagation import PropagationRun
from delineate.session.shaping import cleaned, interpolated, limited, unlocked
from delineate.session.state import ObjectTrack, RecordedPrompt, SessionState, StoredCandidates
from delineate.tracking.guards import GuardSettings

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Predicted:
    """Everything that a predictor outlines without a prompt, or as far as that went.

    event  says how far
    stop   what stopped it
    """

    state: SessionState
    event: Predict
    stop: BaseException | None = None


class Changes:
    """Events done to states. The same event done to the same state gives the same again, so a log can be replayed.

    recall  the state before an event of the log, and the event, by its number
    """

    def __init__(
        self,
        scan: Scan,
        predictor: Predictor,
        guards: GuardSettings,
        store: FeatureStore,
        recall: Callable[[int], tuple[SessionState, Event]],
    ) -> None:
        self.scan, self.guards = scan, guards
        self._alone = cast(FramePredictor, predictor)
        self.predictor = answering_on(scan, self._alone)  # asked as one where its scope says so
        self._store, self._recall = store, recall
        self._answering = answering_for(self.predictor, scan)
        self._examples = ExampleFinder(scan, self._alone)
        self._keys: dict[int, FeatureKey] = {}  # of frames that were prompted: they need not be read again
        self._ranges: dict[int, ValueRanges] = {}  # of the same

    def after(self, state: SessionState, event: Event, number: int, progress: Progress | None = None) -> SessionState:
        """The state with event ``number`` of the log done to it; nothing is changed where it is refused."""
        segmentation = state.segmentation
        match event:
            case AddObject():
                return self._with_object(state, event)
            case RemoveObject():
                tracks = {name: track for name, track in state.tracks.items() if name != event.object}
                offers = {key: offer for key, offer in state.offers.items() if key[0] != event.object}
                return replace(state, segmentation=segmentation.removing(event.object), tracks=tracks, offers=offers)
            case LockObject():
                changed = replace(segmentation[event.object], locked=event.locked)
                return replace(state, segmentation=segmentation.replacing(changed))
            case AddPrompt() | AddPrompts():
                return self.prompted(state, event, number)[0]
            case ChooseCandidate():
                return self._chosen(state, event)
            case Propagate():
                run = self.propagation(state, event)
                for frame in run.frames():
                    if progress is not None:
                        progress(frame.done, frame.total)
                return run.state_so_far()
            case Interpolate():
                return interpolated(state, self.scan, event.object)
            case LimitObject():
                return limited(state, self.scan, event)
            case CleanObject():
                return cleaned(state, event)
            case Predict():
                return self.predicted(state, event, progress).state

    def placed(self, prompt: Prompt) -> ResolvedPrompt:
        """Where a prompt lands; it may cross frames where the predictor sees them together."""
        if isinstance(prompt, Example):
            return self._examples.placed(prompt)
        return resolve_prompt(prompt, self.scan, self._answering.across)

    def prediction(self, segmentation: Segmentation) -> Predict:
        """The event that outlines everything the predictor knows; makes the objects that are not there yet."""
        made = []
        for name in class_names(self.predictor):
            if name not in segmentation:
                segmentation = segmentation.adding(name)
                one = segmentation[name]
                made.append(AddObject(object=name, label=one.label, color=one.color))
        return Predict(objects=tuple(made))

    def propagation(self, state: SessionState, event: Propagate, journal: Journal | None = None) -> PropagationRun:
        chains = event.following.memory is MemoryRule.CHAIN  # each frame is then a picture on its own
        predictor = self._alone if chains else self.predictor
        return PropagationRun(self.scan, predictor, self.guards, state, event, self._store.encoder(predictor), journal)

    def frame_of(self, prompts: Sequence[Prompt]) -> int:
        """The one frame that prompts of a query are on. Raises PromptError where they are on several."""
        frames = sorted({self._frame_of(prompt) for prompt in prompts})
        if len(frames) != 1:
            on = f"on {self.scan.frame_word}s {', '.join(map(str, frames))}" if frames else "none"
            raise PromptError(
                "E-PROMPTS-FRAMES",
                f"Prompts of one query are on one {self.scan.frame_word}; these are {on}.",
                "Give those of each frame on their own, or all of them with prompt_all.",
            )
        return frames[0]

    def _frame_of(self, prompt: Prompt) -> int:
        return require_frame(prompt.frame, self.scan) if isinstance(prompt, Example) else self.placed(prompt).frame

    def prompted(
        self, state: SessionState, event: AddPrompt | AddPrompts, number: int
    ) -> tuple[SessionState, Candidates | None]:
        """The state with what prompts gave, and all outlines offered; None where the person drew the outline."""
        state = self._with_object(state, event.new) if event.new else state
        name, frame = event.object, self.frame_of(event.prompts)
        together = [self.placed(prompt) for prompt in event.prompts]
        prompts, notices = self._joined(state, event)
        track = state.tracks[name]
        followed = frame in state.segmentation[name].masks and frame not in track.prompted
        kept = tuple(RecordedPrompt.of(placed, number) for placed in together)
        edited = track.edited | {frame} if followed and len(prompts.points) else track.edited
        state = state.with_track(name, replace(track, prompts=(*track.prompts, *kept), edited=edited))
        before = state.offers.get((name, frame))
        offers = {key: offer for key, offer in state.offers.items() if offer is not before}
        every = [prompt.whole for prompt in state.tracks[name].prompts] if self._answering.across else together
        outlines = dict(self._answering.prompted(name, every, lambda: self._answer(state, name, frame, prompts)))
        answer = outlines.pop(frame, None)
        mask, score = join(together)[0][frame].drawn, 1.0
        if mask is not None:
            answer = None
            score = min(
                (self._examples.similarity(one) for one in event.prompts if isinstance(one, Example)), default=1.0
            )
        elif answer is None:  # it is not on the frame it was prompted on
            mask, score = np.zeros((self.scan.height, self.scan.width), dtype=bool), 0.0
        else:
            mask, score = answer.mask, answer.score
            offer = offers[name, frame] = StoredCandidates.of(answer, number)
            if answer.logits is not None:
                self._store.put(offer, answer.logits, answer.logits.nbytes)
        doubts = self._doubts(frame, prompts, mask) if join(together)[0][frame].drawn is None else ()
        notices = (*notices, *doubts)
        self._store.discard(before)  # logits go back with the next click alone; undo has them computed again
        state = replace(state, offers=offers, notices=tuple(dict.fromkeys((*state.notices, *notices))))
        state = self._settled(state, name, frame, Rle.encode(mask), min(score, DOUBTED) if doubts else score)
        if doubts:
            track = state.tracks[name]
            told = {**track.warnings, frame: WORDS[doubts[0].code]}
            state = state.with_track(name, replace(track, warnings=told))
        return self._with_others(state, name, frame, outlines), answer

    def previewed(self, state: SessionState, event: AddPrompt | AddPrompts) -> Candidates:
        """What prompts would give, were they given now."""
        if self._answering.across:
            raise PromptError(
                "E-PREVIEW",
                f"{self.predictor.record.name} outlines all {self.scan.frame_word}s at once: there is no preview.",
                "Give the prompt.",
            )
        state = self._with_object(state, event.new) if event.new else state
        prompts, _ = self._joined(state, event)
        return self._answer(state, event.object, self.frame_of(event.prompts), prompts)

    def look(self, frame: int) -> None:
        """Encode a frame, so that the next prompt on it is answered at once."""
        if not self._answering.across:
            self._encoded(frame)

    def _with_others(
        self, state: SessionState, name: str, frame: int, outlines: Mapping[int, Candidates]
    ) -> SessionState:
        """With what a predictor of whole scans outlined on other frames than ``frame``; drawn outlines stay."""
        if not self._answering.across:
            return state
        track, segmentation = state.tracks[name], state.segmentation
        drawn = {prompt.placed.frame for prompt in track.prompts if prompt.whole.prompts.drawn is not None}
        masks: dict[int, Rle | None] = {f: None for f in segmentation[name].masks if f not in {frame, *drawn}}
        for other, answer in outlines.items():
            if other not in drawn:
                masks[other] = unlocked(segmentation, name, other, answer.mask)
        scores = {other: answer.score * answer.presence for other, answer in outlines.items() if other not in drawn}
        nothing = Rle.encode(np.zeros((self.scan.height, self.scan.width), dtype=bool))
        prompted = {f: (masks[f] or nothing) if f in masks else mask for f, mask in track.prompted.items()}
        state = replace(state, segmentation=segmentation.with_masks(name, masks, scores))
        return state.with_track(name, replace(track, prompted=prompted))

    def predicted(self, state: SessionState, event: Predict, progress: Progress | None = None) -> Predicted:
        """Everything outlined that the predictor knows, or as far as that went; locked objects stay as they are.

        What stops it before the first frame is done is raised.
        """
        for one in event.objects:
            state = self._with_object(state, one)
        segmentation, done, stop = state.segmentation, 0, None
        names = [name for name in class_names(self.predictor) if not segmentation[name].locked]
        masks: dict[str, dict[int, Rle | None]] = {n: dict.fromkeys(segmentation[n].masks) for n in names}
        scores: dict[str, dict[int, float]] = {n: {} for n in names}
        try:
            for frame, found in self._answering.classes():
                for name, mask, score in found:
                    if name in masks:
                        masks[name][frame], scores[name][frame] = unlocked(segmentation, name, frame, mask), score
                done += 1
                if progress is not None:
                    progress(done, len(self.scan))
                if done == event.stopped_after:
                    break
        except BaseException as error:  # Ctrl+C too: what is outlined is kept
            if not done:
                raise
            stop, event = error, event.model_copy(update={"stopped_after": done})
        for name in names:
            segmentation = segmentation.with_masks(name, masks[name], scores[name])
        return Predicted(replace(state, segmentation=segmentation), event, stop)

    @staticmethod
    def _with_object(state: SessionState, event: AddObject) -> SessionState:
        added = state.segmentation.adding(event.object, event.color, event.label)
        return replace(state, segmentation=added).with_track(event.object, ObjectTrack())

    def _joined(self, state: SessionState, event: AddPrompt | AddPrompts) -> tuple[FramePrompts, tuple]:
        """The prompts with those given before on their frame, since an outline was drawn there last.

        Raises PromptError for what nobody could answer.
        """
        name, frame = event.object, self.frame_of(event.prompts)
        together = [self.placed(prompt) for prompt in event.prompts]
        if join(together)[0][frame].drawn is None:
            for prompt in event.prompts:
                require_answered(self.predictor, PromptKind(prompt.type))
        masks = state.segmentation[name].masks
        known = bool(masks) if self._answering.across else frame in masks
        before = [ResolvedPrompt(frame, query) for query in state.tracks[name].queries(frame)]
        frames, notices = join([*before, *together])
        if self._answering.across:  # each box is one of a scan's
            notices = tuple(notice for notice in notices if notice != BOX_TWICE)
        prompts = frames[frame]
        if not prompts.says_where and not known:
            raise PromptError(
                "E-PROMPT-ONLY-NEGATIVE",
                f'Only negative points: nothing says where "{name}" is.',
                "Add a positive point or a box, or correct an outline that exists.",
            )
        return prompts, notices

    def _answer(self, state: SessionState, name: str, frame: int, prompts: FramePrompts) -> Candidates:
        """What the predictor says; a click corrects the outline there is, from its logits where they are its own."""
        known, offer = state.segmentation[name].masks.get(frame), state.offers.get((name, frame))
        previous = known.decode() if known is not None and len(prompts.points) else None
        feedback = None
        if previous is not None and offer is not None and offer.logits and known in offer.masks:
            feedback = self._logits(offer)[offer.masks.index(known)]  # else locked pixels or a person changed it
        size = (self.scan.height, self.scan.width)
        return decoded(self.predictor, self._encoded(frame), [Query(prompts, previous, feedback=feedback)], size)[0]

    def _logits(self, offer: StoredCandidates) -> NDArray[np.float32]:
        """What an outline was made of: kept, or the prompt is answered once more."""

        def again() -> NDArray[np.float32]:
            state, event = self._recall(offer.event)
            assert isinstance(event, AddPrompt | AddPrompts)
            frame = self.frame_of(event.prompts)
            state = self._with_object(state, event.new) if event.new else state
            logits = self._answer(state, event.object, frame, self._joined(state, event)[0]).logits
            assert logits is not None
            return logits

        return np.asarray(self._store.computed(offer, again, lambda logits: logits.nbytes))

    def _chosen(self, state: SessionState, event: ChooseCandidate) -> SessionState:
        offer = state.offers.get((event.object, event.frame))
        if offer is None or not 0 <= event.candidate < len(offer.masks):
            count = 0 if offer is None else len(offer.masks)
            raise PromptError(
                "E-CANDIDATE",
                f"Frame {event.frame} offers {count} outlines; there is no number {event.candidate}.",
                "Candidates are counted from 0.",
            )
        mask, score = offer.masks[event.candidate], offer.scores[event.candidate]
        track = state.tracks[event.object]
        state = state.with_track(event.object, replace(track, edited=track.edited | {event.frame}))
        return self._settled(state, event.object, event.frame, mask, score)

    @staticmethod
    def _settled(state: SessionState, name: str, frame: int, mask: Rle, score: float) -> SessionState:
        """With an outline the person asked for: it is what the object is followed from."""
        locked = state.segmentation.locked_pixels(frame, except_for=name)
        outline = Rle.encode(mask.decode() & ~locked) if locked.any() else mask
        track = state.tracks[name]
        track = replace(
            track,
            prompted={**track.prompted, frame: outline},
            edited=track.edited if outline == mask else track.edited | {frame},
            warnings={f: w for f, w in track.warnings.items() if f != frame},
        )
        segmentation = state.segmentation.with_masks(name, {frame: outline}, {frame: score})
        return replace(state, segmentation=segmentation).with_track(name, track)

    def _encoded(self, frame: int) -> object:
        """The frame's encoding, kept for the next click on it, of this session or another."""
        if frame not in self._keys:
            seen = self.scan.frame(frame)
            self._keys[frame], self._ranges[frame] = FeatureKey.of(self.predictor, seen), ValueRanges.of(seen.pixels)
        key = self._keys[frame]
        return self._store.features(self.predictor, key, lambda: self.scan.frame(frame))

    def _doubts(self, frame: int, prompts: FramePrompts, mask: NDArray[np.bool_]) -> tuple[Notice, ...]:
        """What a person should know of prompts on a frame and of the outline they gave."""
        if frame not in self._ranges:
            self._ranges[frame] = ValueRanges.of(self.scan.pixels(frame))
        where = "the picture" if self.scan.kind is ScanKind.IMAGE else f"{self.scan.frame_word} {frame}"
        blank = nothing_to_see(self._ranges[frame], prompts, where)
        return blank or points_at_background(mask, prompts, where, self._ranges[frame])
