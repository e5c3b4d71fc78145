"""How much the answer depends on how carefully a person points: Dice by box error, and by the place of a click."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from delineate.training.prompt_policies import SampledPrompts
from delineate.training.prompt_simulation import click_in, wrong_box
from delineate.training.run_files import LOG

BOX_ERRORS = (0, 5, 10, 20)  # per cent of a side, each side moved by that, in or out
CLICKS = ("center", "anywhere", "border")
BORDER = 0.25  # of the deepest place inside: a click near the border is at most as deep
SEED = 0  # the same prompts before and after
NOTICED = 0.01  # loss of Dice that is told
_PLACES = {"center": "in the middle", "border": "at the border"}


class Measured(Protocol):
    """Something that is measured with prompts made from a frame's structures (O, S, S)."""

    def modules(self) -> object: ...
    def dice_with(self, prompts: Callable[[NDArray[np.bool_]], SampledPrompts]) -> float: ...


@dataclass(frozen=True)
class Sensitivity:
    """Mean Dice for each box error in per cent, and for each place of a single click."""

    boxes: dict[int, float]
    clicks: dict[str, float]

    def as_line(self) -> dict[str, dict[str, float]]:
        """For the log."""
        return {
            "box error %": {str(k): round(v, 4) for k, v in self.boxes.items()},
            "click": {k: round(v, 4) for k, v in self.clicks.items()},
        }


def prompt_sensitivity(objective: Measured) -> Sensitivity:
    """Measure with wrong boxes and with clicks that are not in the middle."""
    modules = objective.modules()
    if hasattr(modules, "eval"):
        modules.eval()

    def boxes(share: float) -> Callable[[NDArray[np.bool_]], SampledPrompts]:
        rng = np.random.default_rng(SEED)
        return lambda masks: SampledPrompts(boxes=np.array([wrong_box(rng, mask, share) for mask in masks]))

    def clicks(kind: str) -> Callable[[NDArray[np.bool_]], SampledPrompts]:
        rng = np.random.default_rng(SEED)

        def given(masks: NDArray[np.bool_]) -> SampledPrompts:
            points = np.array([[_click(rng, mask, kind)] for mask in masks])
            return SampledPrompts(points, np.ones(points.shape[:2], np.int64))

        return given

    return Sensitivity(
        {error: objective.dice_with(boxes(error / 100)) for error in BOX_ERRORS},
        {kind: objective.dice_with(clicks(kind)) for kind in CLICKS},
    )


@dataclass(frozen=True)
class ProbedPrompt:
    """Mean Dice with one kind of prompt, before and after a run."""

    what: str
    kind: str
    before: float
    after: float

    @property
    def is_worse(self) -> bool:
        return self.before - self.after >= NOTICED

    def __str__(self) -> str:
        how = f"boxes {self.kind} % off" if "box" in self.what else f"a click {_PLACES.get(self.kind, self.kind)}"
        return f"{how} ({self.before:.3f} to {self.after:.3f})"


def logged_probes(folder: Path) -> tuple[ProbedPrompt, ...]:
    """The last probe in a run's log; none where nothing was probed."""
    found = None
    for path in (folder / LOG, folder / "stage2" / LOG):
        for line in path.read_text().splitlines() if path.is_file() else ():
            found = json.loads(line).get("sensitivity", found)
    if found is None:
        return ()
    return tuple(
        ProbedPrompt(what, kind, dice, found["after"][what][kind])
        for what, kinds in found["before"].items()
        for kind, dice in kinds.items()
    )


def probe_table(probes: Sequence[ProbedPrompt]) -> list[str]:
    """Lines of a table for people."""
    rows = [f"  {one.what:<12} {one.kind:<9} {one.before:6.3f} {one.after:6.3f}" for one in probes]
    return ["Dice by prompt          before  after", *rows] if rows else []


def verdict(before: float, best: float, kept: bool, probes: Sequence[ProbedPrompt]) -> str:
    """What a run came to, by all that was measured: whether to use it, and what got worse."""
    if not kept:
        return "Nothing was better than before; nothing was kept."
    gain = f"{before:.3f} to {best:.3f}"
    if not probes:
        return f"Better on held-out subjects ({gain})."
    worse = ", ".join(str(one) for one in probes if one.is_worse)
    if not worse:
        return f"Better on held-out subjects ({gain}), and with no kind of prompt worse."
    means = [float(np.mean([one.before for one in probes])), float(np.mean([one.after for one in probes]))]
    if means[1] < means[0]:
        return (
            f"Worse on the whole: {means[0]:.3f} to {means[1]:.3f} over all kinds of prompt, though {gain} as it was "
            f"measured in training. Worse with {worse}. Keep the model you had, or train at a lower rate."
        )
    return f"Better as it was measured in training ({gain}), but worse with {worse}: use it with careful prompts only."


def _click(rng: np.random.Generator, mask: NDArray[np.bool_], kind: str) -> tuple[float, float]:
    if kind != "border":
        return click_in(rng, mask, central=kind == "center")
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    return click_in(rng, mask & (depth <= max(1.0, BORDER * depth.max())), central=False)
