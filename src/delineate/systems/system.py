"""What every system says about itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from delineate.checkpoints.store import Download
from delineate.compute.threads import usable_threads
from delineate.predictors.frame_predictor import Predictor


@dataclass(frozen=True)
class BuildOptions:
    """How a system is built.

    checkpoint  a published or trained file, or None
    untrained   random weights where there is no file: to try the machinery, not to outline anything
    threads     of the CPU, at most one for each core; 0 means all
    device      auto, cpu, cuda, cuda:1, mps
    precision   auto, fp32, bf16, fp16
    backend     what runs the image encoder: torch, onnx, openvino; Quill is run by ONNX Runtime or by OpenVINO
    vocabulary  file of word pieces, for systems that read; None for the one that was pulled
    adapter     a trained adapter that is put into the weights, or None
    """

    checkpoint: Path | None = None
    untrained: bool = False
    threads: int = 0
    device: str = "auto"
    precision: str = "auto"
    backend: str = "torch"
    vocabulary: Path | None = None
    adapter: Path | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "threads", usable_threads(self.threads))


@dataclass(frozen=True)
class System:
    """One published way of promptable segmentation.

    prompts    the kinds it answers
    follows    how it goes from frame to frame
    profile    what is done to a frame before the network sees it
    recipe     how it was trained
    reported   quality figures with their source
    parity     how it was compared with its authors' code, and the largest difference
    weights    the file that ships, if any
    download   where the authors publish theirs, if they do
    """

    name: str
    summary: str
    build: Callable[[BuildOptions], Predictor]
    prompts: tuple[str, ...]
    follows: str
    profile: str
    recipe: str
    citation: str
    licence: str
    reported: str
    parity: str = ""
    weights: Path | None = None
    download: Download | None = None
