"""Settings: precedence, names, and every problem at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamd.config import SettingsProblems, explain, load, mask
from streamd.settings import Settings


def settings(folder: Path, environ: dict[str, str] | None = None, toml: str = "", **more: object) -> Settings:
    (folder / "streamd.toml").write_text(toml, encoding="utf-8")
    return load(environ=environ or {}, folder=folder, **more)  # type: ignore[arg-type]


def problems(folder: Path, environ: dict[str, str] | None = None, toml: str = "", **more: object) -> list[str]:
    with pytest.raises(SettingsProblems) as caught:
        settings(folder, environ, toml, **more)
    return [problem.one_line() for problem in caught.value.problems]


def test_defaults_are_those_of_the_documentation(tmp_path: Path) -> None:
    found = load(environ={}, folder=tmp_path)
    assert (found.http.host, found.http.port) == ("0.0.0.0", 8080)
    assert (found.rtmp.host, found.rtmp.port) == ("0.0.0.0", 1935)
    assert (found.hls.segment_ms, found.hls.part_ms, found.hls.window_segments) == (2000, 500, 10)
    assert (found.workers, found.redis_url.get_secret_value()) == (1, "")
    assert (found.webrtc.public_ips, found.webrtc.udp_ports) == ((), (0, 0))
    assert (found.log.format, found.log.level) == ("auto", "info")
    assert found.database == f"sqlite+aiosqlite:///{Path('data').absolute()}/streamd.db"


def test_environment_beats_file_and_file_beats_default(tmp_path: Path) -> None:
    toml = "workers = 1\n[http]\nport = 9000\nhost = '10.0.0.1'\n[hls]\npart_ms = 200"
    found = settings(tmp_path, {"STREAMD_HTTP_PORT": "9001"}, toml)
    assert (found.http.port, found.http.host, found.hls.part_ms, found.rtmp.port) == (9001, "10.0.0.1", 200, 1935)


def test_demo_listens_on_loopback_only_unless_a_host_is_set_by_hand(tmp_path: Path) -> None:
    assert settings(tmp_path, demo=True).http.host == "127.0.0.1"
    assert settings(tmp_path, demo=True).rtmp.host == "127.0.0.1"
    assert settings(tmp_path, {"STREAMD_HTTP_HOST": "0.0.0.0"}, demo=True).http.host == "0.0.0.0"
    assert settings(tmp_path, toml="[rtmp]\nhost = '::'", demo=True).rtmp.host == "::"


def test_unknown_variable_is_named_with_the_nearest_one(tmp_path: Path) -> None:
    (line,) = problems(tmp_path, {"STREAMD_HTP_PORT": "80"})
    assert line.startswith("STREAMD_HTP_PORT is not a setting of streamd")
    assert "did you mean STREAMD_HTTP_PORT?" in line


def test_unknown_key_of_the_file_is_named_with_the_nearest_one(tmp_path: Path) -> None:
    lines = problems(tmp_path, toml="wrokers = 2\n[http]\nprot = 80\n[other]\nx = 1")
    assert ["did you mean workers?" in lines[0], "did you mean http.port?" in lines[1]] == [True, True]
    assert "streamd.toml" in lines[1]
    assert "other is not a setting" in lines[2]


def test_every_problem_is_reported_at_once(tmp_path: Path) -> None:
    environ = {
        "STREAMD_HTTP_PORT": "eighty",
        "STREAMD_HLS_SEGMENT_MS": "100",
        "STREAMD_LOG_LEVEL": "loud",
        "STREAMD_NONSENSE": "1",
        "STREAMD_WEBRTC_UDP_PORTS": "6000-5000",
    }
    lines = problems(tmp_path, environ, toml="[rtmp]\nport = 70000")
    assert len(lines) == 6
    assert any("STREAMD_HTTP_PORT cannot be set to 'eighty'" in line for line in lines)
    assert any("rtmp.port in " in line and "streamd.toml" in line for line in lines)
    assert all("Fix: " in line for line in lines)


def test_unreadable_file_is_a_problem_and_not_a_traceback(tmp_path: Path) -> None:
    (line,) = problems(tmp_path, toml="[http\n")
    assert "streamd.toml cannot be read" in line


def test_secret_is_read_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "redis").write_text("redis://:pw@cache/0\n", encoding="utf-8")
    found = settings(tmp_path, {"STREAMD_REDIS_URL_FILE": str(tmp_path / "redis")})
    assert found.redis_url.get_secret_value() == "redis://:pw@cache/0"


def test_secret_given_twice_or_unreadable_is_refused(tmp_path: Path) -> None:
    missing = str(tmp_path / "nowhere")
    environ = {
        "STREAMD_REDIS_URL": "redis://a",
        "STREAMD_REDIS_URL_FILE": missing,
        "STREAMD_DATABASE_URL_FILE": missing,
    }
    lines = problems(tmp_path, environ)
    assert any("STREAMD_DATABASE_URL_FILE cannot be read" in line and "No such file" in line for line in lines)
    assert any("STREAMD_REDIS_URL_FILE and STREAMD_REDIS_URL are both set" in line for line in lines)


def test_file_variant_exists_for_secrets_only(tmp_path: Path) -> None:
    (line,) = problems(tmp_path, {"STREAMD_HTTP_PORT_FILE": "/tmp/port"})
    assert "STREAMD_HTTP_PORT_FILE is not a setting" in line


def test_password_never_appears_in_a_problem_or_in_the_effective_settings(tmp_path: Path) -> None:
    (line,) = problems(tmp_path, {"STREAMD_DATABASE_URL": "postgres://root:hunter2@db/x"})
    assert "mysql+aiomysql://" in line
    assert "hunter2" not in line
    found, lines = explain(environ={"STREAMD_DATABASE_URL": "mysql+aiomysql://root:hunter2@db/x"}, folder=tmp_path)
    assert "hunter2" not in repr(found) + repr(lines)
    assert "mysql+aiomysql://root:****@db/x" in [line.value for line in lines]


def test_effective_settings_say_where_each_came_from(tmp_path: Path) -> None:
    (tmp_path / "streamd.toml").write_text("[hls]\npart_ms = 250\n", encoding="utf-8")
    environ = {"STREAMD_HTTP_PORT": "81", "UNRELATED": "1"}
    _, lines = explain(environ=environ, folder=tmp_path, demo=True, workers=1)
    source = {line.variable: (line.value, line.source) for line in lines}
    assert source["STREAMD_HTTP_PORT"] == ("81", "environment")
    assert source["STREAMD_HTTP_HOST"] == ("127.0.0.1", "--demo")
    assert source["STREAMD_HLS_PART_MS"] == ("250", "streamd.toml")
    assert source["STREAMD_WORKERS"] == ("1", "--workers")
    assert source["STREAMD_WEBRTC_UDP_PORTS"] == ("any", "default")


def test_several_workers_need_redis(tmp_path: Path) -> None:
    (without,) = problems(tmp_path, workers=4)
    assert "STREAMD_REDIS_URL is empty" in without
    environ = {"STREAMD_REDIS_URL": "redis://127.0.0.1"}
    assert load(environ=environ, folder=tmp_path, workers=4).workers == 4


def test_part_longer_than_half_a_segment_is_refused(tmp_path: Path) -> None:
    (line,) = problems(tmp_path, {"STREAMD_HLS_PART_MS": "600", "STREAMD_HLS_SEGMENT_MS": "1000"})
    assert "at least two parts" in line


def test_half_a_certificate_is_refused(tmp_path: Path) -> None:
    (line,) = problems(tmp_path, {"STREAMD_RTMPS_CERT": "cert.pem"})
    assert "STREAMD_RTMPS_KEY" in line


@pytest.mark.parametrize(
    "environ",
    [
        {"STREAMD_REVIEW_URL": "https://review.example.com/d"},
        {"STREAMD_REVIEW_SECRET": "0123456789abcdef"},
        {"STREAMD_REVIEW_URL": "https://review.example.com/d", "STREAMD_REVIEW_SECRET": "short"},
    ],
)
def test_reviewer_is_asked_by_signed_requests_or_not_at_all(tmp_path: Path, environ: dict[str, str]) -> None:
    (line,) = problems(tmp_path, environ)
    assert "signed" in line
    assert environ.get("STREAMD_REVIEW_SECRET", "nothing") not in line


@pytest.mark.parametrize("url", ["ftp://h/x", "review", "https://a:b@h/x", "http:///x"])
def test_reviewers_address_is_one_to_post_to(tmp_path: Path, url: str) -> None:
    found = problems(tmp_path, {"STREAMD_REVIEW_URL": url, "STREAMD_REVIEW_SECRET": "0123456789abcdef"})
    assert any("STREAMD_REVIEW_URL" in line for line in found)


def test_secret_that_is_no_address_is_not_shown_at_all(tmp_path: Path) -> None:
    secret = "0123456789abcdef"
    environ = {"STREAMD_REVIEW_URL": "https://h/x", "STREAMD_REVIEW_SECRET": secret}
    _, effective = explain(environ=environ, folder=tmp_path)
    shown = {line.variable: line.value for line in effective}
    assert shown["STREAMD_REVIEW_SECRET"] == "****"
    assert secret not in repr(effective)


def test_variables_that_kubernetes_adds_are_explained(tmp_path: Path) -> None:
    environ = {"STREAMD_RTMP_PORT": "tcp://10.0.0.1:1935", "STREAMD_SERVICE_HOST": "10.0.0.1"}
    lines = problems(tmp_path, environ)
    assert len(lines) == 2
    assert all("enableServiceLinks: false" in line for line in lines)


@pytest.mark.parametrize(
    ("environ", "origin", "rtmp"),
    [
        ({}, "http://127.0.0.1:8080", "rtmp://127.0.0.1:1935/live"),
        ({"STREAMD_HTTP_HOST": "::", "STREAMD_RTMP_HOST": "::"}, "http://[::1]:8080", "rtmp://[::1]:1935/live"),
        (
            {"STREAMD_PUBLIC_URL": "https://live.example.com/", "STREAMD_RTMP_PORT": "1940"},
            "https://live.example.com",
            "rtmp://live.example.com:1940/live",
        ),
    ],
)
def test_addresses_for_people_follow_the_public_url(
    tmp_path: Path, environ: dict[str, str], origin: str, rtmp: str
) -> None:
    found = settings(tmp_path, environ)
    assert (found.public_origin, found.rtmp_url) == (origin, rtmp)


@pytest.mark.parametrize("url", ["ftp://x", "live.example.com", "https://live.example.com/streamd", "https://x?y=1"])
def test_public_url_with_a_path_or_another_scheme_is_refused(tmp_path: Path, url: str) -> None:
    (line,) = problems(tmp_path, {"STREAMD_PUBLIC_URL": url})
    assert "STREAMD_PUBLIC_URL cannot be set to" in line


def test_lists_and_ranges_are_read_from_one_variable(tmp_path: Path) -> None:
    environ = {"STREAMD_WEBRTC_PUBLIC_IPS": "203.0.113.7, 2001:db8::7", "STREAMD_WEBRTC_UDP_PORTS": "50000-50100"}
    found, lines = explain(environ=environ, folder=tmp_path)
    assert [str(ip) for ip in found.webrtc.public_ips] == ["203.0.113.7", "2001:db8::7"]
    assert found.webrtc.udp_ports == (50000, 50100)
    shown = {line.variable: line.value for line in lines}
    assert shown["STREAMD_WEBRTC_PUBLIC_IPS"] == "203.0.113.7,2001:db8::7"
    assert shown["STREAMD_WEBRTC_UDP_PORTS"] == "50000-50100"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite+aiosqlite:///data/streamd.db", "sqlite+aiosqlite:///data/streamd.db"),
        ("redis://:pw@h:6379/0", "redis://:****@h:6379/0"),
        ("mysql+aiomysql://u:p%40w@h/db?x=1", "mysql+aiomysql://u:****@h/db?x=1"),
    ],
)
def test_masked_address_keeps_everything_but_the_password(url: str, shown: str) -> None:
    assert mask(url) == shown


def test_ice_servers_are_told_to_encoders_as_they_are_written(tmp_path: Path) -> None:
    environ = {
        "STREAMD_WEBRTC_ICE_SERVERS": "stun:stun.example.com:3478, turn:turn.example.com?transport=udp",
        "STREAMD_WEBRTC_TURN_PASSWORD": "secret",
    }
    found, effective = explain(environ=environ, folder=tmp_path)
    assert found.webrtc.ice_servers == ("stun:stun.example.com:3478", "turn:turn.example.com?transport=udp")
    assert next(line.value for line in effective if line.variable == "STREAMD_WEBRTC_TURN_PASSWORD") == "****"


@pytest.mark.parametrize("url", ["http://stun.example.com", "stun:", 'stun:x>; rel="evil"', "turn:x y"])
def test_what_is_no_address_of_an_ice_server_is_refused(tmp_path: Path, url: str) -> None:
    (line,) = problems(tmp_path, {"STREAMD_WEBRTC_ICE_SERVERS": url})
    assert "STREAMD_WEBRTC_ICE_SERVERS" in line


def test_every_worker_needs_a_udp_port_of_its_own(tmp_path: Path) -> None:
    several = {"STREAMD_WORKERS": "4", "STREAMD_REDIS_URL": "redis://127.0.0.1:6379/0"}
    (line,) = problems(tmp_path, {**several, "STREAMD_WEBRTC_UDP_PORTS": "50000-50003"})
    assert "at least 5 ports: 50000-50004" in line
    settings(tmp_path, {**several, "STREAMD_WEBRTC_UDP_PORTS": "50000-50004"})


def test_a_gateway_without_a_key_is_a_contradiction(tmp_path: Path) -> None:
    (line,) = problems(tmp_path, {"STREAMD_PAYMENT_URL": "https://pay.example.com"})
    assert "STREAMD_PAYMENT_KEY is not" in line
    found = settings(tmp_path, {"STREAMD_PAYMENT_URL": "https://pay.example.com", "STREAMD_PAYMENT_KEY": "secret"})
    assert found.payment_url == "https://pay.example.com"


def test_the_demo_starts_a_sandbox_gateway_and_others_have_none_unless_they_say_so(tmp_path: Path) -> None:
    assert settings(tmp_path).payment_url == ""
    demo = settings(tmp_path, demo=True)
    assert (demo.payment_url, demo.sandbox_origin) == ("http://127.0.0.1:8090", "http://127.0.0.1:8090")
    mine = {"STREAMD_PAYMENT_URL": "sandbox", "STREAMD_SANDBOX_PORT": "9000"}
    found = settings(tmp_path, {**mine, "STREAMD_PUBLIC_URL": "https://live.example.com"})
    assert (found.sandbox_host, found.payment_url) == ("0.0.0.0", "http://127.0.0.1:9000")
    assert found.sandbox_origin == "http://live.example.com:9000"
    off = settings(tmp_path, {"STREAMD_PAYMENT_URL": ""}, demo=True)
    assert off.payment_url == ""
