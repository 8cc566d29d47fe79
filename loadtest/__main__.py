"""`python -m loadtest SCENARIO [--json] [--html PATH] [--png PATH]`: run one, or `all` and rewrite RESULTS.md."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from loadtest import machine, results, scenarios, suite
from loadtest.page import photograph, render
from loadtest.processes import ChildFailedError
from loadtest.report import Report
from streamd.errors import StreamdError
from streamd.telemetry import log

_IDLE_LOAD = 0.5
_RESULTS = Path(__file__).with_name("RESULTS.md")


def main() -> int:
    """Exit code 0 when every target was met, 1 when one was missed, 2 when a run failed."""
    parser = _parser()
    arguments = parser.parse_args()
    if arguments.scenario is None:
        parser.print_help()
        return 0
    log.configure(level="warning")  # what the product says inside a scenario is no part of the report
    # Ctrl-C and SIGTERM end the run the same way: every server and generator is stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        reports = _all(arguments) if arguments.scenario == "all" else [_run(arguments.scenario, arguments)]
    except (ChildFailedError, StreamdError, RuntimeError) as failure:
        print(failure.one_line() if isinstance(failure, StreamdError) else failure, file=sys.stderr)
        return 2
    _show(reports, arguments)
    if any(report.errors and not report.figures for report in reports):
        return 2
    return 1 if any(report.missed for report in reports) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m loadtest", description="Load tests and comparisons on loopback.")
    commands = parser.add_subparsers(dest="scenario", title="scenarios", metavar="SCENARIO")
    for name in (*scenarios.NAMES, *scenarios.ASIDE):
        module = scenarios.load(name)
        said = module.SUMMARY.replace("%", "%%")  # argparse fills in what follows a per cent sign, in `help` only
        command = commands.add_parser(name, help=said, description=module.SUMMARY)
        module.add_arguments(command)
        _add_outputs(command)
    said = "run all with their defaults and rewrite loadtest/RESULTS.md; one that fails costs its own section only"
    everything = commands.add_parser("all", help=said, description=said)
    everything.add_argument("--only", type=_names, metavar="NAME,NAME", help="these only; other sections stay")
    everything.add_argument("--each-minutes", type=float, default=12.0, help="the longest that one may take")
    everything.add_argument("--minutes", type=float, default=75.0, help="the longest that all may take")
    _add_outputs(everything)
    return parser


def _add_outputs(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="print JSON")
    command.add_argument("--html", type=Path, metavar="PATH", help="write one page with charts, complete in itself")
    command.add_argument("--png", type=Path, metavar="PATH", help="write a picture of that page")


def _names(said: str) -> tuple[str, ...]:
    wanted = said.split(",")
    known = (*scenarios.NAMES, *scenarios.ASIDE)
    if unknown := [name for name in wanted if name not in known]:
        raise argparse.ArgumentTypeError(f"no scenario is called {', '.join(unknown)}; there are {', '.join(known)}")
    return tuple(name for name in known if name in wanted)


def _all(arguments: argparse.Namespace) -> list[Report]:
    """Each in a process of its own. RESULTS.md is written after each, so that an interrupted run loses one only."""
    names = arguments.only or scenarios.NAMES
    began = time.monotonic()
    reports = []
    for report in suite.run(names, each_s=60 * arguments.each_minutes, all_s=60 * arguments.minutes, say=_progress):
        measured = time.strftime("%Y-%m-%d %H:%M", time.gmtime())
        results.refresh(_RESULTS, [results.Section.of(report, measured=measured)], (*scenarios.NAMES, *scenarios.ASIDE))
        reports.append(report)
    _progress(f"{len(reports)} scenarios in {(time.monotonic() - began) / 60:.1f} min; {_RESULTS} is written")
    return reports


def _progress(text: str) -> None:
    print(time.strftime("%H:%M:%S", time.gmtime()), text, file=sys.stderr, flush=True)


def _run(name: str, arguments: argparse.Namespace) -> Report:
    """One scenario, here."""
    circumstances = _circumstances()
    started = time.monotonic()
    report = scenarios.load(name).run(arguments)
    command = shlex.join(["python", "-m", "loadtest", name, *_options(sys.argv[2:])])
    seconds = time.monotonic() - started
    return replace(report, command=command, seconds=seconds, circumstances=circumstances)


def _options(said: Sequence[str]) -> list[str]:
    """What was asked for, without where it was to be shown."""
    kept = [word for word in said if word != "--json"]
    for name in ("--html", "--png"):
        while name in kept:
            at = kept.index(name)
            del kept[at : at + 2]
        kept = [word for word in kept if not word.startswith(f"{name}=")]
    return kept


def _circumstances() -> str:
    """When, of what revision, on which machine, and what else that was doing."""
    load = os.getloadavg()[0]
    warning = " The machine was busy with other work: latencies and request rates suffer." if load > _IDLE_LOAD else ""
    now = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    return (
        f"Measured {now}, streamd {machine.revision()}, on {machine.describe().one_line()}. "
        f"Load average before the run: {load:.1f}.{warning}"
    )


def _show(reports: Sequence[Report], arguments: argparse.Namespace) -> None:
    if arguments.json:
        facts = machine.describe()
        print(json.dumps([report.as_dict(facts) for report in reports], indent=2))
    else:
        print(*(report.text() for report in reports), sep="\n\n")
    if not (arguments.html or arguments.png):
        return
    page = render(reports, title="streamd: load tests", subtitle="Everything on one machine, over loopback.")
    with tempfile.TemporaryDirectory() as folder:
        path = arguments.html or Path(folder) / "page.html"
        path.write_text(page, encoding="utf-8")
        if arguments.png:
            photograph(path, arguments.png)


if __name__ == "__main__":
    sys.exit(main())
