"""One page of metrics of several processes: every sample labelled with its worker, every family told once.

In: OpenMetrics pages, by worker. Out: one OpenMetrics page. Text in, text out; a family's lines stay together, as the
format demands. Source: OpenMetrics 1.0, "Overall structure".
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*?)\})?( .*)")
_EOF = "# EOF"


def merge(pages: Mapping[str, str]) -> str:
    """Pages by worker, as one page, in the order of the families' first appearance."""
    families: dict[str, _Family] = {}
    for worker, page in pages.items():
        family = _Family(worker)
        for line in page.splitlines():
            if line == _EOF:
                break
            if line.startswith("# "):
                family = families.setdefault(line.split(" ", 3)[2], _Family(worker))
                if family.teller == worker:
                    family.said.append(line)
            else:
                family.samples.append(_labelled(line, worker))
    lines = [line for family in families.values() for line in (*family.said, *family.samples)]
    return "\n".join([*lines, _EOF, ""])


class _Family:
    """What is said of it, by the worker that told it first; and the samples of all."""

    def __init__(self, teller: str) -> None:
        self.teller = teller
        self.said: list[str] = []
        self.samples: list[str] = []


def _labelled(line: str, worker: str) -> str:
    match = _SAMPLE.fullmatch(line)
    if match is None:
        return line
    name, labels, rest = match.groups()
    return f'{name}{{worker="{worker}"{"," + labels if labels else ""}}}{rest}'
