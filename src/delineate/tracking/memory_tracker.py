"""SAM 2's way through a video, as a tracker of frames pushed one at a time (arXiv 2408.00714 sec. 4).

Objects are batched, may be added, corrected and removed on any frame, and each keeps a bounded memory. Nothing else is
stored: no frames, no full-size masks. Where it differs from the released predictor, a setting says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from delineate.compute.engine import Engine
from delineate.core.errors import PromptError
from delineate.core.frame import Frame
from delineate.core.propagation_options import PropagationOptions
from delineate.core.resolve import FramePrompts
from delineate.memory.bank import MemoryBank
from delineate.memory.cleaning import make_non_overlapping, tidied
from delineate.memory.policies import FrameWindow, MemoryPolicy, chosen_policy
from delineate.memory.reader import ChosenMemories, MemoryReader
from delineate.models.sam2 import Sam2, Sam2Decoding, Sam2Maps, joined
from delineate.predictors.answers import followed
from delineate.predictors.frame_predictor import Candidates
from delineate.predictors.postprocess import masks_on_frame, values_on_frame
from delineate.predictors.prompt_encoding import CORNERS, placed_points
from delineate.predictors.sam2 import Sam2Predictor
from delineate.preprocess.fitting import Fitted
from delineate.preprocess.profiles import MaskDecoding, Profile, sam2_video
from delineate.tracking.guards import Guard, GuardSettings
from delineate.tracking.tracker import Step


@dataclass(frozen=True)
class TrackerSettings:
    """How the tracker behaves.

    frames       number of frames in all, where known: object pointers of short videos are timed differently
    exclusive    each pixel belongs to one object at most
    fill         holes of up to so many pixels of the low-resolution mask are filled; 0: none
    specks       specks of up to so many are removed
    keep         frames kept behind the newest one
    around       frames as near to one prompted are kept too, for following the other way without a reset
    memory       data type of stored maps
    """

    frames: int | None = None
    exclusive: bool = False
    fill: int = 0
    specks: int = 0
    keep: int = 16
    around: bool = False
    memory: torch.dtype = torch.bfloat16


@dataclass(frozen=True, eq=False)
class _Frame:
    index: int
    maps: Sam2Maps
    place: Fitted
    reverse: bool
    frame: Frame | None = None


@dataclass(frozen=True, eq=False)
class _Points:
    """Prompts of one object on one frame, in input pixels: points (N, 2), labels (N,); a box's corners come first."""

    points: NDArray[np.float32]
    labels: NDArray[np.int32]


@dataclass
class MemoryTracker:
    """A Tracker that remembers frames; its outlines are judged, not changed.

    To correct an object on a frame followed before, push that frame again (``Frame.index`` says which it is) and
    ``add``: it is a prompted frame from then on, and never forgotten (the released predictor would follow it anew and
    lose the correction, unless its ``add_all_frames_to_correct_as_cond`` is set).
    """

    network: Sam2
    engine: Engine
    policy: MemoryPolicy = field(default_factory=FrameWindow)
    settings: TrackerSettings = field(default_factory=TrackerSettings)
    profile: Profile | None = None
    guards: GuardSettings = field(default_factory=GuardSettings)
    model: str = "the model"
    _banks: dict[str, MemoryBank] = field(default_factory=dict)
    _suspended: dict[str, MemoryBank] = field(default_factory=dict)
    _given: dict[tuple[str, int], _Points] = field(default_factory=dict)
    _now: _Frame | None = None
    _last: dict[str, Tensor] = field(default_factory=dict)  # logits on the present frame

    def __post_init__(self) -> None:
        self._guard = Guard(self.guards)

    @classmethod
    def of(
        cls, predictor: Sam2Predictor, following: PropagationOptions, frames: int | None, guards: GuardSettings
    ) -> MemoryTracker:
        """A tracker with a predictor's network and policy and an empty memory; ``frames`` in all, where known."""
        settings = TrackerSettings(
            frames=frames,
            exclusive=following.exclusive,
            fill=following.fill,
            specks=following.specks,
            around=not (predictor.capabilities.resets if following.reset is None else following.reset),
        )
        network, policy = predictor.network, chosen_policy(predictor.policy, following)
        return cls(
            network,
            predictor.engine,
            policy,
            settings,
            predictor.video_profile(network.side),
            guards,
            predictor.record.name,
        )

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._banks)

    @property
    def bytes(self) -> int:
        """Memory kept of all objects."""
        return sum(bank.bytes for bank in (*self._banks.values(), *self._suspended.values()))

    def bank(self, name: str) -> MemoryBank:
        return self._banks[name]

    def logits(self, name: str) -> Tensor:
        """An object on the present frame, (4 f, 4 f), low resolution."""
        return self._last[name][0]

    def push(self, frame: Frame, reverse: bool = False) -> Mapping[str, Step]:
        self.look(frame, reverse)
        return {name: self._guard.judge(name, frame, answer) for name, answer in self.track().items()}

    @torch.inference_mode()
    def look(self, frame: Frame, reverse: bool = False) -> None:
        """Take a frame to be prompted, without outlining anything on it."""
        index = frame.index
        if index is None:
            index = 0 if self._now is None else self._now.index + (-1 if reverse else 1)
        profile = self.profile or sam2_video(self.network.side)
        pixels, place = profile.prepare(frame)
        with self.engine.encoding():
            maps = self.network.embed(torch.from_numpy(pixels)[None].to(self.engine.device))
        maps = Sam2Maps(maps.coarse.float(), (maps.fine[0].float(), maps.fine[1].float()), maps.places.float())
        self._last = {}
        self._now = _Frame(index, maps, place, reverse, frame)

    @torch.inference_mode()
    def look_at(self, maps: Sam2Maps, place: Fitted, index: int, reverse: bool = False) -> None:
        """The same for a frame that is embedded already."""
        self._last = {}
        self._now = _Frame(index, maps, place, reverse)

    def track(self) -> Mapping[str, Candidates]:
        """Outline every object on the frame looked at last, as the network says; ``push`` judges it."""
        with torch.inference_mode():
            return self._track(self._frame, list(self._banks))

    def add(self, name: str, prompts: FramePrompts, score: float = 1.0) -> Step:
        """Points add up with those given before on this frame; a box replaces the box; a mask replaces them all.

        A mask given with points or a box is what they correct.
        """
        answer, frame = self.point(name, prompts), self._frame.frame
        assert frame is not None, "only the network's answer is told of maps: use point()"
        step = self._guard.start(name, frame, answer.mask, answer.score if prompts.drawn is None else score)
        if step.lost:
            self.remove(name)
        return step

    @torch.inference_mode()
    def point(self, name: str, prompts: FramePrompts) -> Candidates:
        """``add``, as the network answers."""
        now = self._frame
        if prompts.mask is not None and prompts.drawn is None:
            self.point(name, FramePrompts(mask=prompts.mask))
            prompts = replace(prompts, mask=None)
        bank = (
            self._banks.get(name)
            or self._suspended.pop(name, None)
            or self._recall.new_bank(self.settings.keep, self.settings.around)
        )
        if prompts.mask is None:
            answer = self._pointed(name, bank, now, prompts)
        else:
            self._given.pop((name, now.index), None)
            answer = self.network.drawn(now.maps, self._placed_mask(prompts.mask, now))
        self._banks[name] = bank
        best = self._tidied(answer.best)  # of prompted frames the tidied outline is remembered, as in the authors' code
        self._store([name], now, best, answer, prompted=True)
        return self._shown([name], best, answer, now)[name]

    def remove(self, name: str) -> None:
        """Forget an object."""
        self._banks.pop(name, None)
        self._suspended.pop(name, None)
        self._last.pop(name, None)
        self._given = {key: given for key, given in self._given.items() if key[0] != name}
        self._guard.forget(name)

    def suspend(self, name: str) -> None:
        """Follow an object no more, but keep its memory for when it is added again."""
        if name in self._banks:
            self._suspended[name] = self._banks.pop(name)
        self._last.pop(name, None)

    def resume(self, name: str, mask: NDArray[np.bool_], score: float = 1.0) -> bool:
        now, bank = self._frame, self._suspended.get(name)
        if bank is None or now.index not in bank.prompted or now.frame is None:
            return False
        self._banks[name] = self._suspended.pop(name)
        self._guard.start(name, now.frame, mask, score)
        return True

    def clear(self, name: str, index: int) -> None:
        """Take the prompts of an object on one frame back; the object is forgotten with its last prompt."""
        self._given.pop((name, index), None)
        if name in self._banks:
            self._banks[name].forget(index)
            if not self._banks[name].prompted:
                self.remove(name)

    def reset(self) -> None:
        """Forget what was followed, keep what was prompted: done between two directions by the MedSAM2 benchmark."""
        for bank in (*self._banks.values(), *self._suspended.values()):
            bank.reset()

    # --- how it is done ------------------------------------------------------------------------------------------

    @property
    def _frame(self) -> _Frame:
        if self._now is None:
            raise PromptError("E-TRACK-NO-FRAME", "There is no frame to point at yet.", "Push a frame first.")
        return self._now

    @property
    def _recall(self) -> MemoryReader:
        return MemoryReader(self.network, self.policy, self.settings.frames, inside=self.engine.encoding)

    def _pointed(self, name: str, bank: MemoryBank, now: _Frame, prompts: FramePrompts) -> Sam2Decoding:
        """The answer to clicks or a box."""
        given = self._given[name, now.index] = self._joined(self._given.get((name, now.index)), prompts, now)
        known = bank.at(now.index)
        first = now.index not in bank.followed
        feedback = self._last.get(name)
        if feedback is None and known is not None:
            feedback = known.logits
        if first:
            coarse = self.network.without_memory(now.maps)
        else:
            coarse = self._recall.conditioned(now.maps, [bank], now.index, bank.followed[now.index])
        feedback = None if feedback is None else feedback[None]
        device = now.maps.coarse.device
        points, labels = (torch.from_numpy(one)[None].to(device) for one in (given.points, given.labels))
        return self._recall.pointed(coarse, now.maps, points, labels, feedback)

    def _track(self, now: _Frame, names: Sequence[str]) -> dict[str, Candidates]:
        """Outline objects from memory, those with as much memory together."""
        chosen: dict[str, ChosenMemories] = {}
        groups: dict[tuple[int, int], list[str]] = {}
        for name in names:
            bank = self._banks[name]
            chosen[name] = self._recall.chosen(bank, now.index, now.reverse)
            groups.setdefault(chosen[name].amount, []).append(name)
        if not groups:
            return {}
        answers = []
        for group in groups.values():
            coarse = self._recall.compared(now.maps, [chosen[name] for name in group])
            answers.append(self._recall.followed(coarse, now.maps))
        together, found = joined(answers), [name for group in groups.values() for name in group]
        best = together.best
        self._store(found, now, best, together, prompted=False)
        for name in found:
            self._banks[name].pass_by(now.index, now.reverse)
        return self._shown(found, self._tidied(best), together, now)

    def _tidied(self, logits: Tensor) -> Tensor:
        """Logits (O, 1, h, w) as they are shown: holes filled, specks removed."""
        return tidied(logits, self.settings.fill, self.settings.specks)

    def _store(self, names: Sequence[str], now: _Frame, logits: Tensor, answer: Sam2Decoding, prompted: bool) -> None:
        """Remember outlines (O, 1, h, w); those a person prompted as black and white, to be fed back too."""
        rows, dtype = range(len(names)), self.settings.memory
        memories = self._recall.memories(now.maps, now.index, logits, answer, rows, prompted, dtype)
        for row, (name, memory) in enumerate(zip(names, memories, strict=True)):
            kept = replace(memory, logits=logits[row].clone()) if prompted else memory
            self._banks[name].store(kept, prompted)

    def _shown(self, names: Sequence[str], logits: Tensor, answer: Sam2Decoding, now: _Frame) -> dict[str, Candidates]:
        """What is shown of objects, logits (O, 1, h, w); where no pixel may be shared, it is the strongest one's."""
        shown = {}
        shared = None
        if self.settings.exclusive and len(names) > 1:
            shared = (
                make_non_overlapping(values_on_frame(logits[:, 0], now.place, MaskDecoding.LOGITS_DIRECT)[:, None]) > 0
            )
        for n, name in enumerate(names):
            self._last[name] = logits[n]
            mask = masks_on_frame(logits[n], now.place, MaskDecoding.LOGITS_DIRECT) if shared is None else shared[n]
            masks = mask.cpu().numpy()
            scores = answer.best_iou[n : n + 1].float().clamp(0, 1).cpu().numpy()
            found = Candidates(masks, scores, float(answer.present[n].sigmoid()))
            shown[name] = followed(self.model, found, None if now.frame is None else now.frame.size)
        return shown

    @staticmethod
    def _joined(before: _Points | None, prompts: FramePrompts, now: _Frame) -> _Points:
        """Prompts given before on this frame and new ones."""
        points, labels = placed_points(prompts, now.place)
        if before is None:
            return _Points(points, labels)
        old = before.labels < CORNERS[0] if prompts.box is not None else np.ones(len(before.labels), bool)
        points, labels = np.concatenate([before.points[old], points]), np.concatenate([before.labels[old], labels])
        order = np.argsort(labels < CORNERS[0], kind="stable")
        return _Points(points[order], labels[order])

    def _placed_mask(self, mask: NDArray[np.bool_], now: _Frame) -> Tensor:
        """An outline (height, width) at the input's size: (1, 1, side, side), 0 or 1."""
        drawn = torch.from_numpy(np.asarray(mask, dtype=np.float32))[None, None].to(now.maps.coarse.device)
        side = self.network.side
        if drawn.shape[-2:] != (side, side):
            drawn = F.interpolate(drawn, size=(side, side), mode="bilinear", align_corners=False, antialias=True)
        return (drawn >= 0.5).float()
