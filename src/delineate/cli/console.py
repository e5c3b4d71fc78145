"""How the command line talks: results on stdout, progress and errors on stderr."""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import typer

from delineate.core.errors import DelineateError, DelineateWarning, Notice, OutputError
from delineate.core.terminal_text import printable

Progress = Callable[[int, int], None]
EVERY = 30.0  # seconds between two lines of progress in a log
LONGEST = 1000  # characters of an error that are shown; what a file holds may be in it


def report_error(error: DelineateError, as_json: bool) -> None:
    """What, why and what fixes it, on stderr."""
    if as_json:
        text = json.dumps({"error": error.code, "message": error.message, "hint": error.hint})
    else:
        text = f"Error [{error.code}]: {_short(error.message)}" + (f"\n{_short(error.hint)}" if error.hint else "")
    _tell(printable(text))


def tell(text: str) -> None:
    """A line for a person, on stderr, so that stdout holds results only."""
    _tell(printable(text))


def tell_notices(notices: Iterable[Notice], quiet: bool) -> None:
    """What a person should know, a line each."""
    for notice in () if quiet else notices:
        tell(f"Note: {notice.message}")


def result_lines(lines: Iterable[str], files: Iterable[object], none: str = "no structures") -> None:
    """What was found, a line each (or that there is nothing), then the files that were written."""
    for line in list(lines) or [none]:
        result(line)
    for file in files:
        result(f"  {file}")


def table_lines(rows: Sequence[dict[str, str]]) -> list[str]:
    """Rows in columns, text to the left and numbers to the right; columns without a value are left out."""
    names = [name for name in (rows[0] if rows else {}) if any(row[name] for row in rows)]
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in names}
    head = {name: name for name in names}
    first = names[:1]
    return [
        "  ".join(row[n].ljust(widths[n]) if n in first else row[n].rjust(widths[n]) for n in names).rstrip()
        for row in ([head, *rows] if rows else [])
    ]


def tell_warnings(quiet: bool) -> None:
    """Let the library's warnings read as remarks do, without the line of code they came from."""
    as_python_does = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if not issubclass(category, DelineateWarning):
            as_python_does(message, category, *where, **more)
        elif not quiet:
            tell(f"Note: {message}")

    warnings.showwarning = show


def result(text: str) -> None:
    _result(printable(text))


def print_version(wanted: bool) -> None:
    """The version of the program, as a result; nothing else is done then."""
    if wanted:
        from delineate import __version__

        result(f"delineate {__version__}")
        raise typer.Exit


def result_json(value: Any) -> None:
    unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    _result(json.dumps(value, ensure_ascii=not unicode))


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} …"


def write_results() -> None:
    """Write results that wait in a buffer. Raises OutputError where standard output takes no more."""
    with _results():
        sys.stdout.flush()


def _result(line: str) -> None:
    with _results():
        sys.stdout.write(line + "\n")


@contextmanager
def _results() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(
            "E-OUTPUT-FAILED",
            f"Results could not be written to standard output: {error.strerror}.",
            "What was written to files is whole.",
        ) from error


def _tell(line: str) -> None:
    with suppress(OSError, ValueError):  # nobody hears it; the work goes on
        sys.stderr.write(line + "\n")


@contextmanager
def step_counter(quiet: bool) -> Iterator[tuple[Callable[[str], None], Progress | None]]:
    """Lines, and below them the step a training is at and the time left, which stay on a terminal alone.

    Yields what to call with a line, and with (step, steps); None where there is no terminal.
    """
    if quiet or not sys.stderr.isatty():
        yield tell, None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    state = TextColumn("{task.fields[state]}")
    columns = (TextColumn("  step"), BarColumn(), MofNCompleteColumn(), state, TimeRemainingColumn())
    console = Console(stderr=True, highlight=False)
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None, state="measured before the first step")

        def show(step: int, steps: int) -> None:
            bar.update(task, completed=step, total=steps, state="")

        yield lambda line: console.print(line, markup=False, soft_wrap=True), show


def _lines(title: str) -> Progress:
    """Progress for a log: a line every EVERY seconds, and none for what is done sooner."""
    began = last = time.monotonic()

    def show(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= EVERY and done < total:
            last = now
            left = (now - began) / max(1, done) * (total - done)
            tell(f"{title}: {done} of {total}, about {_duration(left)} left")

    return show


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


@contextmanager
def progress_bar(title: str, quiet: bool) -> Iterator[Progress | None]:
    """A bar with time left, in a log a line now and then; yields what to call with (done, total)."""
    if quiet:
        yield None
        return
    if not sys.stderr.isatty():
        yield _lines(printable(title))
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(escape(printable(title)), total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
