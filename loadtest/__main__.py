"""`python -m loadtest SCENARIO [--json]`: run one scenario, or `all` of them and rewrite RESULTS.md."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

from loadtest import machine, scenarios
from loadtest.processes import ChildFailedError
from loadtest.report import Report
from streamd.errors import StreamdError

_IDLE_LOAD = 0.5
_RESULTS = Path(__file__).with_name("RESULTS.md")
_CAVEATS = """# Results

Written by `make bench` (`python -m loadtest all`). Read this first.

- Everything runs on one machine: servers, encoders and viewers share its cores and take them from each other. Figures
  are CPU time of the servers' own processes, read from /proc, which depends little on who else runs; latencies and
  request rates do depend on it.
- Ours and the peer's figure come from the same run, the same source and the same window. Each is the median of several
  windows; the range of the windows stands beside it. Differences smaller than that range mean nothing.
- Loopback has no loss, no delay and segments of 64 KiB: the network's cost is not in these figures.
- Both servers keep what they write in memory (/dev/shm), which favours a server that writes files.
- Where we lose, the table says MISSED or shows the larger number; nothing was left out.

"""


def main() -> int:
    """Exit code 0 when every target was met, 1 when one was missed, 2 when the run failed."""
    arguments = _parser().parse_args()
    if arguments.scenario is None:
        _parser().print_help()
        return 0
    # Ctrl-C and SIGTERM end the run the same way: every server and generator is stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    facts = machine.describe()
    mood = _mood()
    try:
        reports = [_run(name, arguments) for name in _chosen(arguments)]
    except (ChildFailedError, StreamdError, RuntimeError) as failure:
        print(failure.one_line() if isinstance(failure, StreamdError) else failure, file=sys.stderr)
        return 2
    if arguments.scenario == "all":
        sections = "\n\n".join(report.markdown() for report in reports)
        today = time.strftime("%Y-%m-%d", time.gmtime())
        _RESULTS.write_text(f"{_CAVEATS}Measured {today}: {facts.one_line()}. {mood}\n\n{sections}\n", encoding="utf-8")
    if arguments.json:
        print(json.dumps([report.as_dict(facts) for report in reports], indent=2))
    else:
        print(facts.one_line(), mood, *(report.text() for report in reports), sep="\n\n")
    return 1 if any(figure.holds is False for report in reports for figure in report.figures) else 0


def _mood() -> str:
    """What else the machine was doing when the run began."""
    load = os.getloadavg()[0]
    warning = " The machine was busy with other work: latencies and request rates suffer." if load > _IDLE_LOAD else ""
    return f"Load average before the run: {load:.1f}.{warning}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m loadtest", description="Load tests and comparisons on loopback.")
    commands = parser.add_subparsers(dest="scenario", title="scenarios", metavar="SCENARIO")
    for name in scenarios.NAMES:
        module = scenarios.load(name)
        command = commands.add_parser(name, help=module.SUMMARY, description=module.SUMMARY)
        module.add_arguments(command)
        command.add_argument("--json", action="store_true", help="print JSON")
    everything = commands.add_parser("all", help="run all with their defaults and rewrite loadtest/RESULTS.md")
    everything.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _chosen(arguments: argparse.Namespace) -> tuple[str, ...]:
    return scenarios.NAMES if arguments.scenario == "all" else (arguments.scenario,)


def _run(name: str, arguments: argparse.Namespace) -> Report:
    if arguments.scenario == "all":
        arguments = _parser().parse_args([name])
    started = time.monotonic()
    report = scenarios.load(name).run(arguments)
    said = [argument for argument in sys.argv[1:] if argument not in ("--json", "all", name)]
    command = shlex.join(["python", "-m", "loadtest", name, *said])
    return replace(report, command=command, seconds=time.monotonic() - started)


if __name__ == "__main__":
    sys.exit(main())
