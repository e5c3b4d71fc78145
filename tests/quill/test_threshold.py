"""Where probabilities are cut."""

from __future__ import annotations

import numpy as np
import pytest

from delineate.quill.threshold import LEAST, dice_cut


def logit(chance: np.ndarray | float) -> np.ndarray:
    return np.log(np.asarray(chance) / (1 - np.asarray(chance)))


def test_sure_outlines_are_cut_at_a_half() -> None:
    chance = np.full((1, 40, 40), 1e-4)
    chance[0, 10:30, 10:30] = 0.999
    assert dice_cut(logit(chance).astype(np.float32))[0] == pytest.approx(0, abs=0.05)


def test_what_is_nowhere_is_never_drawn_in() -> None:
    assert dice_cut(np.full((2, 8, 8), -20, np.float32)) == pytest.approx([0, 0])


@pytest.mark.parametrize("seed", range(3))
def test_the_cut_is_where_the_expected_dice_is_greatest(seed: int) -> None:
    rng = np.random.default_rng(seed)
    chance = rng.beta(0.3, 1.2, (1, 64, 64)).astype(np.float32)
    cut = 1 / (1 + np.exp(-dice_cut(logit(chance).astype(np.float32))[0]))

    def expected(at: float) -> float:
        inside = chance[chance > at]
        return float(2 * inside.sum() / (inside.size + chance.sum()))

    best = max(np.linspace(LEAST, 0.5, 301), key=expected)
    assert expected(cut) == pytest.approx(expected(best), abs=1e-3)
    assert cut == pytest.approx(expected(best) / 2, abs=0.01)
    truths = rng.random((200, *chance.shape)) < chance  # drawn as the probabilities say
    reached = [
        np.mean([2 * (t & (chance > at)).sum() / (t.sum() + (chance > at).sum()) for t in truths]) for at in (cut, 0.5)
    ]
    assert reached[0] > reached[1]
