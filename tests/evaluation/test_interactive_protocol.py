"""Every way of pointing at a structure in one pass, and the tables of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bright_predictor import BrightPredictor
from delineate.core.errors import DelineateError
from delineate.evaluation import predictors, runner
from delineate.evaluation.interactive_tables import prompts_table, taught_table
from delineate.evaluation.runner import EvaluateOptions, evaluate


def test_every_way_of_pointing_is_measured(collection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "predictor_named", lambda *_: BrightPredictor())
    name, keys = "lite_medsam:interactive", ("box", "box20", "middle", "anywhere", "iou@10")
    options = EvaluateOptions(data=collection, protocol="interactive", predictors=(name,), output=tmp_path)
    report = evaluate(options)
    means = report.summary(name).means
    assert not report.failures and [means[key] for key in keys] == pytest.approx([1.0] * len(keys))
    assert means["noc85"] == 1 and means["never85"] == 0
    assert "| exact box | 1.000 |" in prompts_table(report)
    table = taught_table(report, name, name)
    assert "1.000 to 1.000" in table and "Never reached: 0 % of structures." in table


def test_an_adapter_that_ships_is_named_after_its_system() -> None:
    assert predictors.adapted_named("lite_medsam:interactive") == ("lite_medsam", "interactive")
    predictors.check_predictor("lite_medsam:interactive")
    for wrong in ("lite_medsam:nothing", "quill:interactive", ":interactive"):
        with pytest.raises(DelineateError) as caught:
            predictors.check_predictor(wrong)
        assert caught.value.code == "E-EVAL-PREDICTOR"
