"""Everything on a picture: a predictor that knows three discs answers the grid; suppression equals brute force."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from delineate.automatic import AutomaticSettings, generate_masks
from delineate.automatic.generate import cleaned, crops, grid
from delineate.automatic.suppression import keep_best
from delineate.core.errors import DelineateError
from delineate.core.frame import Frame
from delineate.core.manifest import ModelRecord

DISCS = ((30, 40, 18), (90, 100, 25), (140, 30, 9))  # x, y, radius


def picture() -> NDArray[np.uint8]:
    out = np.zeros((160, 170), np.uint8)
    for n, (x, y, r) in enumerate(DISCS):
        out[disc(x, y, r)] = n + 1
    return out


def disc(x: int, y: int, r: int) -> NDArray[np.bool_]:
    rows, columns = np.mgrid[:160, :170]
    return np.asarray((rows - y) ** 2 + (columns - x) ** 2 < r * r)


class KnowsDiscs:
    """Answers a click on a disc with the disc, the disc and its surroundings, and something unstable."""

    record = ModelRecord(name="discs", version="1", sha256="", license="Apache-2.0")

    def encode(self, frame: Frame) -> NDArray[Any]:
        return frame.pixels

    def decode_clicks(self, features: NDArray[Any], points: NDArray[np.float64], offset: float):
        masks, iou, stability = [], [], []
        for x, y in points:
            value = features[int(y), int(x)]
            hit = features == value
            masks += [hit, hit, np.ones_like(hit)]
            iou += [0.95 if value else 0.2, 0.5, 0.99]
            stability += [0.99, 0.99, 0.3]
        return np.array(masks), np.array(iou, np.float32), np.array(stability, np.float32)


@pytest.mark.parametrize(
    ("masks", "numbers"),
    [
        ((2, 160, 170), (2, 2)),  # to one click, of four
        ((4, 170, 160), (4, 4)),
        ((4, 160, 170), (3, 4)),
        ((4, 160, 170), (4, 1)),
    ],
)
def test_a_wrong_answer_names_the_model(masks: tuple[int, ...], numbers: tuple[int, int]) -> None:
    model = KnowsDiscs()
    model.decode_clicks = lambda *asked: (np.ones(masks, bool), *map(np.ones, numbers))  # type: ignore[method-assign]
    with pytest.raises(DelineateError, match="discs answered with") as caught:
        generate_masks(model, Frame.of(picture()), AutomaticSettings(points_per_side=2))  # type: ignore[arg-type]
    assert caught.value.code == "E-PREDICTOR-ANSWER"


@pytest.mark.parametrize(
    "given",
    [{"points_per_side": -1}, {"points_per_side": 0}, {"points_per_side": 10**20}, {"points_at_once": 0}, {"tile": -5},
     {"pred_iou_thresh": float("nan")}, {"crop_layers": 60}, {"crop_overlap": 1.0}, {"coarser": 0}],
    ids=str,
)  # fmt: skip
def test_numbers_that_are_no_settings_are_refused(given: dict[str, float]) -> None:
    with pytest.raises(DelineateError, match="is not within") as caught:
        AutomaticSettings(**given)  # type: ignore[arg-type]
    assert caught.value.code == "E-AUTO-NUMBER" and next(iter(given)).replace("_", "-") in caught.value.message


def test_each_disc_is_found_once_the_largest_first() -> None:
    found = generate_masks(KnowsDiscs(), Frame.of(picture()))
    assert [f.mask.area for f in found] == sorted((int(disc(*d).sum()) for d in DISCS), reverse=True)
    x, y, r = DISCS[1]
    assert found[0].box == (x - r + 1, y - r + 1, x + r, y + r)
    assert all(f.iou > 0.88 and f.stability >= 0.95 for f in found)


def test_parts_of_the_picture_find_the_same_discs_and_nothing_twice() -> None:
    found = generate_masks(KnowsDiscs(), Frame.of(picture()), AutomaticSettings(crop_layers=1, points_per_side=16))
    areas = sorted(f.mask.area for f in found)
    assert areas == sorted(int(disc(*d).sum()) for d in DISCS)


def test_crops_cover_the_picture_and_count_four_to_the_layer() -> None:
    made = list(crops(300, 500, AutomaticSettings(crop_layers=2)))
    assert [sum(layer == n for layer, _ in made) for n in range(3)] == [1, 4, 16]
    for wanted in (1, 2):
        covered = np.zeros((300, 500), bool)
        for layer, (x0, y0, x1, y1) in made:
            if layer == wanted:
                covered[y0:y1, x0:x1] = True
        assert covered.all()


def test_the_grid_lies_in_the_middle_of_its_fields() -> None:
    assert grid(2).tolist() == [[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]]


def test_small_parts_and_holes_go_but_the_largest_part_stays() -> None:
    mask = disc(80, 80, 30) & ~disc(80, 80, 2)
    mask[2, 2] = True
    assert (cleaned(mask, 50) == disc(80, 80, 30)).all()
    assert cleaned(disc(80, 80, 2), 500).any()


boxes = st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(1, 20), st.integers(1, 20), st.integers(0, 1000)),
    max_size=25,
)


@given(boxes, st.sampled_from([0.3, 0.5, 0.7]))
def test_suppression_equals_brute_force(drawn: list, overlap: float) -> None:
    placed = np.array([(x, y, x + w, y + h) for x, y, w, h, _ in drawn], np.float32).reshape(-1, 4)
    scores = np.array([s for *_, s in drawn], float)
    kept: list[int] = []
    for n in np.argsort(-scores, kind="stable"):
        if all(_iou(placed[n], placed[k]) <= overlap for k in kept):
            kept.append(int(n))
    assert keep_best(placed, scores, overlap) == kept


def _iou(a: NDArray, b: NDArray) -> float:
    shared = np.prod(np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None))
    return float(np.float32(shared / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - shared)))


def test_sam_and_sam2_answer_many_clicks_at_once() -> None:
    pytest.importorskip("transformers")
    import torch

    from delineate.compute.engine import Engine, Precision
    from delineate.core.manifest import ModelRecord
    from delineate.models.sam import SamPrompts
    from delineate.predictors.sam import SamPredictor
    from delineate.predictors.sam2 import Sam2Predictor
    from delineate.predictors.sam_behavior import SamBehavior
    from delineate.preprocess.profiles import SAM_MED2D
    from tiny_networks import tiny_sam, tiny_sam2

    engine = Engine(torch.device("cpu"), Precision.FP32)
    record = ModelRecord(name="tiny", version="0", sha256="", license="")
    sam = SamPredictor(tiny_sam(), SamBehavior(SAM_MED2D), engine, record)
    features = sam.encode(Frame.of(picture()))
    points = np.array([[30.0, 40.0], [90.0, 100.0]])
    masks, iou, stability = sam.decode_clicks(features, points, 1.0)
    assert masks.shape == (6, 160, 170) and iou.shape == stability.shape == (6,)
    placed = torch.from_numpy(features.place.points(points[1:]))[None]
    alone = sam.network.decode(features.embedding, SamPrompts(placed, torch.ones(1, 1, dtype=torch.int64)), True)[1]
    assert np.allclose(iou[3:], alone[0].detach().numpy(), atol=1e-3)
    assert (
        len(
            generate_masks(
                sam, Frame.of(picture()), AutomaticSettings(8, pred_iou_thresh=-9, stability_score_thresh=0.0)
            )
        )
        > 0
    )
    masks, _, _ = Sam2Predictor(tiny_sam2(), engine, record).decode_clicks(
        Sam2Predictor(tiny_sam2(), engine, record).encode(Frame.of(picture())), points, 1.0
    )
    assert masks.shape == (6, 160, 170)
