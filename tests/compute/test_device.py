"""Devices by the names people give them, and what is done where a GPU cannot be used."""

from __future__ import annotations

import pytest

from delineate.compute.device import device_name
from delineate.core.errors import DelineateWarning, ModelError
from delineate.systems import BuildOptions


@pytest.mark.parametrize(
    ("asked", "name"),
    [("auto", "auto"), ("CPU", "cpu"), ("gpu", "cuda"), ("GPU:1", "cuda:1"), (" cuda:0 ", "cuda:0"), ("mps", "mps")],
)
def test_usual_names_are_understood(asked: str, name: str) -> None:
    assert device_name(asked) == name == BuildOptions(device=asked).device


WRONG = [
    "gpu9",
    "cuda9",
    "cuda:",
    "cuda:-1",
    "cuda:x",
    "cuda:99999999999999999999",
    "meta",
    "tpu",
    "0",
    "-1",
    "",
    "cpu:1",
]


@pytest.mark.parametrize("asked", WRONG)
def test_other_names_are_refused_with_those_there_are(asked: str) -> None:
    with pytest.raises(ModelError, match="no device called") as caught:
        BuildOptions(device=asked)
    assert caught.value.code == "E-DEVICE" and "cuda:N" in caught.value.hint


@pytest.mark.parametrize("asked", ["cuda", "gpu:3", "cuda:0"])
def test_a_gpu_that_is_not_there_is_refused_where_it_was_asked_for(asked: str) -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    from delineate.compute.engine import Engine

    with pytest.raises(ModelError, match="cannot be used") as caught:
        Engine.chosen(asked)
    assert caught.value.code == "E-DEVICE" and "--device cpu" in caught.value.hint


def test_a_gpu_that_cannot_be_used_leaves_the_cpu_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver sees a GPU, and this torch cannot compute on it: a build for another one, or one that is taken."""
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU that can be used")
    from delineate.compute.engine import Engine

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.warns(DelineateWarning, match="the CPU computes. What there is: delineate doctor"):
        assert Engine.chosen("auto", "fp32").device.type == "cpu"


def test_a_driver_that_does_not_fit_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    from delineate.compute.engine import Engine

    def is_available() -> bool:  # as torch says it
        import warnings

        warnings.warn("CUDA initialization: The NVIDIA driver on your system is too old.\nUpdate it.", stacklevel=2)
        return False

    monkeypatch.setattr(torch.cuda, "is_available", is_available)
    with pytest.warns(DelineateWarning, match=r"driver on your system is too old.*the CPU computes"):
        assert Engine.chosen("auto", "fp32").device.type == "cpu"
