"""The fuzzer finds what is planted, repeats itself, and finds nothing in the parsers within its few thousand tries."""

from __future__ import annotations

import pytest

from loadtest.fuzz_targets import targets
from loadtest.fuzzing import Target, fuzz

TARGETS = {target.name: target for target in targets()}


def fragile(data: bytes) -> None:
    """Breaks behind two gates that chance alone passes once in sixteen million tries."""
    if not data:
        raise ValueError("empty")
    if data[0] == 0x80:
        if data[1:2] == b"\xff":
            if data[2:3] == b"\x40":
                raise KeyError("planted")
            return
        return


def planted() -> Target:
    return Target(name="planted", run=fragile, refusals=(ValueError,), seeds=(b"seed",), modules=(__name__,))


def test_lines_lead_to_what_is_planted_behind_gates() -> None:
    outcome = fuzz(planted(), seed=1, executions=40_000)
    assert any(kind.startswith("KeyError") for kind in outcome.crashers)
    assert outcome.refused > 0


def test_same_seed_gives_the_same_run() -> None:
    first, second = (fuzz(planted(), seed=3, executions=2_000) for _ in range(2))
    assert (first.crashers, first.lines, first.refused) == (second.crashers, second.lines, second.refused)


@pytest.mark.parametrize("name", TARGETS)
def test_parser_breaks_at_none_of_a_few_hundred_inputs(name: str) -> None:
    outcome = fuzz(TARGETS[name], seed=11, executions=400)
    assert outcome.crashers == {}
    assert outcome.executions == 400
    assert outcome.lines > 0
