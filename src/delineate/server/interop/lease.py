"""What one nnInteractive client has: a volume, one structure, and the outlines it was sent."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from delineate.core.frame import Modality, ModalityName
from delineate.core.grid import Grid
from delineate.core.prompts import Box, Point, Prompt
from delineate.core.rle import Rle
from delineate.core.scan import Scan
from delineate.predictors.frame_predictor import Predictor
from delineate.server.interop.drawn_volumes import scribbled
from delineate.server.interop.following import PromptsByFrame, asked
from delineate.server.problems import RefusalError
from delineate.session import Session
from delineate.session.features import FeatureStore
from delineate.session.propagation import PropagatedFrame

STRUCTURE: Final = "structure"
AIR: Final = -500  # Hounsfield units; whole numbers that reach below it are CT
IDLE_SECONDS, LIVENESS_SECONDS = 600.0, 60.0
Ranges = list[list[int]]  # of each axis, half-open


class Lease:
    """A client's place. Axes on the wire are (k, j, i); ours are (i, j, k). Called on the engine, but for times."""

    def __init__(self, predictor: Predictor, features: FeatureStore) -> None:
        self._predictor, self._features = predictor, features
        self._session: Session | None = None
        self._marks: list[int] = []  # events there were before each action
        self._sent: Mapping[int, Rle] = {}
        self.seen = self.used = time.monotonic()

    @property
    def remaining(self) -> float:
        """Seconds until it ends, if nothing is heard of the client."""
        now = time.monotonic()
        return min(self.seen + LIVENESS_SECONDS - now, self.used + IDLE_SECONDS - now)

    @property
    def session(self) -> Session:
        """Raises RefusalError (400) before an image was sent."""
        if self._session is None:
            raise RefusalError("E-SERVE-NO-IMAGE", "No image was sent yet.", "Send it with /set_image.", status=400)
        return self._session

    def set_image(self, array: NDArray[Any], spacing: Sequence[float]) -> tuple[int, ...]:
        """Begin on a volume (1, k, j, i); spacing in mm (k, j, i). Raises RefusalError or GeometryError."""
        if array.ndim != 4 or array.shape[0] != 1 or min(array.shape) < 1:
            text = f"An image is (1, k, j, i), not {array.shape}."
            raise RefusalError("E-SERVE-IMAGE", text, "Send one channel.", status=400)
        voxels = array[0].transpose(2, 1, 0)
        grid = Grid.scaled(voxels.shape, spacing[::-1])
        whole = array.dtype.kind in "iu"
        name = ModalityName.CT if whole and int(array.min()) <= AIR else ModalityName.UNKNOWN
        self.begin(Scan.from_volume(voxels, grid, modality=Modality(name, "values of air")))
        return tuple(array.shape)

    def reset(self) -> None:
        """Forget the structure; the volume stays, and what was encoded of it."""
        self.begin(self.session.scan)

    def start_from(self, drawn: NDArray[np.bool_], prompts: PromptsByFrame) -> None:
        """Forget the structure and begin with one that is there: drawn outlines, which the client has already."""
        self.reset()
        asked(self.session, prompts, STRUCTURE)
        self._marks.clear()
        self._sent = self._masks

    def ask(self, prompts: PromptsByFrame) -> bool:
        """Answer the prompts of one action; whether there was anything to answer."""
        before = len(self.session.log.current)
        if not asked(self.session, prompts, STRUCTURE):
            return False
        self._marks.append(before)
        return True

    def following(self) -> Generator[PropagatedFrame, None, None]:
        """The rest of the volume, frame by frame."""
        return self.session.propagating((STRUCTURE,))

    def undo(self) -> bool:
        """Take the last action back; whether there was one."""
        if not self._marks:
            return False
        mark = self._marks.pop()
        while self.session.log.done > mark and self.session.undo():
            pass
        return True

    def news(self) -> tuple[Ranges | None, NDArray[np.uint8]]:
        """What changed since the last call: the box (k, j, i) round it, and the structure within."""
        before, now = self._sent, self._masks
        self._sent = now
        changed = [n for n in before.keys() | now.keys() if before.get(n) is not now.get(n)]
        boxes = [rle.box for n in changed for rle in (before.get(n), now.get(n)) if rle is not None and rle.box]
        if not boxes:
            return None, np.zeros(0, np.uint8)
        x0, y0 = (min(box[axis] for box in boxes) for axis in (0, 1))
        x1, y1 = (max(box[axis] for box in boxes) for axis in (2, 3))
        frames = range(min(changed), max(changed) + 1)
        stack = np.zeros((len(frames), y1 - y0, x1 - x0), np.uint8)
        for place, frame in enumerate(frames):
            if frame in now:
                stack[place] = now[frame].decode()[y0:y1, x0:x1]
        scan = self.session.scan
        order = (scan.slice_axis, scan.frame_axes[1], scan.frame_axes[0])  # the grid axes of the stack's
        ranges = dict(zip(order, ([frames.start, frames.stop], [y0, y1], [x0, x1]), strict=True))
        return [ranges[axis] for axis in (2, 1, 0)], stack.transpose([order.index(axis) for axis in (2, 1, 0)])

    def point(self, coordinates: Sequence[float], positive: bool) -> PromptsByFrame:
        """A point (k, j, i)."""
        at = tuple(float(value) for value in reversed(coordinates))
        return self._placed(Point(*at, positive=positive))

    def box(self, ranges: Sequence[Sequence[int]]) -> PromptsByFrame:
        """A half-open box (k, j, i); one that is a single slice thick is a box on that slice."""
        scan = self.session.scan
        low, high = ([min(r) for r in reversed(ranges)], [max(r) for r in reversed(ranges)])
        high = [max(a + 1, b) for a, b in zip(low, high, strict=True)]
        axis = scan.slice_axis
        if high[axis] - low[axis] > 1:
            return self._placed(Box(*low, *high))
        x, y = scan.frame_axes
        return {low[axis]: [Box(low[x], low[y], high[x], high[y], frame=low[axis])]}

    def beside(self, ranges: Sequence[Sequence[int]]) -> PromptsByFrame:
        """A box (k, j, i) that does not belong to it, as points on each frame."""
        scan = self.session.scan
        inside = np.zeros(scan.grid.shape, bool)
        inside[tuple(slice(max(0, min(ends)), max(*ends, min(ends) + 1)) for ends in reversed(ranges))] = True
        return scribbled(inside, scan, False)

    @property
    def outline(self) -> NDArray[np.bool_]:
        """The structure in the whole volume, (i, j, k)."""
        now = self.session.segmentation
        return now.voxels(STRUCTURE) if STRUCTURE in now else np.zeros(now.grid.shape, bool)

    def begin(self, scan: Scan) -> None:
        """Begin on a scan, with nothing outlined."""
        self._session = Session(scan, self._predictor, features=self._features)
        self._marks.clear()
        self._sent = {}

    def _placed(self, prompt: Prompt) -> PromptsByFrame:
        return {0: [prompt]}  # where it lies, its coordinates say

    @property
    def _masks(self) -> Mapping[int, Rle]:
        now = self.session.segmentation
        return now[STRUCTURE].masks if STRUCTURE in now else {}
