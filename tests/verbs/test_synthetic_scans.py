"""Synthetic pictures are a data set that training takes, the same for the same seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from delineate.core.errors import OutputError
from delineate.data.cases import Use
from delineate.data.layouts import read_dataset
from delineate.quill.data.scene import Scene
from delineate.verbs.synthetic_scans import SynthesizeDatasetRequest, label_map, synthesize_dataset


def test_they_are_labeled_cases_for_training(tmp_path: Path) -> None:
    made = synthesize_dataset(SynthesizeDatasetRequest(output=tmp_path / "a", count=2, size=96, seed=3))
    synthesize_dataset(SynthesizeDatasetRequest(output=tmp_path / "b", count=2, size=96, seed=3))
    layout, cases = read_dataset(tmp_path / "a")
    assert layout == "manifest" and len(cases) == made.pictures == 2
    assert all(case.use is Use.TRAIN for case in cases)
    assert sum(len(case.open().targets(100, 0)) for case in cases) <= made.structures
    assert {len(case.open().targets(100, 0)) > 0 for case in cases} == {True}
    for one in sorted((tmp_path / "a").iterdir()):
        assert one.read_bytes() == (tmp_path / "b" / one.name).read_bytes(), one.name


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(OutputError):
        synthesize_dataset(SynthesizeDatasetRequest(output=tmp_path / "mine", count=1, size=96))
    assert [one.name for one in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_of_structures_that_overlap_the_smaller_is_labeled() -> None:
    large, small, apart = np.zeros((3, 1, 8, 8), bool)
    large[0, :6, :6], small[0, 1:3, 1:3], apart[0, 7] = True, True, True
    labels = label_map(Scene(np.zeros((1, 8, 8, 3), np.float32), np.stack([large, small, apart]), "organs"))
    assert labels.max() == 2 and labels[0, 0] == 0 and labels[1, 1] == 1 and labels[7, 0] == 2
