"""What a scenario found: figures against targets, tables, and what to keep in mind when reading them.

One `Report` is shown three ways: text for a terminal, JSON for machines, Markdown for RESULTS.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median

from loadtest.machine import Machine


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured number. `most` or `least` is the target, when there is one."""

    name: str
    value: float
    unit: str = ""
    most: float | None = None
    least: float | None = None
    samples: tuple[float, ...] = ()  # what `value` is the median of

    @property
    def holds(self) -> bool | None:
        """Whether the target is met; None without one."""
        if self.most is not None:
            return self.value <= self.most
        if self.least is not None:
            return self.value >= self.least
        return None

    @property
    def target(self) -> str:
        """The target for people."""
        if self.most is not None:
            return f"≤ {number(self.most)}"
        return f"≥ {number(self.least)}" if self.least is not None else ""

    @property
    def verdict(self) -> str:
        """`holds`, for people."""
        return {None: "", True: "holds", False: "MISSED"}[self.holds]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of text or numbers under a title."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All that one run of a scenario has to say."""

    scenario: str
    title: str
    command: str
    figures: tuple[Figure, ...]
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()  # how it was measured, and what could be wrong with that
    seconds: float = 0.0
    errors: tuple[str, ...] = field(default=())  # what went wrong without ending the run

    def as_dict(self, machine: Machine) -> dict[str, object]:
        """For JSON."""
        said = asdict(self)
        for row, figure in zip(said["figures"], self.figures, strict=True):
            row["holds"] = figure.holds
        return {"machine": machine.as_dict(), **said}

    def text(self) -> str:
        """For a terminal."""
        parts = [f"{self.title}\n{'-' * len(self.title)}"]
        parts.append(_text_table(("figure", "value", "unit", "target", ""), _figure_rows(self.figures)))
        parts += [f"{table.title}\n{_text_table(table.columns, table.rows)}" for table in self.tables]
        parts += [f"error: {error}" for error in self.errors]
        parts.append("\n".join(f"- {note}" for note in self.notes))
        return "\n\n".join(part for part in parts if part)

    def markdown(self) -> str:
        """One section of RESULTS.md."""
        parts = [f"## {self.title}", f"`{self.command}`"]
        parts.append(_markdown_table(("figure", "value", "unit", "target", ""), _figure_rows(self.figures)))
        parts += [f"{table.title}:\n\n{_markdown_table(table.columns, table.rows)}" for table in self.tables]
        parts += [f"**Error:** {error}" for error in self.errors]
        parts.append("\n".join(f"- {note}" for note in self.notes))
        return "\n\n".join(part for part in parts if part)


def sampled(
    name: str, samples: Sequence[float], *, unit: str = "", most: float | None = None, least: float | None = None
) -> Figure:
    """The median of several measurements."""
    return Figure(name=name, value=median(samples), unit=unit, most=most, least=least, samples=tuple(samples))


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` (0 to 1) of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -(-int(share * 1000 * len(ordered)) // 1000) - 1))]


def number(value: object) -> str:
    """Three or four significant digits, never an exponent."""
    if not isinstance(value, float):
        return str(value)
    if value == 0 or abs(value) >= 1000:
        return f"{value:,.0f}"
    digits = 2 if abs(value) >= 10 else 3
    return f"{value:.{digits}f}"


def _figure_rows(figures: Sequence[Figure]) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for figure in figures:
        spread = f" ({number(min(figure.samples))} to {number(max(figure.samples))})" if len(figure.samples) > 1 else ""
        rows.append((figure.name, number(figure.value) + spread, figure.unit, figure.target, figure.verdict))
    return rows


def _text_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    cells = [list(columns), *([number(cell) for cell in row] for row in rows)]
    widths = [max(len(row[index]) for row in cells) for index in range(len(columns))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    return "\n".join(lines)


def _markdown_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(number(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)
