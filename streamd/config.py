"""Reads the settings: the only reader of the environment and of `streamd.toml`.

In: `STREAMD_*` variables over `streamd.toml` over defaults. Out: one frozen `Settings`, or one `SettingsProblems` that
holds everything that is wrong, so that nobody mends a deployment one restart at a time. An unknown name is an error:
a misspelt setting that is ignored in silence is worse than none.

One rule gives every name: section `http`, field `port` is `STREAMD_HTTP_PORT` in the environment and `port` in the
table `[http]` of the file. A secret may be read from a file: `STREAMD_REDIS_URL_FILE=/run/secrets/redis`.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource

from streamd.errors import SettingsError
from streamd.settings import Section, Settings, contradictions

PREFIX = "STREAMD_"
FILE_NAME = "streamd.toml"
# Kubernetes puts these into every container for a Service that happens to be called "streamd" or "streamd-rtmp"; one of
# them even has the name of a setting (STREAMD_RTMP_PORT=tcp://10.0.0.1:1935).
_KUBERNETES = re.compile(r"\w*_SERVICE_(HOST|PORT(_\w+)?)|\w*_PORT_\d+_(TCP|UDP)(_\w+)?")

Location = tuple[str, ...]  # ("http", "port")
Tree = dict[str, Any]  # {"http": {"port": "8080"}}


class SettingsProblems(SettingsError):
    """Everything that is wrong, at once."""

    def __init__(self, problems: Sequence[SettingsError]) -> None:
        super().__init__("\n".join(problem.one_line() for problem in problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class Effective:
    """One line of `streamd check-config`."""

    variable: str
    value: str  # secrets masked
    source: str  # "--workers", "environment", "streamd.toml", "--demo" or "default"


def load(
    *,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
    demo: bool = False,
    workers: int | None = None,
) -> Settings:
    """The settings in force. `workers` is the command line's word and beats the environment.

    Raises SettingsProblems with every problem at once.
    """
    return explain(environ=environ, folder=folder, demo=demo, workers=workers)[0]


def explain(
    *,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
    demo: bool = False,
    workers: int | None = None,
) -> tuple[Settings, list[Effective]]:
    """As `load`, with where each value came from. Raises SettingsProblems."""
    known = _known()
    path = (folder or Path()) / FILE_NAME
    environment = _read_environment(os.environ if environ is None else environ, known)
    file = _read_file(path, known)
    argument: Tree = {} if workers is None else {"workers": workers}
    # A demonstration with well-known passwords must not be reachable from outside by accident.
    loopback: Tree = {"http": {"host": "127.0.0.1"}, "rtmp": {"host": "127.0.0.1"}}
    fallback: Tree = {**loopback, "payment": {"url": "sandbox"}} if demo else {}
    places = {"--workers": argument, "environment": environment.tree, FILE_NAME: file.tree, "--demo": fallback}
    problems = environment.problems + file.problems
    settings: Settings | None = None
    try:
        settings = _merge(list(places.values()))
    except ValidationError as error:
        problems += _bad_values(error, known, environment, path)
    else:
        problems += contradictions(settings)
    if settings is None or problems:
        raise SettingsProblems(problems)
    return settings, [_effective(settings, entry, places) for entry in known]


def mask(url: str) -> str:
    """An address as it may be shown: user and host stay, the password does not."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{parts.username or ''}:****@{host}"))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """One setting's names and what it should look like."""

    location: Location
    variable: str
    description: str
    is_secret: bool

    @property
    def key(self) -> str:
        """As one would say it of the file: `http.port`."""
        return ".".join(self.location)


def _known() -> list[_Known]:
    found: list[_Known] = []
    for name, info in Settings.model_fields.items():
        entries: dict[Location, FieldInfo] = {(name,): info}
        if isinstance(info.annotation, type) and issubclass(info.annotation, Section):
            entries = {(name, inner): details for inner, details in info.annotation.model_fields.items()}
        found += [
            _Known(
                location=location,
                variable=PREFIX + "_".join(location).upper(),
                description=details.description or "",
                is_secret=details.annotation is SecretStr,
            )
            for location, details in entries.items()
        ]
    return found


def _put(tree: Tree, location: Location, value: object) -> None:
    *outer, last = location
    for name in outer:
        tree = tree.setdefault(name, {})
    tree[last] = value


def _has(tree: Mapping[str, Any], location: Location) -> bool:
    *outer, last = location
    for name in outer:
        tree = tree.get(name, {})
    return last in tree


@dataclass(slots=True)
class _Reading:
    """What was found in one place, and what is wrong with it."""

    place: str
    tree: Tree = field(default_factory=dict)
    problems: list[SettingsError] = field(default_factory=list)

    def unknown(self, name: str, known: Sequence[str], *, fix: str = "") -> None:
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
        meant = f"did you mean {close[0]}?" if close else "remove it; `streamd check-config` lists the settings"
        self.problem(f"{name} is not a setting of streamd", f"it stands in {self.place}", fix or meant)

    def problem(self, what: str, why: str, fix: str) -> None:
        self.problems.append(SettingsError(what, why=why, fix=fix))


def _read_environment(environ: Mapping[str, str], known: Sequence[_Known]) -> _Reading:
    reading = _Reading("the environment")
    by_variable = {entry.variable: entry for entry in known}
    by_file = {f"{entry.variable}_FILE": entry for entry in known if entry.is_secret}
    for name in sorted(environ):
        value = environ[name]
        if not name.startswith(PREFIX):
            continue
        if _KUBERNETES.fullmatch(name) or value.startswith(("tcp://", "udp://")):
            fix = "Kubernetes adds it for a Service of that name: set `enableServiceLinks: false` in the pod"
            reading.unknown(name, [], fix=fix)
        elif name in by_variable:
            _put(reading.tree, by_variable[name].location, value)
        elif (entry := by_file.get(name)) is None:
            reading.unknown(name, [*by_variable, *by_file])
        elif entry.variable in environ:
            why = "only one of them can be meant"
            reading.problem(f"{name} and {entry.variable} are both set", why, "unset one of them")
        else:
            _read_secret(reading, entry, name, Path(value))
    return reading


def _read_secret(reading: _Reading, entry: _Known, name: str, path: Path) -> None:
    try:
        _put(reading.tree, entry.location, path.read_text(encoding="utf-8").strip())
    except (OSError, UnicodeDecodeError) as error:
        why = f"{path}: {_reason(error)}"
        reading.problem(f"{name} cannot be read", why, "name a file that holds the secret and that this user may read")


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _read_file(path: Path, known: Sequence[_Known]) -> _Reading:
    reading = _Reading(str(path))
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return reading
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reading.problem(f"{path} cannot be read", _reason(error), "mend it, or remove it to run on defaults")
        return reading
    by_key = {entry.key: entry for entry in known}
    for key, value in _leaves(found, sections={entry.location[0] for entry in known if len(entry.location) > 1}):
        if key in by_key:
            _put(reading.tree, by_key[key].location, value)
        else:
            reading.unknown(key, list(by_key))
    return reading


def _leaves(found: Mapping[str, object], *, sections: set[str]) -> Iterator[tuple[str, object]]:
    for name, value in found.items():
        if name in sections and isinstance(value, dict):
            yield from ((f"{name}.{inner}", deeper) for inner, deeper in value.items())
        else:
            yield name, value


def _merge(places: Sequence[Tree]) -> Settings:
    class Sourced(Settings):
        @classmethod
        def settings_customise_sources(
            cls, settings_cls: type[BaseSettings], *_: PydanticBaseSettingsSource, **__: PydanticBaseSettingsSource
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            # pydantic-settings merges deeply; the first place wins.
            return tuple(InitSettingsSource(settings_cls, init_kwargs=place) for place in places)

    return Sourced()


def _bad_values(
    error: ValidationError, known: Sequence[_Known], environment: _Reading, path: Path
) -> Iterator[SettingsError]:
    seen: set[Location] = set()
    for one in error.errors():
        entry = next(entry for entry in known if entry.location == one["loc"][: len(entry.location)])
        if entry.location in seen:
            continue
        seen.add(entry.location)
        name = entry.variable if _has(environment.tree, entry.location) else f"{entry.key} in {path}"
        value = "" if entry.is_secret else f" to {one['input']!r}"
        why = one["msg"].removeprefix("Value error, ")
        yield SettingsError(f"{name} cannot be set{value}", why=why, fix=f"give it {entry.description}")


def _effective(settings: Settings, entry: _Known, places: Mapping[str, Tree]) -> Effective:
    value: Any = settings
    for name in entry.location:
        value = getattr(value, name)
    source = next((place for place, tree in places.items() if _has(tree, entry.location)), "default")
    return Effective(variable=entry.variable, value=_shown(value), source=source)


def _masked(secret: str) -> str:
    """An address keeps what is no secret of it; anything else is told by its being there."""
    return mask(secret) if "://" in secret else "****" * bool(secret)


def _shown(value: object) -> str:
    match value:
        case SecretStr():
            return _masked(value.get_secret_value())
        case (0, 0):
            return "any"
        case (int(low), int(high)):
            return f"{low}-{high}"
        case tuple():
            return ",".join(str(part) for part in value)
        case None:
            return ""
        case _:
            return str(value)
