"""Delineate: point at a structure once; get it outlined in the image, the whole volume, the whole video.

The public names below load when they are first used, so that importing the package stays quick and torch-free.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version as _version
from typing import TYPE_CHECKING, Any

from delineate.core import telemetry as _telemetry
from delineate.core.moved import keep_old_names as _keep_old_names

_telemetry.silence()  # before anything imports a library that reports
_telemetry.warn_if_too_late()
_keep_old_names()

__version__ = _version("delineate")

_WHERE = {
    "open_scan": "delineate.io.opening",
    "open_segmentation": "delineate.labels.reading",
    "save": "delineate.io.saving",
    "save_session": "delineate.verbs.session_files",
    "Session": "delineate.session",
    "choose_model": "delineate.systems.routing",
    "Grid": "delineate.core.grid",
    "Space": "delineate.core.grid",
    "Scan": "delineate.core.scan",
    "Point": "delineate.core.prompts",
    "Box": "delineate.core.prompts",
    "Scribble": "delineate.core.prompts",
    "Lasso": "delineate.core.prompts",
    "Mask": "delineate.core.prompts",
    "Text": "delineate.core.prompts",
    "Example": "delineate.core.prompts",
    "PropagationOptions": "delineate.core.propagation_options",
    "PromptLog": "delineate.core.prompt_log",
    "Segmentation": "delineate.core.segmentation",
    "Overlap": "delineate.core.segmentation",
    "DelineateError": "delineate.core.errors",
}

__all__ = ["__version__", *sorted(_WHERE)]

if TYPE_CHECKING:
    from delineate.core.errors import DelineateError
    from delineate.core.grid import Grid, Space
    from delineate.core.prompt_log import PromptLog
    from delineate.core.prompts import Box, Example, Lasso, Mask, Point, Scribble, Text
    from delineate.core.propagation_options import PropagationOptions
    from delineate.core.scan import Scan
    from delineate.core.segmentation import Overlap, Segmentation
    from delineate.io.opening import open_scan
    from delineate.io.saving import save
    from delineate.labels.reading import open_segmentation
    from delineate.session import Session
    from delineate.systems.routing import choose_model
    from delineate.verbs.session_files import save_session


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'delineate' has no attribute '{name}'")
    value = getattr(import_module(_WHERE[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
