"""The command line, as a process: what it prints, and how it exits."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

from streamd import __version__

ROOT = Path(__file__).parents[1]


def run(folder: Path, *args: str, stdin: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("STREAMD_")}
    own = {"PYTHONPATH": str(ROOT), "STREAMD_DATA_DIR": str(folder / "data")}
    return subprocess.run(
        [sys.executable, "-m", "streamd", *args],
        cwd=folder,
        env={**inherited, **own, **environ},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_version_is_printed(tmp_path: Path) -> None:
    assert run(tmp_path, "--version").stdout == f"streamd {__version__}\n"


def test_help_names_every_command_and_imports_no_server(tmp_path: Path) -> None:
    shown = run(tmp_path, "--help")
    assert all(name in shown.stdout for name in ("serve", "check-config", "migrate", "programme", "room"))
    script = (
        "import sys, streamd.cli; print([m for m in ('aiohttp', 'sqlalchemy', 'av', 'alembic') if m in sys.modules])"
    )
    loaded = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert loaded.stdout == "[]\n"


def test_room_is_created_listed_and_given_a_new_key(tmp_path: Path) -> None:
    run(tmp_path, "user", "create", "alice", "--role", "host")
    made = json.loads(run(tmp_path, "room", "create", "summer", "--title", "夏", "--owner", "alice", "--json").stdout)
    assert set(made) == {"room", "stream_key", "rtmp_url", "whip_url", "watch_url"}
    assert made["rtmp_url"] == "rtmp://127.0.0.1:1935/live"
    assert made["watch_url"] == "http://127.0.0.1:8080/watch/summer"
    assert made["whip_url"] == "http://127.0.0.1:8080/whip/summer"
    (row,) = json.loads(run(tmp_path, "room", "list", "--json").stdout)
    assert (row["room"], row["title"], row["owner"]) == ("summer", "夏", "alice")
    rotated = run(tmp_path, "room", "rotate-key", "summer").stdout
    assert made["stream_key"] not in rotated
    assert "stream_key" in rotated


def test_account_is_made_with_a_password_of_ones_own_or_one_that_is_shown_once(tmp_path: Path) -> None:
    made = json.loads(run(tmp_path, "user", "create", "alice", "--role", "admin", "--json").stdout)
    assert (made["name"], made["role"], len(made["password"])) == ("alice", "admin", 16)
    given = run(tmp_path, "user", "create", "bob", "--password-stdin", stdin="a few words\n")
    assert "password" not in given.stdout
    short = run(tmp_path, "user", "create", "carol", "--password-stdin", stdin="short\n")
    assert (short.returncode, short.stdout) == (1, "")
    assert "Fix: " in short.stderr


def test_room_of_an_owner_who_has_no_account_is_refused_with_the_way_to_make_one(tmp_path: Path) -> None:
    refused = run(tmp_path, "room", "create", "summer", "--owner", "nobody")
    assert refused.returncode == 1
    assert "streamd user create nobody" in refused.stderr


def test_audit_log_is_verified_and_what_was_changed_in_it_is_named(tmp_path: Path) -> None:
    run(tmp_path, "user", "create", "alice")
    run(tmp_path, "room", "create", "summer", "--owner", "alice")
    run(tmp_path, "room", "rotate-key", "summer")
    verdict = json.loads(run(tmp_path, "audit", "verify", "--json").stdout)
    assert verdict["entries"] == 3
    assert run(tmp_path, "audit", "verify", "--head", verdict["head"]).returncode == 0
    with sqlite3.connect(tmp_path / "data" / "streamd.db") as connection:
        connection.execute("UPDATE audit_log SET room = 'winter' WHERE seq = 2")
    connection.close()
    broken = run(tmp_path, "audit", "verify")
    assert broken.returncode == 1
    assert "entry 2 (room.create by operator)" in broken.stderr


def test_signing_key_is_added_and_named(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    first, second = (run(tmp_path, "signing-key", "add").stdout.strip() for _ in range(2))
    assert len(first) == len(second) == 16
    assert first != second


def test_addresses_that_are_printed_follow_the_settings(tmp_path: Path) -> None:
    environ = {"STREAMD_PUBLIC_URL": "https://live.example.com", "STREAMD_RTMP_PORT": "1940"}
    made = json.loads(run(tmp_path, "room", "create", "summer", "--json", **environ).stdout)
    assert made["rtmp_url"] == "rtmp://live.example.com:1940/live"
    assert made["whip_url"] == "https://live.example.com/whip/summer"


def test_failure_is_one_line_and_exit_1(tmp_path: Path) -> None:
    run(tmp_path, "room", "create", "summer")
    again = run(tmp_path, "room", "create", "summer")
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr.startswith("streamd: there is a room 'summer' already. Fix: ")
    assert again.stderr.count("\n") == 1


def test_check_config_prints_the_settings_with_their_sources(tmp_path: Path) -> None:
    (tmp_path / "streamd.toml").write_text("[http]\nport = 9000\n", encoding="utf-8")
    shown = run(tmp_path, "check-config", STREAMD_REDIS_URL="redis://:hunter2@cache/0")
    assert shown.returncode == 0
    lines = {line.split()[0]: line.split()[1:] for line in shown.stdout.splitlines()}
    assert lines["STREAMD_HTTP_PORT"] == ["9000", "[streamd.toml]"]
    assert lines["STREAMD_REDIS_URL"] == ["redis://:****@cache/0", "[environment]"]
    assert "hunter2" not in shown.stdout + shown.stderr


def test_check_config_names_every_problem_and_exits_2(tmp_path: Path) -> None:
    environ = {"STREAMD_HTTP_PORT": "eighty", "STREAMD_HTP_HOST": "x", "STREAMD_LOG_LEVEL": "loud"}
    shown = run(tmp_path, "check-config", **environ)
    assert shown.returncode == 2
    assert len(shown.stderr.splitlines()) == 3
    assert all(name in shown.stderr for name in environ)


def test_check_config_finds_a_data_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("in the way", encoding="utf-8")
    shown = run(tmp_path, "check-config")
    assert shown.returncode == 2
    assert "STREAMD_DATA_DIR" in shown.stdout
    assert "the data folder" in shown.stderr


def test_migrate_says_what_it_applied(tmp_path: Path) -> None:
    assert run(tmp_path, "migrate").stdout.startswith("applied 0001, ")
    assert run(tmp_path, "migrate").stdout == "the schema is the newest one\n"


def test_several_workers_without_redis_are_refused_with_what_why_and_fix(tmp_path: Path) -> None:
    shown = run(tmp_path, "serve", "--workers", "2")
    assert shown.returncode == 2
    assert "STREAMD_REDIS_URL is empty" in shown.stderr
    assert "Fix: " in shown.stderr


def test_programme_without_a_node_to_push_to_waits_and_ends_in_time(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    shown = run(tmp_path, "programme", "demo", "--seconds", "1", STREAMD_RTMP_PORT="9")
    assert (shown.returncode, "Traceback" in shown.stderr) == (0, False)


def test_unknown_command_exits_2(tmp_path: Path) -> None:
    assert run(tmp_path, "sevre").returncode == 2
