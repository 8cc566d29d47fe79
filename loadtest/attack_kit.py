"""What attacks are made of: where they go, chance from a seed, one exchange over TCP, one request.

An answer is a status of HTTP ("404"), "closed" (the server ended the connection), "open" (it waits for more), or
"refused" (no connection).
"""

from __future__ import annotations

import random
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import NamedTuple

Answers = Counter[str]
TIMEOUT_S = 3.0
_OPEN_AFTER_S = 0.3  # a server that says nothing for so long waits for more
_ENOUGH_BYTES = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The server, and what the attacker knows or may have guessed."""

    http_port: int
    rtmp_port: int
    rtmps_port: int
    room: str
    offer: bytes  # an SDP offer as a browser makes it
    seed: int
    patience_s: float  # how long a slow peer goes on


class Attack(NamedTuple):
    """`refusals` are the answers that are right; others are counted against the server."""

    what: str
    run: Callable[[Place], Answers]
    right: frozenset[str]


def chance_of(place: Place, what: str) -> random.Random:
    """The same for the same seed."""
    return random.Random(f"{place.seed} {what}")


def exchange(
    port: int, *pieces: bytes, wait_s: float = _OPEN_AFTER_S, tls: ssl.SSLContext | None = None
) -> tuple[bytes, bool]:
    """Send the pieces on one connection; all that came back, and whether the server closed it."""
    received = bytearray()
    try:
        with ExitStack() as ending:
            connection = ending.enter_context(socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S))
            if tls is not None:
                connection = ending.enter_context(tls.wrap_socket(connection, server_hostname="localhost"))
            for piece in pieces:
                connection.sendall(piece)
            connection.settimeout(wait_s)
            while len(received) < _ENOUGH_BYTES:
                data = connection.recv(65_536)
                if not data:
                    return bytes(received), True
                received += data
    except TimeoutError:
        return bytes(received), False
    except OSError:
        return bytes(received), True
    return bytes(received), False


def status_of(data: bytes, is_closed: bool) -> str:
    """The kind of an answer over HTTP."""
    if data.startswith(b"HTTP/1."):
        return data[9:12].decode("latin-1")
    return "closed" if is_closed else "open"


def ask(port: int, method: str, path: str, body: bytes = b"", **headers: str) -> str:
    """One request; the kind of its answer. `_` in a header's name stands for `-`."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", "Connection: close", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    head = ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")
    return status_of(*exchange(port, head, body, wait_s=TIMEOUT_S))
