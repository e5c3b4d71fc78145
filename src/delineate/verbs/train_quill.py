"""The verb ``train quill``: the small model that ships, trained from nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from delineate.core.errors import MissingExtraError
from delineate.verbs.request import FollowLinks, Request, Threads
from delineate.verbs.training_run import Measured, check_run, recorded_run


class TrainQuillRequest(Request):
    """Everything ``train quill`` needs to know; what is not said here is the recipe's (``QuillTraining``)."""

    output: Path = Field(default=Path("runs/quill"), description="Folder for checkpoints, log and model.")
    minutes: float = Field(default=90.0, gt=0, description="Wall-clock budget.")
    data: Path | None = Field(default=None, description="Folder with a manifest.json; of it only items marked train.")
    follow_links: FollowLinks = False
    start: Path | None = Field(default=None, description="Weights (.safetensors) or quill.onnx to begin from.")
    resume: bool = Field(default=False, description="Go on where the run in the output folder stopped.")
    seed: int = Field(default=0, ge=0, description="Of data, prompts and weights.")
    batch: int = Field(default=32, ge=1, description="Crops a step.")
    rate: float = Field(default=2e-3, gt=0, description="Highest learning rate.")
    keep: float = Field(default=0.0, ge=0, le=1, description="Share of the start's weights kept at the end.")
    version: str = Field(default="0", description="Version written into the model.")
    workers: int = Field(default=0, ge=0, description="Processes that make scenes; 0: as many as make sense.")
    device: str = "auto"
    threads: Threads = 0


@dataclass(frozen=True)
class TrainQuillResult:
    """The exported model."""

    weights: Path

    def as_json(self) -> dict[str, str]:
        return {"weights": str(self.weights)}


def train_quill(request: TrainQuillRequest, measured: Measured | None = None) -> TrainQuillResult:
    """Train the small model from synthetic scenes, and from real ones marked for training if a data folder is given.

    ``measured`` is called with each measurement. Raises ModelError if the loss is no
    number or there is nothing to resume, OutputError for a folder that holds something else.
    """
    try:
        from delineate.quill.train.training import QuillTraining
        from delineate.quill.train.training import train_quill as run
    except ModuleNotFoundError as error:
        raise MissingExtraError("Training", "train") from error

    check_run(request.output, request.resume, request.data, request.start)
    with recorded_run(request.output, "train quill", request):
        return TrainQuillResult(run(QuillTraining(**dict(request)), measured))
