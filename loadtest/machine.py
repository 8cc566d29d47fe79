"""The machine under test: what it is, and what processes on it have used so far. Linux: reads /proc."""

from __future__ import annotations

import ipaddress
import os
import platform
import re
import resource
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from urllib.parse import urlsplit

_TICK_MS = 1000 / os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_PROC = Path("/proc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What stands above every table of figures."""

    cpu: str
    cores: int
    memory_bytes: int
    system: str
    kernel: str
    python: str
    versions: dict[str, str]

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)

    def one_line(self) -> str:
        """For people."""
        gib = self.memory_bytes / 2**30
        software = ", ".join(f"{name} {number}" for name, number in self.versions.items())
        return (
            f"{self.cores} cores of {self.cpu}, {gib:.0f} GiB, {self.system}, Linux {self.kernel}; "
            f"Python {self.python}; {software}"
        )


def describe() -> Machine:
    """This machine and the software that the scenarios use."""
    names = ("uvloop", "aiohttp", "av", "playwright")
    return Machine(
        cpu=_first(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text(encoding="utf-8")),
        cores=os.cpu_count() or 1,
        memory_bytes=os.sysconf("SC_PHYS_PAGES") * _PAGE_BYTES,
        system=platform.freedesktop_os_release().get("PRETTY_NAME", platform.system()),
        kernel=platform.release(),
        python=platform.python_version(),
        versions={
            **{name: number for name in names if (number := _package(name))},
            **_programs({"nginx": "-v", "ffmpeg": "-version", "chromium": "--version", "node": "--version"}),
            **_debian({"libnginx-mod-rtmp"}),
        },
    )


def revision() -> str:
    """The commit that is measured, and whether the working tree differs from it."""
    git = ["git", "-C", str(Path(__file__).parent)]
    found = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    if found.returncode:
        return "of no known revision"
    # The results themselves change while they are written.
    changed = subprocess.run(
        [*git, "status", "--porcelain", "--untracked-files=no", ":/", ":!/loadtest/RESULTS.md"],
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout.strip() + (" with changes" if changed.stdout.strip() else "")


def cpu_ms(pids: Iterable[int]) -> float:
    """User and system time of live processes so far, all threads, finished children not included."""
    total = 0.0
    for pid in pids:
        fields = _stat(pid)
        total += (int(fields[11]) + int(fields[12])) * _TICK_MS
    return total


def resident_bytes(pids: Iterable[int]) -> int:
    """Resident memory; pages shared by the processes count for each."""
    return sum(int((_PROC / str(pid) / "statm").read_text().split()[1]) * _PAGE_BYTES for pid in pids)


def allow_many_files() -> None:
    """Let this process open as many files and sockets as the system lets it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def descriptors(pids: Iterable[int]) -> int:
    """Files and sockets that processes hold open."""
    return sum(len(list((_PROC / str(pid) / "fd").iterdir())) for pid in pids)


def family(pid: int) -> list[int]:
    """A process and its living descendants."""
    children: dict[int, list[int]] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            try:
                children.setdefault(int(_stat(int(entry.name))[1]), []).append(int(entry.name))
            except (FileNotFoundError, ProcessLookupError):
                continue  # gone between listing and reading
    found = [pid]
    for member in found:
        found.extend(children.get(member, ()))
    return found


def require_loopback(url: str) -> str:
    """`url`, or ValueError: load is only ever put on this machine."""
    host = urlsplit(url).hostname or ""
    if host != "localhost" and not (_is_address(host) and ipaddress.ip_address(host).is_loopback):
        raise ValueError(f"{host or url!r} is not this machine: load tests run on loopback only")
    return url


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on: the name before them may hold spaces and brackets."""
    return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()


def _first(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    return found.group(1).strip() if found else "unknown"


def _package(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _programs(options: dict[str, str]) -> dict[str, str]:
    found = {}
    for name, option in options.items():
        if path := shutil.which(name) or shutil.which(name, path="/usr/sbin"):
            said = subprocess.run([path, option], capture_output=True, text=True, check=False, timeout=20)
            found[name] = _first(r"(\d+(?:\.\d+)+)", said.stdout + said.stderr)
    return found


def _debian(packages: set[str]) -> dict[str, str]:
    if not (query := shutil.which("dpkg-query")):
        return {}
    found = {}
    for name in sorted(packages):
        said = subprocess.run([query, "-W", "-f=${Version}", name], capture_output=True, text=True, check=False)
        if said.returncode == 0 and said.stdout:
            found[name] = said.stdout
    return found
