"""How many threads of the CPU may be used."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

from delineate.core.errors import DelineateWarning, ModelError

CGROUP_2 = Path("/sys/fs/cgroup/cpu.max")  # "quota period", or "max period"
CGROUP_1 = Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"), Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us")


def usable_threads(asked: int) -> int:
    """The number of threads asked for, at most one for each core this process may use; 0 stays 0, which means all.

    More than one thread on a core makes nothing faster, and many of them stop a machine. A person who asked for more
    is told with a DelineateWarning.

    Raises ModelError for negative numbers.
    """
    if asked < 0:
        raise ModelError("E-THREADS", f"{asked} is not a number of threads.", "0 means all; else 1 or more.")
    cores = usable_cores()
    if asked <= cores:
        return asked
    warnings.warn(
        f"{asked} threads were asked for; {cores} are used, as many as there are cores for this process.",
        DelineateWarning,
        stacklevel=4,  # who made the options whose threads these are
    )
    return cores


def usable_cores() -> int:
    """Cores this process may use: those there are, its affinity, and the share of them a container grants."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([affinity, *_quota()]))


def _quota() -> list[int]:
    """The limit of the container's CPU time in whole cores, rounded up, where there is one (Linux only)."""
    try:
        quota, period = CGROUP_2.read_text().split() if CGROUP_2.is_file() else (p.read_text() for p in CGROUP_1)
        return [-(-int(quota) // int(period))] if int(quota) > 0 else []
    except (OSError, ValueError):  # no limit, or none that can be read
        return []
