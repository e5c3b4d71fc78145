"""The recipe for all that a person may do: adapters in the decoder, learned on some cells of kept embeddings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage

pytest.importorskip("transformers")
pytest.importorskip("accelerate")
pytest.importorskip("peft")

from delineate.checkpoints.adapter_file import AdapterFile
from delineate.checkpoints.loading import put_adapter
from delineate.core.errors import ModelError
from delineate.models.cells import Cells
from delineate.training.encoder_adapters import AdapterOptions
from delineate.training.finetune import FinetuneObjective, TrainedPart, finetune, placed
from delineate.training.frames import split_frames
from delineate.training.prompt_policies import SIMULATIONS, PromptPolicy, SampledPrompts
from delineate.training.recipes import interactive
from delineate.training.run_files import read_arrays
from training_discs import discs, tiny_predictor


def test_it_learns_and_its_adapter_gives_the_best_weights(tmp_path: Path) -> None:
    cases, one = discs(tmp_path / "data", 5), tiny_predictor()
    asked = interactive.options(tmp_path / "out")
    loop = replace(asked.loop, steps=10, every=10, warmup=0, ema=0.0)
    recipe = replace(asked, loop=loop, self_labeled=0.0, probe=False, embeddings=tmp_path / "kept")
    encoder = {name: value.clone() for name, value in one.network.host.vision_encoder.state_dict().items()}
    outcome = finetune(one, cases, recipe)
    assert outcome.weights is not None and outcome.best > outcome.before + 0.1
    assert len(list((tmp_path / "kept").iterdir())) == 5
    saved = AdapterFile.read(tmp_path / "out" / "adapter.safetensors")
    assert all(name.startswith("mask_decoder.") for name in saved.layers)
    assert all(name.startswith("prompt_encoder.") for name in saved.others) and saved.others
    host = tiny_predictor().network.host
    put_adapter(host, tmp_path / "out" / "adapter.safetensors")
    state = host.state_dict()
    best = read_arrays(outcome.weights)[0]
    assert all(torch.equal(state[name], value) for name, value in best.items())
    assert all(torch.equal(state[f"vision_encoder.{name}"], value) for name, value in encoder.items())


def test_what_it_said_of_exact_boxes_is_the_truth_where_it_was_nearly_right(tmp_path: Path) -> None:
    one = tiny_predictor()
    recipe = replace(interactive.options(tmp_path / "out"), self_labeled=1.0)
    objective = FinetuneObjective(one, *split_frames(one, discs(tmp_path / "data", 3), recipe.frames), recipe)
    frame = objective.training[0]
    assert objective.first is not None and objective.first is not one.network
    masks = frame.masks[:1]
    nearly = ndimage.binary_erosion(masks, np.ones((1, 5, 5)))
    for said, wanted in ((nearly, nearly), (np.zeros_like(masks), masks)):
        logits = torch.from_numpy(said).float()[None] * 2 - 1
        objective.first.decode = lambda *_, logits=logits: (logits, None)  # type: ignore[method-assign]
        assert np.array_equal(objective.self_labeled(frame.embedding.float()[None], masks), wanted)


def test_clicks_on_a_part_of_the_cells_are_put_where_those_lie() -> None:
    before = SampledPrompts(np.array([[[7.0, 9.0]]]), np.ones((1, 1), np.int64))
    after = replace(before, points=np.array([[[7.0, 9.0], [5.0, 2.0]]]), labels=np.ones((1, 2), np.int64))
    moved = placed(before, after, Cells(2, row=1, column=0), 4)
    assert moved.points is not None and moved.points.tolist() == [[[7, 9], [9, 6]]]
    assert placed(before, after, Cells(), 4) is after


@pytest.mark.parametrize("seed", range(8))
def test_every_kind_of_prompt_points_at_the_structure(seed: int) -> None:
    rng, masks = np.random.default_rng(seed), np.zeros((2, 64, 64), bool)
    masks[0, 10:30, 12:40] = masks[1, 40:50, 5:60] = True
    simulation = SIMULATIONS[PromptPolicy.INTERACTIVE]
    given = simulation.first(rng, masks)
    assert simulation.then is not None
    corrected = simulation.then(rng, given, np.zeros_like(masks), masks, 1)
    assert corrected.points is not None and corrected.labels is not None and corrected.feedback
    assert corrected.outlines is None and (corrected.labels[:, -1] == 1).all()
    for n, (x, y) in enumerate(corrected.points[:, -1].astype(int)):
        assert masks[n, y, x]
    nothing_wrong = simulation.then(rng, given, masks, masks, 1)
    assert nothing_wrong.labels is not None and (nothing_wrong.labels[:, -1] == -1).all()


def test_an_adapter_learns_further_from_where_it_was(tmp_path: Path) -> None:
    cases, asked = discs(tmp_path / "data", 5), interactive.options(tmp_path / "first")
    loop = replace(asked.loop, steps=6, every=6, warmup=0, ema=0.0)
    recipe = replace(asked, loop=loop, self_labeled=0.0, probe=False)
    first = finetune(tiny_predictor(), cases, recipe)
    start = tmp_path / "first" / "adapter.safetensors"
    further = replace(recipe, loop=replace(loop, output=tmp_path / "second"), start=start)
    assert finetune(tiny_predictor(), cases, further).before == pytest.approx(first.best, abs=1e-6)
    others = (
        replace(further, part=TrainedPart.ALL, adapter=None),
        replace(further, adapter=AdapterOptions(rank=4, alpha=4.0)),
    )
    for other in others:
        with pytest.raises(ModelError) as caught:
            finetune(tiny_predictor(), cases, other)
        assert caught.value.code == "E-TRAIN-ADAPTER" and caught.value.hint


def test_what_many_clicks_come_to_is_answered_without_learning_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, asked = tiny_predictor(), interactive.options(tmp_path / "out")
    recipe = replace(asked, self_labeled=0.0)
    objective = FinetuneObjective(one, *split_frames(one, discs(tmp_path / "data", 3), recipe.frames), recipe)
    learned: list[bool] = []
    answered = objective.answered

    def watched(*given: Any) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        learned.append(torch.is_grad_enabled())
        return answered(*given)

    monkeypatch.setattr(objective, "answered", watched)
    lengths = set()
    for seed in range(6):
        learned.clear()
        objective.loss(np.random.default_rng(seed), 1)["total"].backward()
        assert learned == sorted(learned) and sum(learned) == 3
        lengths.add(len(learned))
    assert len(lengths) > 1
