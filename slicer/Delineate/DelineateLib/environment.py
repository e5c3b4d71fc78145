"""The server's own Python environment, made beside Slicer: nothing is installed into Slicer."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

LEAST = (3, 11)
PYTHONS = ("python3.13", "python3.12", "python3.11", "python3", "python")
REPOSITORY = Path(__file__).resolve().parents[3]
MOST_LINES = 200


def python_of_machine(environment: dict[str, str]) -> str:
    """A Python of the machine that is new enough. Raises OSError where there is none."""
    for name in PYTHONS:
        found = shutil.which(name, path=environment.get("PATH"))
        if found is None:
            continue
        words = [found, "-c", "import sys, venv; print(sys.version_info[0], sys.version_info[1])"]
        ran = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=30, check=False)
        if ran.returncode == 0 and tuple(int(part) for part in ran.stdout.split()) >= LEAST:
            return found
    raise OSError(f"no Python {LEAST[0]}.{LEAST[1]} or newer was found: install one from python.org")


class OwnEnvironment:
    """An environment with the server, in ``folder``; made once, with a log of lines, and given up when asked.

    environment  variables of the processes: those the machine had before Slicer added its own
    """

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = Path(folder)
        self.lines: list[str] = []
        self.failed = ""
        self._environment = environment
        self._process: subprocess.Popen[str] | None = None
        self._thread: threading.Thread | None = None
        self._stopped = False

    @property
    def command(self) -> Path:
        """The server's command, whether it is there or not."""
        scripts, ending = ("Scripts", ".exe") if os.name == "nt" else ("bin", "")
        return self.folder / scripts / f"delineate{ending}"

    @property
    def ready(self) -> bool:
        return (self.folder / "made").is_file() and self.command.is_file()

    @property
    def working(self) -> bool:
        """Whether it is being made."""
        return self._thread is not None and self._thread.is_alive()

    def make(self, source: str = "") -> None:
        """Begin to make it, from a package or folder; by default this repository, where the module lies in one.

        Raises OSError where the machine has no Python for it.
        """
        python = python_of_machine(self._environment)
        self.failed, self._stopped = "", False
        self._thread = threading.Thread(target=self._make, args=(python, source or _source()), daemon=True)
        self._thread.start()

    def stop(self, seconds: float = 10.0) -> None:
        """Give it up; what is half made is made anew the next time."""
        self._stopped = True
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
        if self._thread is not None:
            self._thread.join(seconds)

    def _make(self, python: str, source: str) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        inside = self.command.with_name(f"python{self.command.suffix}")
        pins = REPOSITORY / "constraints.txt"
        pinned = ["-c", str(pins)] if pins.is_file() else []
        for words in (
            [python, "-m", "venv", str(self.folder)],
            [str(inside), "-m", "pip", "install", "--disable-pip-version-check", *pinned, f"{source}[server]"],
        ):
            if self._stopped or not self._run(words):
                self.failed = self.failed or "it was stopped"
                return
        (self.folder / "made").write_text(source)

    def _run(self, words: list[str]) -> bool:
        try:
            self._process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                env=self._environment,
            )
        except OSError as error:
            self.failed = str(error)
            return False
        for line in self._process.stdout or ():
            self.lines = [*self.lines, line.rstrip()][-MOST_LINES:]
        if self._process.wait() != 0 and not self._stopped:
            self.failed = self.lines[-1] if self.lines else f"{words[0]} ended with {self._process.returncode}"
        return self._process.returncode == 0


def folder_of_user() -> Path:
    """Where the environment lies by default."""
    if os.name == "nt":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home()) / "Delineate" / "environment"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "Delineate" / "environment"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "delineate" / "environment"


def _source() -> str:
    return str(REPOSITORY) if (REPOSITORY / "pyproject.toml").is_file() else "delineate"
