"""The verb ``doctor``: is everything there, and how fast is this machine."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import numpy as np

from delineate.compute.threads import usable_cores
from delineate.core import telemetry
from delineate.core.entry_point_groups import GROUPS, unread_entry_points
from delineate.core.frame import Frame
from delineate.core.registry import Registry
from delineate.core.resolve import FramePrompts
from delineate.core.terminal_text import printable
from delineate.evaluation.outline_metrics import OUTLINE_METRICS
from delineate.io.opening import FORMATS
from delineate.predictors.frame_predictor import Query
from delineate.quill.system import SHIPPED
from delineate.systems import SYSTEMS, shipped_predictor
from delineate.verbs.request import Request

PACKAGES: Final = (
    "delineate", "numpy", "scipy", "onnxruntime", "nibabel", "pydicom", "pillow", "tifffile", "av", "torch",
)  # fmt: skip


class DoctorRequest(Request):
    """Nothing needs to be said."""


@dataclass(frozen=True)
class DoctorResult:
    """What was found, by name, and whether a click can be answered."""

    card: Mapping[str, str | int]
    healthy: bool

    def as_json(self) -> dict[str, Any]:
        return {**self.card, "healthy": self.healthy}


def doctor(request: DoctorRequest) -> DoctorResult:
    """Check the installation: versions, processor, model, and one click timed."""
    card: dict[str, str | int] = {
        "python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        "cores": usable_cores(),
        "memory": _memory(),
        "processor": ", ".join(_features()) or "no wide vector units found",
    }
    card |= {package: _installed(package) for package in PACKAGES}
    if not str(card["torch"]).startswith("not"):
        card["gpu"] = _gpu()
    card["model"] = f"{SHIPPED.name}, {SHIPPED.stat().st_size / 1e6:.1f} MB" if SHIPPED.is_file() else "MISSING"
    card |= _telemetry()
    card |= _left_out()
    healthy = not any(str(value).endswith("MISSING") for value in card.values())
    try:
        card["click"] = f"{_one_click():.0f} ms on a 256 x 256 picture"
    except Exception as error:
        card["click"], healthy = f"FAILED: {error}", False
    return DoctorResult(card, healthy)


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed" + (
            " (needed for training, and for most published systems)" if package == "torch" else ": MISSING"
        )


def _left_out() -> dict[str, str]:
    """Entry points of other distributions that could not be used, by table, and those of no table."""
    tables: list[Registry[Any]] = [SYSTEMS, FORMATS, OUTLINE_METRICS]
    if find_spec("torch") is not None:
        from delineate.memory.policies import POLICIES
        from delineate.training.recipes import RECIPES

        tables += [POLICIES, RECIPES]
    failures = [f"{name} of {table.group}: {why}" for table in tables for name, why in table.failures.items()]
    failures += unread_entry_points({*GROUPS, *(table.group for table in tables)})
    return {"left out": "; ".join(printable(one) for one in failures)} if failures else {}


def _telemetry() -> dict[str, str]:
    """What is kept from reporting, and the marks that it left where it was not."""
    off = f"off in {', '.join(telemetry.stopped())}"
    card = {"telemetry": f"{off}; {telemetry.too_late()}" if telemetry.TOO_EARLY else off}
    if traces := telemetry.remove_measurement_files():
        card["traces"] = (
            f"{', '.join(map(str, traces))}: left by such a library earlier or in another program; yours to delete"
        )
    return card


def _features() -> list[str]:
    """Vector units that speed up small networks (Linux only)."""
    cpuinfo = Path("/proc/cpuinfo")
    flags = cpuinfo.read_text().split() if cpuinfo.is_file() else []
    return [flag for flag in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16") if flag in flags]


def _memory() -> str:
    """Free and whole memory (Linux only)."""
    meminfo = Path("/proc/meminfo")
    if not meminfo.is_file():
        return "unknown"
    kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in meminfo.read_text().splitlines()}
    return f"{kilobytes['MemAvailable'] / 2**20:.1f} of {kilobytes['MemTotal'] / 2**20:.1f} GiB free"


def _gpu() -> str:
    """What torch can train on."""
    try:
        import torch
    except ImportError as error:
        return f"torch does not load: {error}"
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return "none that torch can use (not needed)"


def _one_click() -> float:
    """Milliseconds for one click, warm."""
    y, x = np.mgrid[:256, :256]
    picture = (np.hypot(x - 120, y - 130) < 40).astype(np.uint8) * 120 + 60
    predictor = shipped_predictor()
    prompts = FramePrompts(np.array([[120.0, 130.0]]), np.array([True]))
    for _ in range(2):
        began = perf_counter()
        predictor.decode(predictor.encode(Frame.of(picture)), [Query(prompts)])
    return (perf_counter() - began) * 1000
