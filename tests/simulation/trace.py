"""Trace: what happened, as lines of text and as one hash.

The hash alone is kept by default: lines cost memory and are wanted only for the seed that is
looked at.
"""

import hashlib


class Trace:
    """Takes one line per thing that happened.  `lines` is None unless they are kept."""

    def __init__(self, *, is_kept: bool = False) -> None:
        self.lines: list[str] | None = [] if is_kept else None
        self._state = hashlib.blake2b(digest_size=16)
        self._pending: list[str] = []

    def add(self, line: str) -> None:
        """Take a line, without a line break."""
        self._pending.append(line)
        if len(self._pending) >= 256:
            self._flush()

    def digest(self) -> str:
        """Return the hash of all lines so far."""
        self._flush()
        return self._state.copy().hexdigest()

    def text(self) -> str:
        """Return all lines, which must have been kept."""
        self._flush()
        assert self.lines is not None
        return "".join(f"{line}\n" for line in self.lines)

    def _flush(self) -> None:
        if self._pending:
            self._state.update(("\n".join(self._pending) + "\n").encode())
            if self.lines is not None:
                self.lines.extend(self._pending)
            self._pending.clear()
