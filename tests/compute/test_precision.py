"""What is computed in is what was asked for, or it is reported, and recorded as it is."""

from __future__ import annotations

import warnings

import pytest

from delineate.compute import openvino_model
from delineate.compute.openvino_model import computed_precision
from delineate.core.errors import DelineateWarning
from delineate.quill.predictor import QuillPredictor
from delineate.quill.system import QUILL
from delineate.systems import BuildOptions


@pytest.mark.parametrize(
    ("native", "asked", "computed", "told"),
    [
        (True, "auto", "bf16", False),
        (True, "bf16", "bf16", False),
        (True, "fp32", "fp32", False),
        (False, "auto", "fp32", False),
        (False, "bf16", "fp32", True),
        (False, "fp32", "fp32", False),
    ],
)
def test_bf16_is_computed_where_the_cpu_has_it(
    native: bool, asked: str, computed: str, told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino_model, "bf16_is_native", lambda: native)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert computed_precision(asked) == computed
        assert QuillPredictor(backend="openvino", precision=asked)._precision == computed
    assert [issubclass(one.category, DelineateWarning) for one in said] == [True, True] * told


@pytest.mark.parametrize(
    ("options", "words"),
    [
        pytest.param(BuildOptions(device="cuda"), "runs on the CPU", id="device"),
        pytest.param(BuildOptions(precision="bf16"), "computes Quill in fp32", id="bf16"),
        pytest.param(BuildOptions(precision="fp16", device="cpu"), "computes Quill in fp32", id="fp16"),
    ],
)
def test_options_that_change_nothing_are_told_of(options: BuildOptions, words: str) -> None:
    with pytest.warns(DelineateWarning, match=words):
        QUILL.build(options)


@pytest.mark.parametrize(
    "options",
    [BuildOptions(), BuildOptions(device="cpu", precision="fp32"), BuildOptions(backend="openvino", precision="bf16")],
)
def test_options_that_count_are_not(options: BuildOptions) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        QUILL.build(options)
