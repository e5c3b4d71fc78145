"""Modules of version 0.1 under the names they had there, so that scripts go on working until 0.3."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Final

_CORE: Final = (
    "errors", "frame", "grid", "intensities", "manifest", "prompt_log", "prompts", "rle", "scan", "segmentation",
    "volume_prompts",
)  # fmt: skip
MOVED: Final = {
    **{f"delineate.{name}": f"delineate.core.{name}" for name in _CORE},
    "delineate.following": "delineate.core.propagation_options",
    "delineate.placing": "delineate.core.resolve",
}


class _Moved(MetaPathFinder, Loader):
    """Finds what no other finder does: a module that is elsewhere now."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, self, is_package=True) if fullname in MOVED else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        now = MOVED[spec.name]
        warnings.warn(f"{spec.name} is {now} now; the old name goes with 0.3", DeprecationWarning, stacklevel=6)
        module = import_module(now)
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Importing set the module's spec to that of its old name."""
        spec: Any = module.__spec__
        module.__spec__ = spec.loader_state


def keep_old_names() -> None:
    """Let modules be imported by the names they had in version 0.1, with a DeprecationWarning."""
    if not any(isinstance(finder, _Moved) for finder in sys.meta_path):
        sys.meta_path.append(_Moved())
