"""Peers that mean no good, in a process of their own: many silent, slow or babbling connections at once.

    python hostile_peers.py PORT MODE COUNT [HOLD_SECONDS]

Prints "ready" when all are connected and have said what they have to say, and "closed N" with the number of connections
that the server had ended by then or ended within HOLD_SECONDS.
"""

from __future__ import annotations

import contextlib
import random
import resource
import select
import socket
import sys
import time

HANDSHAKE = b"\x03" + bytes(1536) + bytes(1536)


def words(mode: str, number: int) -> bytes:
    chance = random.Random(number)
    match mode:
        case "silent":
            return b""
        case "crumbs":
            return HANDSHAKE[: chance.randrange(1, 3000)]
        case "garbage":
            return chance.randbytes(chance.randrange(1, 20_000))
        case "garbage-after-handshake":
            return HANDSHAKE + chance.randbytes(chance.randrange(1, 20_000))
        case "oversize":  # declares the longest message there is and sends what it may of it
            return HANDSHAKE + b"\x03\x00\x00\x00\xff\xff\xff\x14\x00\x00\x00\x00" + bytes(128)
        case "hoard":  # an unfinished message on each of many chunk streams
            return HANDSHAKE + b"".join(
                bytes([csid]) + bytes(3) + (65_000).to_bytes(3, "big") + b"\x14" + bytes(4) + bytes(128)
                for csid in range(3, 64)
            )
        case "storm":
            return HANDSHAKE + b"\x03" + bytes(3) + bytes(3) + b"\x14" + bytes(4) + b"\xc3" * 100_000
    raise ValueError(mode)


def main(port: int, mode: str, count: int, hold_s: float) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    peers: dict[int, socket.socket] = {}
    poll = select.poll()
    for number in range(count):
        peer = socket.create_connection(("127.0.0.1", port))
        with contextlib.suppress(OSError):  # the server may have had enough already
            peer.sendall(words(mode, number))
        peer.setblocking(False)
        peers[peer.fileno()] = peer
        poll.register(peer, select.POLLIN)
    print("ready", flush=True)
    closed = 0
    deadline = time.monotonic() + hold_s
    while peers and (left := deadline - time.monotonic()) > 0:
        for descriptor, _ in poll.poll(left * 1000):
            peer = peers[descriptor]
            try:
                if peer.recv(65_536):
                    continue
            except BlockingIOError:
                continue
            except OSError:
                pass
            poll.unregister(descriptor)
            peers.pop(descriptor).close()
            closed += 1
    print("closed", closed, flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4]) if len(sys.argv) > 4 else 10)
