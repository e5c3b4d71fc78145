"""What is asked of Quill and changes nothing is told."""

from __future__ import annotations

import warnings

import pytest

from delineate.cli.options import Machine
from delineate.core.errors import DelineateWarning
from delineate.systems import BuildOptions, build


@pytest.mark.parametrize(
    ("options", "told"),
    [
        pytest.param(BuildOptions(device="cuda"), 'the CPU; --device "cuda"', id="device"),
        pytest.param(BuildOptions(precision="fp16"), 'fp32, not in "fp16"', id="precision"),
    ],
)
def test_what_changes_nothing_is_told(options: BuildOptions, told: str) -> None:
    with pytest.warns(DelineateWarning, match=told):
        build("quill", options)


def test_a_backend_that_is_typed_and_changes_nothing_is_told() -> None:
    with pytest.warns(DelineateWarning, match='--backend "torch" changes nothing'):
        assert Machine(backend="torch").choice.name == "quill"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Machine(model="mobile_sam", backend="torch").choice.backend == "torch"
        build("quill", BuildOptions(backend="torch"))  # as training does


@pytest.mark.parametrize("options", [BuildOptions(), BuildOptions(device="cpu", precision="fp32", backend="onnx")])
def test_what_quill_does_is_not(options: BuildOptions) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build("quill", options)
