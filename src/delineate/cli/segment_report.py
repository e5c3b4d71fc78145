"""What verbs that outline print: what was found, where it was written, how to do it again; and how they end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from delineate.cli import options
from delineate.cli.console import result, result_json, tell, tell_notices
from delineate.cli.guard import EMPTY, INTERRUPTED, PARTIAL, TERMINATED
from delineate.core.terminal_text import counted, volume_text

if TYPE_CHECKING:
    from delineate.core.manifest import ObjectRecord
    from delineate.core.scan import Scan
    from delineate.verbs.request import RunResult

NOTHING = "Nothing was outlined: no pixel of any structure. Look at the preview, and point elsewhere."


def print_result(done: RunResult, talking: options.PrintOptions) -> None:
    """A line an object, then the files; with --json the whole manifest."""
    from delineate.verbs.outcome import Outcome

    if talking.json:
        result_json(done.as_json())
        return
    tell_notices(done.notices, talking.quiet)
    for one in done.manifest.objects:
        result(_found(one, done.scan))
    if not done.manifest.objects:
        result("nothing was asked for: no structure has a prompt")
    if (run := done.manifest.run) is not None and run.routed:
        result(f"  by {run.model}: {run.routed}")
    if (second := done.manifest.second_opinion) is not None:
        result(f"  {_agreements(done.manifest.objects, second.name)}")
    for path in done.files:
        result(f"  {path}")
    if not talking.quiet:
        tell(f"Again: {done.again}")
    if done.outcome is not Outcome.DONE:
        tell(_stopped(done) if done.manifest.stopped else NOTHING)


def end(done: RunResult) -> None:
    """End the command with the exit code of what came of it."""
    from delineate.verbs.outcome import INTERRUPTED as STOPPED_BY_HAND
    from delineate.verbs.outcome import Outcome

    code = {Outcome.EMPTY: EMPTY, Outcome.PARTIAL: PARTIAL}.get(done.outcome)
    if done.manifest.stopped is not None and done.manifest.stopped.code == STOPPED_BY_HAND:
        code = TERMINATED if done.manifest.stopped.message.endswith(" TERM.") else INTERRUPTED
    if code is not None:
        raise typer.Exit(code)


def _stopped(done: RunResult) -> str:
    """The last line of a run that could not go on."""
    stopped = done.manifest.stopped
    assert stopped is not None
    far = f"after {stopped.done} of {counted(stopped.total, 'frame')}" if stopped.done else "on the first frame"
    return (
        f"Partial: it stopped {far} [{stopped.code}]: {stopped.message} What was outlined until then is kept, "
        f"and {done.manifest_file.name} says that it is partial. {stopped.hint}"
    ).rstrip()


def _found(one: ObjectRecord, scan: Scan) -> str:
    """One line on one object."""
    from delineate.core.scan import ScanKind

    if not one.frames:
        return f"{one.name}: nothing found"
    mean = sum(one.confidence.values()) / max(1, len(one.confidence))
    where = f" on {one.frames} of {len(scan)} {scan.frame_word}s" if scan.kind is not ScanKind.IMAGE else ""
    size = f", {volume_text(one.volume_mm3)}" if one.volume_mm3 else f", {counted(one.pixels, 'pixel')}"
    return f"{one.name}{where}{size}, mean confidence {mean:.2f}{_doubts(one)}"


def _agreements(objects: Sequence[ObjectRecord], second: str) -> str:
    """How far the second model agrees, in words."""
    found = [value for one in objects for value in one.agreement.values()]
    if not found:
        return f"second opinion of {second}: there was no outline to ask about"
    return f"second opinion of {second}: agreement {sum(found) / len(found):.2f} (Dice), least {min(found):.2f}"


def _doubts(one: ObjectRecord) -> str:
    """Places to look at, the worst first, with the reason: ``; look at 7 (area jumped; doubtful from 5 to 9)``."""
    return f"; look at {', '.join(map(str, one.doubts))}" if one.warnings else ""
