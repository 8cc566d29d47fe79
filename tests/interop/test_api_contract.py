"""The API against its own description: Schemathesis reads `/api/openapi.json` and asks all it allows, and more."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

from tests.support.server import RunningServer, start_server

# More than a person may; the limits are tested elsewhere.
UNLIMITED = {"STREAMD_API_WRITES_PER_S": "1000"}


def schemathesis(server: RunningServer, folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("schemathesis")
    limits = ["--generation-deterministic", "--no-color", "--continue-on-failure", *more]
    command = [str(program), "run", f"{server.http_url}/api/openapi.json", *limits]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=280)


def access_token(server: RunningServer, name: str, password: str) -> str:
    body = json.dumps({"name": name, "password": password}).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{server.http_url}/api/v1/sessions", data=body, headers=headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        token: str = json.load(answer)["access_token"]
        return token


def test_every_answer_to_a_guest_is_one_that_the_description_promises(tmp_path: Path) -> None:
    with start_server(tmp_path, env=UNLIMITED) as server:
        result = schemathesis(server, tmp_path, "--max-examples", "10")
    assert result.returncode == 0, result.stdout[-6_000:] + result.stderr[-2_000:]
    assert "❌" not in result.stdout


def test_every_answer_to_an_administrator_is_one_that_the_description_promises(tmp_path: Path) -> None:
    with start_server(tmp_path, env=UNLIMITED) as server:
        made = json.loads(server.run("user", "create", "root", "--role", "admin", "--json").stdout)
        token = access_token(server, made["name"], made["password"])
        # These would end the session that asks.
        kept = ["--exclude-path", "/api/v1/sessions", "--exclude-path", "/api/v1/sessions/all"]
        result = schemathesis(server, tmp_path, "--max-examples", "10", "-H", f"Authorization: Bearer {token}", *kept)
        verdict = json.loads(server.run("audit", "verify", "--json").stdout)
    assert result.returncode == 0, result.stdout[-6_000:] + result.stderr[-2_000:]
    assert "❌" not in result.stdout
    assert verdict["entries"] > 100, "what the administrator did is recorded, in one chain"
