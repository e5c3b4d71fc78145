"""What ``segment`` and ``replay`` print: what was found, where it was written, how to do it again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from delineate.cli import options
from delineate.cli.console import result, result_json, tell

if TYPE_CHECKING:
    from delineate.core.manifest import ObjectRecord
    from delineate.core.scan import Scan
    from delineate.verbs.request import RunResult


def print_result(done: RunResult, talking: options.Talking) -> None:
    """A line an object, then the files; with --json the whole manifest."""
    if talking.json:
        result_json(done.as_json())
        return
    if not talking.quiet:
        for notice in done.notices:
            tell(f"Note: {notice.message}")
    for one in done.manifest.objects:
        result(_found(one, done.scan))
    for path in done.files:
        result(f"  {path}")
    if not talking.quiet:
        tell(f"Again: {done.again}")


def _found(one: ObjectRecord, scan: Scan) -> str:
    """One line on one object."""
    from delineate.core.scan import ScanKind

    if not one.frames:
        return f"{one.name}: nothing found"
    mean = sum(one.confidence.values()) / max(1, len(one.confidence))
    where = f" on {one.frames} of {len(scan)} {scan.frame_word}s" if scan.kind is not ScanKind.IMAGE else ""
    size = f", {one.volume_mm3 / 1000:.2f} ml" if one.volume_mm3 else f", {one.pixels} pixels"
    doubts = f"; look at {', '.join(str(f) for f in list(one.warnings)[:8])}" if one.warnings else ""
    return f"{one.name}{where}{size}, mean confidence {mean:.2f}{doubts}"
