"""Who may import whom. Reads the imports of every module and holds them against the rules of ARCHITECTURE.md."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("streamd", "rtmp_ingest", "hls_packager", "danmaku")
STDLIB = set(sys.stdlib_module_names)

# Modules that may touch nothing but values: no loop, no socket, no time, no chance, no third party.
PURE = {
    "streamd.media",
    "streamd.cluster.bus",
    "streamd.cluster.register",
    *(f"rtmp_ingest.{name}" for name in ("buffer", "handshake", "chunks", "amf0", "messages", "session", "frames")),
    *(f"rtmp_ingest.{name}" for name in ("chunk_writer", "connect", "enhanced", "events", "stream_name", "play")),
    *(f"rtmp_ingest.{name}" for name in ("limits", "errors", "address_limits", "proxy_protocol", "replies")),
    *(f"hls_packager.{name}" for name in ("model", "segmenter", "boxes", "init_segment", "fragment", "playlist")),
    *(f"hls_packager.{name}" for name in ("planner", "probe", "cutter", "silence", "soundtrack", "bitrate")),
    *(f"danmaku.{name}" for name in ("room", "moderation", "wire")),
    *(f"streamd.live.{name}" for name in ("timeline", "cadence", "wall_time")),
    *(f"streamd.whip.{name}" for name in ("incoming", "units", "rtp", "rtcp", "jitter", "timeline")),
    *(f"streamd.whip.{name}_rtp" for name in ("h264", "hevc", "av1", "opus")),
    "streamd.shop.money",
    "streamd.shop.pricing",
    "streamd.shop.states",
    "streamd.jobs.patience",
}
IMPURE_STDLIB = {"asyncio", "socket", "ssl", "time", "random", "threading", "logging", "secrets", "selectors"}
# The only third party a pure module may name, and why: the automaton is a compiled value without I/O.
PURE_EXCEPTIONS = {"danmaku.moderation": {"ahocorasick_rs"}}

# What a package may take from streamd. Longest prefix wins; a package not named is the composition root.
ALLOWED: dict[str, set[str]] = {
    "streamd.media": {"streamd.media"},
    "streamd.errors": set(),
    "streamd.clock": set(),
    "streamd.rounds": set(),
    "streamd.telemetry": {"streamd.telemetry", "streamd.clock"},
    "streamd.cluster": {"streamd.cluster", "streamd.errors", "streamd.clock", "streamd.telemetry"},
    "streamd.db": {"streamd.db", "streamd.errors", "streamd.clock", "streamd.telemetry"},
    "streamd.live": {
        "streamd.live",
        "streamd.media",
        "streamd.cluster",
        "streamd.errors",
        "streamd.clock",
        "streamd.telemetry",
    },
    "streamd.accounts": {
        "streamd.accounts",
        "streamd.db",
        "streamd.errors",
        "streamd.clock",
        "streamd.telemetry",
    },
    "streamd.pictures": {"streamd.pictures", "streamd.db", "streamd.errors", "streamd.clock"},
    "streamd.shop": {"streamd.shop", "streamd.db", "streamd.errors", "streamd.clock", "streamd.telemetry"},
    "streamd.board": {"streamd.board", "streamd.db", "streamd.errors", "streamd.clock", "streamd.telemetry"},
    "streamd.jobs": {"streamd.jobs", "streamd.db", "streamd.errors", "streamd.clock", "streamd.telemetry"},
    # Gateways know the shop's words and nothing of its orders; the sandbox is a process of its own.
    "streamd.gateways": {
        "streamd.gateways",
        "streamd.shop.gateway",
        "streamd.errors",
        "streamd.clock",
        "streamd.telemetry",
    },
    "streamd.providers": {"streamd.providers", "streamd.errors", "streamd.clock", "streamd.telemetry"},
    "streamd.sandbox_gateway": {
        "streamd.sandbox_gateway",
        "streamd.gateways.signing",
        "streamd.errors",
        "streamd.clock",
        "streamd.telemetry",
    },
    "streamd.delivery": {
        "streamd.delivery",
        "streamd.live",
        "streamd.media",
        "streamd.errors",
        "streamd.clock",
        "streamd.telemetry",
        "hls_packager",
    },
    "streamd.internal": {
        "streamd.internal",
        "streamd.live",
        "streamd.media",
        "streamd.cluster",
        "streamd.errors",
        "streamd.clock",
        "streamd.telemetry",
        "hls_packager",
    },
    "streamd.api": {
        "streamd.api",
        "streamd.accounts",
        "streamd.shop",
        "streamd.jobs",
        "streamd.board",
        "streamd.pictures",
        "streamd.live",
        "streamd.errors",
        "streamd.clock",
        "streamd.telemetry",
    },
    "streamd.whip": {
        "streamd.whip",
        "streamd.media",
        "streamd.errors",
        "streamd.clock",
        "streamd.rounds",
        "streamd.telemetry",
    },
    "rtmp_ingest": {
        "rtmp_ingest",
        "streamd.media",
        "streamd.errors",
        "streamd.clock",
        "streamd.rounds",
        "streamd.telemetry",
    },
    "hls_packager": {"hls_packager", "streamd.media", "streamd.errors", "streamd.clock", "streamd.telemetry"},
    "danmaku": {"danmaku", "streamd.cluster.bus", "streamd.errors", "streamd.clock", "streamd.telemetry"},
    "danmaku.history": {"danmaku", "streamd.cluster.bus", "streamd.db", "streamd.errors", "streamd.clock"},
}
# One home for each library.
HOMES: dict[str, set[str]] = {
    "redis": {"streamd.cluster.redis", "streamd.cluster.redis_connection", "streamd.cluster.redis_ears"},
    "sqlalchemy": {
        "streamd.db",
        "streamd.accounts",
        "streamd.pictures",
        "streamd.shop",
        "streamd.jobs",
        "streamd.board",
        "danmaku.history",
    },
    "alembic": {"streamd.db"},
    "aiortc": {"streamd.whip"},
    # `programme` is the synthetic publisher: it runs in a process of its own.
    "av": {"streamd.whip.opus_to_aac", "streamd.programme"},
    "socketio": {"danmaku"},
    "engineio": {"danmaku"},
    "aiohttp": {
        "streamd.api",
        "streamd.delivery",
        "streamd.whip.endpoint",
        "streamd.app",
        "streamd.internal",
        "streamd.fleet",
        "streamd.gateways",
        "streamd.providers",
        "streamd.sandbox_gateway",
        "danmaku",
    },
    "ffmpeg": {"streamd.ffmpeg"},
}


@cache
def modules() -> dict[str, Path]:
    found: dict[str, Path] = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            if "node_modules" in path.parts:
                continue
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = path
    return found


@cache
def imports(module: str) -> frozenset[str]:
    tree = ast.parse(modules()[module].read_text(encoding="utf-8"))
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative imports are not used here"
            assert node.module is not None
            names.add(node.module)
            names.update(f"{node.module}.{a.name}" for a in node.names if f"{node.module}.{a.name}" in modules())
    return frozenset(names)


def within(name: str, prefixes: set[str]) -> bool:
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


def ours(names: frozenset[str]) -> Iterator[str]:
    return (name for name in names if name.split(".")[0] in PACKAGES)


def rule_for(module: str) -> set[str] | None:
    candidates = [prefix for prefix in ALLOWED if within(module, {prefix})]
    return ALLOWED[max(candidates, key=len)] if candidates else None


@pytest.mark.parametrize("module", sorted(modules()))
def test_module_imports_only_what_its_package_may(module: str) -> None:
    allowed = rule_for(module)
    if allowed is None:
        return
    wrong = [name for name in ours(imports(module)) if name != "streamd" and not within(name, allowed)]
    assert wrong == [], f"{module} may not import {wrong}"


@pytest.mark.parametrize("module", sorted(name for name in modules() if within(name, PURE)))
def test_pure_module_touches_no_outside(module: str) -> None:
    roots = {name.split(".")[0] for name in imports(module)}
    assert roots & IMPURE_STDLIB == set()
    third_party = roots - STDLIB - set(PACKAGES) - PURE_EXCEPTIONS.get(module, set())
    assert third_party == set(), f"{module} is pure and may not import {third_party}"
    for name in ours(imports(module)):
        assert within(name, PURE | {"streamd.media", "streamd.errors"} | {module.split(".")[0]}), (
            module,
            name,
        )


@pytest.mark.parametrize("library", sorted(HOMES))
def test_library_is_imported_only_in_its_home(library: str) -> None:
    homes = HOMES[library]
    strays = [
        module
        for module in modules()
        if any(name.split(".")[0] == library for name in imports(module)) and not within(module, homes)
    ]
    assert strays == [], f"{library} belongs in {sorted(homes)}, found in {strays}"


def test_environment_is_read_only_by_config() -> None:
    readers = [
        module
        for module, path in modules().items()
        if ("os.environ" in (text := path.read_text(encoding="utf-8")) or "os.getenv" in text)
        and module not in {"streamd.config"}
    ]
    assert readers == []


def test_no_module_hides_behind_a_name_without_a_concept() -> None:
    vague = {"utils", "util", "helpers", "helper", "common", "manager", "managers", "base"}
    assert [module for module in modules() if module.split(".")[-1] in vague] == []


def test_every_module_opens_with_its_promise() -> None:
    silent = [
        module
        for module, path in modules().items()
        if path.read_text(encoding="utf-8").strip()
        and not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        and "migrations.versions" not in module
    ]
    assert silent == []
