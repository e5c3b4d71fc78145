"""The benchmark of published systems: where it measures, and that a GPU's rows can be made (here of a tiny network)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

pytest.importorskip("transformers")
torch = pytest.importorskip("torch")

from delineate import bench_clips  # noqa: E402
from delineate import bench_systems as module  # noqa: E402
from delineate.bench import Measure  # noqa: E402
from delineate.bench_clips import of_clip  # noqa: E402
from delineate.cli import app  # noqa: E402
from delineate.compute.engine import Engine, Precision  # noqa: E402
from delineate.models.sam2 import Sam2Shape, Sam2Size  # noqa: E402
from delineate.models.sizes import VitSizes  # noqa: E402
from tiny_networks import TINY_HIERA  # noqa: E402
from warm import delineate  # noqa: E402

PARTS = ("_encoder", "_video", "_tracking", "_preparing", "_clicks", "_kept", "bench_clips")


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[tuple[Any, ...]]]:
    """The parts that were run instead of measured, and what each was given."""
    given: dict[str, list[tuple[Any, ...]]] = {}

    def instead(name: str) -> Any:
        def run(*arguments: Any) -> list[Measure]:
            given.setdefault(name, []).append(arguments)
            return [Measure(name, "")]

        return run

    for name in PARTS:
        monkeypatch.setattr(module, name, instead(name))
    return given


def test_a_cpu_is_measured_as_ever(measured: dict[str, list[tuple[Any, ...]]]) -> None:
    cpu = torch.device("cpu")
    said: list[str] = []
    lines = list(module.bench_systems(device="cpu", tell=said.append))
    assert measured == {
        "_encoder": [(2, cpu)],
        "_video": [(16,)],
        "_clicks": [(cpu,)],
        "_kept": [(64, cpu)],
        "bench_clips": [(cpu,)],
    }
    assert [line.what for line in lines] == list(measured) and len(said) == 5


def test_the_device_reaches_every_part(
    measured: dict[str, list[tuple[Any, ...]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = torch.device("cuda:1")
    monkeypatch.setattr(Engine, "chosen", lambda device, precision: Engine(torch.device(device), Precision.FP32))
    monkeypatch.setattr(module, "_name", lambda device: f"the card {device}")
    lines = list(module.bench_systems(quick=True, device="cuda:1"))
    assert lines[0] == Measure("device", "the card cuda:1")
    assert measured == {
        "_encoder": [(5, gpu)],
        "_tracking": [(Sam2Size.TINY, 16, gpu), (Sam2Size.BASE_PLUS, 16, gpu)],
        "_preparing": [()],
        "_clicks": [(gpu,)],
        "_kept": [(64, gpu)],
        "bench_clips": [(gpu,)],
    }


def test_the_rows_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both sides run in both precisions, and every row has a name of its own, as JSON needs."""
    monkeypatch.setattr(module, "Sam2Shape", lambda size, side: Sam2Shape(size, side=side, hiera=TINY_HIERA))
    monkeypatch.setattr(module, "WARM_FRAMES", 2)
    lines = module._tracking(Sam2Size.TINY, 4, torch.device("cpu"), side=128)
    assert len({line.what for line in lines}) == 3
    assert all(re.match(r"[\d.]+ / [\d.]+ frames/s", line.value) for line in lines)


def test_a_row_is_there_when_it_is_measured(measured: dict[str, list[tuple[Any, ...]]]) -> None:
    lines = module.bench_systems(device="cpu")
    assert not measured
    next(lines)
    assert list(measured) == ["_encoder"]


def test_after_its_budget_it_says_what_is_left_out(measured: dict[str, list[tuple[Any, ...]]]) -> None:
    first, last = module.bench_systems(device="cpu", budget=0)
    assert list(measured) == ["_encoder"] and first.what == "_encoder"
    assert (
        "0 s" in last.what
        and last.value == "the rest of SAM's encoder, video, clicks, what a tracker keeps, frames that see each other"
    )


def test_systems_whose_frames_look_at_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = VitSizes(width=16, depth=2, heads=2, global_blocks=(1,))
    monkeypatch.setattr(bench_clips, "CLIPS", {name: replace(c, side=64) for name, c in bench_clips.CLIPS.items()})
    monkeypatch.setattr(bench_clips, "_measured", lambda name, adapted, device, _: of_clip(name, adapted, "cpu", tiny))
    lines = list(bench_clips.bench_clips(torch.device("cpu")))
    assert len({line.what for line in lines}) == 3
    assert all(re.search(r"frames/s, peak \d+ MiB; without its parts .* [+-]\d+ % time$", line.value) for line in lines)


@pytest.mark.parametrize(("auto", "rows"), [(Precision.FP32, ["fp32"]), (Precision.BF16, ["fp32", "bf16"])])
def test_a_cpu_is_measured_in_bf16_where_auto_chooses_it(
    auto: Precision, rows: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Engine, "chosen", lambda device, precision: Engine(torch.device("cpu"), auto))
    assert module._precisions(torch.device("cpu")) == rows


@pytest.mark.parametrize("json", [False, True], ids=["table", "json"])
def test_what_was_measured_is_printed_when_it_is_interrupted(json: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*given: Any) -> Iterator[Measure]:
        yield Measure("one", "1 s")
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "bench_systems", stopped)
    ran = CliRunner().invoke(app, ["bench", "--systems", *(["--json"] if json else [])])
    assert ran.exit_code == 130
    assert ('{"one": "1 s"}' if json else "| one | 1 s |") in ran.stdout


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there(tmp_path: Path) -> None:
    ran = delineate("bench", "--systems", "--device", "cuda", cwd=tmp_path)
    assert ran.returncode == 2 and "E-DEVICE" in ran.stderr and not ran.stdout
