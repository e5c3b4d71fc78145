"""What phones home by itself among the libraries in use, and the switches that stop it.

Nobody is asked before these libraries report, so they are all off, whatever their switches were set to before. The
package imports this module first: most of them read their switch once, when they are imported. Processes that are
started later inherit the environment.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from delineate.core.errors import DelineateWarning

YES = ("1", "true", "yes", "on")


@dataclass(frozen=True)
class Reporter:
    """A library that reports its use to its makers, or keeps a mark of its user, unless it is stopped.

    module     what is imported
    sends      what it does if left alone, and to whom
    variables  environment variables that stop it
    blocks     a module that cannot be imported, because the library does without it, and only it reports
    leaves     files below the home folder by which one can tell that it was not stopped
    on_import  it reports as soon as it is imported, and not only when it is used
    stop       what still helps once ``module`` is imported
    """

    module: str
    sends: str
    variables: Mapping[str, str] = field(default_factory=dict)
    blocks: str = ""
    leaves: tuple[str, ...] = ()
    on_import: bool = False
    stop: Callable[[ModuleType], Any] | None = None

    def is_off(self) -> bool:
        """Whether its switches are as they must be."""
        is_set = all(os.environ.get(name) == value for name, value in self.variables.items())
        return is_set and (not self.blocks or sys.modules.get(self.blocks, self) is None)

    def may_report(self) -> bool:
        """Whether it is imported and does not look as if it had been stopped before."""
        if self.module not in sys.modules or not self.on_import:
            return False
        stopped = any(os.environ.get(name, "").lower() in YES for name in self.variables)
        return not stopped and (not self.blocks or sys.modules.get(self.blocks) is not None)


def _without_consent(_openvino: ModuleType) -> None:
    """Its one reporting object takes a person's consent for given: take it back."""
    if (telemetry := sys.modules.get("openvino_telemetry")) is not None:
        with suppress(RuntimeError):  # there is no such object yet
            telemetry.Telemetry().consent = False


def _without_hub_telemetry(_hub: ModuleType) -> None:
    """It keeps what its environment said when it was imported."""
    if (constants := sys.modules.get("huggingface_hub.constants")) is not None:
        constants.HF_HUB_DISABLE_TELEMETRY = True  # type: ignore[attr-defined]


REPORTERS = (
    Reporter(
        "onnxruntime",
        "from 1.29 on: machine, model file names, times and errors to Microsoft, with an id kept in the home folder",
        {"ORT_DISABLE_TELEMETRY": "1"},
        leaves=(".cache/Microsoft/DeveloperTools/.onnxruntime",),
        on_import=True,
        stop=lambda onnxruntime: onnxruntime.disable_telemetry_events(),
    ),
    Reporter(
        "openvino",
        "imports and conversions to Google Analytics, with an id kept in the home folder",
        blocks="openvino_telemetry",
        leaves=("intel/openvino_ga_cid", "intel/stats"),
        on_import=True,
        stop=_without_consent,
    ),
    Reporter(
        "huggingface_hub",
        "which library asks for what to Hugging Face, beside a download",
        {"HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1"},
        stop=_without_hub_telemetry,
    ),
    Reporter("transformers", "as huggingface_hub, whose switch it reads", {"HF_HUB_DISABLE_TELEMETRY": "1"}),
    Reporter("gradio", "starts, components and errors to its makers", {"GRADIO_ANALYTICS_ENABLED": "False"}),
    Reporter("ray", "the cluster and the libraries in use to its makers", {"RAY_USAGE_STATS_ENABLED": "0"}),
)
TOO_EARLY = tuple(one.module for one in REPORTERS if one.may_report())  # imported before this package


def silence() -> None:
    """Set every switch; a library that is imported already is stopped as far as it still can be."""
    for one in REPORTERS:
        os.environ.update(one.variables)
        if one.blocks and one.blocks not in sys.modules:
            sys.modules[one.blocks] = None  # type: ignore[assignment]
        if one.stop and one.module in sys.modules:
            one.stop(sys.modules[one.module])


def warn_if_too_late() -> None:
    """Say so where a library was imported before, and may have reported that already."""
    if TOO_EARLY:
        warnings.warn(f"{too_late()} To prevent it, import delineate first.", DelineateWarning, stacklevel=3)


def too_late() -> str:
    """What may have gone out before this package was imported, as a sentence; "" if nothing."""
    if not TOO_EARLY:
        return ""
    return f"{' and '.join(TOO_EARLY)}, imported before delineate, may have reported to its makers already."


def stopped() -> list[str]:
    """The libraries that are installed here and are off."""
    off = [one.module for one in REPORTERS if one.is_off() and _is_installed(one.module)]
    return [module for module in off if module not in TOO_EARLY]


def remove_measurement_files() -> list[Path]:
    """What such libraries left in the home folder, earlier or in other programs; it is the user's to delete."""
    places = [_place(name) for one in REPORTERS for name in one.leaves]
    return [path for path in places if path.exists()]


def _place(name: str) -> Path:
    cache = os.environ.get("XDG_CACHE_HOME")
    first, _, rest = name.partition("/")
    return Path(cache, rest) if cache and first == ".cache" else Path.home() / name


def _is_installed(module: str) -> bool:
    return module in sys.modules or find_spec(module) is not None
