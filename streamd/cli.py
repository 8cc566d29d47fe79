"""The command line. Each command imports what it needs when it runs: `streamd --help` does not wait for a server.

Results go to standard output, problems and the log to standard error; `--json` prints one JSON value a command.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from streamd import __version__

if TYPE_CHECKING:
    from streamd.accounts.rooms import Room, Rooms
    from streamd.db.engine import Database
    from streamd.settings import Settings

T = TypeVar("T")

app = typer.Typer(
    name="streamd",
    help="Live commerce server: RTMP in, low-latency HLS and FLV out. "
    "Settings are STREAMD_* variables or streamd.toml; `streamd check-config` lists them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
room_app = typer.Typer(help="Rooms and their stream keys.", no_args_is_help=True)
app.add_typer(room_app, name="room")

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Slug = Annotated[str, typer.Argument(metavar="ROOM", help="The room's name in addresses: letters, digits, dashes.")]


def _version(wanted: bool) -> None:
    if wanted:
        print(f"streamd {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def serve(
    demo: Annotated[
        bool, typer.Option("--demo", help="Loopback only, with a room `demo`, key `demo-key`, and a programme on air.")
    ] = False,
    programme: Annotated[
        bool, typer.Option("--programme/--no-programme", help="Put the synthetic programme on air in the demo.")
    ] = True,
    workers: Annotated[
        int | None, typer.Option(metavar="N", help="Processes to run (STREAMD_WORKERS); more than 1 needs Redis.")
    ] = None,
) -> None:
    """Run a node until SIGTERM or Ctrl-C."""
    from streamd.config import load

    settings = load(demo=demo, workers=workers)
    from streamd.app import run_node

    raise typer.Exit(run_node(settings, is_demo=demo, with_programme=demo and programme))


@app.command()
def check_config() -> None:
    """Print the settings in force, secrets masked, and every problem at once. Exit 2 if there is one."""
    from streamd.config import SettingsProblems, explain
    from streamd.preflight import check_data_dir, check_database, check_tls

    settings, lines = explain()
    width = max(len(line.variable) for line in lines)
    for line in lines:
        print(f"{line.variable:{width}}  {line.value or '(empty)'}  [{line.source}]")
    unwritable = list(check_data_dir(settings))
    if problems := [*(unwritable or check_database(settings)), *check_tls(settings)]:
        raise SettingsProblems(problems)


@app.command()
def migrate() -> None:
    """Bring the database to the newest schema. `serve` does it by itself for SQLite."""
    from streamd.config import load
    from streamd.db.migrate import upgrade

    settings = load()
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    applied = upgrade(settings.database)
    print(f"applied {', '.join(applied)}" if applied else "the schema is the newest one")


@app.command()
def programme(
    room: Slug,
    seconds: Annotated[float | None, typer.Option(metavar="N", min=0.1, help="Stop after N seconds.")] = None,
    to: Annotated[
        str, typer.Option(metavar="URL", help="Push to this RTMP address, key included, and not to this node.")
    ] = "",
    until_stdin_closes: Annotated[bool, typer.Option("--until-stdin-closes", hidden=True)] = False,
) -> None:
    """Push a synthetic programme (moving picture, readable UTC clock, tone) to the node that runs on this machine.

    It needs no stream key but read access to the node's data folder, and gives way to a real encoder.
    """
    import uvloop

    from streamd.accounts.node_secret import open_node_secret
    from streamd.config import load
    from streamd.demo import end_when_stdin_closes
    from streamd.programme import run_programme
    from streamd.telemetry import log

    settings = load()
    log.configure(level=settings.log.level, form=settings.log.format)
    url = to
    if not url:
        url = f"{settings.loopback_rtmp_url}/{room}?key={open_node_secret(settings.data_dir).programme_pass(room)}"

    async def push() -> None:
        if until_stdin_closes:
            end_when_stdin_closes()
        await run_programme(url=url, seconds=seconds)

    uvloop.run(push())


@room_app.command("create")
def room_create(
    slug: Slug,
    title: Annotated[str, typer.Option(help="What viewers read; the name if left out.")] = "",
    owner: Annotated[str, typer.Option(metavar="NAME", help="The account the room belongs to.")] = "",
    as_json: Json = False,
) -> None:
    """Make a room. Its stream key is printed this once."""
    settings = _settings()
    room, key = _with_rooms(settings, lambda rooms, _: rooms.create(slug, title=title, owner=owner))
    _print_key(settings, room.slug, key, as_json=as_json)


@room_app.command("rotate-key")
def room_rotate_key(slug: Slug, as_json: Json = False) -> None:
    """Give a room a new stream key. The old one stops working for the next publish."""
    from streamd.accounts.stream_keys import StreamKeys
    from streamd.clock import SystemClock

    settings = _settings()
    key = _with_rooms(settings, lambda _, engine: StreamKeys(engine=engine, clock=SystemClock()).rotate(slug))
    _print_key(settings, slug, key, as_json=as_json)


@room_app.command("list")
def room_list(as_json: Json = False) -> None:
    """All rooms, in the order of their names."""
    rows = [
        {"room": room.slug, "title": room.title, "owner": room.owner, "created_at_ms": room.created_at_ms}
        for room in _with_rooms(_settings(), lambda rooms, _: _all_rooms(rooms))
    ]
    if as_json:
        print(json.dumps(rows, ensure_ascii=False))
        return
    for row in rows:
        print(f"{row['room']:<24}{row['owner'] or '-':<16}{row['title']}")


def _settings() -> Settings:
    """Settings, and a database that is ready for use."""
    from streamd.config import load
    from streamd.db.migrate import upgrade

    settings = load()
    if settings.database.startswith("sqlite"):
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        upgrade(settings.database)
    return settings


def _with_rooms(settings: Settings, use: Callable[[Rooms, Database], Awaitable[T]]) -> T:
    from streamd.accounts.rooms import Rooms
    from streamd.clock import SystemClock
    from streamd.db.engine import open_engine

    async def run() -> T:
        engine = open_engine(settings.database)
        try:
            return await use(Rooms(engine=engine, clock=SystemClock()), engine)
        finally:
            await engine.dispose()

    return asyncio.run(run())


def _print_key(settings: Settings, room: str, key: str, *, as_json: bool) -> None:
    origin = settings.public_origin
    facts = {
        "room": room,
        "stream_key": key,
        "rtmp_url": settings.rtmp_url,
        "whip_url": f"{origin}/whip/{room}",
        "watch_url": f"{origin}/watch/{room}",
    }
    if as_json:
        print(json.dumps(facts))
        return
    for name, value in facts.items():
        print(f"{name:<12}{value}")
    print("Keep the stream key: it is stored as a hash and cannot be shown again.")


async def _all_rooms(rooms: Rooms) -> list[Room]:
    found = await rooms.page(limit=200)
    while page := await rooms.page(after=found[-1].slug if found else "", limit=200):
        found += page
    return found
