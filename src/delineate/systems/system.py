"""What every system says about itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from delineate.adapters.freeze import FreezePolicy
from delineate.checkpoints.download import Source
from delineate.checkpoints.store import cached_path
from delineate.compute.device import device_name
from delineate.compute.threads import usable_threads
from delineate.core.errors import ModelError
from delineate.predictors.capabilities import PromptKind, Propagation
from delineate.predictors.frame_predictor import Predictor
from delineate.systems.layout import CheckpointLayout

if TYPE_CHECKING:
    from delineate.checkpoints.system_file import SystemCard

ADAPTERS = Path(__file__).parent / "adapters"  # that ship


@dataclass(frozen=True)
class BuildOptions:
    """How a system is built.

    checkpoint  a published or trained file, or None
    untrained   random weights where no file is given, whatever is kept: to try the machinery, not to outline anything.
                Of a system with a paper's parts those are random, beside the weights of its host where they are kept.
                Quill has its own always
    threads     of the CPU, at most one for each core; 0 means all
    device      auto, cpu, cuda (gpu), cuda:1, mps
    precision   auto, fp32, bf16, fp16
    backend     what computes: torch, onnx, openvino; auto: ONNX Runtime where the package has the system's graph and
                nothing but inference on the CPU is asked for, else torch. Quill is run by ONNX Runtime or by OpenVINO
    vocabulary  file of word pieces, for systems that read; None for the one that was pulled
    adapter     a trained adapter that is put into the weights: a file, or the name of one that ships; or None
    variant     which of a system's ``variants``, where its authors do a thing in two ways; "" for its default
    begun       classes and sizes of a system with a paper's parts that begins with random weights; None: the published
    """

    checkpoint: Path | None = None
    untrained: bool = False
    threads: int = 0
    device: str = "auto"
    precision: str = "auto"
    backend: str = "auto"
    vocabulary: Path | None = None
    adapter: Path | None = None
    variant: str = ""
    begun: SystemCard | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "threads", usable_threads(self.threads))
        object.__setattr__(self, "device", device_name(self.device))

    def weights_of(self, name: str) -> Path | None:
        """The file that a system's weights are read from: the one given, else the one kept; None: random ones."""
        return self.checkpoint or (None if self.untrained else cached_path(name))

    @property
    def encoder_backend(self) -> str:
        """What runs the image encoder of a system that is built with torch."""
        return "torch" if self.backend == "auto" else self.backend


@dataclass(frozen=True)
class System:
    """One published way of promptable segmentation: a row of the table of systems.

    Parameters
    ----------
    name
        What ``-m`` takes.
    summary
        One line in medical words.
    build
        Makes the predictor. Raises ModelError where weights or libraries are missing.
    prompts
        The kinds of prompts it answers.
    propagation, propagation_note
        How a structure is followed from frame to frame; what is particular about it.
    profile
        Preprocessing of a frame and post-processing of logits, in one line.
    training
        How the authors trained it.
    recipe
        Name of the recipe here that trains it so (``delineate train recipes``); None if there is none.
    citation, license, reported
        Paper; license of the weights; published quality figures with their source.
    parity
        How it was compared with its authors' code, and the largest difference.
    layout
        How its published checkpoint is recognized; None if it has none.
    weights
        The file that comes with the package, if any.
    download
        Where the published file can be fetched, if it can.
    policy
        By variant, which of its parameters learn; None where recipes say it.
    variants
        What else it can be built as, and what is different then; the default is not among them.
    adapters
        Adapters that come with the package, by the name ``--adapter`` takes, and what each teaches the system.
    built_from
        The systems whose files it is built from; none where it has a file of its own.
    """

    name: str
    summary: str
    build: Callable[[BuildOptions], Predictor]
    prompts: frozenset[PromptKind]
    propagation: Propagation | None
    propagation_note: str
    profile: str
    training: str
    citation: str
    license: str
    reported: str = ""
    parity: str = ""
    recipe: str | None = None
    layout: CheckpointLayout | None = None
    weights: Path | None = None
    download: Source | None = None
    policy: Callable[[str], FreezePolicy] | None = None
    variants: Mapping[str, str] = field(default_factory=dict)
    adapters: Mapping[str, str] = field(default_factory=dict)
    built_from: tuple[str, ...] = ()

    def adapter_file(self, given: Path) -> Path:
        """The file of an adapter that ships, where it is named; else the one that is given.

        Raises ModelError where there is neither.
        """
        if given.is_file():
            return given
        if str(given) in self.adapters:
            return ADAPTERS / f"{self.name}_{given}.safetensors"
        ship = ", ".join(self.adapters) or "none"
        raise ModelError(
            "E-ADAPTER", f"There is no adapter at {given}.", f"Check the path; those that ship for {self.name}: {ship}."
        )
