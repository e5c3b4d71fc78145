"""Embeddings that were kept are used for the same picture and the same teacher, and for no other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("transformers")

from delineate.models.sam import SamEncoder
from delineate.predictors.sam import SamPredictor
from delineate.training.teacher_features import TeacherFeatures
from training_discs import tiny_predictor

PICTURE = np.arange(64 * 64, dtype=np.uint32).reshape(64, 64).astype(np.uint8)


def same(teacher: SamPredictor) -> SamPredictor:
    return teacher


def last_weight(teacher: SamPredictor) -> SamPredictor:
    """One number changed, far from where an array begins."""
    largest = max(teacher.network.state_dict().values(), key=torch.Tensor.numel)
    largest.view(-1)[-1] += 1
    return teacher


def swapped(teacher: SamPredictor) -> SamPredictor:
    """The same numbers under other names."""
    host = teacher.network.state_dict()
    one, two = [name for name, value in host.items() if value.shape == (256,)][:2]
    host[one].fill_(1.0)
    host[two].fill_(2.0)
    return teacher


def swapped_back(teacher: SamPredictor) -> SamPredictor:
    host = swapped(teacher).network.state_dict()
    one, two = [name for name, value in host.items() if value.shape == (256,)][:2]
    host[one].fill_(2.0)
    host[two].fill_(1.0)
    return teacher


def other_profile(teacher: SamPredictor) -> SamPredictor:
    behavior = replace(teacher.behavior, profile=replace(teacher.behavior.profile, name="another"))
    return SamPredictor(teacher.network, behavior, teacher.engine, teacher.record)


def files(folder: Path, change: Callable[[SamPredictor], SamPredictor], picture: np.ndarray) -> set[str]:
    before = {path.name for path in folder.glob("*")}
    TeacherFeatures(change(tiny_predictor(SamEncoder.TINY_VIT, alive=True, side=64)), folder).of(picture)
    return {path.name for path in folder.glob("*")} - before


@pytest.mark.parametrize(
    ("first", "then", "again"),
    [
        pytest.param(same, same, False, id="the-same"),
        pytest.param(same, last_weight, True, id="one-weight"),
        pytest.param(swapped, swapped_back, True, id="weights-under-other-names"),
        pytest.param(same, other_profile, True, id="another-preparation"),
    ],
)
def test_teachers_are_told_apart(first: Callable, then: Callable, again: bool, tmp_path: Path) -> None:
    assert len(files(tmp_path, first, PICTURE)) == 1
    assert bool(files(tmp_path, then, PICTURE)) is again


def test_pictures_are_told_apart(tmp_path: Path) -> None:
    changed = PICTURE.copy()
    changed[-1, -1] ^= 1
    assert [len(files(tmp_path, same, picture)) for picture in (PICTURE, changed, PICTURE)] == [1, 1, 0]
