"""What was said of whom in the log, so that it is said once.

A file of its own because it outlives what it is said of: a guest is forgotten when its last stream
has ended, and comes again as often as it likes.
"""

#: Strangers can make up ids, so there is an end to it; what is not said is still counted.
SAID_COUNT_MAX = 256


class Said:
    """Pairs of who and what."""

    __slots__ = ("_pairs",)

    def __init__(self) -> None:
        self._pairs: set[tuple[str, str]] = set()

    def is_new(self, who: str, what: str) -> bool:
        """Tell whether this is to be said now, and remember it."""
        if (who, what) in self._pairs or len(self._pairs) >= SAID_COUNT_MAX:
            return False
        self._pairs.add((who, what))
        return True

    def has(self, who: str) -> bool:
        """Tell whether anything was said of somebody."""
        return any(pair[0] == who for pair in self._pairs)

    def forget(self, who: str) -> None:
        """Have all be new of somebody with whom all is well."""
        self._pairs = {pair for pair in self._pairs if pair[0] != who}
