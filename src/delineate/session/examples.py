"""Examples that are given as prompts: the structure of another picture, looked for on a frame of the scan."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.core.errors import PromptError
from delineate.core.grid import patient_axis
from delineate.core.prompts import Example
from delineate.core.resolve import FramePrompts, ResolvedPrompt, require_frame
from delineate.core.scan import Scan
from delineate.fewshot.features import extractor_of
from delineate.fewshot.matcher import Match, Matcher, Support
from delineate.predictors.capabilities import Scope
from delineate.predictors.frame_predictor import FramePredictor

KEPT = 8  # findings


@dataclass(eq=False)
class ExampleFinder:
    """Looks for examples on one scan; the same one on the same frame is looked for once."""

    scan: Scan
    predictor: FramePredictor
    _found: dict[Example, Match] = field(default_factory=dict)

    def placed(self, prompt: Example) -> ResolvedPrompt:
        """An example as the outline that was found for it on its frame.

        Raises PromptError where nothing is found, and for predictors whose features cannot be compared.
        """
        frame = require_frame(prompt.frame, self.scan)
        match = self._found.get(prompt) or self._looked_for(prompt, frame)
        if not match.mask.any():
            raise PromptError(
                "E-EXAMPLE-NOT-FOUND",
                f"Nothing on {self.scan.frame_word} {frame} is like the example.",
                "Point at the structure with a box or a click, or give another example.",
            )
        return ResolvedPrompt(frame, FramePrompts(mask=match.mask))

    def similarity(self, prompt: Example) -> float:
        """How sure it is that what was found is the structure, 0 to 1."""
        return self._found[prompt].similarity if prompt in self._found else 0.0

    def _looked_for(self, prompt: Example, frame: int) -> Match:
        if self.predictor.capabilities.scope is not Scope.FRAME:
            raise PromptError(
                "E-EXAMPLE-MODEL",
                f"{self.predictor.record.name} does not answer prompts on single frames, and so no example.",
                "Take another model, such as quill.",
            )
        wanted = self.scan.frame_directions
        shown = prompt.shown
        pixels, mask = (laid(one, prompt.axes, wanted) for one in (shown.pixels, prompt.mask))
        support = Support(shown.with_pixels(pixels), {"": mask})
        matcher = Matcher(extractor_of(self.predictor), [support], self.predictor)
        match = matcher.match(self.scan.frame(frame))[""]
        self._found = dict(list(self._found.items())[1 - KEPT :]) | {prompt: match}
        return match


def laid(values: NDArray[Any], axes: tuple[str, str] | None, wanted: tuple[str, str] | None) -> NDArray[Any]:
    """A picture or mask (height, width[, 3]) turned and flipped so that x and y run where they are wanted to.

    As it is where one of the two is not known, or it is of another plane.
    """
    if axes is None or wanted is None:
        return values
    lines, asked = ([patient_axis(one) for one in each] for each in (axes, wanted))
    if sorted(lines) != sorted(asked):
        return values
    if lines != asked:
        values, axes = values.swapaxes(0, 1), (axes[1], axes[0])
    across, down = (one != other for one, other in zip(axes, wanted, strict=True))
    return np.ascontiguousarray(values[:: -1 if down else 1, :: -1 if across else 1])
