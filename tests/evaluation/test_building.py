"""How systems are built to be measured: in fp32, and as the variant a published evaluation needs."""

from __future__ import annotations

import pytest

from delineate.core.errors import InputError
from delineate.evaluation.predictors import predictor_named, variants_of
from delineate.evaluation.reproduce import REPRODUCTIONS
from delineate.evaluation.runner import EvaluateOptions
from delineate.systems.registry import SYSTEMS
from delineate.systems.system import BuildOptions
from delineate.verbs.evaluate import EvaluateRequest, ReproduceRequest


def test_tables_are_computed_in_fp32_unless_another_precision_is_asked_for() -> None:
    assert EvaluateOptions().building.precision == EvaluateRequest().options.building.precision == "fp32"
    assert ReproduceRequest().precision == "fp32" != BuildOptions().precision
    assert EvaluateRequest(precision="bf16").options.building.precision == "bf16"


def test_variants_are_those_of_the_systems_that_are_measured() -> None:
    assert EvaluateOptions(predictors=("quill", "biosam2"), variant="released").building.variant == "released"
    with pytest.raises(InputError, match=r"no variant|None of") as refused:
        EvaluateOptions(predictors=("quill",), variant="released")
    assert refused.value.code == "E-VARIANT"
    options = BuildOptions(variant="released")
    assert predictor_named("quill", options).record.variant == ""  # which has none; the others are built so


def test_sam_med2d_is_reproduced_as_its_test_script_reads() -> None:
    named = {one.name: one.variant for one in REPRODUCTIONS.values() if one.variant}
    assert named == {"sam-med2d": "scripts"}
    assert all(one.variant in variants_of(one.systems[0]) for one in REPRODUCTIONS.values() if one.variant)
    assert variants_of("sam_med2d=weights.pth") == variants_of("ft_sam") == ("scripts",)
    assert variants_of("weights.pth") == () and all(SYSTEMS[name].variants for name in ("sam_med2d", "biosam2"))
