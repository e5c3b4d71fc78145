"""Models side by side: what is measured, what the tables say, which model ``auto`` would take, what agreement tells."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bright_predictor import BrightPredictor
from delineate.core.errors import DelineateError, PromptError
from delineate.core.frame import Frame, ModalityName
from delineate.core.resolve import FramePrompts
from delineate.core.scan import ScanKind
from delineate.evaluation import comparison, predictors, runner
from delineate.evaluation.calibration import Calibration, Opinions
from delineate.evaluation.comparison import (
    BOXES,
    FOLLOWED_OPINION,
    OPINION,
    ROBUST,
    VIDEOS,
    VOLUMES,
    CompareOptions,
    followed_opinions,
    modality_named,
)
from delineate.evaluation.comparison_tables import _best, as_markdown, calibration_table, tables, words
from delineate.evaluation.flow import FlowPredictor, carried
from delineate.evaluation.predictors import predictor_named
from delineate.evaluation.runner import EvaluateOptions, evaluate
from delineate.evaluation.tables import EvaluationReport
from delineate.predictors.capabilities import PromptKind
from delineate.predictors.frame_predictor import Query
from delineate.predictors.second_opinion import OpinionPair, OpinionPrompt, agreement, box_around


@pytest.fixture(scope="module")
def done(collection: Path, tmp_path_factory: pytest.TempPathFactory) -> comparison.Comparison:
    """The tiny collection, by a predictor that is always right and by one that answers with the whole box."""
    both = {"quill": BrightPredictor(), "lite_medsam": predictor_named("ellipse")}

    def named(name: str, *rest: Any) -> Any:
        if name == "quill+lite_medsam":
            return OpinionPair(*both.values())  # type: ignore[arg-type]
        return both.get(name) or predictor_named(name, *rest)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(runner, "predictor_named", named)
        return comparison.compare(CompareOptions(data=collection, output=tmp_path_factory.mktemp("comparison")))


def test_every_part_is_measured(done: comparison.Comparison) -> None:
    assert list(done.reports) == [BOXES, OPINION, VIDEOS, VOLUMES, ROBUST, FOLLOWED_OPINION]
    assert not any(report.failures for report in done.reports.values())
    assert done.reports[VIDEOS].predictors[-1] == "optical-flow"
    assert done.reports[BOXES].summary("quill").means["dice@40"] == pytest.approx(1)
    means = done.reports[BOXES].summary("lite_medsam").means
    assert means["dice@0"] > means["dice@20"] > means["dice@40"] > 0.5


def test_tables_say_who_is_better(done: comparison.Comparison) -> None:
    found = tables(done)
    names = ["overview", "words", "boxes", "sloppy", "calibration", "routing", "volumes", "videos", "robust", "opinion"]
    names.append("followed")
    assert set(found) == {f"compare-{name}" for name in names}
    assert all(text.strip() for text in found.values()) and "| **1.000** |" in found["compare-overview"]
    assert "lite_medsam is better than quill by 0.02 Dice or more on 0 of 3 data sets." in words(done)
    assert "quill is better than lite_medsam by 0.02 Dice or more on 3 of 3 data sets: clip (1.000 : " in words(done)
    assert as_markdown(done).count("\n## ") == len(found)


def test_frames_that_were_followed_are_asked_about(done: comparison.Comparison) -> None:
    report = done.reports[FOLLOWED_OPINION]
    found = followed_opinions(report)
    assert len(report.measured) < len(found.said) <= 4 * len(report.measured)
    assert found.reached == pytest.approx(1) and (found.agreement > 0.8).all()
    assert all(one.outcome.values["iou"] == pytest.approx(1) for one in report.measured)


def test_what_was_measured_before_is_used_again(
    done: comparison.Comparison, collection: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path.name: path.read_bytes() for path in done.options.output.glob("*.jsonl")}
    both = {"quill": BrightPredictor(), "lite_medsam": predictor_named("ellipse")}
    pair = OpinionPair(*both.values())  # type: ignore[arg-type]
    monkeypatch.setattr(
        runner, "predictor_named", lambda name, *_: pair if "+" in name else both.get(name) or predictor_named(name)
    )
    again = comparison.compare(done.options)
    assert {path.name: path.read_bytes() for path in done.options.output.glob("*.jsonl")} == before
    assert tables(again)["compare-boxes"] == tables(done)["compare-boxes"]


def test_a_route_needs_several_subjects(done: comparison.Comparison, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not done.routing.routes  # nobody knows what kind of scan a drawing is
    drawn = comparison.Comparison(done.options, done.reports, dict.fromkeys(done.modalities, ModalityName.ULTRASOUND))
    routes = drawn.routing.routes
    assert [(one.prompt, one.through) for one in routes] == [
        (PromptKind.BOX, ScanKind.IMAGE), (PromptKind.MASK, ScanKind.VIDEO), (PromptKind.BOX, ScanKind.VOLUME)
    ]  # fmt: skip
    assert all(one.difference < 0 and one.interval is None and not one.better for one in routes)


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("MRI FLAIR", ModalityName.MR), ("CT (windowed 8-bit)", ModalityName.CT), ("chest X-ray", ModalityName.XRAY),
        ("electron microscopy", ModalityName.MICROSCOPY), ("histopathology H&E", ModalityName.MICROSCOPY),
        ("colonoscopy video", ModalityName.ENDOSCOPY), ("OCT angiography", ModalityName.UNKNOWN),
        ("RGB (natural)", ModalityName.UNKNOWN), ("infection", ModalityName.UNKNOWN),
    ],
)  # fmt: skip
def test_modalities_of_data_sets(words: str, name: ModalityName) -> None:
    assert modality_named(words) is name


def test_calibration_is_the_gap_of_what_is_said() -> None:
    right = Calibration.of([0.2, 0.65, 0.95], [0.2, 0.65, 0.95])
    assert right.error == right.apart == 0 and right.correlation == pytest.approx(1)
    boastful = Calibration.of([0.9, 0.9], [0.5, 0.7])
    assert boastful.error == pytest.approx(0.3) and np.isnan(boastful.correlation)
    in_two_classes = Calibration.of([0.3, 0.95], [0.5, 0.75])  # gaps of different signs do not cancel
    assert in_two_classes.error == pytest.approx(0.2)


def test_agreement_is_fitted_and_left_out() -> None:
    rng = np.random.default_rng(0)
    said, agreed = rng.random(60), rng.random(60)
    sets = np.array(["a", "b", "c"])[np.arange(60) % 3]
    rows = Opinions(said, agreed, 0.1 + 0.2 * said + 0.6 * agreed, sets)
    fitted = rows.fitted()
    assert (fitted.intercept, fitted.said, fitted.agreement) == pytest.approx((0.1, 0.2, 0.6), abs=1e-3)
    assert fitted.confidence(1.0, 1.0) == pytest.approx(0.9, abs=1e-3)
    assert rows.left_out() == pytest.approx(rows.reached, abs=1e-3)
    odd = Opinions(said, agreed, np.where(sets == "a", 0.0, rows.reached), sets)
    assert odd.left_out()[sets == "a"] == pytest.approx(rows.reached[sets == "a"], abs=1e-3)  # it learned nothing of a


def test_the_opinion_table_says_how_much_better_it_got(done: comparison.Comparison) -> None:
    table = done.opinion_table
    assert set(table.maps) == set(table.errors) == set(OpinionPrompt) and (table.first, table.second) == done.models
    assert table.models.keys() == {"quill", "lite_medsam"} and "bench compare" in table.measured["command"]


def test_a_pair_answers_as_its_first_model() -> None:
    pair = OpinionPair(BrightPredictor(), predictor_named("ellipse"))  # type: ignore[arg-type]
    pixels = np.zeros((60, 60), np.uint8)
    pixels[20:40, 20:40] = 200
    features = pair.encode(Frame.of(pixels))
    box = 15.0, 15.0, 45.0, 45.0
    (answer,) = pair.decode(features, [Query(FramePrompts(box=box))])
    assert answer.mask.sum() == 400 and pair.record.name == f"{pair.first.record.name}+ellipse"
    asked, around = pair.opinion(features, answer.mask, box), pair.opinion(features, answer.mask)
    assert (asked.asked, around.asked) == (OpinionPrompt.BOX, OpinionPrompt.OUTLINE)
    assert box_around(answer.mask) == (20, 20, 40, 40)
    assert around.agreement == pytest.approx(2 * np.pi / 4 / (1 + np.pi / 4), abs=0.02) and asked.agreement < 0.8
    assert agreement(np.zeros((2, 2), bool), np.zeros((2, 2), bool)) == 1


@pytest.mark.parametrize(("across", "down"), [(0, 0), (3, 0), (-2, 2)])
def test_optical_flow_carries_an_outline_along(across: int, down: int) -> None:
    pytest.importorskip("cv2")
    from scipy.ndimage import gaussian_filter

    texture = gaussian_filter(np.random.default_rng(0).normal(0, 100, (80, 90)), 1.5).astype(np.float32)
    before, now = texture[10:60, 10:70], texture[10 - down : 60 - down, 10 - across : 70 - across]
    mask = np.zeros((50, 60), bool)
    mask[15:35, 20:40] = True
    moved = np.roll(mask, (down, across), (0, 1))
    found = carried(mask, before, now)
    assert agreement(found, moved) > 0.95 and (not (across or down) or agreement(found, mask) < 0.95)


def test_optical_flow_takes_small_frames_and_no_prompt() -> None:
    pytest.importorskip("cv2")
    flow = FlowPredictor()
    plane = flow.encode(Frame.of(np.zeros((9, 7, 3), np.uint8)))
    assert carried(np.ones((9, 7), bool), plane, plane).shape == (9, 7)
    with pytest.raises(PromptError, match="answers no prompt"):
        flow.decode(plane, [Query(FramePrompts(box=(1, 1, 3, 3)))])


def test_one_model_has_no_second_opinion(collection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "predictor_named", lambda *_: BrightPredictor())
    options = EvaluateOptions(data=collection, protocol=OPINION, predictors=("bright.onnx",), output=tmp_path)
    report = evaluate(options)
    assert not report.measured and all("takes two" in one.reason for one in report.failures)


@pytest.mark.parametrize("name", ["quill+nobody", "+quill", "quill+", "ellipse+quill"])
def test_a_pair_is_of_two_systems(name: str) -> None:
    with pytest.raises(DelineateError) as caught:
        predictors.check_predictor(name)
    assert caught.value.code == "E-EVAL-PREDICTOR"


def test_one_model_cannot_be_compared() -> None:
    with pytest.raises(DelineateError, match="cannot be compared"):
        CompareOptions(models=("quill",))


def test_structures_that_a_model_failed_on_say_nothing_of_its_confidence(done: comparison.Comparison) -> None:
    def failing(report: EvaluationReport) -> EvaluationReport:
        """The same, with every second structure failed on."""
        nothing = {column.key: column.of_failure for column in report.protocol.measured}
        failed = [replace(m, outcome=replace(m.outcome, values=nothing), failed=True) for m in report.measured[::2]]
        return replace(report, measured=(*failed, *report.measured[1::2]))

    reports = {name: failing(report) for name, report in done.reports.items()}
    spoilt = comparison.Comparison(done.options, reports, done.modalities)
    assert len(spoilt.opinions("box").said) == len(done.reports[OPINION].measured) // 2
    assert followed_opinions(reports[FOLLOWED_OPINION]).said.all()
    counts = [line.split(" | ")[2] for line in calibration_table(spoilt).splitlines()[2:]]
    own = [sum(m.predictor == name for m in reports[BOXES].answered) for name in done.models]
    assert list(map(int, counts)) == [own[0]] * 3 + [own[1]] * 3
    assert Calibration.of([], []).count == 0


def test_the_best_number_of_a_row_is_bold_though_others_are_missing() -> None:
    assert _best({"a": float("nan"), "b": 0.5, "c": 0.7}, ("a", "b", "c")) == ["–", "0.500", "**0.700**"]
    assert _best({"a": float("nan")}, ("a", "b")) == ["–", "–"]
