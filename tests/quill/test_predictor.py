"""The shipped model: prompts are obeyed, the export equals the network, windows zoom and come back."""

from __future__ import annotations

import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from delineate.core.errors import ModelError, PromptError
from delineate.core.frame import Frame
from delineate.core.prompts import Point
from delineate.core.resolve import FramePrompts
from delineate.core.scan import Scan
from delineate.predictors.frame_predictor import Candidates, ChainOptions, Query, ReferenceFrame
from delineate.preprocess.crop import CropWindow
from delineate.quill.clicks import (
    CorrectiveClick,
    WindowPrediction,
    _overlaps,
    click_accuracy,
    wider,
    window_agreement,
    window_trust,
    windows_for,
)
from delineate.quill.plausibility import fit
from delineate.quill.predictor import SHIPPED, QuillPredictor
from delineate.quill.prompt_maps import CHANNELS, CropPrompts, grained, prompt_maps, relief
from delineate.session import Session

SIZE = 120


def disc(x: float, y: float, radius: float, size: int = SIZE) -> np.ndarray:
    rows, columns = np.mgrid[:size, :size]
    return np.hypot(columns - x, rows - y) < radius


def picture() -> np.ndarray:
    """Two bright discs on gray noise."""
    noise = np.random.default_rng(0).normal(0, 6, (SIZE, SIZE))
    return (80 + 90 * disc(35, 40, 18) + 90 * disc(85, 80, 14) + noise).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def quill() -> QuillPredictor:
    return QuillPredictor(threads=1)


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.float32, np.float64])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_box_is_outlined_in_every_data_type(quill: QuillPredictor, dtype: type, channels: int) -> None:
    frame = picture().astype(dtype)
    if channels == 3:
        frame = np.repeat(frame[..., None], 3, axis=2)
    answer = quill.decode(quill.encode(Frame.of(frame)), [Query(FramePrompts(box=(16, 21, 55, 60)))])[0]
    assert answer.masks.shape == (3, SIZE, SIZE) and answer.scores.shape == (3,)
    assert dice(answer.mask, disc(35, 40, 18)) > 0.9


@pytest.mark.parametrize(("precision", "least", "most"), [("fp32", 0.999, 1e-4), ("bf16", 0.98, 0.05)])
def test_openvino_answers_alike(quill: QuillPredictor, precision: str, least: float, most: float) -> None:
    pytest.importorskip("openvino")
    faster = QuillPredictor(threads=1, backend="openvino", precision=precision)
    for prompts in (FramePrompts(box=(16, 21, 55, 60)), FramePrompts(np.array([[35.0, 40.0]]), np.array([True]))):
        one, other = (p.decode(p.encode(Frame.of(picture())), [Query(prompts)])[0] for p in (quill, faster))
        assert dice(one.mask, other.mask) > least and np.abs(one.scores - other.scores).max() < most


def test_the_record_says_what_computed(quill: QuillPredictor) -> None:
    assert quill.record.preprocessing.endswith("; cpu, fp32, onnxruntime")
    openvino = pytest.importorskip("openvino")
    able = "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    computed = f"; cpu, {'bf16' if able else 'fp32'}, openvino"  # what computes, not what was wished for
    assert QuillPredictor(backend="openvino", precision="bf16").record.preprocessing.endswith(computed)
    with pytest.raises(ModelError, match="fp16"):
        QuillPredictor(backend="openvino", precision="fp16").decode(
            quill.encode(Frame.of(picture())), [Query(FramePrompts(box=(16, 21, 55, 60)))]
        )[0]


def test_without_openvino_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ModelError, match="not installed") as caught:
        predictor = QuillPredictor(backend="openvino")
        predictor.decode(predictor.encode(Frame.of(picture())), [Query(FramePrompts(box=(16, 21, 55, 60)))])[0]
    assert caught.value.code == "E-MODEL-EXTRA"


def test_the_prompt_decides_which_structure_is_meant(quill: QuillPredictor) -> None:
    features = quill.encode(Frame.of(picture()))
    first = quill.decode(features, [Query(FramePrompts(box=(16, 21, 55, 60)))])[0].mask
    second = quill.decode(features, [Query(FramePrompts(box=(70, 65, 101, 96)))])[0].mask
    assert not (first & second).any() and second[80, 85] and first[40, 35]


def test_one_click_finds_the_disc(quill: QuillPredictor) -> None:
    answer = quill.decode(
        quill.encode(Frame.of(picture())), [Query(FramePrompts(np.array([[85.0, 80.0]]), np.array([True])))]
    )[0]
    assert max(dice(m, disc(85, 80, 14)) for m in answer.masks) > 0.8


def test_what_is_clicked_is_looked_for_in_small_crops(monkeypatch: pytest.MonkeyPatch) -> None:
    quill, seen = QuillPredictor(threads=1), list[int]()
    vars(quill)["glance"] = 64
    answers = QuillPredictor._answers
    monkeypatch.setattr(
        QuillPredictor, "_answers", lambda self, maps: (seen.extend(m.shape[-1] for m in maps), answers(self, maps))[1]
    )
    features = quill.encode(Frame.of(np.tile(picture(), (3, 3))))
    quill.decode(features, [Query(FramePrompts(np.array([[85.0, 80.0]]), np.array([True])))])[0]
    assert len(seen) > 2 and set(seen[:-1]) == {64} and seen[-1] == quill._side


def test_an_outline_is_followed_to_the_next_frame(quill: QuillPredictor) -> None:
    before = quill.encode(Frame.of(picture()))
    after = quill.encode(Frame.of(np.roll(picture(), (3, 4), axis=(0, 1))))
    answer = quill.decode(after, [Query(reference=ReferenceFrame(before, disc(35, 40, 18)))])[0]
    assert dice(answer.mask, disc(39, 43, 18)) > 0.85 and answer.presence > 0.5


def test_what_is_not_finite_does_not_spread(quill: QuillPredictor) -> None:
    frame = picture().astype(np.float32)
    frame[5, 5], frame[6, 6] = np.nan, np.inf
    assert (
        dice(
            quill.decode(quill.encode(Frame.of(frame)), [Query(FramePrompts(box=(16, 21, 55, 60)))])[0].mask,
            disc(35, 40, 18),
        )
        > 0.9
    )


def test_the_same_prompt_gives_the_same_answer(quill: QuillPredictor) -> None:
    answers = [
        quill.decode(quill.encode(Frame.of(picture())), [Query(FramePrompts(box=(16, 21, 55, 60)))])[0]
        for _ in range(2)
    ]
    assert np.array_equal(answers[0].masks, answers[1].masks) and np.array_equal(answers[0].scores, answers[1].scores)


def test_only_negative_clicks_are_refused(quill: QuillPredictor) -> None:
    with pytest.raises(PromptError, match="where"):
        quill.decode(
            quill.encode(Frame.of(picture())), [Query(FramePrompts(np.array([[5.0, 5.0]]), np.array([False])))]
        )[0]


def test_a_missing_or_damaged_model_is_said(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model"):
        QuillPredictor(tmp_path / "none.onnx").record  # noqa: B018
    (tmp_path / "bad.onnx").write_bytes(SHIPPED.read_bytes()[:1000])
    with pytest.raises(ModelError, match="not a readable"):
        QuillPredictor(tmp_path / "bad.onnx").record  # noqa: B018
    with pytest.raises(ModelError, match="gray or RGB"):
        QuillPredictor().encode(Frame.of(np.zeros((4, 4, 4, 4))))


def test_the_shipped_file_is_small_and_says_what_it_is(quill: QuillPredictor) -> None:
    assert SHIPPED.stat().st_size < 20e6
    assert (quill.record.name, quill.record.license) == ("quill", "Apache-2.0")
    assert len(quill.record.sha256) == 64


@pytest.mark.parametrize("side", [128, 192, 256])
def test_the_export_equals_the_network(tmp_path: Path, side: int) -> None:
    """fp32 export of a tiny random network: max abs difference below 2e-4; fp16 weights: relative error below 1 %."""
    torch = pytest.importorskip("torch")
    from delineate.quill.network import Quill, QuillConfig
    from delineate.quill.train.export import export_quill

    torch.manual_seed(0)
    network = Quill(QuillConfig(widths=(8, 12, 16, 24), depths=(1, 1, 1, 1)))
    for module in network.modules():  # statistics as after training, so that nothing is trivially one or zero
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 2)
    network.eval()
    maps = torch.randn(2, CHANNELS, side, side)
    with torch.no_grad():
        expected = [part.numpy() for part in network(maps)]
    assert expected[0].std() > 0.01
    for half, limit in ((False, 2e-4), (True, None)):
        export_quill(network, tmp_path / "q.onnx", "test", half=half)
        found = QuillPredictor(tmp_path / "q.onnx")._network.run(None, {"maps": maps.numpy()})
        for a, b in zip(expected, found, strict=True):
            assert np.abs(a - b).max() < (limit or 0.01 * max(np.abs(a).max(), 1))


@pytest.mark.parametrize(
    "window",
    [CropWindow(10, 20, 32), CropWindow(-7.5, -3.25, 40), CropWindow(90.4, 100.6, 60), CropWindow(0, 0, SIZE)],
    ids=["inside", "upper-left", "lower-right", "whole"],
)
def test_what_is_cut_out_goes_back_to_its_place(window: CropWindow) -> None:
    smooth = np.add.outer(np.arange(SIZE), 2 * np.arange(SIZE)).astype(np.float32)
    back = window.put_back(window.cut(smooth, 128), smooth.shape, np.nan)
    inside = ~np.isnan(back)
    assert inside.any()
    inner = inside & (np.abs(back - smooth) > 4)
    assert inner.sum() <= 0.02 * inside.sum()  # only where edge pixels were repeated


@pytest.mark.parametrize("point", [(10.0, 20.0), (0.0, 0.0), (55.5, 33.25)])
def test_points_in_a_crop_are_where_their_pixels_are(point: tuple[float, float]) -> None:
    window = CropWindow(-4, 6, 64)
    marked = np.zeros((SIZE, SIZE), np.float32)
    x, y = round(point[0]), round(point[1])
    marked[y, x] = 1
    crop = CropWindow.cut(window, marked, 128)
    place = window.to_crop(np.array([[x, y]]), 128)[0]
    rows, columns = np.mgrid[:128, :128]
    if crop.sum() > 0:
        np.testing.assert_allclose([(crop * columns).sum(), (crop * rows).sum()] / crop.sum(), place, atol=0.75)


def test_maps_are_empty_where_nothing_is_said() -> None:
    maps = prompt_maps(picture(), CropPrompts(), CropWindow(0, 0, SIZE), 128)
    assert maps.shape == (CHANNELS, 128, 128) and not maps[4:11].any() and maps[:3].any()


def test_maps_do_not_depend_on_the_scale_of_the_intensities() -> None:
    prompts = CropPrompts(box=(16, 21, 55, 60))
    one = prompt_maps(picture(), prompts, CropWindow(0, 0, SIZE), 128)
    other = prompt_maps(picture().astype(np.float32) * 37 - 1024, prompts, CropWindow(0, 0, SIZE), 128)
    np.testing.assert_allclose(one, other, atol=1e-3)


def test_likeness_says_where_the_prompted_colors_are() -> None:
    frame = picture()
    window = CropWindow.around((0.0, 0.0, float(SIZE), float(SIZE)), 1.0)
    for known in (
        CropPrompts(box=(16, 21, 55, 60)),
        CropPrompts(points=np.array([[35.0, 40.0]]), labels=np.array([True])),
        CropPrompts(outline=disc(35, 40, 14)),
    ):
        likeness = prompt_maps(frame, known, window, 128)[10]
        inside = window.cut(disc(35, 40, 15), 128) > 0.5
        outside = window.cut(~(disc(35, 40, 20) | disc(85, 80, 16)), 128) > 0.5
        assert likeness[inside].mean() > 0.5 > -0.3 > likeness[outside].mean()
        assert np.abs(likeness).max() <= 1


def test_relief_shows_a_faint_line_as_well_as_a_strong_one() -> None:
    dark, faint = np.zeros((2, 256, 256), np.float32)
    dark[32], faint[32] = -0.5, -0.05
    noise = np.random.default_rng(0).normal(0, 0.002, (256, 256)).astype(np.float32)
    assert -1 <= relief(dark + noise)[32].mean() < relief(faint + noise)[32].mean() < -0.6
    assert abs(relief(faint + noise)[10].mean()) < 0.1


def test_what_was_pointed_at_keeps_its_say_while_a_structure_is_followed() -> None:
    frame = np.full((SIZE, SIZE), 40, np.uint8)
    frame[20:50, 20:50] = 200
    outline, window = frame > 100, CropWindow(0, 0, SIZE)
    drifted = CropPrompts(earlier=frame, earlier_outline=~outline)  # it took the surroundings for the structure
    alone = prompt_maps(frame, drifted, window, 128)[10]
    reminded = replace(drifted, pointed=frame, pointed_outline=outline)
    both = prompt_maps(frame, reminded, window, 128)[10]
    place = slice(128 * 25 // SIZE, 128 * 45 // SIZE)
    assert alone[place, place].max() < -0.7 and both[place, place].min() > -0.3


@pytest.mark.parametrize(("surface", "inside"), [(40, 160), (200, 90), (0, 255)])
def test_a_click_on_a_drawing_without_any_noise(surface: int, inside: int) -> None:
    y, x = np.mgrid[:256, :256]
    disc = (y - 120) ** 2 + (x - 130) ** 2 < 50**2
    session = Session(Scan.from_image(np.where(disc, inside, surface).astype(np.uint8)), QuillPredictor())
    found = session.prompt(Point(130, 120)).mask
    assert 2 * (found & disc).sum() / (found.sum() + disc.sum()) > 0.9


def test_only_what_is_flat_nearly_everywhere_gets_grain() -> None:
    flat = np.zeros((64, 64), np.float32)
    flat[20:40, 20:40] = 1
    scan = flat + np.random.default_rng(0).normal(0, 0.01, flat.shape).astype(np.float32)
    assert grained(scan) is scan and np.abs(grained(flat) - flat).std() > 0.01
    assert np.array_equal(grained(flat), grained(flat)), "the same every time: a run repeats to the last bit"


def test_an_outline_that_fills_the_box_is_preferred() -> None:
    box = np.zeros((64, 64), np.float32)
    box[10:50, 20:60] = 1
    outlines = np.full((4, 64, 64), -1, np.float32)
    outlines[0, 10:50, 20:60] = 1  # all of it
    outlines[1, 10:50, 20:30] = 1  # a quarter
    outlines[2, 0:10, 0:10] = 1  # beside it; the last one is empty
    assert fit(outlines, box) == pytest.approx([1, 0.5, 0, 0])
    assert fit(outlines, np.zeros_like(box)) == pytest.approx([1, 1, 1, 1]), "where there is no box, nothing is told"


@pytest.mark.parametrize("shape", [(33, 47), (64, 64), (1100, 30)])
def test_overlaps_counted_in_bits_are_those_of_the_pixels(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    one, other = rng.random((3, *shape)) < 0.3, rng.random((4, *shape)) < 0.6
    one[0], other[1] = False, one[1]
    seen = np.s_[:: max(1, max(shape) // 512)]
    expected = [[(a & b)[seen, seen].sum() / max(1, (a | b)[seen, seen].sum()) for b in other] for a in one]
    assert np.allclose(_overlaps(one, other), expected, atol=1e-6) and _overlaps(one, other)[1, 1] == 1


def test_of_clicks_alone_what_two_windows_show_is_trusted_more() -> None:
    small, large, other = disc(60, 60, 15), disc(60, 60, 40), disc(62, 60, 15)
    empty = np.zeros((SIZE, SIZE), bool)

    def shown(mask: np.ndarray, preference: float) -> WindowPrediction:
        likings = np.array([preference, 0, 0], np.float32)
        return WindowPrediction(np.stack([mask, empty, empty]), likings, preference=likings)

    alone, both = shown(large, 0.8), [shown(small, 0.7), shown(other, 0.7)]
    trust = window_trust([alone, *both])
    assert trust.shape == (9,) and trust.argmax() in (3, 6), "judged lower, but seen twice"
    assert window_trust([alone]).argmax() == 0
    wanted, none = small[None], np.zeros_like(small)[None]
    assert (
        window_agreement(wanted, both)[0]
        > window_agreement(wanted, [alone, *both])[0]
        > window_agreement(wanted, [alone])[0]
        >= 0.5
    )
    assert window_agreement(wanted, [shown(small, 0.7)]) == pytest.approx(
        0.5 + 0.5 * 0.7 / np.sum(shown(small, 0.7).preference)
    )
    assert window_agreement(none, both) == pytest.approx(0.5), "it never has all the say"


def test_a_click_deep_in_an_outline_or_far_from_it_starts_anew() -> None:
    outline = disc(60, 60, 30)

    def after(x: float, y: float, positive: bool) -> bool:
        points, labels = np.array([[60.0, 60.0], [x, y]]), np.array([True, positive])
        objection = CorrectiveClick.of(CropPrompts(points=points, labels=labels, outline=outline))
        return objection is not None and objection.far_off

    assert after(70, 60, False) and after(110, 60, True), "most of it is wrong, or much is missing"
    assert not after(88, 60, False) and not after(92, 60, True), "a little at the border"
    assert not after(70, 60, True) and not after(110, 60, False), "right as it is"


def test_windows_are_around_what_is_clicked_and_not_what_is_not_meant() -> None:
    points, labels = np.array([[200.0, 100.0], [500.0, 500.0]]), np.array([True, False])
    windows = windows_for(CropPrompts(points=points, labels=labels), 512, 512)
    assert [w.size for w in windows] == [512, 256, 128, 64]
    assert all(w.x + w.size / 2 == 200.5 and w.y + w.size / 2 == 100.5 for w in windows[1:])
    both = windows_for(CropPrompts(points=points, labels=np.array([True, True])), 512, 512)
    assert [w.size for w in both] == [512]


def test_clicks_are_counted_that_an_outline_obeys() -> None:
    points, labels = np.array([[60.0, 60.0], [10.0, 10.0], [65.0, 60.0]]), np.array([True, False, False])
    assert click_accuracy(disc(60, 60, 30), CropPrompts(points=points, labels=labels)) == pytest.approx(2 / 4)
    assert click_accuracy(disc(50, 60, 12), CropPrompts(points=points, labels=labels)) == 1


def test_what_was_not_objected_to_stays() -> None:
    small, large, elsewhere = disc(60, 60, 10), disc(60, 60, 30), disc(20, 20, 10)
    more = CropPrompts(points=np.array([[85.0, 60.0]]), labels=np.array([True]), outline=small)
    less = replace(more, labels=np.array([False]), outline=large)
    more, less = CorrectiveClick.of(more), CorrectiveClick.of(less)
    assert more.left_alone(large) == 1 and more.left_alone(elsewhere) == 0, "it was said that something is missing"
    assert less.left_alone(small) == 1 and less.left_alone(elsewhere) == 0, "it was said that there is too much"


def test_more_certainty_follows_less(quill: QuillPredictor) -> None:
    before, after = (quill.encode(Frame.of(picture())) for _ in range(2))
    reference = ReferenceFrame(before, disc(35, 40, 18))
    followed = [
        quill.follow(after, [reference], ChainOptions(mask_threshold=least))[0].masks for least in (0.5, 0.75, 0.99)
    ]
    for more, less in pairwise(followed):
        assert not (less & ~more).any() and less.sum() < more.sum()
    options = ChainOptions(mask_threshold=0.75, propagation_threshold=0.99)
    (answer,) = quill.follow(after, [reference], options)
    assert answer.confident is not None and np.array_equal(answer.masks, followed[1])
    assert np.array_equal(answer.confident, followed[2][answer.best])


def same(one: Candidates, other: Candidates) -> bool:
    alike = (one.masks == other.masks).all() and (one.scores == other.scores).all()
    return bool(alike) and (one.best, one.presence) == (other.best, other.presence)


def test_many_structures_at_once_are_outlined_as_one_at_a_time(quill: QuillPredictor) -> None:
    features = quill.encode(Frame.of(picture()))
    far = FramePrompts(np.array([[100.0, 95.0]]), np.array([True]))
    queries = [
        Query(FramePrompts(box=(16, 21, 55, 60))),
        Query(FramePrompts(np.array([[85.0, 80.0]]), np.array([True]))),
        Query(reference=ReferenceFrame(features, disc(35, 40, 18))),
        Query(FramePrompts(box=(70, 65, 101, 96))),
        Query(far, previous=disc(35, 40, 12)),
    ]
    together = quill.decode(features, queries)
    alone = [quill.decode(features, [query])[0] for query in queries]
    assert all(same(one, other) for one, other in zip(together, alone, strict=True))
    assert quill.decode(features, []) == []


def test_many_structures_are_followed_in_one_call_of_the_network(quill: QuillPredictor) -> None:
    calls: list[int] = []
    before, after = (quill.encode(Frame.of(picture())) for _ in range(2))
    references = [ReferenceFrame(before, disc(x, 40, 18)) for x in (33, 35, 37)]
    options = ChainOptions(mask_threshold=0.6, propagation_threshold=0.9)
    alone = [quill.follow(after, [one], options)[0] for one in references]
    answer = quill._answer
    counted = replace(quill)
    counted.__dict__["_answer"] = lambda maps: (calls.append(len(maps)), answer(maps))[1]
    together = counted.follow(after, references, options)
    assert calls == [3] and all(same(one, other) for one, other in zip(together, alone, strict=True))


def test_an_outline_is_preferred_that_would_explain_the_click() -> None:
    """A small disc was outlined, and a click beside it says that more is missing."""
    outline, size = disc(50, 60, 8), 120
    clicked = CropPrompts(points=np.array([[68.0, 60.0]]), labels=np.array([True]), outline=outline)
    objection = CorrectiveClick.of(clicked)
    assert objection is not None and objection.missing and objection.distance == pytest.approx(11, abs=0.5)
    right = disc(60, 60, 19)  # the click is half way between the outline and its border
    timid, bold, apart = outline | disc(68, 60, 3), disc(50, 60, 55), disc(68, 60, 9)
    likely = {name: objection.explained_by(mask) for name, mask in
              {"right": right, "timid": timid, "bold": bold, "apart": apart, "same": outline}.items()}  # fmt: skip
    assert likely["right"] > 0.8 > likely["timid"] > likely["same"] == 0
    assert likely["right"] > 2 * likely["bold"] and likely["right"] > likely["apart"]

    large, hole = disc(60, 60, 40), disc(60, 60, 40) & ~disc(60, 60, 4)
    too_much = CorrectiveClick.of(CropPrompts(points=np.array([[60.0, 60.0]]), labels=np.array([False]), outline=large))
    assert too_much is not None and too_much.distance == pytest.approx(40, abs=1)
    wall = large & ~disc(60, 60, 32)
    assert too_much.explained_by(wall) > 2 * too_much.explained_by(hole), "a wall, rather than a hole beside the click"

    shape = (size, size)
    agreed = CropPrompts(points=np.array([[50.0, 60.0]]), labels=np.array([True]), outline=outline)
    nothing = CropPrompts(points=np.array([[50.0, 60.0]]), labels=np.array([True]), outline=np.zeros(shape, bool))
    assert CorrectiveClick.of(agreed) is None and CorrectiveClick.of(nothing) is None


def test_depths_of_large_frames_are_those_of_small_ones() -> None:
    for scale in (1, 8):
        outline = np.kron(disc(50, 60, 8), np.ones((scale, scale), bool))
        right = np.kron(disc(60, 60, 19), np.ones((scale, scale), bool))
        prompts = CropPrompts(points=np.array([[68.5, 60.5]]) * scale - 0.5, labels=np.array([True]), outline=outline)
        objection = CorrectiveClick.of(prompts)
        assert objection is not None and objection.explained_by(right) == pytest.approx(0.96, abs=0.04)


def test_what_was_missed_is_looked_for_in_a_wider_window() -> None:
    (wide,) = wider(CropWindow(40, 40, 20), 200, 300)
    assert (wide.x, wide.y, wide.size) == (30, 30, 40)
    assert wider(CropWindow(0, 0, 300), 200, 300) == [], "there is no more to see"


def test_a_click_far_from_an_outline_that_stands_adds_to_it() -> None:
    """As on a slice where the outline came by following: there is one click, and it takes nothing away."""
    predictor = QuillPredictor(threads=1)
    features, outline = predictor.encode(Frame.of(picture())), disc(35, 40, 18)
    prompts = FramePrompts(np.array([[85.0, 80.0]]), np.array([True]))
    mask = predictor.decode(features, [Query(prompts, outline)])[0].mask
    assert (mask & outline).sum() > 0.8 * outline.sum()
