"""A wall clock that a test can move, for a Python process started with this folder on its path.

Python imports `sitecustomize` before anything of the program, so everything that reads the wall
clock by `time.time` or `time.time_ns` reads the moved one.  The offset, signed nanoseconds in eight
bytes, is mapped from the file that the environment names: moving it takes effect at once.
Monotonic clocks stay as they are, as they would under `settimeofday`.
"""

import mmap
import os
import struct
import time

_OFFSET = struct.Struct("<q")


def _move_clock(path: str) -> None:
    with open(path, "rb") as file:
        offset = mmap.mmap(file.fileno(), _OFFSET.size, prot=mmap.PROT_READ)
    true_time_ns = time.time_ns
    unpack = _OFFSET.unpack_from

    def time_ns() -> int:
        moved: int = true_time_ns() + unpack(offset)[0]
        return moved

    def time_s() -> float:
        return time_ns() / 1e9

    time.time_ns = time_ns
    time.time = time_s


if _path := os.environ.get("TEST_CLOCK_OFFSET_FILE"):
    _move_clock(_path)
