"""The harness: a defect is a set of replaced attributes, for the time of a `with` block."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


class Patches:
    """Replaced attributes of modules and classes, and what they were."""

    def __init__(self) -> None:
        self._saved: list[tuple[Any, str, Any]] = []

    def replace(self, owner: Any, name: str, value: Any) -> Any:
        """Put `value` in the place of `owner.name`, and return what stood there."""
        before = vars(owner)[name]
        self._saved.append((owner, name, before))
        setattr(owner, name, value)
        return before

    def replace_handler(self, table: Any, value: Any, before: Any) -> None:
        """Put `value` in the place of the handler `before`, in each row of a dispatch table."""
        for row in table.values():
            for kind, handler in list(row.items()):
                if handler is before:
                    self._saved.append((row, kind, handler))
                    row[kind] = value

    def undo(self) -> None:
        """Put everything back."""
        for owner, name, before in reversed(self._saved):
            if isinstance(owner, dict):
                owner[name] = before
            else:
                setattr(owner, name, before)
        self._saved.clear()


Sabotage = Callable[[Patches], None]


@dataclass(frozen=True, slots=True)
class Mutant:
    """One defect: what it is called, and what puts it in."""

    name: str
    sabotage: Sabotage


MUTANTS: dict[str, Mutant] = {}


def mutant(name: str) -> Callable[[Sabotage], Sabotage]:
    """Add the function under this decorator to the list of mutants."""

    def register(sabotage: Sabotage) -> Sabotage:
        assert name not in MUTANTS
        MUTANTS[name] = Mutant(name, sabotage)
        return sabotage

    return register


@contextmanager
def sabotaged(defect: Mutant) -> Iterator[None]:
    """Have the defect in for as long as the block lasts."""
    patches = Patches()
    defect.sabotage(patches)
    try:
        yield
    finally:
        patches.undo()
