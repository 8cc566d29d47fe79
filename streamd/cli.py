"""The command line. Each command imports what it needs when it runs: `streamd --help` does not wait for a server.

Results go to standard output, problems and the log to standard error; `--json` prints one JSON value a command.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from streamd import __version__

if TYPE_CHECKING:
    from streamd.accounts.opening import Accounts
    from streamd.accounts.rooms import Room, Rooms
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
user_app = typer.Typer(help="Accounts.", no_args_is_help=True)
app.add_typer(user_app, name="user")
audit_app = typer.Typer(help="What staff did.", no_args_is_help=True)
app.add_typer(audit_app, name="audit")
key_app = typer.Typer(help="The keys that access tokens are signed with.", no_args_is_help=True)
app.add_typer(key_app, name="signing-key")

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
    worker: Annotated[str, typer.Option("--worker", hidden=True)] = "",
) -> None:
    """Run a node until SIGTERM or Ctrl-C. SIGHUP replaces the workers one by one."""
    from streamd.config import load

    settings = load(demo=demo, workers=workers)
    from streamd.process import run_node, run_worker

    if worker:
        from streamd.supervisor import WorkerPlace

        place = WorkerPlace.parse(worker)
        raise typer.Exit(run_worker(settings, place, is_demo=demo, with_programme=demo and programme))
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


@app.command("sandbox-gateway")
def sandbox_gateway(
    host: Annotated[str, typer.Option(help="Where to listen (STREAMD_SANDBOX_HOST).")] = "",
    port: Annotated[int, typer.Option(min=0, max=65535, help="On which port (STREAMD_SANDBOX_PORT).")] = 0,
    public_url: Annotated[str, typer.Option(help="Where browsers reach its page (STREAMD_SANDBOX_PUBLIC_URL).")] = "",
    scale: Annotated[
        float, typer.Option(min=0.0001, max=1, help="Repeat notices so much sooner: 0.01 makes 15 s 150 ms.")
    ] = 1.0,
    refund_delay_ms: Annotated[int, typer.Option(min=0, help="How long money takes to go back.")] = 2_000,
    until_stdin_closes: Annotated[bool, typer.Option("--until-stdin-closes", hidden=True)] = False,
) -> None:
    """Run a payment gateway that takes no real money, to try orders with. `serve --demo` starts one by itself.

    It signs with STREAMD_PAYMENT_KEY; without one, with the secret in the data folder, as the node beside it does.
    """
    from streamd.config import load
    from streamd.sandbox_gateway.process import run_gateway
    from streamd.sandbox_gateway.service import GatewaySettings
    from streamd.telemetry import log

    settings = load()
    log.configure(level=settings.log.level, form=settings.log.format)
    if port:
        settings = settings.model_copy(update={"sandbox": settings.sandbox.model_copy(update={"port": port})})
    gateway = GatewaySettings(
        key=_payment_key(settings),
        origin=public_url or settings.sandbox_origin,
        scale=scale,
        refund_delay_ms=refund_delay_ms,
    )
    run_gateway(
        gateway,
        host=host or settings.sandbox_host,
        port=settings.sandbox.port,
        ends_with_stdin=until_stdin_closes,
    )


@app.command()
def reconcile(
    day: Annotated[str, typer.Option(metavar="YYYY-MM-DD", help="Which day, in UTC.")],
    gateway: Annotated[str, typer.Option(help="By its name.")] = "sandbox",
    as_json: Json = False,
) -> None:
    """Compare a day's payments and refunds with the gateway's bill; exit 1 if anything differs."""
    from dataclasses import asdict

    from streamd.reconciling import reconcile_day, report_lines

    settings = _settings()
    report = asyncio.run(reconcile_day(settings, gateway=gateway, day=day, key=_payment_key(settings)))
    print(json.dumps(asdict(report), ensure_ascii=False) if as_json else "\n".join(report_lines(report)))
    raise typer.Exit(1 if report.differences else 0)


@room_app.command("create")
def room_create(
    slug: Slug,
    title: Annotated[str, typer.Option(help="What viewers read; the name if left out.")] = "",
    owner: Annotated[str, typer.Option(metavar="NAME", help="The account the room belongs to.")] = "",
    as_json: Json = False,
) -> None:
    """Make a room. Its stream key is printed this once."""

    async def create(accounts: Accounts) -> str:
        _, key = await accounts.rooms.create(slug, title=title, owner=owner)
        await _record(accounts, "room.create", room=slug, target=owner)
        return key

    settings = _settings()
    _print_key(settings, slug, _with_accounts(settings, create), as_json=as_json)


@room_app.command("rotate-key")
def room_rotate_key(slug: Slug, as_json: Json = False) -> None:
    """Give a room a new stream key. The old one stops working for the next publish."""

    async def rotate(accounts: Accounts) -> str:
        key = await accounts.keys.rotate(slug)
        await _record(accounts, "room.stream_key.rotate", room=slug)
        return key

    settings = _settings()
    _print_key(settings, slug, _with_accounts(settings, rotate), as_json=as_json)


@room_app.command("list")
def room_list(as_json: Json = False) -> None:
    """All rooms, in the order of their names."""
    rows = [
        {"room": room.slug, "title": room.title, "owner": room.owner, "created_at_ms": room.created_at_ms}
        for room in _with_accounts(_settings(), lambda accounts: _all_rooms(accounts.rooms))
    ]
    if as_json:
        print(json.dumps(rows, ensure_ascii=False))
        return
    for row in rows:
        print(f"{row['room']:<24}{row['owner'] or '-':<16}{row['title']}")


@user_app.command("create")
def user_create(
    name: Annotated[str, typer.Argument(help="What one signs in with: lower-case letters, digits, dots, dashes.")],
    role: Annotated[
        str, typer.Option(help="admin (everything), host (may open rooms), assistant or viewer.")
    ] = "viewer",
    display_name: Annotated[str, typer.Option(help="What others read; the name if left out.")] = "",
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input; else one is made.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make an account. A password that was made for it is printed this once."""
    made = "" if password_stdin else secrets.token_urlsafe(12)
    password = made or sys.stdin.readline().rstrip("\r\n")

    async def create(accounts: Accounts) -> None:
        await accounts.users.create(name, password=password, role=role, display_name=display_name)
        await _record(accounts, "user.create", target=name)

    _with_accounts(_settings(), create)
    facts = {"name": name, "role": role} | ({"password": made} if made else {})
    if as_json:
        print(json.dumps(facts))
        return
    for fact, value in facts.items():
        print(f"{fact:<12}{value}")


@audit_app.command("verify")
def audit_verify(
    head: Annotated[str, typer.Option(metavar="HASH", help="A head noted earlier, which must still be there.")] = "",
    as_json: Json = False,
) -> None:
    """Walk the whole chain of the audit log; print its length and its head, or where it is broken (exit 1)."""
    verdict = _with_accounts(_settings(), lambda accounts: accounts.audit.verify(head=head))
    if as_json:
        print(json.dumps({"entries": verdict.count, "head": verdict.head}))
        return
    print(f"{verdict.count} entries, each as it was written")
    print(f"head {verdict.head}" if verdict.head else "nothing was recorded yet")


@key_app.command("add")
def signing_key_add() -> None:
    """Make a new key, which signs from the next start on. Tokens of the old ones stay good until they expire."""
    from streamd.accounts.signing_keys import add_signing_key
    from streamd.clock import SystemClock

    print(add_signing_key(_settings().data_dir, clock=SystemClock()))


async def _record(accounts: Accounts, action: str, *, room: str = "", target: str = "") -> None:
    from streamd.accounts.audit import Deed

    await accounts.audit.record(Deed(actor="operator", role="operator", action=action, room=room, target=target))


def _payment_key(settings: Settings) -> bytes:
    """What this installation and its gateway sign with."""
    from streamd.accounts.node_secret import open_node_secret

    given = settings.payment.key.get_secret_value().encode()
    return given or open_node_secret(settings.data_dir).payment_key()


def _settings() -> Settings:
    """Settings, and a database that is ready for use."""
    from streamd.config import load
    from streamd.db.migrate import upgrade

    settings = load()
    if settings.database.startswith("sqlite"):
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        upgrade(settings.database)
    return settings


def _with_accounts(settings: Settings, use: Callable[[Accounts], Awaitable[T]]) -> T:
    from streamd.accounts.opening import open_accounts
    from streamd.clock import SystemClock
    from streamd.cluster.rates import InProcessRates
    from streamd.db.engine import open_engine
    from streamd.telemetry.log import get_log

    async def run() -> T:
        clock = SystemClock()
        engine = open_engine(settings.database)
        try:
            rates = InProcessRates(clock=clock)
            log = get_log("accounts")
            data_dir = settings.data_dir
            data_dir.mkdir(parents=True, exist_ok=True)
            return await use(open_accounts(engine=engine, clock=clock, data_dir=data_dir, throttle=rates, log=log))
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
