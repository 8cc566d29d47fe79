"""What a scenario found: figures against targets, tables, and what to keep in mind when reading them.

One `Report` is shown four ways: text for a terminal, JSON for machines, Markdown for RESULTS.md, and a page with charts
(`loadtest.page`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from statistics import median
from typing import Any, Self

from loadtest.charts import Chart
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
    charts: tuple[Chart, ...] = ()
    circumstances: str = ""  # when, on what machine and software, beside which load

    @property
    def missed(self) -> int:
        """How many targets were not met."""
        return sum(figure.holds is False for figure in self.figures)

    @property
    def targets(self) -> int:
        """How many there were."""
        return sum(figure.holds is not None for figure in self.figures)

    @classmethod
    def from_dict(cls, said: Mapping[str, Any]) -> Self:
        """What `as_dict` and JSON made of one."""
        kept = {one.name: said[one.name] for one in fields(cls)}
        figures = tuple(_figure(one) for one in said["figures"])
        tables = tuple(
            Table(title=one["title"], columns=tuple(one["columns"]), rows=tuple(tuple(row) for row in one["rows"]))
            for one in said["tables"]
        )
        charts = tuple(Chart.from_dict(one) for one in said["charts"])
        plain = {"notes": tuple(said["notes"]), "errors": tuple(said["errors"])}
        return cls(**{**kept, **plain, "figures": figures, "tables": tables, "charts": charts})

    def as_dict(self, machine: Machine) -> dict[str, object]:
        """For JSON."""
        said = asdict(self)
        for row, figure in zip(said["figures"], self.figures, strict=True):
            row["holds"] = figure.holds
        return {"machine": machine.as_dict(), **said}

    def text(self) -> str:
        """For a terminal."""
        parts = [f"{self.title}\n{'-' * len(self.title)}", f"{self.command}\n{self.circumstances}".strip()]
        if self.figures:
            parts.append(_text_table(("figure", "value", "unit", "target", ""), _figure_rows(self.figures)))
        parts += [f"{table.title}\n{_text_table(table.columns, table.rows)}" for table in self.tables]
        parts += [f"error: {error}" for error in self.errors]
        parts.append("\n".join(f"- {note}" for note in self.notes))
        return "\n\n".join(part for part in parts if part)

    def markdown(self) -> str:
        """One section of RESULTS.md."""
        parts = [f"## {self.title}", f"`{self.command}`", self.circumstances]
        if self.figures:
            parts.append(_markdown_table(("figure", "value", "unit", "target", ""), _figure_rows(self.figures)))
        parts += [f"{table.title}:\n\n{_markdown_table(table.columns, table.rows)}" for table in self.tables]
        parts += [f"**Error:** {' '.join(error.split())}" for error in self.errors]
        parts.append("\n".join(f"- {note}" for note in self.notes))
        return "\n\n".join(part for part in parts if part)


def _figure(said: Mapping[str, Any]) -> Figure:
    kept = {one.name: said[one.name] for one in fields(Figure)}
    return Figure(**{**kept, "samples": tuple(said["samples"])})


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
