"""What start-up found and did that an operator should read in the log.

Values, not log lines, because the store does not log: the caller does, with their fields.
`str()` of each is the sentence.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TailCut:
    """A last frame that was not whole: it had not been acknowledged, and is cut off."""

    path: str
    offset: int  # where the file now ends
    dropped_bytes: int

    def __str__(self) -> str:
        return (
            f"cut a torn frame off the end of {self.path}: "
            f"{self.dropped_bytes} bytes from offset {self.offset}"
        )


@dataclass(frozen=True, slots=True)
class SnapshotSkipped:
    """A snapshot file that was not used; `path` is its name from now on, "" if it is gone."""

    found_path: str
    path: str
    problem: str

    def __str__(self) -> str:
        fate = f"kept as {self.path}" if self.path else "removed"
        return f"did not use snapshot {self.found_path} ({fate}): {self.problem}"


@dataclass(frozen=True, slots=True)
class StrangeFile:
    """A name that is not ours in one of our directories; it is left alone."""

    path: str

    def __str__(self) -> str:
        return f"found {self.path}, which is not ours: ignored"


Note = TailCut | SnapshotSkipped | StrangeFile
