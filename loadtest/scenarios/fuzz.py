"""Every parser of ours against inputs that are led to where no input has been."""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

from loadtest.fuzz_targets import targets
from loadtest.fuzzing import Outcome, fuzz
from loadtest.report import Figure, Report, Table
from loadtest.stage import open_stage

SUMMARY = "Coverage-guided fuzzing of everything that reads strangers' bytes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Defaults: two minutes."""
    parser.add_argument("--seconds", type=float, default=120.0, help="shared by the targets")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="targets whose name contains this")
    parser.add_argument("--keep", type=Path, help="a folder for the inputs that broke something")


def run(arguments: argparse.Namespace) -> Report:
    """One target after the other, in this process."""
    chosen = [target for target in targets() if arguments.only in target.name]
    found: list[Outcome] = []
    with open_stage() as stage:
        for target in chosen:
            stage.say(f"{target.name}: {len(found)} of {len(chosen)}")
            found.append(fuzz(target, seed=arguments.seed, seconds=arguments.seconds / len(chosen)))
    broken = [(each.target, kind, inputs) for each in found for kind, inputs in each.crashers.items()]
    if arguments.keep is not None:
        arguments.keep.mkdir(parents=True, exist_ok=True)
        for name, _, inputs in broken:
            _write(arguments.keep, name, inputs[0])
    rows = tuple((each.target, each.executions, each.refused, each.lines, each.kept) for each in found)
    return Report(
        scenario="fuzz",
        title="Fuzzing, guided by the lines that run",
        command="",
        figures=(
            Figure(name="inputs that broke something, by kind", value=len(broken), most=0),
            Figure(name="executions", value=sum(each.executions for each in found)),
            Figure(name="lines reached", value=sum(each.lines for each in found)),
        ),
        tables=(Table(title="Targets", columns=("what", "executions", "refused", "lines", "kept inputs"), rows=rows),),
        errors=tuple(f"{name}: {kind}: {inputs[0][:200].hex()}" for name, kind, inputs in broken),
        notes=(
            f"Seed {arguments.seed}. Broken: an exception that is no refusal, a result that depends on how the bytes "
            "were sliced, or more than a quarter of a second for one input of at most 8 KiB.",
        ),
    )


def _write(folder: Path, name: str, data: bytes) -> None:
    stem = "".join(letter if letter.isalnum() else "-" for letter in name.lower())
    (folder / f"{stem}-{hashlib.sha256(data).hexdigest()[:12]}.bin").write_bytes(data)
