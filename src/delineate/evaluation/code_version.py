"""The version of the code that measures, so that outcomes are kept only as long as it would give the same."""

from __future__ import annotations

from functools import cache
from inspect import getsourcefile
from pathlib import Path
from typing import Final

from delineate.core.hashing import sha256_of
from delineate.evaluation.outline_metrics import OUTLINE_METRICS, added_columns

PACKAGE: Final = Path(__file__).resolve().parents[1]


@cache
def measuring_code() -> str:
    """SHA-256 of this package's source files, and of those of added metrics."""
    files = sorted(PACKAGE.rglob("*.py"))
    added = {column.key for column in added_columns()}
    sources = {getsourcefile(metric.score) for name, metric in OUTLINE_METRICS.items() if name in added}
    return sha256_of(*files, *(Path(source) for source in sorted(filter(None, sources))))
