"""Published checkpoints are recognized by the layout their system contributes."""

from __future__ import annotations

import pytest

from delineate.core.errors import ModelError
from delineate.systems import SYSTEMS
from delineate.systems.layout import CheckpointLayout
from delineate.systems.registry import system_of_tensors
from delineate.training.recipes import DISTILLATIONS, RECIPES

LAYOUT = CheckpointLayout("test", {"stem.weight": (8, None)}, holds=("block.1.",), lacks=("adapter",))
FITTING = {"stem.weight": (8, 3), "block.1.bias": (8,)}
MISFITS = {
    "missing": ({"block.1.bias": (8,)}, "stem.weight is missing, not (8, any)"),
    "length": ({**FITTING, "stem.weight": (9, 3)}, "stem.weight is (9, 3), not (8, any)"),
    "axes": ({**FITTING, "stem.weight": (8, 3, 1)}, "stem.weight is (8, 3, 1), not (8, any)"),
    "scalar": ({**FITTING, "stem.weight": ()}, "stem.weight is (), not (8, any)"),
    "holds": ({"stem.weight": (8, 3)}, "no tensor is named ...block.1...."),
    "lacks": ({**FITTING, "x.adapter.y": (1,)}, "x.adapter.y is there"),
}


def test_a_fitting_checkpoint_has_no_mismatch() -> None:
    assert LAYOUT.mismatches(FITTING) == []


@pytest.mark.parametrize("case", MISFITS)
def test_mismatches_are_told(case: str) -> None:
    shapes, words = MISFITS[case]
    assert words in LAYOUT.mismatches(shapes)


def test_an_unknown_layout_names_the_closest() -> None:
    with pytest.raises(ModelError) as caught:
        system_of_tensors({"image_encoder.pos_embed": (1, 14, 14, 768), "mask_decoder.x": (1,)}, "mine.pth")
    assert caught.value.code == "E-MODEL-LAYOUT"
    assert "width 768" in caught.value.message and "(1, 14, 14, 768)" in caught.value.message


@pytest.mark.parametrize("name", [name for name, system in SYSTEMS.items() if system.recipe])
def test_a_system_refers_to_a_recipe_that_exists(name: str) -> None:
    assert SYSTEMS[name].recipe in {*RECIPES, *DISTILLATIONS}


def test_systems_that_share_a_layout_differ_by_file_name() -> None:
    """Otherwise no file name could tell them apart, and --system would always be needed."""
    systems = [system for system in SYSTEMS.values() if system.layout is not None]
    for one in systems:
        same = [s.name for s in systems if s.layout is not None and one.layout == s.layout and s is not one]
        assert not same, (one.name, same)
