"""The API against its own description: Schemathesis reads `/api/openapi.json` and asks all it allows, and more."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.server import start_server


def test_every_answer_is_one_that_the_description_promises(tmp_path: Path) -> None:
    with start_server(tmp_path) as server:
        program = Path(sys.executable).with_name("schemathesis")
        limits = ["--max-examples", "40", "--generation-deterministic", "--no-color"]
        command = [str(program), "run", f"{server.http_url}/api/openapi.json", *limits]
        result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=110)
    assert result.returncode == 0, result.stdout[-4_000:] + result.stderr[-2_000:]
    assert "No issues found" in result.stdout
