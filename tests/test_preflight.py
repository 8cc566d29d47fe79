"""What is asked before a node starts: every finding is one line with its remedy."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamd import preflight
from streamd.config import SettingsProblems, load
from streamd.settings import Settings
from tests.support.mariadb import MariaDb
from tests.support.ports import free_port


def settings(folder: Path, **changes: str) -> Settings:
    environ = {
        "STREAMD_DATA_DIR": str(folder / "data"),
        "STREAMD_HTTP_HOST": "127.0.0.1",
        "STREAMD_HTTP_PORT": str(free_port()),
        "STREAMD_RTMP_HOST": "127.0.0.1",
        "STREAMD_RTMP_PORT": str(free_port()),
    }
    return load(environ={**environ, **changes}, folder=folder)


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def problems(found: Settings, folder: Path) -> list[str]:
    with pytest.raises(SettingsProblems) as caught:
        preflight.inspect(found, pages=folder)
    return [problem.one_line() for problem in caught.value.problems]


def test_fresh_machine_is_fit_and_warned_of_missing_pages_only(tmp_path: Path) -> None:
    (warning,) = preflight.inspect(settings(tmp_path), pages=tmp_path / "dist")
    assert "make web" in warning.one_line()
    assert (tmp_path / "data" / "streamd.db").exists()


def test_busy_port_is_named_with_the_program_that_has_it(tmp_path: Path, taken: int) -> None:
    (line,) = problems(settings(tmp_path, STREAMD_RTMP_PORT=str(taken)), tmp_path)
    assert f"cannot listen for RTMP on 127.0.0.1:{taken}" in line
    assert f"(pid {os.getpid()})" in line
    assert "STREAMD_RTMP_PORT" in line


def test_port_that_just_closed_is_not_taken_for_busy(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            accepted, _ = server.accept()
            accepted.close()  # our side closes first and keeps the port in TIME_WAIT
            client.recv(1)
    assert list(preflight.check_ports(settings(tmp_path, STREAMD_HTTP_PORT=str(port)))) == []


def test_address_of_another_machine_is_explained(tmp_path: Path) -> None:
    (line,) = problems(settings(tmp_path, STREAMD_HTTP_HOST="192.0.2.1"), tmp_path)
    assert "cannot listen for HTTP on 192.0.2.1" in line
    assert "STREAMD_HTTP_HOST" in line


def test_webrtc_takes_any_free_port_of_its_range(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken_udp:
        taken_udp.bind(("127.0.0.1", 0))
        port = taken_udp.getsockname()[1]
        (line,) = problems(settings(tmp_path, STREAMD_WEBRTC_UDP_PORTS=f"{port}-{port}"), tmp_path)
        assert "cannot listen for WebRTC on 127.0.0.1" in line
        assert "every port of the range is taken" in line
        wider = f"{port - 1}-{port + 1}" if port < 65_535 else f"{port - 2}-{port}"
        assert list(preflight.check_udp_ports(settings(tmp_path, STREAMD_WEBRTC_UDP_PORTS=wider))) == []


def test_a_webrtc_address_of_another_machine_is_explained(tmp_path: Path) -> None:
    (line,) = problems(settings(tmp_path, STREAMD_WEBRTC_HOST="192.0.2.1"), tmp_path)
    assert "STREAMD_WEBRTC_HOST" in line


def test_everything_wrong_is_told_at_once(tmp_path: Path, taken: int) -> None:
    (tmp_path / "data").write_text("a file where the folder should be", encoding="utf-8")
    found = settings(
        tmp_path,
        STREAMD_HTTP_PORT=str(taken),
        STREAMD_RTMPS_CERT="/nowhere/cert.pem",
        STREAMD_RTMPS_KEY="/nowhere/key.pem",
    )
    lines = problems(found, tmp_path)
    assert len(lines) == 3
    assert any("cannot listen for HTTP" in line for line in lines)
    assert any("the certificate /nowhere/cert.pem" in line for line in lines)
    assert any("the data folder" in line and "mkdir -p" in line for line in lines)


def test_certificate_and_key_that_belong_together_are_accepted(tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subject = ["-subj", "/CN=localhost", "-keyout", str(key), "-out", str(cert)]
    subprocess.run([*command, *subject], check=True, capture_output=True)
    found = settings(tmp_path, STREAMD_RTMPS_CERT=str(cert), STREAMD_RTMPS_KEY=str(key))
    assert list(preflight.check_tls(found)) == []
    assert preflight.tls_context(found) is not None
    assert preflight.tls_context(settings(tmp_path)) is None


def test_all_descriptors_this_process_may_have_are_taken() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, hard), hard))
        warnings = list(preflight.raise_descriptor_limit())
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
        assert bool(warnings) == (hard < preflight.ENOUGH_DESCRIPTORS)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_few_descriptors_are_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1_024, 1_024))
    (warning,) = preflight.raise_descriptor_limit()
    assert "1024" in warning.what
    assert "LimitNOFILE" in warning.fix


def test_shared_database_is_not_migrated_behind_its_owners_back(tmp_path: Path, mariadb: MariaDb) -> None:
    found = settings(tmp_path, STREAMD_DATABASE_URL=mariadb.create_database())
    (line,) = problems(found, tmp_path)
    assert "the database lacks " in line
    assert "0001" in line
    assert "streamd migrate" in line


def test_database_that_does_not_answer_is_a_problem(tmp_path: Path) -> None:
    url = f"mysql+aiomysql://root:hunter2@127.0.0.1:{free_port()}/streamd"
    (line,) = problems(settings(tmp_path, STREAMD_DATABASE_URL=url), tmp_path)
    assert "does not answer" in line
    assert "hunter2" not in line
