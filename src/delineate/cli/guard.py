"""One guard around every verb: whatever stops a run becomes one sentence with a code, and an exit code.

0 done, 1 a case failed or a comparison differs, 2 bad input and whatever else stops a run, 3 nothing was outlined,
4 stopped on the way with what was done until then written, 130 interrupted.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from typing import Any, TextIO, cast

import typer

from delineate.cli.console import report_error, tell, write_results
from delineate.core.errors import DelineateError, InputError, foreseen
from delineate.core.terminal_text import command

DONE, FAILED, STOPPED, EMPTY, PARTIAL, INTERRUPTED, TERMINATED = 0, 1, 2, 3, 4, 130, 143


def run(app: Callable[..., Any], arguments: Sequence[str]) -> int:
    """Run the command line, and say what stopped it. Returns the exit code."""
    open_streams()
    debug = "--debug" in arguments
    if debug:
        logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
        logging.getLogger("delineate").setLevel(logging.DEBUG)
    try:
        words = [word for word in arguments if word != "--debug"]  # so that every verb takes it
        code = app(args=words, standalone_mode=False)
        write_results()
        return code if isinstance(code, int) else DONE
    except KeyboardInterrupt:
        tell("\nInterrupted; nothing was left half written.")
        return INTERRUPTED
    except BrokenPipeError:  # who read the results has enough of them
        return DONE
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else STOPPED
    except Exception as error:
        if debug and isinstance(error, DelineateError):  # the others are logged with theirs
            tell(traceback.format_exc())
        return _stopped(error, arguments)


def in_words(error: Exception, what: str) -> DelineateError:
    """What stopped a verb, an option that its request does not take among it."""
    if type(error).__name__ == "ValidationError" and str(getattr(error, "title", "")).endswith("Request"):
        from delineate.core.json_file import fault  # pydantic, which such an error comes of

        return InputError(
            "E-REQUEST", f"{what}: {fault(cast(Any, error))}.", "Mend this option; --help says what it takes."
        )
    return foreseen(error, what)


def _stopped(error: Exception, arguments: Sequence[str]) -> int:
    """Say what stopped the run; the exit code."""
    if isinstance(error, typer.Abort):
        return INTERRUPTED
    usage = getattr(error, "show", None)  # of a usage error of the command line
    if usage is None:
        words = takewhile(lambda word: not word.startswith("-"), arguments)
        report_error(in_words(error, command("delineate", *words)), as_json="--json" in arguments)
        return STOPPED
    usage(sys.stderr)
    return int(getattr(error, "exit_code", STOPPED))


def open_streams() -> None:
    """Standard streams that can be written to, whatever the text: closed ones lead nowhere, odd letters are escaped.

    Were a closed one left so, the next file that is opened would take its number, and get what libraries print.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        continue
    os.close(number)
    for name in ("stdout", "stderr"):
        stream: TextIO | None = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - as long as the process
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def close_streams() -> None:
    """Write what is still to be written; what cannot be written is given up, so that it does not fail at the end."""
    for number, stream in ((1, sys.stdout), (2, sys.stderr)):
        try:
            stream.flush()
        except (OSError, ValueError):
            with suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_RDWR), number)
