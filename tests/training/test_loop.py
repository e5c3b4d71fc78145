"""The loop resumes to the same weights, stops at numbers that are none, and keeps only what is better."""

from __future__ import annotations

import itertools
import json
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("accelerate")

from delineate.core.errors import ModelError, OutputError
from delineate.training import loop
from delineate.training.loop import LoopOptions, Schedule, TrainingOutcome, train
from delineate.training.plateau import FACTOR, PATIENCE, Plateau
from delineate.training.run_files import LAST, averaged_weights, counts_in, read_arrays


class Line:
    """Fits a line with noise, dropout and a batch norm; remembers a running sum."""

    def __init__(self, spoiled_at: int = 0) -> None:
        torch.manual_seed(7)
        self.network = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.2), nn.Linear(8, 1))
        self.spoiled_at, self.seen = spoiled_at, torch.zeros(1)

    def groups(self) -> list[dict[str, Any]]:
        first, *others = self.network.parameters()
        return [{"params": [first], "lr": 3e-2, "name": "first"}, {"params": others}]

    def loss(self, rng: np.random.Generator, step: int) -> dict[str, Tensor]:
        x = torch.from_numpy(rng.normal(size=(16, 3)).astype(np.float32))
        wanted = x @ torch.tensor([[1.0], [-2.0], [0.5]])
        error = ((self.network(x) - wanted) ** 2).mean()
        self.seen = self.seen + x.sum()
        return {"total": error * (float("nan") if step == self.spoiled_at else 1), "error": error}

    def measure(self) -> float:
        x = torch.linspace(-1, 1, 30).view(10, 3)
        return -float(((self.network(x) - x @ torch.tensor([[1.0], [-2.0], [0.5]])) ** 2).mean())

    def modules(self) -> nn.Module:
        return self.network

    def weights(self) -> dict[str, Tensor]:
        return self.network.state_dict()

    def state(self) -> dict[str, Tensor]:
        return {"seen": self.seen}

    def restore(self, state: dict[str, Tensor]) -> None:
        self.seen = state["seen"]


class StoppedError(Exception):
    pass


def options(output: Path, **other: Any) -> LoopOptions:
    given = {"steps": 12, "rate": 1e-2, "every": 3, "warmup": 2, "schedule": Schedule.COSINE, "ema": 0.9} | other
    return LoopOptions(output, **given)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_stopped_run_goes_on_to_the_same_weights(tmp_path: Path, precision: str) -> None:
    how = {"precision": precision, "accumulate": 2}
    whole = Line()
    expected = train(whole, options(tmp_path / "whole", **how))

    def stop(line: dict[str, float]) -> None:
        if line["step"] == 6:
            raise StoppedError

    with pytest.raises(StoppedError):
        train(Line(), options(tmp_path / "parts", **how), stop)
    second = Line()
    found = train(second, options(tmp_path / "parts", resume=True, **how))
    assert (found.before, found.best, found.step) == (expected.before, expected.best, expected.step)
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, second.network.state_dict()[name]), name
    one, other = (read_arrays(tmp_path / folder / LAST)[0] for folder in ("whole", "parts"))
    assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)
    steps = [json.loads(line)["step"] for line in (tmp_path / "parts" / "log.jsonl").read_text().splitlines()]
    assert steps == [3, 6, 9, 12]
    assert list((tmp_path / "parts" / "tensorboard").iterdir())


def test_it_stops_at_a_loss_that_is_no_number_and_keeps_the_last_good_state(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="NaN or infinite at step 8") as caught:
        train(Line(spoiled_at=8), options(tmp_path / "out"))
    assert caught.value.code == "E-TRAIN-NAN" and LAST in caught.value.hint
    arrays, said = read_arrays(tmp_path / "out" / LAST)
    assert json.loads(said["run"])["counts"]["step"] == 6
    assert all(bool(value.isfinite().all()) for value in arrays.values())
    assert train(Line(), options(tmp_path / "out", resume=True)).step > 0


def test_what_is_not_better_is_not_kept(tmp_path: Path) -> None:
    objective = Line()
    objective.measure = lambda: 1.0 if objective.network.training is False and not objective.seen.any() else 0.5
    before = {name: value.clone() for name, value in objective.network.state_dict().items()}
    found = train(objective, options(tmp_path / "out"))
    assert found == TrainingOutcome(1.0, 1.0, 0, None) and not (tmp_path / "out" / "best.safetensors").exists()
    assert all(torch.equal(value, before[name]) for name, value in objective.network.state_dict().items())


def test_another_run_in_the_folder_is_refused(tmp_path: Path) -> None:
    train(Line(), options(tmp_path / "out", steps=3))
    with pytest.raises(OutputError):
        train(Line(), options(tmp_path / "out", steps=3))
    other = Line()
    other.network = nn.Sequential(nn.Linear(3, 1))
    with pytest.raises(ModelError) as caught:
        train(other, options(tmp_path / "out", resume=True))
    assert caught.value.code == "E-TRAIN-RESUME"


def test_a_budget_of_time_ends_the_run_and_the_rate_follows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = partial(options, tmp_path / "out", steps=1000, every=4)

    def run(minutes: float, resume: bool = False) -> list[dict[str, float]]:
        ticks = itertools.count(0, 6)  # a step takes six seconds
        monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: next(ticks)))
        lines: list[dict[str, float]] = []
        train(Line(), recipe(minutes=minutes, resume=resume), lines.append)
        return lines

    lines = run(1.0)
    assert [line["step"] for line in lines] == [4, 8, 10] and [line["minutes_left"] for line in lines] == [0.6, 0.2, 0]
    assert lines[0]["rate"] > lines[1]["rate"] > lines[2]["rate"] > 0
    assert [recipe(minutes=2.0).share(n, n / 10) for n in (0, 5, 20)] == [0, 0.25, 1]
    assert run(2.0, resume=True)[-1]["step"] == 20
    assert counts_in(tmp_path / "out" / LAST)["minutes"] == pytest.approx(2.0)


def test_the_average_follows_weights_and_statistics(tmp_path: Path) -> None:
    one = Line()
    train(one, options(tmp_path, steps=3, ema=0.9))
    found = averaged_weights(tmp_path / LAST)
    now = one.network.state_dict()
    assert found.keys() == now.keys()
    same = {name for name, value in now.items() if torch.equal(value, found[name])}
    assert same == {"1.num_batches_tracked"}


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        (Schedule.CONSTANT, [0.5, 1, 1, 1, 1, 1, 1, 1]),
        (Schedule.STEP, [0.5, 1, 1, 1, 0.5, 0.5, 0.25, 0.25]),
    ],
    ids=str,
)
def test_rates_follow_the_schedule(schedule: Schedule, rates: list[float], tmp_path: Path) -> None:
    how = options(tmp_path, steps=8, schedule=schedule)
    assert [how.factor(step) for step in range(1, 9)] == rates
    cosine = options(tmp_path, steps=8)
    assert cosine.factor(3) == 1 and 0.01 < cosine.factor(8) < 0.1


def test_the_rate_falls_when_the_loss_stalls_and_a_resumed_run_knows() -> None:
    plateau = Plateau()
    for loss in (1.0, 0.5, *[0.5] * PATIENCE):
        plateau.note(loss)
    assert plateau.factor == 1.0 and plateau.stalled == PATIENCE
    again = Plateau.of(plateau.counts())
    for one in (plateau, again):
        one.note(0.49996)  # hardly less
        assert one.factor == FACTOR and one.stalled == 0
        one.note(0.3)
        assert one.least == 0.3 and one.factor == FACTOR
    assert Plateau.of({}) == Plateau()


def test_a_stalled_loss_lowers_the_rate_of_a_run(tmp_path: Path) -> None:
    class Flat(Line):
        def loss(self, rng: np.random.Generator, step: int) -> dict[str, Tensor]:
            return {name: value * 0 + 1 for name, value in super().loss(rng, step).items()}

    rates: list[float] = []
    how = options(tmp_path, steps=PATIENCE + 3, every=1, schedule=Schedule.PLATEAU)
    train(Flat(), how, lambda line: rates.append(line["rate"]))
    assert rates[0] == pytest.approx(rates[1] / 2) and rates[2] == rates[1]  # after the warm-up
    assert rates[-1] == pytest.approx(rates[1] * FACTOR)


@pytest.mark.parametrize("first", [pytest.param(4, id="one-step-after"), pytest.param(5, id="two-steps-after")])
def test_the_log_of_a_run_that_goes_on_has_the_mean_loss_of_its_steps(tmp_path: Path, first: int) -> None:
    """A run that ended between two measurements leaves fewer steps to the next one."""

    class Level(Line):
        def loss(self, rng: np.random.Generator, step: int) -> dict[str, Tensor]:
            return {"total": 2 + 0 * super().loss(rng, step)["total"]}

    train(Level(), options(tmp_path, steps=first))
    train(Level(), options(tmp_path, steps=9, resume=True))
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [3, first, 6, 9] and {line["loss"] for line in lines} == {2}
