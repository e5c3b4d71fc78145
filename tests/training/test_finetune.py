"""Fine-tuning learns from labeled pictures, is measured on subjects it did not see, and its file runs by itself."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("transformers")
pytest.importorskip("accelerate")

from delineate.core.errors import InputError
from delineate.data.cases import Use
from delineate.training.encoder_adapters import AdapterKind, AdapterOptions
from delineate.training.finetune import Finetune, FinetuneObjective, TrainedPart, finetune
from delineate.training.frames import split_frames, trainable_frames
from delineate.training.loop import LoopOptions
from delineate.training.prompt_policies import PromptPolicy
from delineate.training.run_files import LAST, read_arrays
from training_discs import discs, tiny_predictor


@pytest.mark.parametrize("part", [TrainedPart.DECODER, TrainedPart.ALL])
def test_it_learns_and_keeps_only_what_is_better(part: TrainedPart, tmp_path: Path) -> None:
    cases = discs(tmp_path / "data", 6)
    recipe = Finetune(LoopOptions(tmp_path / "out", steps=24, rate=1e-3, every=8), part, batch=3)
    one = tiny_predictor()
    frozen = one.network.host.prompt_encoder.mask_embed.conv1.weight.clone()
    outcome = finetune(one, cases, recipe)
    assert outcome.best > 0.9 > 0.5 > outcome.before and outcome.weights is not None
    assert torch.equal(frozen, one.network.host.prompt_encoder.mask_embed.conv1.weight)
    lines = [json.loads(line) for line in (tmp_path / "out" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines[:3]] == [8, 16, 24] and all("before" in line for line in lines[:3])
    found = lines[3]["sensitivity"]
    assert found["after"]["box error %"].keys() == {"0", "5", "10", "20"}
    assert found["after"]["box error %"]["0"] > found["before"]["box error %"]["0"]


def test_nothing_is_learned_from_cases_marked_for_testing(tmp_path: Path) -> None:
    cases = discs(tmp_path / "data", 3)
    kept = [replace(case, use=Use.TEST, marked=True) for case in cases]
    assert trainable_frames([*kept[:2], replace(cases[2], use=Use.TRAIN)])[0].id == cases[2].id
    assert len(trainable_frames([replace(case, use=Use.TEST) for case in cases])) == 3  # guessed by their folder
    with pytest.raises(InputError, match="All of 3 cases are marked for testing"):
        trainable_frames(kept)


def test_too_few_subjects_are_refused(tmp_path: Path) -> None:
    cases = discs(tmp_path / "data", 1)
    with pytest.raises(InputError):
        finetune(tiny_predictor(), cases, Finetune(LoopOptions(tmp_path / "out", steps=1, rate=1e-3)))


class StoppedError(Exception):
    pass


@pytest.mark.parametrize("kind", [None, *AdapterKind], ids=str)
def test_a_stopped_run_goes_on_to_the_same_weights(kind: AdapterKind | None, tmp_path: Path) -> None:
    cases = discs(tmp_path / "data", 4)

    def run(folder: str, resume: bool = False, stop: int = 0) -> None:
        def tell(line: dict[str, float]) -> None:
            if line["step"] == stop:
                raise StoppedError

        loop = LoopOptions(tmp_path / folder, steps=6, rate=1e-3, every=3, ema=0.5, resume=resume)
        adapter = None if kind is None else AdapterOptions(kind, 2)
        recipe = Finetune(loop, TrainedPart.ALL, batch=1, adapter=adapter, flips=0.5, probe=False)
        finetune(tiny_predictor(), cases, recipe, tell)

    run("whole")
    with pytest.raises(StoppedError):
        run("parts", stop=3)
    run("parts", resume=True)
    one, other = (read_arrays(tmp_path / folder / LAST)[0] for folder in ("whole", "parts"))
    assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("policy", list(PromptPolicy), ids=str)
def test_every_policy_gives_gradients_to_the_decoder(policy: PromptPolicy, tmp_path: Path) -> None:
    one = tiny_predictor()
    recipe = Finetune(LoopOptions(tmp_path / "out", steps=1, rate=1e-3), batch=2, of_each=2, prompts=policy)
    objective = FinetuneObjective(one, *split_frames(one, discs(tmp_path / "data", 3), recipe.frames), recipe)
    for seed in range(2):
        total = objective.loss(np.random.default_rng(seed), 1)["total"]
        total.backward()
    gradient = one.network.host.mask_decoder.mask_tokens.weight.grad
    assert gradient is not None and gradient.abs().sum() > 0 and total.isfinite()
