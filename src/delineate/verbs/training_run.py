"""What the verbs that train share: what a run begins with, what it calls meanwhile, the request in its folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from delineate.io.atomic import write_bytes
from delineate.predictors.weightless_graph import has_graph
from delineate.verbs.records import RequestRecord
from delineate.verbs.request import Progress, Request

STATE: Final = "last.safetensors"  # of a run, in its folder
REQUEST_FILE: Final = "request.json"  # likewise
Measured = Callable[[dict[str, float]], None]  # called with each measurement


@dataclass(frozen=True)
class TrainingStart:
    """What a run learns from, and how.

    memory  lines on what it will take, where it was to fit
    """

    cases: int
    layout: str
    recipe: str
    summary: str = ""
    memory: tuple[str, ...] = ()


def steps_of(progress: Progress | None) -> Callable[[int, int, float], None] | None:
    """What a loop of training calls after every step, also with the minutes left."""
    return None if progress is None else lambda step, steps, _: progress(step, steps)


def writing_request(folder: Path, verb: str, request: Request, measured: Measured | None) -> Measured:
    """``measured``, which writes the request into the run's folder at the first call: from then on there is a run."""
    path = folder / REQUEST_FILE
    written = False

    def tell(line: dict[str, float]) -> None:
        nonlocal written
        if not written:
            write_bytes(path, (RequestRecord.of(verb, request).model_dump_json(indent=1) + "\n").encode())
            written = True
        if measured is not None:
            measured(line)

    return tell


def embed_by_graph(predictor: Any, threads: int) -> None:
    """Let ONNX Runtime embed pictures for a network whose encoder is frozen, where that takes half of torch's time.

    That is on the CPU, for systems whose graph ships.
    """
    from delineate.predictors.export.image_encoder import Backend, run_exported

    record = predictor.record
    if predictor.engine.device.type == "cpu" and has_graph(record.name) and record.sha256 != "random weights":
        key = f"{record.name}-{record.sha256[:16]}"
        run_exported(predictor.network, Backend.ONNX, key, predictor.engine.precision, threads)
