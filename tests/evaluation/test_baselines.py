"""The baselines outline what they should, and agree with other implementations."""

from __future__ import annotations

import numpy as np
import pytest

from delineate.core.errors import PromptError
from delineate.core.resolve import FramePrompts
from delineate.evaluation.baselines import BASELINES, BaselinePredictor, BoxView, otsu_threshold
from delineate.evaluation.graph_segmentation import grab_cut, random_walker
from delineate.evaluation.metrics import dice
from delineate.evaluation.simulated_prompts import bounding_box
from delineate.predictors.frame_predictor import Query, ReferenceFrame


def disk(height: int, width: int, y: float, x: float, radius: float) -> np.ndarray:
    rows, columns = np.ogrid[:height, :width]
    return np.asarray((rows - y) ** 2 + (columns - x) ** 2 <= radius**2)


def noisy(mask: np.ndarray, inside: float, outside: float, channels: int = 1, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    frame = np.where(mask, inside, outside)[..., None] + rng.normal(0, 6, (*mask.shape, channels))
    return np.clip(frame, 0, 255).astype(np.uint8).squeeze()


@pytest.mark.parametrize("name", list(BASELINES))
@pytest.mark.parametrize(
    ("levels", "dtype", "channels"),
    [
        pytest.param((200, 60), np.uint8, 1, id="bright"),
        pytest.param((60, 200), np.uint8, 1, id="dark"),
        pytest.param((200, 60), np.float32, 1, id="float"),
        pytest.param((60, 200), np.int16, 3, id="color"),
    ],
)
def test_a_disk_in_a_box_is_found(name: str, levels: tuple[int, int], dtype: type, channels: int) -> None:
    truth = disk(90, 120, 40, 70, 20)
    frame = noisy(truth, *levels, channels).astype(dtype)
    mask = BaselinePredictor(name).decode(frame, [Query(FramePrompts(box=bounding_box(truth)))])[0].mask
    assert mask.shape == truth.shape
    assert dice(truth, mask) > 0.97


@pytest.mark.parametrize("name", ["otsu", "grabcut", "random-walker"])
def test_all_but_the_ellipse_see_the_picture(name: str) -> None:
    rows, columns = np.ogrid[:90, :90]
    truth = np.abs(rows - 45) + np.abs(columns - 45) <= 24  # a diamond
    box = FramePrompts(box=bounding_box(truth))
    frame = noisy(truth, 200, 60)
    found = dice(truth, BaselinePredictor(name).decode(frame, [Query(box)])[0].mask)
    assert found > dice(truth, BaselinePredictor("ellipse").decode(frame, [Query(box)])[0].mask) + 0.1


@pytest.mark.parametrize("name", list(BASELINES))
@pytest.mark.parametrize(
    ("frame", "box"),
    [
        pytest.param(np.full((40, 40), 7, np.uint8), (5.0, 5.0, 20.0, 30.0), id="constant"),
        pytest.param(np.full((40, 40), np.nan, np.float32), (5.0, 5.0, 20.0, 30.0), id="not-a-number"),
        pytest.param(np.eye(40, dtype=np.uint8), (0.0, 0.0, 40.0, 40.0), id="box-is-the-frame"),
        pytest.param(np.eye(40, dtype=np.uint8), (38.6, 38.6, 40.0, 40.0), id="corner"),
        pytest.param(np.eye(40, dtype=np.uint8), (10.0, 0.2, 11.0, 39.5), id="one-column"),
        pytest.param(np.random.default_rng(0).random((700, 900)), (1.0, 300.0, 899.0, 420.0), id="large"),
    ],
)
def test_odd_frames_and_boxes_get_an_answer_inside_the_box(
    name: str, frame: np.ndarray, box: tuple[float, float, float, float]
) -> None:
    mask = BaselinePredictor(name).decode(frame, [Query(FramePrompts(box=box))])[0].mask.copy()
    x0, y0, x1, y1 = int(box[0]), int(box[1]), int(np.ceil(box[2])), int(np.ceil(box[3]))
    assert mask.shape == frame.shape
    mask[y0:y1, x0:x1] = False
    # A view that was shrunk is put back at its own resolution: one of its pixels may reach over the edge.
    assert mask.sum() <= (0 if max(frame.shape) < 100 else 0.01 * frame.size)


def test_following_takes_the_box_of_the_earlier_outline() -> None:
    truth = disk(60, 60, 30, 30, 12)
    frame, predictor = noisy(truth, 200, 60), BaselinePredictor("ellipse")
    followed = predictor.decode(frame, [Query(reference=ReferenceFrame(None, truth))])[0].mask
    np.testing.assert_array_equal(
        followed, predictor.decode(frame, [Query(FramePrompts(box=(18, 18, 43, 43)))])[0].mask
    )
    assert 400 < followed.sum() < 500


@pytest.mark.parametrize(
    "prompts",
    [
        pytest.param(FramePrompts(), id="nothing"),
        pytest.param(FramePrompts(np.array([[3.0, 3.0]]), np.array([True])), id="click"),
        pytest.param(FramePrompts(np.array([[3.0, 3.0]]), np.array([True]), (0, 0, 9, 9)), id="click-and-box"),
    ],
)
def test_other_prompts_are_refused(prompts: FramePrompts) -> None:
    with pytest.raises(PromptError, match="takes one box") as raised:
        BaselinePredictor("otsu").decode(np.zeros((20, 20)), [Query(prompts)])[0]
    assert raised.value.code == "E-BASELINE-PROMPT"


def test_otsu_threshold_agrees_with_scikit_image() -> None:
    filters = pytest.importorskip("skimage.filters")
    rng = np.random.default_rng(1)
    values = np.concatenate([rng.normal(0.3, 0.08, 4000), rng.normal(0.7, 0.1, 1500)])
    assert otsu_threshold(values) == pytest.approx(filters.threshold_otsu(values), abs=2 * np.ptp(values) / 256)


def test_grab_cut_agrees_with_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    cv2 = pytest.importorskip("cv2")
    monkeypatch.setattr("delineate.evaluation.graph_segmentation.SMOOTHNESS", 50.0)  # OpenCV's
    truth = disk(80, 80, 40, 40, 20) & ~disk(80, 80, 30, 52, 10)
    frame = np.dstack([noisy(truth, level, 90, seed=level) for level in (170, 140, 60)])
    rest = np.ones_like(truth)
    rest[19:62, 19:62] = False
    ours = grab_cut((frame / 255).astype(np.float32), np.zeros_like(truth), rest)
    theirs = np.where(rest, cv2.GC_BGD, cv2.GC_PR_FGD).astype(np.uint8)
    cv2.grabCut(frame, theirs, None, np.zeros((1, 65)), np.zeros((1, 65)), 5, cv2.GC_INIT_WITH_MASK)
    assert dice(theirs == cv2.GC_PR_FGD, ours) > 0.98
    assert dice(truth, ours) > 0.97


def test_random_walker_agrees_with_the_walks_own_equation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("delineate.evaluation.graph_segmentation.EDGE_SHARPNESS", 1.0)
    rng = np.random.default_rng(2)
    pixels = rng.random((9, 11, 1)).astype(np.float32)
    structure, rest = np.zeros((2, 9, 11), dtype=bool)
    structure[4, 5] = rest[0] = rest[-1] = True
    # A pixel's chance is the weighted mean of its neighbors'.
    sharpness = 1.0 / pixels.var()
    chance = structure.astype(float)
    right = np.exp(-sharpness * np.diff(pixels[..., 0], axis=1) ** 2) + 1e-6
    down = np.exp(-sharpness * np.diff(pixels[..., 0], axis=0) ** 2) + 1e-6
    for _ in range(3000):
        total, weight = np.zeros((2, 9, 11))
        total[:, :-1] += right * chance[:, 1:]
        total[:, 1:] += right * chance[:, :-1]
        total[:-1] += down * chance[1:]
        total[1:] += down * chance[:-1]
        weight[:, :-1] += right
        weight[:, 1:] += right
        weight[:-1] += down
        weight[1:] += down
        chance = np.where(structure, 1.0, np.where(rest, 0.0, total / weight))
    sure = np.abs(chance - 0.5) > 0.01
    np.testing.assert_array_equal(random_walker(pixels, structure, rest)[sure], (chance > 0.5)[sure])
    assert 1 < (chance > 0.5).sum() < 60


def test_a_view_keeps_its_place_when_it_is_shrunk() -> None:
    truth = disk(600, 800, 300, 500, 150)
    view = BoxView.of(truth.astype(np.uint8), bounding_box(truth), 64)
    assert max(view.pixels.shape) == 64
    assert dice(truth, view.put_back(view.pixels[..., 0] > 0.5)) > 0.98
