"""RESULTS.md: one section for each scenario, each with the date and circumstances of its own, and a table above them.

Writing puts new sections in the place of old ones and leaves the others as they were: nothing has to be put together
by hand. A mark before each section, which Markdown does not show, says whose it is. What was never run is named.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from loadtest.report import Report

_MARK = re.compile(
    r"<!-- scenario: (?P<name>\w+) · measured: (?P<measured>[^·]+?) · targets: (?P<targets>\d+) · "
    r"missed: (?P<missed>\d+) · errors: (?P<errors>\d+) -->\n"
)
_CAVEATS = """# Results

Written by `make bench` (`python -m loadtest all`); `python -m loadtest all --only NAME,NAME` measures some anew and
leaves the other sections as they are. Read this first.

- Everything runs on one machine: servers, encoders and viewers share its cores and take them from each other. Figures
  are CPU time of the servers' own processes, read from /proc, which depends little on who else runs; latencies and
  request rates do depend on it.
- Ours and the peer's figure come from the same run, the same source and the same window. Each is the median of several
  windows; the range of the windows stands beside it. Differences smaller than that range mean nothing.
- Loopback has no loss, no delay and segments of 64 KiB: the network's cost is not in these figures.
- Servers keep what they write in memory (/dev/shm), unless a section says otherwise: a gift to those that write files.
- Percentiles of waits are of HDR histograms. Callers at a fixed rate count from when a call was due; waits of callers
  who ask only after an answer are corrected for those who could not ask meanwhile (coordinated omission).
- Each section says when it was measured, on what, and how busy the machine was. Where we lose, the table says MISSED or
  shows the larger number; nothing was left out.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One scenario's part of the document."""

    name: str
    measured: str  # when, UTC
    targets: int
    missed: int
    errors: int
    text: str

    @classmethod
    def of(cls, report: Report, *, measured: str) -> Section:
        """A fresh one."""
        return cls(
            name=report.scenario,
            measured=measured,
            targets=report.targets,
            missed=report.missed,
            errors=len(report.errors),
            text=report.markdown(),
        )

    @property
    def has_failed(self) -> bool:
        """No figures came of it."""
        return bool(self.errors) and not self.targets and "| figure |" not in self.text

    def after(self, old: Section) -> Section:
        """What the document says from now on: a run that failed is said so above what the last one found."""
        if not self.has_failed or old.has_failed:
            return self
        heading, _, rest = old.text.strip().partition("\n")
        why = next(line for line in self.text.splitlines() if line.startswith("**Error:**"))
        text = f"{heading}\n\n**Run again at {self.measured} UTC, which failed.** {why} Below: the run before.\n{rest}"
        return replace(old, text=text, errors=old.errors + 1)

    def marked(self) -> str:
        """The section as it stands in the document."""
        return (
            f"<!-- scenario: {self.name} · measured: {self.measured} · targets: {self.targets} · "
            f"missed: {self.missed} · errors: {self.errors} -->\n{self.text.strip()}\n"
        )

    def row(self) -> str:
        """Its line of the table above."""
        said = "no target" if not self.targets else f"{self.targets - self.missed} of {self.targets}"
        if self.errors:
            said += ", with errors" if self.targets else ", failed"
        title = self.text.strip().partition("\n")[0].removeprefix("## ")
        return f"| {self.name} | {title} | {self.measured} | {said} |"


def read(text: str) -> list[Section]:
    """The sections of a document that was written here."""
    found = list(_MARK.finditer(text))
    ends = [*(mark.start() for mark in found[1:]), len(text)]
    return [
        Section(
            name=mark["name"],
            measured=mark["measured"],
            targets=int(mark["targets"]),
            missed=int(mark["missed"]),
            errors=int(mark["errors"]),
            text=text[mark.end() : end],
        )
        for mark, end in zip(found, ends, strict=True)
    ]


def render(sections: Iterable[Section], names: Sequence[str]) -> str:
    """The document, in the order of `names`, which are all that there could be."""
    by_name = {section.name: section for section in sections}
    there = [by_name[name] for name in names if name in by_name]
    rows = [section.row() for section in there]
    rows += [f"| {name} | not run yet | | |" for name in names if name not in by_name]
    table = "\n".join(["| scenario | what | measured (UTC) | targets met |", "|---|---|---|---|", *rows])
    return "\n".join([_CAVEATS, table, "", *(section.marked() for section in there)])


def refresh(path: Path, fresh: Iterable[Section], names: Sequence[str]) -> None:
    """Put `fresh` into the document, in place of what it said of them."""
    known = {section.name: section for section in (read(path.read_text(encoding="utf-8")) if path.exists() else [])}
    for section in fresh:
        old = known.get(section.name)
        known[section.name] = section.after(old) if old else section
    path.write_text(render(known.values(), names), encoding="utf-8")
