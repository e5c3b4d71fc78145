"""The protocol ``echo``: a predictor that is right, on hearts whose volumes and ejection fractions are known."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import small_hearts
from bright_predictor import BrightPredictor
from delineate.core.manifest import ModelRecord
from delineate.core.scan import Scan
from delineate.echo.phases import temporal_consistency
from delineate.echo.record import EchoRecord, View
from delineate.echo.volumes import ejection_fraction
from delineate.evaluation import runner
from delineate.evaluation.echo_protocol import _frames_off
from delineate.evaluation.runner import EvaluateOptions, evaluate
from delineate.predictors.capabilities import Capabilities, Scope
from delineate.preprocess.intensity import WindowRule

GRAYS = {10: 1, 200: 2, 30: 3}  # of ``small_hearts.shown``


class GrayClasses:
    """A DensePredictor that knows the grays of the small hearts; ``width`` widens what it calls a ventricle."""

    capabilities = Capabilities(frozenset(), Scope.DENSE, follows=None)
    classes = ("LV", "myocardium", "left atrium")
    window_rule = WindowRule.MEDSAM
    record = ModelRecord(name="grays", version="1", sha256="0" * 64, license="none", precision="fp32")

    def __init__(self, blind: bool = False) -> None:
        self.blind = blind

    def predict(self, scan: Scan) -> Iterator[tuple[int, np.ndarray]]:
        for frame in range(len(scan)):
            pixels = np.asarray(scan.pixels(frame)).astype(int)
            gray = pixels if pixels.ndim == 2 else pixels.mean(axis=2)
            apart = np.stack([abs(gray - value) for value in (90, *GRAYS)])
            logits = -apart.astype(np.float32)
            if self.blind:
                logits[1:] = -1000
            yield frame, logits


def measured(data: Path, output: Path, monkeypatch: pytest.MonkeyPatch, predictor: Any) -> Any:
    monkeypatch.setattr(runner, "predictor_named", lambda *_: predictor)
    return evaluate(EvaluateOptions(data=data, predictors=("grays.onnx",), output=output, protocol="echo"))


def patients(output: Path) -> list[dict[str, str]]:
    with (output / "echo-patients.csv").open() as file:
        return list(csv.DictReader(file))


def test_biplane_volumes_of_camus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_hearts.camus(tmp_path / "camus", patients=2)
    report = measured(tmp_path / "camus", tmp_path / "out", monkeypatch, GrayClasses())
    assert not report.failures and report.summary("grays.onnx").means["dice"] == pytest.approx(1)
    truth = [small_hearts.volume(72 - 8 * c, 44 * (1 - c / 4), 40 * (1 - c / 4)) for c in (0, 1)]
    atrium = [small_hearts.volume(22, 44 * (1 - c / 4), 40 * (1 - c / 4)) for c in (1, 0)]  # at end-systole first
    rows = patients(tmp_path / "out")
    assert [(row["patient"], row["views"]) for row in rows] == [("patient0001", "A2C+A4C"), ("patient0002", "A2C+A4C")]
    for row in rows:
        assert row["method"] == "biplane Simpson" and not row["remark"]
        assert float(row["edv"]) == pytest.approx(truth[0], rel=0.015) and row["edv"] == row["edv_reference"]
        assert float(row["esv"]) == pytest.approx(truth[1], rel=0.015)
        assert float(row["ef"]) == pytest.approx(ejection_fraction(*truth), abs=0.6) and row["ef_reported"] == "50.0"
        assert float(row["edv_area_length"]) == pytest.approx(truth[0], rel=0.02)
        assert float(row["la_max"]) == pytest.approx(atrium[0], rel=0.04) and row["la_max"] == row["la_max_reference"]
        assert float(row["la_min"]) == pytest.approx(atrium[1], rel=0.04)
        assert float(row["la_min_area_length"]) == pytest.approx(atrium[1], rel=0.04)
        assert float(row["la_emptying"]) == pytest.approx(ejection_fraction(*atrium), abs=4)
    numbers = json.loads((tmp_path / "out" / "echo.json").read_text())
    one = numbers["agreement"]["grays.onnx"]["ef_reference"]
    assert (one["count"], one["bias"], one["error"]) == (2, 0, 0)
    assert numbers["agreement"]["grays.onnx"]["la_max_reference"]["count"] == 2
    assert (tmp_path / "out" / "echo.html").read_text().count("<svg") >= 6
    assert "limits of agreement" in (tmp_path / "out" / "echo.md").read_text()
    again = measured(tmp_path / "camus", tmp_path / "out", monkeypatch, GrayClasses())
    assert again.supplement.json == report.supplement.json  # kept outcomes say the same


def test_one_view_without_millimeters_gives_the_fraction_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_hearts.echonet(tmp_path / "echonet")
    measured(tmp_path / "echonet", tmp_path / "out", monkeypatch, GrayClasses())
    (row,) = patients(tmp_path / "out")
    assert row["method"] == "single-plane Simpson" and row["edv"] == row["edv_reference"] == row["la_max"] == ""
    truth = ejection_fraction(*(small_hearts.volume(72 - 8 * c, 44 * (1 - c / 4), 44 * (1 - c / 4)) for c in (0, 1)))
    assert float(row["ef"]) == pytest.approx(truth, abs=1.5) and row["ef_reported"] == "48.0"
    assert "one view only" in row["remark"] and "no millimeters" in row["remark"]


def test_phases_and_steadiness_of_a_whole_beat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_hearts.camus(tmp_path / "camus", "mhd", patients=1)
    report = measured(tmp_path / "camus", tmp_path / "out", monkeypatch, GrayClasses())
    means = report.summary("grays.onnx").means
    assert means["es_off"] == 0 and means["ed_off"] == 0
    areas = [(one == 1).sum() for one in small_hearts.clip("4CH")]
    (ventricle,) = (m.outcome for m in report.measured if m.outcome.label == 1 and m.case.endswith("4CH"))
    assert ventricle.values["consistency"] == pytest.approx(temporal_consistency(areas))


def test_phases_are_looked_for_in_the_beat_of_the_reference() -> None:
    areas = [8, 6, 4, 6, 9, 6, 3.9, 6, 8.9, 6, 3.8]  # the second beat is the largest
    assert _frames_off(areas, EchoRecord(View.A4C, 0, 2)) == {"ed_off": 0, "es_off": 0}
    assert _frames_off(areas, EchoRecord(View.A4C, 5, 6)) == {"ed_off": 0, "es_off": 0}
    assert _frames_off(areas, EchoRecord(View.A4C, 7, 10)) == {"ed_off": 1, "es_off": 0}
    assert _frames_off([5, 5, 5, 5], EchoRecord(View.A4C, 0, 2)) == {}


def test_nothing_outlined_is_a_row_with_a_remark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_hearts.camus(tmp_path / "camus", patients=1)
    report = measured(tmp_path / "camus", tmp_path / "out", monkeypatch, GrayClasses(blind=True))
    (row,) = patients(tmp_path / "out")
    assert not report.failures and report.summary("grays.onnx").missed == 6
    assert row["ef"] == "" and float(row["ef_reference"]) > 40 and "nothing outlined" in row["remark"]


def test_a_reference_without_a_phase_is_not_the_predictors_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_hearts.pediatric(tmp_path / "ped")
    table = tmp_path / "ped" / "A4C" / "VolumeTracings.csv"
    table.write_text("".join(line for line in table.open() if not line.strip().endswith(",4")))
    measured(tmp_path / "ped", tmp_path / "out", monkeypatch, GrayClasses())
    (row,) = patients(tmp_path / "out")
    assert row["ef"] == row["ef_reference"] == "" and row["ef_reported"] == "48.0"
    assert "the reference does not outline both" in row["remark"] and "nothing outlined" not in row["remark"]


def test_views_are_put_together_only_with_millimeters_of_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_hearts.views(tmp_path / "views")
    table = tmp_path / "views" / "views.csv"
    table.write_text(table.read_text().replace("0.6,", ","))  # of the four-chamber view
    measured(tmp_path / "views", tmp_path / "out", monkeypatch, GrayClasses())
    (row,) = patients(tmp_path / "out")
    assert row["method"] == "single-plane Simpson" and row["remark"] == "of one view only, A2C"
    assert float(row["edv_reference"]) == pytest.approx(small_hearts.volume(72, 40, 40), rel=0.015)


def test_several_clips_of_one_view_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_hearts.views(tmp_path / "views")
    table = tmp_path / "views" / "views.csv"
    table.write_text(table.read_text() + "clips/a.avi,anna,A4C,clips/a_labels.nii.gz,0,4,0.6,test\n")
    report = measured(tmp_path / "views", tmp_path / "out", monkeypatch, GrayClasses())
    (row,) = patients(tmp_path / "out")
    assert not report.failures and row["method"] == "biplane Simpson"
    assert row["remark"] == "of several clips of a view the first"


def test_a_prompted_model_takes_a_box_at_end_diastole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_hearts.camus(tmp_path / "camus", patients=1, views=("4CH",))
    report = measured(tmp_path / "camus", tmp_path / "out", monkeypatch, BrightPredictor())
    assert not report.failures and len(report.measured) == 3
    assert patients(tmp_path / "out")[0]["remark"].startswith("one view only")
