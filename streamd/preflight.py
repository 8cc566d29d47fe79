"""What must hold before a node starts, asked all at once: ports, data folder, file descriptors, database, pages.

Each finding is one line: what, why, and the command that mends it. Some only warn; the others keep the node from
starting half-way, which is harder to understand than not starting.
"""

from __future__ import annotations

import errno
import os
import resource
import secrets
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

from streamd.config import SettingsProblems
from streamd.db.migrate import missing, upgrade
from streamd.errors import SettingsError, StreamdError
from streamd.settings import Settings

ENOUGH_DESCRIPTORS = 4_096
_LISTENING = "0A"  # TCP_LISTEN in /proc/net/tcp


def inspect(settings: Settings, *, pages: Path, ports_are_shared: bool = False) -> list[SettingsError]:
    """Everything a node needs; the warnings. Raises SettingsProblems with all that keeps it from starting.

    `ports_are_shared`: the other workers of this node have the ports by now.
    """
    warnings = [*raise_descriptor_limit(), *check_pages(pages)]
    problems = [*([] if ports_are_shared else check_ports(settings)), *check_tls(settings)]
    problems += check_udp_ports(settings)  # which no two workers share
    unwritable = list(check_data_dir(settings))
    # SQLite in a folder that cannot be written to would be the same problem, told twice.
    problems += unwritable or list(check_database(settings))
    if problems:
        raise SettingsProblems(problems)
    return warnings


def check_ports(settings: Settings) -> Iterator[SettingsError]:
    """A port that cannot be had, and who has it where the system tells."""
    wanted = [("HTTP", settings.http.host, settings.http.port), ("RTMP", settings.rtmp.host, settings.rtmp.port)]
    if settings.rtmps.cert is not None:
        wanted.append(("RTMPS", settings.rtmp.host, settings.rtmps.port))
    for name, host, port in wanted:
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
                probe.listen(1)
        except OSError as error:
            yield _port_problem(name, host, port, error)


def check_udp_ports(settings: Settings) -> Iterator[SettingsError]:
    """The range for WebRTC: one of it must be free, or the address is not ours."""
    host, (low, high) = settings.webrtc.host or settings.http.host, settings.webrtc.udp_ports
    reason: OSError | None = None
    for port in range(low, high + 1):
        try:
            with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as probe:
                probe.bind((host, port))
            return
        except OSError as error:
            reason = error
            if error.errno != errno.EADDRINUSE:
                break
    busy = reason is not None and reason.errno == errno.EADDRINUSE
    if not busy and not settings.webrtc.host:
        return  # the address is that of HTTP, which has told it
    yield SettingsError(
        f"cannot listen for WebRTC on {host}, UDP {f'{low}-{high}' if high else 'any port'}",
        why="every port of the range is taken" if busy else str(reason),
        fix="give STREAMD_WEBRTC_UDP_PORTS a range with free ports"
        if busy
        else "set STREAMD_WEBRTC_HOST to an address of this machine",
    )


def _port_problem(name: str, host: str, port: int, error: OSError) -> SettingsError:
    variable = f"STREAMD_{name}_PORT"
    match error.errno:
        case errno.EADDRINUSE:
            why = f"port {port} is taken by {holder_of(port) or 'another program'}"
            fix = f"stop that program, or set {variable} to a free port"
        case errno.EACCES:
            why = f"port {port} is reserved for root"
            fix = f"set {variable} to a port from 1024 on, or allow it: setcap cap_net_bind_service=+ep on python"
        case _:
            why = str(error.strerror or error)
            fix = f"set STREAMD_{'HTTP' if name == 'HTTP' else 'RTMP'}_HOST to an address of this machine"
    return SettingsError(f"cannot listen for {name} on {host}:{port}", why=why, fix=fix)


def holder_of(port: int) -> str:
    """`name (pid 123)` of the process that listens on `port`; empty where Linux does not tell us."""
    sockets = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    if not sockets:
        return ""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(os.readlink(descriptor) in sockets for descriptor in (process / "fd").iterdir()):
                name = (process / "comm").read_text(encoding="utf-8").strip()
                return f"{name} (pid {process.name})"
        except OSError:
            continue  # another user's process, or one that has just ended
    return ""


def _listening_inodes(port: int) -> Iterator[str]:
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                yield fields[9]


def check_data_dir(settings: Settings) -> Iterator[SettingsError]:
    """The folder exists after this, or there is a reason why it cannot be written to."""
    folder = settings.data_dir
    probe = folder / f".probe-{secrets.token_hex(4)}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        yield SettingsError(
            f"the data folder {folder} cannot be written to",
            why=str(error.strerror),
            fix=f"run `mkdir -p {folder} && chown $(id -u) {folder}`, or set STREAMD_DATA_DIR to another folder",
        )


def raise_descriptor_limit() -> Iterator[SettingsError]:
    """Take all the file descriptors this process may have; a warning where those are few."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard != resource.RLIM_INFINITY and hard < ENOUGH_DESCRIPTORS:
        yield SettingsError(
            f"this process may hold {hard} files and connections open",
            why="every viewer and every encoder is one, so a crowd would be turned away",
            fix="run `ulimit -Hn 65536` before starting, or set LimitNOFILE=65536 in its systemd unit",
        )


def check_database(settings: Settings) -> Iterator[SettingsError]:
    """The database answers and has the newest schema; SQLite is brought there on the way."""
    url = settings.database
    try:
        if url.startswith("sqlite"):
            upgrade(url)
        elif left := missing(url):
            yield SettingsError(
                f"the database lacks {len(left)} migration{'s' * (len(left) > 1)}: {', '.join(left)}",
                why="a shared database is migrated on purpose, once, and not by whichever node starts first",
                fix="run `streamd migrate`",
            )
    except SettingsError as error:
        yield error
    except StreamdError as error:
        yield SettingsError(error.what, why=error.why, fix=error.fix, code=error.code)


def check_pages(folder: Path) -> Iterator[SettingsError]:
    """A warning: without its pages the server still takes and serves streams."""
    if not (folder / "index.html").is_file():
        yield SettingsError(
            "the pages are not built",
            why=f"{folder} is missing; encoders, players and the API work without it",
            fix="run `make web`",
        )


def check_tls(settings: Settings) -> Iterator[SettingsError]:
    """The certificate and its key can be read and belong together."""
    try:
        tls_context(settings)
    except (OSError, ssl.SSLError) as error:
        yield SettingsError(
            f"the certificate {settings.rtmps.cert} and the key {settings.rtmps.key} cannot be used",
            why=str(error.strerror or error),
            fix="point STREAMD_RTMPS_CERT and STREAMD_RTMPS_KEY at PEM files that belong together and may be read",
        )


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """For RTMPS; None where it is off. Raises OSError, SSLError."""
    if settings.rtmps.cert is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(settings.rtmps.cert, settings.rtmps.key)
    return context
