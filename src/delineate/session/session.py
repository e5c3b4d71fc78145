"""One scan being annotated: objects, prompts, answers, undo. Every app drives this one class."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version

from delineate.core.clean_steps import CleanSteps
from delineate.core.errors import InputError, Notice, PromptError
from delineate.core.manifest import InputRecord, Manifest, OutputRecord
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
    PromptLog,
    Propagate,
    RemoveObject,
)
from delineate.core.prompts import Prompt
from delineate.core.propagation_options import PropagationOptions
from delineate.core.scan import NOT_OPENED, Scan, ScanKind
from delineate.core.segmentation import Color, Segmentation
from delineate.predictors.frame_predictor import Predictor
from delineate.preprocess.intensity import scan_window
from delineate.session.answering import class_names
from delineate.session.changes import Changes, Progress
from delineate.session.current_propagation import CurrentPropagation
from delineate.session.features import FeatureStore
from delineate.session.frame_result import FrameResult
from delineate.session.history import History, HistoryEntry, SessionLimits
from delineate.session.journal import Journal
from delineate.session.propagation import PropagatedFrame
from delineate.session.state import ObjectTrack, SessionState, object_record
from delineate.tracking.guards import GuardSettings


class Session:
    """One scan, its named objects and their prompts; every change is an event that can be undone and replayed.

    Any number of threads may use a session. What it holds can be read at any time, without waiting. Changes take turns:
    each is done as a whole or not at all, its event in the log too. A propagation leaves the session free while it
    computes; the next change, by whatever thread, ends it, and keeps what it has put down.

    scan       what is annotated
    predictor  answers the prompts; by default the model that ships with the package
    guards     when an outline is doubted while it is followed
    features   where encoded frames are kept; a store that several sessions share. By default one of its own
    limits     how much is kept
    """

    def __init__(
        self,
        scan: Scan,
        predictor: Predictor | None = None,
        guards: GuardSettings | None = None,
        features: FeatureStore | None = None,
        limits: SessionLimits | None = None,
    ) -> None:
        if not isinstance(scan, Scan):
            raise InputError("E-SCAN-NONE", f"A session needs a scan, not {type(scan).__name__}.", NOT_OPENED)
        if predictor is None:
            from delineate.systems import shipped_predictor

            predictor = shipped_predictor()
        if scan.intensity_window is not None and not predictor.capabilities.takes_window:
            scan = scan.with_notices(Notice("W-WINDOW", f"{predictor.record.name} sees all intensities: no window."))
        limits = limits or SessionLimits()
        self.scan = scan
        self.predictor = predictor
        self.guards = guards or GuardSettings.of(scan.kind)
        store = FeatureStore(limits.feature_bytes) if features is None else features
        self._lock = threading.RLock()
        self._changes = Changes(scan, predictor, self.guards, store, self._recalled)
        log = PromptLog(
            scan=scan.file.path.name if scan.file else "",
            scan_sha256=scan.file.sha256 if scan.file else "",
            model=predictor.record.name,
            slice_axis=scan.slice_axis if scan.kind is ScanKind.VOLUME else None,
        )
        start = HistoryEntry(log, SessionState(Segmentation.empty(scan), {}))
        self._history = History(start, limits.history_bytes, self._changes.after)
        self._propagation = CurrentPropagation(self._history, self._changes, self._lock)

    def __repr__(self) -> str:
        """In one line, as notebooks show it."""
        return f"Session({self.scan!r}, {self.predictor.record.name}, {self.segmentation!r})"

    # --- what is there -------------------------------------------------------------------------------------------

    @property
    def log(self) -> PromptLog:
        """All that was done, as it stands now; a value of its own, which later changes leave as it is."""
        return self._history.now.log

    @property
    def segmentation(self) -> Segmentation:
        """The outlines as they stand."""
        return self._history.now.state.segmentation

    @property
    def tracks(self) -> Mapping[str, ObjectTrack]:
        """Prompts, followed ranges and warnings of each object."""
        return self._history.now.state.tracks

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What the person should know: of the scan, and of the prompts."""
        return tuple(dict.fromkeys((*self.scan.notices, *self._history.now.state.notices)))

    def manifest(self, outputs: Sequence[OutputRecord] = ()) -> Manifest:
        """The record of this session to save beside its outputs."""
        now = self._history.now  # outlines and log of one moment, whatever other threads do
        return Manifest(
            software=f"delineate {version('delineate')}",
            input=InputRecord.of(self.scan, scan_window(self.scan, self.predictor.window_rule)),
            model=self.predictor.record,
            objects=[
                object_record(one, now.state.tracks[one.name], self.scan) for one in now.state.segmentation.objects
            ],
            outputs=list(outputs),
            notices=[notice.message for notice in dict.fromkeys((*self.scan.notices, *now.state.notices))],
            prompts=now.log.model_copy(update={"events": now.log.current}),
        )

    # --- what a person does --------------------------------------------------------------------------------------

    def add_object(self, name: str | None = None, color: Color | None = None, label: int | None = None) -> str:
        """Start a new object; returns its name."""
        with self._changing():
            added = self._new(name or _free_name(self.segmentation), color, label)
            self._do(added)
            return added.object

    def remove_object(self, name: str) -> None:
        """Take an object away. Raises PromptError for a locked one; ``do`` takes it away, as logs up to 0.2 say."""
        with self._changing():
            self._do(RemoveObject(object=self.segmentation.changeable(name).name))

    def lock(self, name: str, locked: bool = True) -> None:
        """Protect an object: its outline stays, it cannot be removed, and no other object may take its pixels."""
        with self._changing():
            self._do(LockObject(object=name, locked=locked))

    def prompt(self, prompt: Prompt | Sequence[Prompt], object: str | None = None) -> FrameResult:
        """Point at an object on one frame and get it outlined there.

        Several prompts on one frame are one query, and one undo. A prompt given later corrects the outline that earlier
        ones gave: all of them are asked again, with the predictor's last answer as a mask prompt.

        ``object`` is made if it does not exist, and goes again with the prompt when that is undone; without a name the
        object added last is meant (or a first one made). Raises PromptError where the prompt does not fit the scan;
        nothing is changed then, and what had been undone can still be redone.
        """
        with self._changing():
            event = self._asked(prompt, object)
            name, frame = event.object, self._changes.frame_of(event.prompts)
            state, answer = self._changes.prompted(self._history.now.state, event, self.log.done + 1)
            self._history.add(event, state)
        one = state.segmentation[name]
        return FrameResult(name, frame, state.segmentation.mask(name, frame), one.scores.get(frame, 0.0), answer)

    def preview(self, prompt: Prompt | Sequence[Prompt], object: str | None = None) -> FrameResult:
        """What ``prompt`` would give; nothing is changed and nothing recorded. Raises as ``prompt`` does."""
        event = self._asked(prompt, object)
        answer = self._changes.previewed(self._history.now.state, event)
        return FrameResult(event.object, self._changes.frame_of(event.prompts), answer.mask, answer.score, answer)

    def look(self, frame: int) -> None:
        """Encode a frame (from 0) ahead of a prompt on it. Raises InputError for a frame that is not there."""
        self._changes.look(frame)

    def prompt_all(
        self, prompts: Sequence[Prompt], object: str | None = None, one_by_one: bool | None = None
    ) -> tuple[FrameResult, ...]:
        """Point at an object with prompts that were given together, on any frames.

        Parameters
        ----------
        prompts
            In the order they were given.
        object
            As in ``prompt``.
        one_by_one
            False: those on one frame are one query, as published systems are called. True: each is answered, and the
            next one corrects the answer. None: as the predictor answers best (``Capabilities.one_by_one``).

        Returns
        -------
        results
            One for each query.
        """
        if one_by_one is None:
            one_by_one = self.predictor.capabilities.one_by_one
        if one_by_one:
            return tuple(self.prompt(prompt, object) for prompt in prompts)
        frames: dict[int, list[Prompt]] = {}
        for prompt in prompts:
            frames.setdefault(self._changes.placed(prompt).frame, []).append(prompt)
        return tuple(self.prompt(together, object) for together in frames.values())

    def predict(self, progress: Progress | None = None) -> tuple[str, ...]:
        """Outline everything the predictor knows, without a prompt: an object a class; returns their names.

        All of it is one event and one undo. Whatever stops it, an error too, what was outlined until then stays.
        Raises PromptError for predictors that have to be prompted.
        """
        with self._changing():
            self._predict(self.prediction, progress)
        return class_names(self.predictor)

    @property
    def prediction(self) -> Predict:
        """The event that ``predict`` does."""
        return self._changes.prediction(self.segmentation)

    def choose(self, object: str, frame: int, candidate: int) -> None:
        """Take another of the outlines offered for an ambiguous prompt."""
        with self._changing():
            self._do(ChooseCandidate(object=object, frame=frame, candidate=candidate))

    def propagate(
        self,
        objects: Sequence[str] = (),
        first: int | None = None,
        stop: int | None = None,
        progress: Progress | None = None,
        following: PropagationOptions | None = None,
    ) -> bool:
        """Follow objects (all unless named) from their prompted frames through the frames ``first`` to ``stop``.

        Only what a new prompt, or another way of ``following``, affects is done again. Whatever stops it, an error too,
        what was followed until then stays, and another ``propagate`` goes on from there. Returns whether it came to its
        end, rather than being ended by a change from another thread. Raises PromptError for a way the predictor does
        not have.
        """
        return self._propagation.to_the_end(self._propagation.event(objects, first, stop, following), progress)

    def propagating(
        self,
        objects: Sequence[str] = (),
        first: int | None = None,
        stop: int | None = None,
        following: PropagationOptions | None = None,
    ) -> Generator[PropagatedFrame, None, None]:
        """``propagate``, frame by frame: a frame is followed whenever the next one is asked for.

        Outlines appear in ``segmentation`` as it goes, in blocks of frames; all of it is one event and one undo. Close
        the generator to cancel: what was followed so far stays, and the log records how far that is.
        """
        return self._propagation.frames(self._propagation.event(objects, first, stop, following))

    def do(self, event: Event, progress: Progress | None = None, journal: Journal | None = None) -> None:
        """Do an event of a log. Whatever stops a propagation, an error too, what was followed until then stays.

        journal  of a propagation: what an earlier one found is taken from it, and what this one finds is added
        """
        if isinstance(event, Propagate):
            self._propagation.to_the_end(event, progress, journal)
            return
        with self._changing():
            if isinstance(event, Predict):
                self._predict(event, progress)
            else:
                self._do(event, progress)

    def interpolate(self, object: str) -> None:
        """Fill the frames between those an object was outlined on by their shapes; those stay as they are."""
        with self._changing():
            self._do(Interpolate(object=object))

    def limit(self, object: str, first: int, last: int) -> None:
        """Let an object end with two frames: what it has beyond them goes, for good unless it is followed there again.

        Raises PromptError where it was pointed at beyond them.
        """
        with self._changing():
            self._do(LimitObject(object=object, first=first, last=last))

    def clean(self, object: str, steps: CleanSteps) -> None:
        """Clean an object: its largest part alone, holes filled, a smooth border; what follows it goes on from there.

        Raises PromptError where nothing of it would be left.
        """
        with self._changing():
            self._do(CleanObject(object=object, steps=steps))

    def begin_at(self, log: PromptLog, after: Callable[[Changes], SessionState]) -> None:
        """Stand where a log ends, in a state that is known and need not be computed from it."""
        with self._changing():
            self._history.begin_at(log, after(self._changes))

    def undo(self) -> bool:
        """Take the last event back (a propagation that runs: all of it); False if there is none."""
        with self._lock:
            run = self._propagation.end()
            return True if run is not None and run.put_down is None else self._history.undo()

    def redo(self) -> bool:
        """Do again what was undone last; False if there is nothing."""
        with self._changing():
            return self._history.redo()

    @classmethod
    def replay(
        cls,
        scan: Scan,
        log: PromptLog,
        predictor: Predictor | None = None,
        progress: Progress | None = None,
        force: bool = False,
        guards: GuardSettings | None = None,
        features: FeatureStore | None = None,
        limits: SessionLimits | None = None,
    ) -> Session:
        """The session that a log records, on the same scan.

        Raises PromptError if the log was made on another scan, unless ``force`` is given.
        """
        session = cls.for_log(scan, log, predictor, force, guards, features, limits)
        for event in log.current:
            session.do(event, progress)
        return session

    @classmethod
    def for_log(
        cls,
        scan: Scan,
        log: PromptLog,
        predictor: Predictor | None = None,
        force: bool = False,
        guards: GuardSettings | None = None,
        features: FeatureStore | None = None,
        limits: SessionLimits | None = None,
    ) -> Session:
        """A session on a scan that a log was made on, its slices as the log counts them; nothing of the log is done.

        Raises PromptError as ``replay`` does.
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
        return cls(scan, predictor, guards, features, limits)

    # --- how it is done ------------------------------------------------------------------------------------------

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """The session for one thread, for one change; a propagation ends where it has put down outlines last."""
        with self._lock:
            self._propagation.end()
            yield

    def _do(self, event: Event, progress: Progress | None = None) -> None:
        now = self._history.now
        self._history.add(event, self._changes.after(now.state, event, now.log.done + 1, progress))

    def _predict(self, event: Predict, progress: Progress | None) -> None:
        done = self._changes.predicted(self._history.now.state, event, progress)
        self._history.add(done.event, done.state)
        if done.stop is not None:
            raise done.stop

    def _new(self, name: str, color: Color | None = None, label: int | None = None) -> AddObject:
        added = self.segmentation.adding(name, color, label)[name]
        return AddObject(object=name, label=added.label, color=added.color)

    def _asked(self, prompt: Prompt | Sequence[Prompt], object: str | None) -> AddPrompt | AddPrompts:
        """Prompts as the event they are, and the object that they make."""
        name = object or next(reversed(self.segmentation.names), _free_name(self.segmentation))
        new = None if name in self.segmentation else self._new(name)
        prompts = tuple(prompt) if isinstance(prompt, Sequence) else (prompt,)
        self._changes.frame_of(prompts)  # one for all of them
        if len(prompts) == 1:
            return AddPrompt(object=name, prompt=prompts[0], new=new)
        return AddPrompts(object=name, prompts=prompts, new=new)

    def _recalled(self, number: int) -> tuple[SessionState, Event]:
        return self._history.state_at(number - 1), self.log.events[number - 1]


def _free_name(segmentation: Segmentation) -> str:
    number = len(segmentation.objects) + 1
    while f"structure {number}" in segmentation:
        number += 1
    return f"structure {number}"
