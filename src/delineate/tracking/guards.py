"""Is the outline still the same structure? What a person would check at a glance, as numbers.

Signs of drift are told in words: the area jumped, the gray values inside are no longer those of the structure, the
model itself is unsure. How much they lower the confidence was measured (``trust``).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from delineate.core.frame import Frame
from delineate.core.scan import ScanKind
from delineate.predictors.frame_predictor import Candidates, ChainOptions
from delineate.tracking.tracker import Drift, Step
from delineate.tracking.trust import Signs, believed, strongest

Pixels = NDArray[Any]
MaskArray = NDArray[np.bool_]
ABSENT = 0.5  # probability of being there below which a structure is lost
DOUBTED = 0.5  # confidence below which an outline is doubted, whatever lowers it
REASONS = {
    "distance": Drift.DISTANCE,
    "size": Drift.SIZE,
    "jump": Drift.AREA,
    "place": Drift.PLACE,
    "look": Drift.APPEARANCE,
    "contrast": Drift.FADED,
}


@dataclass(frozen=True)
class GuardSettings:
    """When an outline is doubted, and when the structure counts as gone.

    area_ratio   growth or shrinkage from one frame to the next that is doubted
    appearance   change of the mean gray value inside, in units of the contrast to the surroundings, that is doubted
    score        predicted IoU below which the model counts as unsure
    presence     mean of the probability that it is there and the predicted IoU, below which it counts as not there
    least_area   share of the area where it was prompted below which nothing is left
    reach        how far it may move or grow in one frame, as a share of its own diameter
    gone         change of the mean gray value, in the same units as appearance, at which this is another structure
    chain        how the model looks for it on the next frame; it looks farther off only where it finds nothing near
    """

    area_ratio: float = 1.8
    appearance: float = 1.0
    score: float = 0.5
    presence: float = 0.45
    least_area: float = 0.005
    reach: float = 0.5
    gone: float = 1.6
    chain: ChainOptions = field(default_factory=ChainOptions)

    @classmethod
    def of(cls, kind: ScanKind) -> Self:
        """What suits a kind of scan: in videos things jump and come back; in volumes they taper, and end for good."""
        if kind is ScanKind.VIDEO:
            return cls(chain=ChainOptions(search=2.0))
        return cls(presence=0.7, chain=ChainOptions(mask_threshold=0.6, propagation_threshold=0.9))


@dataclass(frozen=True)
class Appearance:
    """Gray values of a structure and of the ring around it.

    color, around  the same by channel
    """

    inside: float
    outside: float
    spread: float
    color: tuple[float, ...] = ()
    around: tuple[float, ...] = ()

    @classmethod
    def of(cls, frame: Pixels, mask: MaskArray) -> Self:
        """Measured on a frame (height, width[, channels]) under a mask that is not empty."""
        window = _window(mask, 8)
        shown = np.asarray(frame[window], dtype=np.float32)
        shown = shown if shown.ndim == 3 else shown[..., None]
        inner = mask[window]
        ring = ndimage.binary_dilation(inner, iterations=6) & ~inner
        inside = shown[inner]
        outside = shown[ring] if ring.any() else inside
        gray = inside.mean(axis=1)
        color, around = inside.mean(axis=0), outside.mean(axis=0)
        return cls(
            float(gray.mean()),
            float(outside.mean()),
            float(gray.std()) + 1e-6,
            tuple(map(float, color)),
            tuple(map(float, around)),
        )

    def change(self, later: Appearance) -> float:
        """How far the inside moved, in units of the contrast (or of the texture, if that is larger)."""
        scale = max(abs(self.inside - self.outside), self.spread)
        return abs(later.inside - self.inside) / scale

    def color_change(self, later: Appearance) -> float:
        """The same of colors: root mean square over the channels."""
        return _distance(later.color, self.color) / max(_distance(self.color, self.around), self.spread)

    @property
    def contrast(self) -> float:
        """Between inside and surroundings, in gray values."""
        return _distance(self.color, self.around)


@dataclass(frozen=True)
class KnownStructure:
    """A structure where it was prompted, and its area where it was seen last.

    middle  x and y of its middle where it was prompted, in pixels
    begun   confidence of the outline there
    passed  frames since
    """

    look: Appearance
    area: int
    last_area: int
    middle: tuple[float, float]
    begun: float = 1.0
    passed: int = 0

    def signs(self, score: float, mask: MaskArray, now: Appearance, last_area: int) -> Signs:
        """What an outline that is not empty shows beside the prompted one."""
        x, y = _middle(mask)
        diameter = 2 * np.sqrt(self.area / np.pi)
        area = int(mask.sum())
        return Signs(
            score=score,
            begun=self.begun,
            distance=self.passed,
            size=area / self.area,
            jump=area / max(1, last_area),
            place=float(np.hypot(x - self.middle[0], y - self.middle[1]) / diameter),
            look=self.look.color_change(now),
            contrast=now.contrast / max(self.look.contrast, 1e-6),
        )


class Guard:
    """Judges what a tracker finds: every structure against what it looked like where it was prompted."""

    def __init__(self, settings: GuardSettings) -> None:
        self.settings = settings
        self._known: dict[str, KnownStructure] = {}

    def start(self, name: str, frame: Frame, mask: MaskArray, score: float = 1.0) -> Step:
        """The structure as it was prompted, or corrected, on a frame; lost where there is no outline."""
        area = int(mask.sum())
        if not area:
            self.forget(name)
            return _lost(mask)
        self._known[name] = KnownStructure(Appearance.of(frame.pixels, mask), area, area, _middle(mask), score)
        return Step(mask, score)

    def judge(
        self, name: str, frame: Frame, answer: Candidates, source: MaskArray | None = None, jumped: bool = False
    ) -> Step:
        """The structure as a predictor found it on a later frame.

        source  the outline that was all the predictor went by: its errors would add up, so what the structure cannot be
                is cut off, and it counts as gone sooner
        jumped  it was looked for farther off than it usually moves
        """
        known, settings, mask = (
            replace(self._known[name], passed=self._known[name].passed + 1),
            self.settings,
            answer.mask,
        )
        self._known[name] = known
        if source is not None:
            mask = mask if jumped else within_reach(mask, source, settings.reach)
            mask = resembling(mask, source, frame.pixels, known.look)
        area = int(mask.sum())
        if source is None:
            gone = answer.presence < ABSENT or not area
        else:
            gone = sureness(answer) < settings.presence or area <= settings.least_area * known.area
        if gone:
            return _lost(mask)
        now = Appearance.of(frame.pixels, mask)
        if source is not None and known.look.change(now) > settings.gone:
            return _lost(mask)
        self._known[name] = replace(known, last_area=area)
        last_area = known.last_area if source is None else int(source.sum())
        signs = known.signs(answer.score * answer.presence, mask, now, last_area)
        found = int(answer.mask.sum())  # before anything was cut off: a leak must show
        confidence = float(believed([signs])[0])
        return Step(mask, confidence, _doubts(signs, confidence, found, last_area, settings), signs)

    def known(self, name: str) -> KnownStructure:
        return self._known[name]

    def take_up(self, name: str, known: KnownStructure) -> None:
        """Go on judging a structure that another guard knew."""
        self._known[name] = known

    def forget(self, name: str) -> None:
        self._known.pop(name, None)


def sureness(answer: Candidates) -> float:
    """Mean of the probability that the structure is there and of the predicted IoU, 0 to 1."""
    return (answer.presence + answer.score) / 2


def _lost(mask: MaskArray) -> Step:
    return Step(np.zeros_like(mask), 0.0, (Drift.LOST,))


def within_reach(mask: MaskArray, last: MaskArray, reach: float) -> MaskArray:
    """The parts of an outline that the structure can have got to: near where it was, and touching that."""
    if not last.any() or not mask.any():
        return mask
    diameter = 2 * np.sqrt(last.sum() / np.pi)
    radius = max(4.0, reach * diameter)
    window = _window(last | mask, 1)
    near = ndimage.distance_transform_edt(~last[window]) <= radius
    parts, _ = ndimage.label(mask[window] & near)
    touching = np.unique(parts[last[window]])
    kept = np.zeros_like(mask)
    kept[window] = np.isin(parts, touching[touching > 0]) if touching.any() else parts > 0
    return kept


def resembling(mask: MaskArray, last: MaskArray, frame: Pixels, look: Appearance) -> MaskArray:
    """The outline without what it gained that does not look like the structure.

    Whatever lies (nearly) where the structure was is kept; pixels beyond that must be closer in gray value to its
    inside than to its surroundings, or within its own texture. Without this an outline that leaks a little on every
    frame ends up covering the picture.
    """
    gained = mask & ~ndimage.binary_dilation(last)
    if not gained.any():
        return mask
    window = _window(mask, 1)
    shown = np.asarray(frame[window], dtype=np.float32)
    gray = shown.mean(axis=2) if shown.ndim == 3 else shown
    apart = np.minimum(np.abs(gray - look.inside), np.abs(ndimage.uniform_filter(gray, 3) - look.inside))
    allowed = max(0.6 * abs(look.inside - look.outside), 1.5 * look.spread)
    kept = mask.copy()
    kept[window] &= ~gained[window] | (apart <= allowed)
    return kept


def _doubts(signs: Signs, confidence: float, area: int, last_area: int, settings: GuardSettings) -> tuple[Drift, ...]:
    """What lowered the confidence in an outline, in words."""
    drift = []
    if max(area, last_area) / max(1, min(area, last_area)) > settings.area_ratio:
        drift.append(Drift.AREA)
    if signs.look > settings.appearance:
        drift.append(Drift.APPEARANCE)
    if signs.score < settings.score:
        drift.append(Drift.SCORE)
    if confidence < DOUBTED and confidence < signs.begun and (why := REASONS[strongest(signs)]) not in drift:
        drift.append(why)
    return tuple(drift)


def _distance(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Of two colors, root mean square over the channels."""
    return float(np.sqrt(np.mean(np.square(np.subtract(one, other)))))


def _middle(mask: MaskArray) -> tuple[float, float]:
    rows, columns = np.nonzero(mask)
    return float(columns.mean()), float(rows.mean())


def _window(mask: MaskArray, margin: int) -> tuple[slice, slice]:
    """The part of the frame that holds the mask, with a margin."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return (
        slice(max(0, int(rows[0]) - margin), int(rows[-1]) + margin + 1),
        slice(max(0, int(columns[0]) - margin), int(columns[-1]) + margin + 1),
    )
