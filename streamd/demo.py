"""What `serve --demo` adds: people, a room with a well-known key, and the synthetic programme on air in it.

The programme is a child process of ours: it draws and encodes, which has no place in the server's loop. It yields to a
real encoder by itself (the gate refuses it, and it waits), so all there is to do here is to keep it running.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import suppress

from streamd.accounts.opening import Accounts
from streamd.errors import ConflictError
from streamd.telemetry.log import Log

ROOM = "demo"
STREAM_KEY = "demo-key"
TITLE = "The streamd demo"
PASSWORD = "demo-password"  # noqa: S105  # well known on purpose: the demo listens on loopback
# Display name and role of the account, by name.
PEOPLE = {
    "host": ("Hana", "host"),
    "assistant": ("Ming", "assistant"),
    "alice": ("Alice", "viewer"),
    "bob": ("Bob", "viewer"),
}

_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 30.0
_SETTLED_S = 60.0  # a child that ran for so long starts the waiting anew
_FAREWELL_S = 2.0


async def seed(accounts: Accounts) -> None:
    """Make people and room unless they are there; what was changed since, a key or a password, stays."""
    for name, (display_name, role) in PEOPLE.items():
        if not await accounts.users.exists(name):
            with suppress(ConflictError):  # another process was quicker
                await accounts.users.create(name, password=PASSWORD, role=role, display_name=display_name)
    if not await accounts.rooms.exists(ROOM):
        with suppress(ConflictError):
            await accounts.rooms.create(ROOM, title=TITLE, owner="host", stream_key=STREAM_KEY)
    present = {member.name for member in await accounts.members.of_room(ROOM)}
    for name, role in (("host", "host"), ("assistant", "assistant")):
        if name not in present:
            await accounts.members.put(ROOM, name, role)


async def keep_programme(*, log: Log, command: tuple[str, ...] | None = None) -> None:
    """Run the programme for ever. Cancel-safe: yes; the child ends with us."""
    command = command or (sys.executable, "-m", "streamd", "programme", ROOM, "--until-stdin-closes")
    await _keep(command, event="demo.programme_ended", log=log)


async def keep_gateway(*, log: Log, host: str, port: int, origin: str) -> None:
    """Run the sandbox gateway for ever. Cancel-safe: yes; the child ends with us."""
    where = ("--host", host, "--port", str(port), "--public-url", origin)
    command = (sys.executable, "-m", "streamd", "sandbox-gateway", "--until-stdin-closes", *where)
    await _keep(command, event="demo.gateway_ended", log=log)


async def _keep(command: tuple[str, ...], *, event: str, log: Log) -> None:
    """Run a child again and again, with growing patience when it ends."""
    wait_s = _FIRST_WAIT_S
    loop = asyncio.get_running_loop()
    while True:
        began_s = loop.time()
        code = await _run_child(command)
        if loop.time() - began_s >= _SETTLED_S:
            wait_s = _FIRST_WAIT_S
        log.warning(event, code=code, again_in_ms=int(wait_s * 1_000))
        await asyncio.sleep(wait_s)
        wait_s = min(2 * wait_s, _LONGEST_WAIT_S)


def end_when_stdin_closes() -> None:
    """In the child: take the closing of standard input as SIGTERM."""

    def read() -> None:
        if not os.read(sys.stdin.fileno(), 4_096):
            asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
            os.kill(os.getpid(), signal.SIGTERM)

    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), read)


async def _run_child(command: tuple[str, ...]) -> int:
    # Its standard input is a pipe that nobody writes to: when we are gone, even by kill -9, it closes, and so the child
    # knows. It would otherwise go on pushing to whoever listens on that port next. A session of its own keeps Ctrl-C
    # from it, which the terminal sends to all of ours: we end it when it is time.
    process = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.PIPE, start_new_session=True)
    try:
        return await process.wait()
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(_FAREWELL_S):
                    await process.wait()
            except TimeoutError:
                process.kill()
