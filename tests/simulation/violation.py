"""Violation: a promise that was broken.  A leaf, so that all checkers can share it."""


class Violation(Exception):
    """What was seen contradicts a promise; `invariant` names it, the text says how."""

    def __init__(self, invariant: str, text: str) -> None:
        super().__init__(f"{invariant}: {text}")
        self.invariant = invariant
