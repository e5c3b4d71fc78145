"""What every system says about itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from delineate.runtimes.frame_predictor import FramePredictor


@dataclass(frozen=True)
class System:
    """One published way of promptable segmentation.

    build      (checkpoint file or None for its own weights, threads) -> predictor
    prompts    the kinds it answers
    follows    how it goes from frame to frame
    profile    what is done to a frame before the network sees it
    recipe     how it was trained
    reported   quality figures with their source
    """

    name: str
    summary: str
    build: Callable[[Path | None, int], FramePredictor]
    prompts: tuple[str, ...]
    follows: str
    profile: str
    recipe: str
    citation: str
    licence: str
    reported: str
    weights: Path | None = None
