"""What a measurement is, and the plain table that many of them make."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Sample:
    """One number, measured once on one server."""

    case: str
    unit: str
    server: str
    value: float


@dataclass(frozen=True, slots=True)
class Row:
    """All samples of one case and unit, by server."""

    case: str
    unit: str
    values: dict[str, list[float]]  # server -> in the order measured


def rows(samples: Iterable[Sample]) -> list[Row]:
    """Group samples, in the order in which the cases first appear."""
    found: dict[tuple[str, str], Row] = {}
    for sample in samples:
        key = (sample.case, sample.unit)
        row = found.setdefault(key, Row(sample.case, sample.unit, {}))
        row.values.setdefault(sample.server, []).append(sample.value)
    return list(found.values())


def table(samples: Iterable[Sample], servers: Sequence[str]) -> str:
    """Return the samples as aligned lines; the ratio is the first server's by the second's."""
    head = ["case", "unit"]
    for server in servers:
        head += [server, "min..max"]
    if len(servers) == 2:
        head.append(f"{servers[0]}/{servers[1]}")
    return align([head, *(_cells(row, servers) for row in rows(samples))])


def _cells(row: Row, servers: Sequence[str]) -> list[str]:
    cells = [row.case, row.unit]
    for server in servers:
        values = row.values.get(server)
        if values:
            cells += [number(median(values)), f"{number(min(values))}..{number(max(values))}"]
        else:
            cells += ["-", "-"]
    if len(servers) == 2:
        ours, theirs = (median(row.values.get(server, [0])) for server in servers)
        cells.append(f"{ours / theirs:.2f}" if ours and theirs else "-")
    return cells


def number(value: float) -> str:
    """Return `value` with three significant digits or as a whole number."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def align(lines: Sequence[Sequence[str]]) -> str:
    """Return `lines` of cells in columns; the first two to the left, numbers to the right."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
