"""What the verbs that train share: what a run begins with, what it calls meanwhile, the request in its folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from delineate.core.errors import DelineateError, ModelError
from delineate.core.manifest import RANDOM
from delineate.data.learned_from import LEARNED_FROM, LearningRecord
from delineate.io.atomic import write_bytes
from delineate.io.outputs import check_run_folder
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
    learned lines of a table of what learns, part by part, where a system's own parts do
    """

    cases: int
    layout: str
    recipe: str
    summary: str = ""
    memory: tuple[str, ...] = ()
    learned: tuple[str, ...] = ()


def steps_of(progress: Progress | None) -> Callable[[int, int, float], None] | None:
    """What a loop of training calls after every step, also with the minutes left."""
    return None if progress is None else lambda step, steps, _: progress(step, steps)


def check_run(output: Path, resume: bool, *inputs: Path | None) -> None:
    """Whether a run may keep its files in a folder: see ``check_run_folder``. Raises OutputError.

    Of processes that were launched together the first one looks.
    """
    if _is_first():
        check_run_folder(output, inputs, (STATE, REQUEST_FILE), resume)


@contextmanager
def recorded_run(
    folder: Path,
    verb: str,
    request: Request,
    record: LearningRecord | None = None,
    resume: bool = False,
    fixed: Collection[str] = (),
) -> Iterator[None]:
    """A folder that says from the beginning what was asked and what is learned from: a run may be stopped at any time.

    Of a run that is refused before it has anything to keep, neither stays.

    fixed  fields of the request that stay as they were where a run goes on
    Raises ModelError where one that goes on would not be the one that was begun.
    """
    if not _is_first():
        yield
        return
    asked = RequestRecord.of(verb, request)
    if resume:
        _require_same(folder, asked, fixed)
        if record is not None:
            record.require_same(folder)
    if record is not None:
        record.write(folder)
    write_bytes(folder / REQUEST_FILE, (asked.model_dump_json(indent=1) + "\n").encode())
    try:
        yield
    except DelineateError:
        said = (REQUEST_FILE, LEARNED_FROM)
        if all(path.name in said for path in folder.iterdir()):
            for name in said:
                (folder / name).unlink(missing_ok=True)
            with suppress(OSError):
                folder.rmdir()
        raise


def _require_same(folder: Path, asked: RequestRecord, fixed: Collection[str]) -> None:
    earlier = RequestRecord.read(folder / REQUEST_FILE)
    before = {} if earlier is None else earlier.request
    other = [f"--{name.replace('_', '-')}" for name in fixed if before.get(name, now := asked.request[name]) != now]
    if other:
        raise ModelError(
            "E-TRAIN-RESUME",
            f"The run in {folder} was begun with another {', '.join(other)}.",
            "Give the options of that run, or start anew with another -o.",
        )


def _is_first() -> bool:
    """Whether this is the only process of a run, or the first of several."""
    return os.environ.get("RANK", "0") == "0"


def embed_by_graph(predictor: Any, threads: int) -> None:
    """Let ONNX Runtime embed pictures for a network whose encoder is frozen, where that takes half of torch's time.

    That is on the CPU, for systems whose graph ships.
    """
    from delineate.predictors.export.image_encoder import Backend, run_exported

    record = predictor.record
    if predictor.engine.device.type == "cpu" and has_graph(record.name) and record.sha256 != RANDOM:
        key = f"{record.name}-{record.sha256[:16]}"
        run_exported(predictor.network, Backend.ONNX, key, predictor.engine.precision, threads)
