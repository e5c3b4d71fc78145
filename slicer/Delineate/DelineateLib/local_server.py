"""A server on this machine, started in its own environment: nothing is installed into Slicer."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import threading
from typing import Any

ADDRESS = re.compile(r"(https?://[^\s/#]+)")
MOST_LINES = 200


class LocalServer:
    """``delineate serve`` as a process that ends with the module.

    address  where it listens; "" until it says so
    command  what was started; the token is not in it, where other people of the machine could read it
    lines    what it said last
    """

    def __init__(self, command: list[str], environment: dict[str, str] | None = None) -> None:
        self.token = secrets.token_urlsafe(16)
        self.address = ""
        self.lines: list[str] = []
        self.command = [*command, "serve", "--port", "0"]
        inherited = os.environ if environment is None else environment
        options: dict[str, Any] = {"env": {**inherited, "DELINEATE_TOKEN": self.token}}
        self._process = subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )
        threading.Thread(target=self._read, daemon=True).start()

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process.poll() is None

    def stop(self, seconds: float = 10.0) -> None:
        """End it; what was outlined is kept."""
        if self.running:
            self._process.terminate()
            try:
                self._process.wait(seconds)
            except subprocess.TimeoutExpired:
                self._process.kill()

    def _read(self) -> None:
        for line in self._process.stderr or ():
            self.lines = [*self.lines, line.rstrip()][-MOST_LINES:]
            found = ADDRESS.search(line)
            if found and not self.address:
                self.address = found[1]
