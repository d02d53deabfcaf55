"""Metrics as values: a family, a histogram of our own, and the text that Prometheus reads.

A leaf, so that every part may count; which metrics there are is `families`' part, and what they
are worth is read when somebody scrapes, from plain integers that the parts keep anyway.

Why not prometheus_client: its writer gives every counter the suffix `_total`, and etcd has some
without it (`etcd_server_health_success`); one increment of its counters costs 20 times that of an
integer, and one observation of a histogram 10 times that of the one below.  Its parser judges
this writer in the tests.
Source: spec/observability.md section 4; the text format 0.0.4 of Prometheus.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

CONTENT_TYPE = b"Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"

_NS_PER_S = 1_000_000_000
_HELP_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n"})
_LABEL_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


class Kind(StrEnum):
    """The type that the text names."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Buckets:
    """Upper bounds that double: `first`, `2 * first`, ...; `count` of them before infinity."""

    first: float
    count: int

    def bounds(self) -> list[float]:
        """Return the upper bounds, ascending, without infinity."""
        return [self.first * 2**power for power in range(self.count)]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: its name, its type, its labels in the order of the text, and its help."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: Buckets | None = None  # of a histogram
    is_extensive: bool = False  # shown with `--metrics extensive` only


class Histogram:
    """Whole numbers in buckets that double; one observation costs two additions.

    `first` is the first bucket's upper bound, in the unit of what is observed.
    Invariant: `counts` has one place for each bound and one for what is above them all.
    """

    __slots__ = ("_first", "_last", "counts", "total")

    def __init__(self, first: int, bound_count: int) -> None:
        self._first = first
        self._last = bound_count
        self.counts = [0] * (bound_count + 1)
        self.total = 0

    @classmethod
    def of_durations(cls, buckets: Buckets) -> "Histogram":
        """Return one for nanoseconds, where the family's bounds are seconds."""
        return cls(round(buckets.first * _NS_PER_S), buckets.count)

    def observe(self, value: int) -> None:
        """Count one value; one below zero, as a clock that is set back gives it, as zero."""
        if value <= self._first:  # what is fast shall be counted fast
            self.counts[0] += 1
            if value > 0:
                self.total += value
            return
        slot = ((value - 1) // self._first).bit_length()
        self.counts[min(slot, self._last)] += 1
        self.total += value


@dataclass(slots=True)
class _Shown:
    """The lines of one family so far."""

    family: Family
    lines: list[str] = field(default_factory=list)


class Exposition:
    """The text of one scrape: values are put in, in any order, and come out sorted by name."""

    def __init__(self, families: Mapping[str, Family], *, is_extensive: bool = False) -> None:
        """`families` are all that may be put in, by name."""
        self._families = families
        self._is_extensive = is_extensive
        self._shown: dict[str, _Shown] = {}

    def put(self, name: str, value: float, *label_values: str) -> None:
        """Show one value, its labels in the family's order.  Raises: KeyError for no family."""
        family = self._families[name]
        assert family.kind is not Kind.HISTOGRAM
        if self._is_wanted(family):
            labels = _render_labels(zip(family.labels, label_values, strict=True))
            self._lines(family).append(f"{name}{labels} {render_number(value)}")

    def put_histogram(
        self, name: str, counts: Sequence[int], total: float, *label_values: str
    ) -> None:
        """Show what fell into each bucket, and the sum, in the family's unit.

        Raises: KeyError for no family.
        """
        family = self._families[name]
        assert family.buckets is not None
        assert len(counts) == family.buckets.count + 1
        if not self._is_wanted(family):
            return
        labels = list(zip(family.labels, label_values, strict=True))
        lines = self._lines(family)
        below = 0
        bounds = [*map(render_number, family.buckets.bounds()), "+Inf"]
        for bound, count in zip(bounds, counts, strict=True):
            below += count
            lines.append(f"{name}_bucket{_render_labels([*labels, ('le', bound)])} {below}")
        shown = _render_labels(labels)
        lines.append(f"{name}_sum{shown} {render_number(total)}")
        lines.append(f"{name}_count{shown} {below}")

    def put_durations(self, name: str, histogram: Histogram, *label_values: str) -> None:
        """Show a histogram of nanoseconds in seconds.  Raises: KeyError for no family."""
        self.put_histogram(name, histogram.counts, histogram.total / _NS_PER_S, *label_values)

    def render(self) -> bytes:
        """Return the text; a family without a value is not in it."""
        parts: list[str] = []
        for name in sorted(self._shown):
            shown = self._shown[name]
            parts.append(f"# HELP {name} {shown.family.help.translate(_HELP_ESCAPES)}")
            parts.append(f"# TYPE {name} {shown.family.kind}")
            parts += shown.lines
        return "".join(f"{part}\n" for part in parts).encode()

    def _is_wanted(self, family: Family) -> bool:
        return self._is_extensive or not family.is_extensive

    def _lines(self, family: Family) -> list[str]:
        shown = self._shown.get(family.name)
        if shown is None:
            shown = self._shown[family.name] = _Shown(family)
        return shown.lines


def render_number(value: float) -> str:
    """Return a number as the text has it: whole ones without a point."""
    if isinstance(value, int):
        return str(value)
    if value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return repr(value)


def _render_labels(labels: Iterable[tuple[str, str]]) -> str:
    shown = ",".join(f'{name}="{value.translate(_LABEL_ESCAPES)}"' for name, value in labels)
    return f"{{{shown}}}" if shown else ""
