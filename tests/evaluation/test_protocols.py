"""Every protocol on scans whose right answer is known; what it prompts and what it counts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bright_predictor import BrightPredictor
from delineate.core.errors import InputError
from delineate.core.resolve import FramePrompts
from delineate.core.scan import Scan
from delineate.data.cases import Case, LabeledScan, Task, Use, load_cases, rng_of
from delineate.evaluation import runner
from delineate.evaluation.click_protocols import AREA, click_numbers, random_click
from delineate.evaluation.frame_prompts import (
    MEDSAM_FIXED,
    MEDSAM_SHIFTED,
    biosam_box,
    largest_box,
    middle_points,
    pieces,
    random_points,
)
from delineate.evaluation.metrics import per_frame_class_iou
from delineate.evaluation.predictors import check_predictor, reported_names, shown_name
from delineate.evaluation.protocols import PROTOCOLS, families, protocol_named
from delineate.evaluation.runner import EvaluateOptions, evaluate
from delineate.evaluation.video_protocols import CHALLENGE, EITHER, KEPT, MEAN, FollowedVideo, PromptSchedule
from delineate.evaluation.volume_protocols import RELEASED_IOU, SLICE_IOU, Start
from delineate.predictors.capabilities import Scope
from delineate.predictors.frame_predictor import Candidates, Query

OWN = ("box-2d", "clicks-2d", "volume-box", "video-mask")
PAIRS = ("second-opinion", "second-opinion-followed")  # of two predictors
SHOWN = "one-shot-"  # one scan is the example of another, of which the collection has none: test_one_shot_protocols
NEW = [name for name, one in PROTOCOLS.items() if name not in (*OWN, *PAIRS) and Scope.FRAME in one.scopes]
QUICK = [name for name in NEW if not name.startswith(("surgical-robust", "sam2-18-", SHOWN))]
SOME = ["sam2-18-largest-box-both", "sam2-18-first-mask-forward", "sam2-18-three-points-both", "sam2-18-images-box"]


@pytest.fixture
def bright(monkeypatch: pytest.MonkeyPatch) -> BrightPredictor:
    predictor = BrightPredictor()
    monkeypatch.setattr(runner, "predictor_named", lambda *_: predictor)
    return predictor


def measured(collection: Path, output: Path, protocol: str, **changes: Any) -> Any:
    options = EvaluateOptions(data=collection, predictors=("bright.onnx",), output=output, protocol=protocol)
    return evaluate(replace(options, **changes))


@pytest.mark.parametrize("name", [*QUICK, *SOME, "surgical-vos-every-4", "surgical-vos-box-every-4"])
def test_a_right_predictor_gets_full_marks(
    bright: BrightPredictor, collection: Path, tmp_path: Path, name: str
) -> None:
    report = measured(collection, tmp_path, name)
    summary = report.summary("bright.onnx")
    assert not report.failures and summary.count and not summary.missed
    assert set(summary.means) == {column.key for column in protocol_named(name).columns}
    if "forward" not in name and name not in ("sam2-18", "clicks", "clicks-random", "picture-robust"):
        assert report.headline.key and summary.means[report.headline.key] == pytest.approx(1)
    for ending in ("json", "md", "html", "jsonl"):
        assert (tmp_path / f"{name}.{ending}").stat().st_size


@pytest.mark.parametrize("name", ["box-2d", "clicks-2d", "medsam-box", "sam2-18-images-box"])
def test_a_wrong_answer_is_a_failure_that_names_the_model(
    bright: BrightPredictor, collection: Path, tmp_path: Path, name: str
) -> None:
    bright.outlined = lambda features, query: Candidates(np.ones((1, 3, 3), bool), np.ones(1))  # type: ignore[method-assign, assignment]
    report = measured(collection, tmp_path, name)
    assert report.failures
    assert all("bright answered with masks of shape (1, 3, 3)" in str(one) for one in report.failures)


def test_every_preset_says_what_it_does() -> None:
    for protocol in PROTOCOLS.values():
        assert protocol.about.endswith(".") and protocol.columns and protocol.listed[0] is protocol.columns[0]
    assert {"medsam-box", "sam2-18", "medsam2-bench", "surgical-vos", "surgical-robust", "clicks"} <= set(families())
    assert sum(name.startswith("sam2-18-") and "images" not in name for name in PROTOCOLS) == 4 * 4 * 2


# --- prompts ----------------------------------------------------------------------------------------------------------


def truth(*blocks: tuple[int, int, int, int], shape: tuple[int, int] = (64, 96)) -> np.ndarray:
    mask = np.zeros(shape, dtype=bool)
    for top, bottom, left, right in blocks:
        mask[top:bottom, left:right] = True
    return mask


def test_medsam_boxes_grow_outwards_only() -> None:
    mask = truth((200, 400, 300, 500), shape=(1024, 1024))
    fixed = MEDSAM_FIXED(mask, np.random.default_rng(0)).box
    assert fixed == (280, 180, 520, 420)
    boxes = np.array([MEDSAM_SHIFTED(mask, np.random.default_rng(seed)).box for seed in range(200)])
    outwards = (boxes - (300, 200, 500, 400)) * (-1, -1, 1, 1)
    assert outwards.min() >= 0 and outwards.max() <= 20 and outwards.max() > 18
    small = MEDSAM_FIXED(truth((0, 9, 0, 9), shape=(512, 256)), np.random.default_rng(0)).box
    assert small == (0, 0, 9 + 20 * 256 / 1024, 9 + 20 * 512 / 1024), "pixels of the input, and within the frame"


def test_biosam_boxes_keep_their_center() -> None:
    mask = truth((20, 40, 30, 70))
    boxes = np.array([biosam_box(mask, np.random.default_rng(seed)).box for seed in range(300)])
    centers, sizes = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    assert np.allclose(centers, (50, 30)) and np.allclose(sizes.std(axis=0), (4, 2), rtol=0.2)


def test_points_of_the_papers() -> None:
    mask = truth((10, 31, 10, 31), (40, 43, 50, 60), (50, 59, 70, 79), (2, 4, 80, 82))
    assert [int(piece.sum()) for piece in pieces(mask)] == [441, 81, 30, 4]
    rng = np.random.default_rng(0)
    assert middle_points(mask, rng).points.tolist() == [[20, 20]]
    points = middle_points(mask, rng, parts=3).points
    assert len(points) == 3 and points[1].tolist() == [74, 54]
    drawn = random_points(mask, rng, 3)
    assert len({tuple(p) for p in drawn.points.tolist()}) == 3 and drawn.labels.all()
    assert all(mask[int(y), int(x)] for x, y in drawn.points)
    assert largest_box(mask, rng).box == (10, 10, 31, 31)
    assert len(random_points(truth((0, 1, 0, 2)), rng, 3).points) == 2


def test_pieces_touch_at_corners() -> None:
    assert len(pieces(np.eye(4, dtype=bool))) == 1


@pytest.mark.parametrize(
    ("start", "frames"),
    [(Start.FIRST, [3]), (Start.MIDDLE, [9]), (Start.LARGEST, [7]), (Start.THREE, [5, 7, 9])],
)
def test_starting_slices(start: Start, frames: list[int]) -> None:
    areas = dict.fromkeys((3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13), 40) | {7: 90}
    if start is Start.MIDDLE:
        areas = dict.fromkeys((3, 5, 9, 10, 11), 40)
    assert start.frames(areas) == frames


def test_two_slices_are_enough_for_three() -> None:
    assert Start.THREE.frames({4: 1, 5: 1}) == [4, 5]


# --- what is counted --------------------------------------------------------------------------------------------------


class FirstHalf(BrightPredictor):
    """Loses a structure right after the frame it is prompted."""

    def outlined(self, features: Any, query: Query) -> Any:
        answer = super().outlined(features, query)
        return replace(answer, masks=np.zeros_like(answer.masks), presence=0.0) if query.reference else answer


def only(collection: Path, task: Task) -> LabeledScan:
    (case,) = load_cases(collection, [task])
    return case.open()


def run(name: str, case: LabeledScan, predictor: Any) -> Any:
    protocol = protocol_named(name)
    (outcome,) = protocol.measure(case, case.targets(1, 0), predictor, 0)
    assert set(outcome.values) == {column.key for column in protocol.columns}
    return outcome


def test_forwards_leaves_earlier_slices_out(collection: Path) -> None:
    case = only(collection, Task.VOLUME)
    both = run("sam2-18-middle-mask-both", case, BrightPredictor()).values
    forward = run("sam2-18-middle-mask-forward", case, BrightPredictor()).values
    assert both[SLICE_IOU] == 1 and forward[SLICE_IOU] == pytest.approx(4 / 7), "slices 6 to 9 of 3 to 9"


def test_slices_behind_count_twice_as_released(collection: Path) -> None:
    case = only(collection, Task.VOLUME)
    values = run("sam2-18-middle-mask-both", case, FirstHalf()).values
    assert values[SLICE_IOU] == pytest.approx(1 / 7) and values[RELEASED_IOU] == pytest.approx(1 / 10)


def test_the_benchmark_stays_within_the_structure(collection: Path) -> None:
    class Everywhere(BrightPredictor):
        def outlined(self, features: Any, query: Query) -> Any:
            answer = super().outlined(features, Query(FramePrompts(box=(0, 0, 48, 40))))
            return replace(answer, masks=np.ones((1, *features.shape), dtype=bool), scores=np.ones(1), presence=1.0)

    case = only(collection, Task.VOLUME)
    outcome = run("medsam2-bench", case, Everywhere())
    found = 7 * 40 * 48
    right = case.truth_volume(case.targets(1, 0)[0]).sum()
    assert outcome.values["dice"] == pytest.approx(2 * right / (right + found))


def test_a_box_of_the_file_is_taken(collection: Path) -> None:
    asked = []

    class Listening(BrightPredictor):
        def outlined(self, features: Any, query: Query) -> Any:
            asked.append(query.prompts.box)
            return super().outlined(features, query)

    case = only(collection, Task.VOLUME)
    run("laptop-box", replace(case, boxes={1: (2, 3, 4, 30, 31, 8)}), Listening())
    assert asked[0] == (2, 3, 30, 31)


def test_the_laptop_script_goes_outwards_from_box_to_box(collection: Path) -> None:
    asked: list[str] = []

    class Listening(BrightPredictor):
        def outlined(self, features: Any, query: Query) -> Any:
            asked.append("box" if query.prompts.box else "outline")
            answer = super().outlined(features, query)
            gone = len(asked) == 4  # an empty outline on the way: the next frame is asked with the box again
            return replace(answer, masks=np.zeros_like(answer.masks)) if gone else answer

    case = only(collection, Task.VOLUME)
    outcome = run("laptop-box-released", case, Listening())
    assert asked == ["box", *["outline"] * 3, *["outline"] * 3], "6 to 9, then 5 to 3"
    assert 0.7 < outcome.values["dice"] < 1
    asked.clear()
    run("laptop-box-released", replace(case, boxes={1: (2, 3, 4, 30, 31, 10)}), Listening())
    assert asked == ["box", "outline", "outline", "outline", "box"], "7 to 9, then 6 and 5; never 4"


def test_slices_and_volume_are_told_apart(collection: Path) -> None:
    values = run("medsam-box", only(collection, Task.VOLUME), BrightPredictor()).values
    assert values["dice"] == values["dice_slice"] == values["nsd_slice"] == 1


def test_scripts_point_again() -> None:
    script = PromptSchedule(middle_points, every=4)
    assert script.frames([2, 3, 4, 5, 7, 8, 9, 14]) == [2, 7, 14]
    assert PromptSchedule(middle_points).frames([2, 9]) == [2]


def test_a_lost_structure_counts_nothing(collection: Path) -> None:
    case = only(collection, Task.VIDEO)
    lost = run("surgical-vos", case, FirstHalf()).values
    assert lost["j"] == 0 and lost[CHALLENGE] == 0
    assert run("surgical-vos", case, BrightPredictor()).values["j"] == 1


def test_prompted_frames_and_ends_do_not_count(collection: Path) -> None:
    case = only(collection, Task.VIDEO)
    targets = case.targets(1, 0)
    plan = FollowedVideo(PromptSchedule(middle_points, every=2))
    assert plan._frames(case, targets) == ({1: [1, 3, 5]}, {1: []})
    assert FollowedVideo(PromptSchedule(middle_points), davis=True)._frames(case, targets)[1] == {1: [3]}


def test_frame_numbers_of_the_challenge() -> None:
    one, other, nothing = truth((0, 10, 0, 10)), truth((20, 30, 0, 10)), truth()
    assert per_frame_class_iou([one, nothing], [one, nothing]) == (1, 1)
    assert per_frame_class_iou([one, nothing], [one, other]) == (1, 0.5), "a false class counts in the second only"
    assert per_frame_class_iou([one, other], [one, nothing]) == (0.5, 0.5)
    assert np.isnan(per_frame_class_iou([nothing], [nothing])).all()


def test_numbers_of_a_case_count_once(bright: BrightPredictor, collection: Path, tmp_path: Path) -> None:
    report = measured(collection, tmp_path, "surgical-vos")
    one = report.measured[0]
    values = dict(one.outcome.values) | {CHALLENGE: 0.5, EITHER: 0.5}
    other = replace(one, case="other", outcome=replace(one.outcome, values=values))
    several = replace(report, measured=(one, replace(one, outcome=replace(one.outcome, label=9)), other))
    assert several.summary("bright.onnx").means[CHALLENGE] == pytest.approx(0.75)
    assert several.summary("bright.onnx").means["j"] == 1


@pytest.mark.parametrize("name", ["surgical-robust", "surgical-robust-smoke"])
def test_robustness_is_beside_the_clean_value(collection: Path, name: str) -> None:
    for task in (Task.VIDEO, Task.IMAGE):
        case = only(collection, task)
        outcome = run(name, case, BrightPredictor())
        assert outcome.values["clean"] == 1 and 0 <= outcome.values[MEAN] < 1
        assert outcome.values[KEPT] == outcome.values[MEAN]


def test_what_is_outlined_elsewhere_is_wrong_and_not_missed(collection: Path) -> None:
    class Beside(BrightPredictor):
        def decode(self, features: Any, queries: Any) -> list[Candidates]:
            return [Candidates(~one.masks, one.scores) for one in super().decode(features, queries)]

    outcome = run("surgical-robust-smoke", only(collection, Task.IMAGE), Beside())
    assert outcome.values["clean"] == 0 and not outcome.missed


def test_click_numbers() -> None:
    values = click_numbers([0.5, 0.82, 0.7, 0.86])
    assert (values["noc80"], values["noc85"], values["noc90"], values["never90"]) == (2, 4, 20, 1)
    assert (values["iou@1"], values["iou@3"], values["iou@20"], values["best"]) == (0.5, 0.7, 0.86, 0.86)
    assert values[AREA] == pytest.approx((0.5 + 0.82 + 0.7 + 17 * 0.86) / 20)


def test_random_clicks_are_on_the_error() -> None:
    right, found = truth((10, 20, 10, 20)), truth((10, 20, 15, 30))
    for seed in range(20):
        click = random_click(right, found, truth(), rng_of(seed, "a"))
        assert click is not None and (right ^ found)[click.y, click.x] and click.positive == right[click.y, click.x]
    assert random_click(right, right, truth(), rng_of(0, "a")) is None


def test_logits_go_back_with_the_next_click() -> None:
    fed = []

    class Remembering(BrightPredictor):
        def outlined(self, features: Any, query: Query) -> Any:
            fed.append(query.feedback)
            answer = super().outlined(features, query)
            wrong = answer.masks.copy()
            wrong[:, 0, len(fed)] ^= True
            return replace(answer, masks=wrong, logits=np.full((2, 4, 4), len(fed), np.float32))

    mask = truth((10, 30, 10, 30))
    scan = Scan.from_image(np.where(mask, 200, 0).astype(np.uint8))
    labels = Scan.from_image(mask.astype(np.uint8))
    path = Path("drawn")
    case = Case("drawn", "drawn", "x", Task.IMAGE, path, path, {1: "block"}, Use.TEST)
    run("clicks", LabeledScan(case, scan, labels, (0,)), Remembering())
    assert fed[0] is None and [int(one[0, 0]) for one in fed[1:4]] == [1, 2, 3]


def test_any_layout_can_be_measured_on(bright: BrightPredictor, tmp_path: Path) -> None:
    from PIL import Image

    for part, values in (("images", truth((10, 30, 10, 30)) * 200), ("masks", truth((10, 30, 10, 30)) * 255)):
        (tmp_path / "in" / part).mkdir(parents=True)
        Image.fromarray(values.astype(np.uint8)).save(tmp_path / "in" / part / "a.png")
    report = measured(tmp_path / "in", tmp_path / "out", "medsam-box")
    assert [m.outcome.values["dice"] for m in report.measured] == [1]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("quill", "quill"),
        ("runs/quill_v2.onnx", "quill_v2"),
        ("medsam=mine/best.safetensors", "mine"),
        ("lite_medsam=old.pth", "lite_medsam=old.pth"),
    ],
)
def test_predictors_are_systems_files_or_both(name: str, shown: str) -> None:
    check_predictor(name)
    assert shown_name(name) == shown


@pytest.mark.parametrize(
    ("names", "reported"),
    [
        pytest.param(["quill", "ellipse"], ["quill", "ellipse"], id="no files"),
        pytest.param(["/home/jane/a.onnx", "../jane/b.onnx"], ["a.onnx", "b.onnx"], id="files"),
        pytest.param(["medsam=/home/jane/old.pth"], ["medsam=old.pth"], id="of a system"),
        pytest.param(["/home/jane/one/a.onnx", "/home/jane/two/a.onnx"], ["a.onnx", "two/a.onnx"], id="of one name"),
        pytest.param(["sam=/home/jane/mine/best.pth"], ["sam=mine/best.pth"], id="named by training"),
        pytest.param(["/x/a/mine/best.pth", "/x/b/mine/best.pth"], ["mine/best.pth", "b/mine/best.pth"], id="twice"),
        pytest.param(["best.pth"], ["best.pth"], id="beside"),
    ],
)
def test_reports_do_not_say_in_which_folders_models_lie(names: list[str], reported: list[str]) -> None:
    assert list(reported_names(names).values()) == reported


@pytest.mark.parametrize("name", ["nobody", "nobody=best.safetensors", "medsam=best.txt", "=quill"])
def test_other_predictors_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="no predictor"):
        check_predictor(name)
