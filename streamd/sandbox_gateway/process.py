"""The sandbox gateway as a process of its own: a port, a signal that ends it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys

import uvloop

from streamd.clock import SystemClock
from streamd.errors import SettingsError
from streamd.sandbox_gateway.service import GatewaySettings, serve
from streamd.telemetry.log import get_log


def run_gateway(settings: GatewaySettings, *, host: str, port: int, ends_with_stdin: bool) -> None:
    """Serve until SIGTERM or Ctrl-C; with `ends_with_stdin`, also until standard input closes. Raises SettingsError."""
    uvloop.run(_run(settings, host, port, ends_with_stdin))


async def _run(settings: GatewaySettings, host: str, port: int, ends_with_stdin: bool) -> None:
    listener = _listen(host, port)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    if ends_with_stdin:
        _watch_stdin(stopping)
    await serve(settings=settings, listener=listener, clock=SystemClock(), log=get_log("sandbox"), stopping=stopping)


def _watch_stdin(stopping: asyncio.Event) -> None:
    """Whoever started us holds the other end: when they are gone, even by kill -9, it closes."""
    loop = asyncio.get_running_loop()

    def read() -> None:
        if not os.read(sys.stdin.fileno(), 4_096):
            loop.remove_reader(sys.stdin.fileno())
            stopping.set()

    loop.add_reader(sys.stdin.fileno(), read)


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=256
        )
    except OSError as error:
        raise SettingsError(
            f"the sandbox gateway cannot listen on {host} port {port}",
            why=str(error.strerror or error),
            fix="set STREAMD_SANDBOX_PORT to a port that is free",
        ) from error
