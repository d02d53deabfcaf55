"""Machine: what the system tells of this process, read when somebody asks.

A file of its own because it is Linux: each figure is left out where the system does not have it.
"""

import os
import resource
import time
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc/self")
_DESCRIPTORS = "/proc/self/fd"
_INFINITE = 2**64 - 1  # how an address space without a limit is shown
_START_FIELD, _VIRTUAL_FIELD, _RESIDENT_FIELD = 19, 20, 21  # of stat, after the name


class Memory(NamedTuple):
    """Bytes, and when the process started, Unix seconds."""

    resident_bytes: int
    virtual_bytes: int
    started_s: float


def cpu_s() -> float:
    """Return the processor time used so far, in seconds."""
    return time.process_time()


def find_memory() -> Memory | None:
    """Return what the process holds and since when, None where there is no /proc."""
    try:
        stat = (_PROC / "stat").read_bytes()
        uptime_s = float((_PROC.parent / "uptime").read_bytes().split()[0])
    except OSError:
        return None
    # The name in brackets may hold anything, brackets too.
    fields = stat[stat.rindex(b")") + 2 :].split()
    ticks = os.sysconf("SC_CLK_TCK")
    booted_s = time.time() - uptime_s
    return Memory(
        int(fields[_RESIDENT_FIELD]) * resource.getpagesize(),
        int(fields[_VIRTUAL_FIELD]),
        round(booted_s + int(fields[_START_FIELD]) / ticks, 2),
    )


def find_descriptor_count() -> int | None:
    """Return how many descriptors are open, None where the system does not tell."""
    try:
        # Newer kernels tell it as the size; listing 50,000 names would take the loop's time.
        return os.stat(_DESCRIPTORS).st_size or len(os.listdir(_DESCRIPTORS))
    except OSError:
        return None


def descriptors_max() -> int:
    """Return how many descriptors may be open."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def virtual_bytes_max() -> int:
    """Return how large the address space may be."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return _INFINITE if limit == resource.RLIM_INFINITY else limit
