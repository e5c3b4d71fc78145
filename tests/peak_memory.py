"""How much memory a piece of code takes at its peak, in a process of its own (Linux tells it)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

linux_only = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")

_FRAME = """
def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1024
{prepare}
before = peak()
{code}
print("peak", peak() - before)
"""


def peak_mib(code: str, prepare: str = "") -> float:
    """MiB that ``code`` adds to the peak of a fresh interpreter that ran ``prepare`` (imports, small inputs)."""
    done = subprocess.run(
        [sys.executable, "-c", _FRAME.format(prepare=prepare, code=code)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return float(done.stdout.split("peak ")[-1])
