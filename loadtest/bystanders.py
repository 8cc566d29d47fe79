"""Those who must not suffer while a server is attacked: a viewer of the healthy stream and a member of its room."""

from __future__ import annotations

import json
import socket
import threading
import time
from contextlib import suppress

from loadtest.chatters import HANDSHAKE, frame
from loadtest.nodes import Watcher

_EVERY_S = 0.1
_TIMEOUT_S = 10.0
_PING = b"\x81\x012"


class RoomMember:
    """Likes ten times a second and waits for each answer; the waits are kept."""

    def __init__(self, port: int, room: str) -> None:
        self._port = port
        self._join = frame("40" + json.dumps({"room": room}))
        self.waits: list[tuple[float, float]] = []  # when asked, seconds until answered
        self.lost = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """No more likes."""
        self._stopping.set()
        self._thread.join(_TIMEOUT_S + 1)

    def _run(self) -> None:
        while not self._stopping.is_set():
            with (
                suppress(OSError),
                socket.create_connection(("127.0.0.1", self._port), timeout=_TIMEOUT_S) as connection,
            ):
                connection.sendall(HANDSHAKE)
                _read_until(connection, b"\r\n\r\n")
                connection.sendall(self._join)
                _read_until(connection, b'"welcome"')
                self._like(connection)
            self.lost += not self._stopping.is_set()
            self._stopping.wait(_EVERY_S)

    def _like(self, connection: socket.socket) -> None:
        number = 0
        while not self._stopping.wait(_EVERY_S):
            number += 1
            asked_s = time.monotonic()
            connection.sendall(frame(f'42{number}["like",{{"count":1}}]'))
            _read_until(connection, b"43%d[" % number)
            self.waits.append((asked_s, time.monotonic() - asked_s))


def _read_until(connection: socket.socket, pattern: bytes) -> None:
    """Read on; pings are answered. Raises OSError when the connection ends."""
    received = b""
    while pattern not in received:
        data = connection.recv(65_536)
        if not data:
            raise ConnectionError("closed")
        if data.startswith(_PING) or data.endswith(_PING):
            connection.sendall(frame("3"))
        received += data


class Bystanders:
    """Both, and how they fared since a moment."""

    def __init__(self, http_port: int, room: str) -> None:
        self._viewer = Watcher([f"http://127.0.0.1:{http_port}"], room)
        try:
            self._viewer.wait_for(4, seconds=30)
        except TimeoutError:
            self._viewer.stop()
            raise
        self._member = RoomMember(http_port, room)

    def stop(self) -> None:
        """Both leave."""
        self._member.stop()
        self._viewer.stop()

    def part_gap_s(self, since_s: float) -> float:
        """The longest time without a new part."""
        return self._viewer.stall_s(since_s)

    def room_wait_s(self, since_s: float) -> float:
        """The longest time until an answer from the room."""
        return max((wait_s for asked_s, wait_s in self._member.waits if asked_s >= since_s), default=_TIMEOUT_S)

    @property
    def lost(self) -> int:
        """Connections and requests of theirs that broke."""
        return self._viewer.failures + self._member.lost
