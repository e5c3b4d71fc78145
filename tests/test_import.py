"""Quick to start, free of torch, silent on the network."""

from __future__ import annotations

import subprocess
import sys
from time import perf_counter

import pytest


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)


def fastest(*arguments: str, tries: int = 4) -> float:
    """Seconds that a fresh interpreter takes, its own start included."""

    def once() -> float:
        began = perf_counter()
        subprocess.run([sys.executable, *arguments], capture_output=True, check=True, timeout=120)
        return perf_counter() - began

    return min(once() for _ in range(tries))


def test_importing_takes_less_than_half_a_second() -> None:
    assert fastest("-c", "import delineate") < 0.5


def test_help_takes_less_than_a_second() -> None:
    assert fastest("-m", "delineate", "--help") < 1.0


@pytest.mark.parametrize(
    "code",
    [
        "import delineate",
        "from delineate.cli import app",
        "import delineate; delineate.Session, delineate.open_scan, delineate.save",
        "from delineate.systems import shipped_predictor; shipped_predictor()._network",
    ],
    ids=["package", "cli", "public-names", "runtime"],
)
def test_nothing_heavy_is_imported(code: str) -> None:
    heavy = "torch", "SimpleITK", "cv2", "torchvision", "transformers"
    ran = python(f"{code}\nimport sys; print([m for m in {heavy} if m in sys.modules])")
    assert ran.stdout.strip() == "[]", ran.stderr


def test_segmenting_opens_no_connection(tmp_path) -> None:  # type: ignore[no-untyped-def]
    code = f"""
import socket
def refuse(*a, **k): raise AssertionError("a connection was opened")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
import numpy as np, delineate
scan = delineate.Scan.from_image(np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8))
session = delineate.Session(scan)
session.prompt(delineate.Box(10, 10, 50, 50))
print(delineate.save(session.segmentation, r"{tmp_path / "a.png"}", scan))
"""
    ran = python(code)
    assert ran.returncode == 0 and "a.png" in ran.stdout, ran.stderr


def test_every_public_name_is_there() -> None:
    import delineate

    assert all(getattr(delineate, name) is not None for name in delineate.__all__)
    with pytest.raises(AttributeError):
        delineate.nothing  # noqa: B018
