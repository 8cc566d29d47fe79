"""The command line: help for every scenario, and JSON that is nothing else."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from loadtest import scenarios
from loadtest.__main__ import main


@pytest.mark.parametrize("scenario", [None, "all", *scenarios.NAMES, *scenarios.ASIDE])
def test_help_is_printed(
    scenario: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["loadtest", *([scenario] if scenario else []), "--help"])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr().out
    assert ended.value.code == 0
    assert "usage: python -m loadtest" in said
    assert "%%" not in said


def test_json_is_all_that_is_printed_though_the_product_speaks_meanwhile() -> None:
    argv = [sys.executable, "-m", "loadtest", "day", "--hours", "0.02", "--json"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    (report,) = json.loads(done.stdout)
    assert report["scenario"] == "day"
    assert done.returncode in (0, 1), done.stderr  # a short day is slow to start
