"""The benchmark of published systems: where it measures, and that a GPU's rows can be made (here of a tiny network)."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers")
torch = pytest.importorskip("torch")

from delineate import bench_systems as module  # noqa: E402
from delineate.bench import Measure  # noqa: E402
from delineate.models.sam2 import Sam2Shape, Sam2Size  # noqa: E402
from delineate.runtimes.engine import Engine, Precision  # noqa: E402
from tiny_networks import TINY_HIERA  # noqa: E402

PARTS = ("_encoder", "_video", "_tracking", "_preparing", "_clicks", "_kept")


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
    steps: list[tuple[int, int]] = []
    lines = module.bench_systems(device="cpu", progress=lambda *step: steps.append(step))
    assert measured == {"_encoder": [(2, cpu)], "_video": [(16,)], "_clicks": [(cpu,)], "_kept": [(64, cpu)]}
    assert [line.what for line in lines] == list(measured) and steps == [(n, 4) for n in range(4)]


def test_the_device_reaches_every_part(
    measured: dict[str, list[tuple[Any, ...]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = torch.device("cuda:1")
    monkeypatch.setattr(Engine, "chosen", lambda device, precision: Engine(torch.device(device), Precision.FP32))
    monkeypatch.setattr(module, "_name", lambda device: f"the card {device}")
    lines = module.bench_systems(quick=True, device="cuda:1")
    assert lines[0] == Measure("device", "the card cuda:1")
    assert measured == {
        "_encoder": [(5, gpu)],
        "_tracking": [(Sam2Size.TINY, 16, gpu), (Sam2Size.BASE_PLUS, 16, gpu)],
        "_preparing": [()],
        "_clicks": [(gpu,)],
        "_kept": [(64, gpu)],
    }


def test_the_rows_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both sides run in both precisions, and every row has a name of its own, as JSON needs."""
    monkeypatch.setattr(module, "Sam2Shape", lambda size, side: Sam2Shape(size, side=side, hiera=TINY_HIERA))
    monkeypatch.setattr(module, "WARM_FRAMES", 2)
    lines = module._tracking(Sam2Size.TINY, 4, torch.device("cpu"), side=128)
    assert len({line.what for line in lines}) == 3
    assert all(re.match(r"[\d.]+ / [\d.]+ frames/s", line.value) for line in lines)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "delineate", "bench", "--systems", "--device", "cuda"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, timeout=280)
    assert ran.returncode == 2 and "E-DEVICE" in ran.stderr and not ran.stdout
