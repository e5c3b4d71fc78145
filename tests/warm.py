"""``delineate`` as a person types it, in a process of its own that begins with everything imported.

Imports take seconds where the run itself often takes less, so what the tests run is forked from a server, which each
worker of the tests starts with its first command. What is to be seen of the start itself, of signals or of closed
streams needs ``subprocess``.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import shutil
import signal
import socket
import socketserver
import subprocess
import sys
import tempfile
import traceback
import types
from contextlib import suppress
from functools import cache
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

IMPORTED = (
    "delineate.cli",
    "delineate.verbs.catalog",
    "delineate.io.outputs",
    "onnxruntime",
    "torch",
    "transformers",
    "accelerate",
    "delineate.systems.sam",
    "delineate.models.sam2",
)
PATIENCE = 280  # seconds


def delineate(*words: object, cwd: Path, **variables: str) -> CompletedProcess[str]:
    """Run a command line, with variables of the environment added."""
    typed = list(map(str, words))
    if sys.platform != "linux":
        return _cold(["-m", "delineate", *typed], cwd, variables)
    return _asked(typed, cwd, variables, words=typed)


def program(code: str, cwd: Path, **variables: str) -> CompletedProcess[str]:
    """Run a Python program."""
    if sys.platform != "linux":
        return _cold(["-c", code], cwd, variables)
    return _asked(["python", "-c", code], cwd, variables, code=code)


def _cold(words: list[str], cwd: Path, variables: dict[str, str]) -> CompletedProcess[str]:
    paths = os.pathsep.join(filter(None, (variables.get("PYTHONPATH"), str(Path(__file__).parent))))
    return subprocess.run(
        [sys.executable, *words], cwd=cwd, env={**os.environ, **variables, "PYTHONPATH": paths},
        capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip


def _asked(command: list[str], cwd: Path, variables: dict[str, str], **what: Any) -> CompletedProcess[str]:
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as server:
        said = [Path(folder, name) for name in ("stdout", "stderr")]
        server.settimeout(PATIENCE)
        server.connect(_server())
        request = {"cwd": str(cwd), "streams": list(map(str, said)), "variables": {**os.environ, **variables}, **what}
        server.sendall(json.dumps(request).encode() + b"\n")
        code = json.loads(server.makefile().readline())
        return CompletedProcess(command, code, *(path.read_text() for path in said))


@cache
def _server() -> str:
    """Start the server; where it listens. Programs that run in it ask the same one."""
    if address := os.environ.get("WARM_SERVER"):
        return address
    folder = tempfile.mkdtemp(prefix="warm-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    address = str(Path(folder, "socket"))
    command = [sys.executable, __file__, address]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
    atexit.register(os.killpg, server.pid, signal.SIGKILL)
    assert server.stdout is not None and server.stdout.readline() == b"ready\n"
    return address


class _Server(socketserver.ForkingMixIn, socketserver.UnixStreamServer):
    def service_actions(self) -> None:
        super().service_actions()
        if os.getppid() != BEGAN_BY:
            sys.exit()


class _Handler(socketserver.StreamRequestHandler):
    """One request, in a process of its own already; the work is in another, whose end is seen however it comes."""

    def handle(self) -> None:
        request = json.loads(self.rfile.readline())
        child = os.fork()
        if not child:
            os._exit(_run(**request))
        _, status = os.waitpid(child, 0)
        self.wfile.write(json.dumps(os.waitstatus_to_exitcode(status)).encode() + b"\n")


def _run(
    cwd: str, streams: list[str], variables: dict[str, str], words: list[str] | None = None, code: str = ""
) -> int:
    """The exit code of a command, or else of a program."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(variables, WARM_SERVER=sys.argv[1])
    sys.path[:0] = filter(None, variables.get("PYTHONPATH", "").split(os.pathsep))
    for number, path in enumerate((os.devnull, *streams)):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), number)
    sys.argv = ["delineate", *(words or ())]
    try:
        if words is None:
            main = sys.modules["__main__"] = types.ModuleType("__main__")
            exec(compile(code, "program", "exec"), main.__dict__)
        else:
            importlib.import_module("delineate.cli").main()
        ended = 0
    except SystemExit as end:
        ended = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        ended = 1
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    return ended


if __name__ == "__main__":
    BEGAN_BY = os.getppid()
    sys.path.pop(0)  # this folder: no program of a person has it
    sys.modules["warm"] = sys.modules["__main__"]
    for name in ("delineate", *IMPORTED):
        with suppress(ImportError):
            importlib.import_module(name)
    gc.freeze()
    with _Server(sys.argv[1], _Handler) as server:
        print("ready", flush=True)
        server.serve_forever()
