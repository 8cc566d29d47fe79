"""What a stranger with a socket may try, each a function that gives how it was answered, by kind.

Everything is made from one seed, is bounded in number and time, and goes to loopback. An answer is a status of HTTP
("404"), "closed" (the server ended the connection), "open" (it waits for more), or "refused" (no connection).
Not here: what the attack did to others (`bystanders`), and parsers without sockets (`fuzzing`).
"""

from __future__ import annotations

import base64
import json
import random
import select
import socket
import ssl
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, NamedTuple

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from loadtest import rtmp_wire
from loadtest.chatters import HANDSHAKE, frame
from loadtest.fuzzing import mutated

Answers = Counter[str]
_TIMEOUT_S = 3.0
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


def _chance(place: Place, what: str) -> random.Random:
    return random.Random(f"{place.seed} {what}")


def exchange(
    port: int, *pieces: bytes, wait_s: float = _OPEN_AFTER_S, tls: ssl.SSLContext | None = None
) -> tuple[bytes, bool]:
    """Send the pieces on one connection; all that came back, and whether the server closed it."""
    received = bytearray()
    try:
        with ExitStack() as ending:
            connection = ending.enter_context(socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT_S))
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


def _status(data: bytes, is_closed: bool) -> str:
    if data.startswith(b"HTTP/1."):
        return data[9:12].decode("latin-1")
    return "closed" if is_closed else "open"


def _ask(port: int, method: str, path: str, body: bytes = b"", **headers: str) -> str:
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", "Connection: close", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    head = ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")
    return _status(*exchange(port, head, body, wait_s=_TIMEOUT_S))


# --- patience ---


def _loris(place: Place, port: int, count: int, first: bytes, drop: bytes) -> Answers:
    """Many connections that each send a byte a second; how many the server still serves at the end."""
    held: list[socket.socket] = []
    answers: Answers = Counter()
    for _ in range(count):
        try:
            connection = socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT_S)
            connection.sendall(first)
            held.append(connection)
        except OSError:
            answers["refused"] += 1
    until_s = time.monotonic() + place.patience_s
    while held and time.monotonic() < until_s:
        time.sleep(1.0)
        for connection in [each for each in held if not _drip(each, drop)]:
            connection.close()
            held.remove(connection)
            answers["closed"] += 1
    for connection in held:
        connection.close()
    return answers + Counter(open=len(held))


def _drip(connection: socket.socket, drop: bytes) -> bool:
    """Whether the connection is still there."""
    try:
        connection.sendall(drop)
        readable, _, _ = select.select([connection], [], [], 0)
        return not readable or bool(connection.recv(65_536))
    except OSError:
        return False


def slow_http_header(place: Place) -> Answers:
    """A request that never ends its header."""
    return _loris(place, place.http_port, 200, b"GET / HTTP/1.1\r\nHost: h\r\nX: ", b"a")


def slow_http_body(place: Place) -> Answers:
    """A request that never ends its body."""
    head = b"POST /api/v1/sessions HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n"
    return _loris(place, place.http_port, 200, head, b" ")


def slow_rtmp(place: Place) -> Answers:
    """A handshake of a byte a second."""
    return _loris(place, place.rtmp_port, 100, b"\x03", b"\0")


def slow_rtmps(place: Place) -> Answers:
    """A greeting of TLS that comes a byte a second."""
    return _loris(place, place.rtmps_port, 100, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03", b"\x03")


# --- RTMP ---


def _rtmp(place: Place, what: str, count: int, seeds: Sequence[bytes], before: bytes = b"") -> Answers:
    chance, answers = _chance(place, what), Counter[str]()
    hello = rtmp_wire.hello() + bytes(rtmp_wire.HANDSHAKE_BYTES)
    for _ in range(count):
        data, is_closed = exchange(place.rtmp_port, hello + before + mutated(chance, seeds), wait_s=0.25)
        answers["closed" if is_closed else "open"] += 1
        del data
    return answers


def hostile_amf0(place: Place) -> Answers:
    """Commands whose values are nested, cut short, endless."""
    nested = b"\x03" + b"\0\x01a\x03" * 2_000
    long = b"\x0c\xff\xff\xff\xff" + b"x" * 1_000
    commands = [
        rtmp_wire.amf0("connect", 1) + tail for tail in (nested, long, b"\x08\xff\xff\xff\xff", b"\x0a\xff\xff\xff\xff")
    ]
    seeds = [rtmp_wire.message(rtmp_wire.AMF0_COMMAND, each, csid=3) for each in commands]
    return _rtmp(place, "amf0", 100, [*seeds, rtmp_wire.connect("live", "rtmp://h/live")])


def hostile_chunks(place: Place) -> Answers:
    """Chunk headers that lie about lengths, streams and sizes."""
    seeds = [
        rtmp_wire.message(9, bytes(600), csid=6, stream_id=1),
        b"\x02" + bytes(6) + b"\x04\x01" + bytes(4) + b"\x7f\xff\xff\xff",
        b"".join(bytes((csid,)) + b"\0\0\0\xff\xff\xff\x09\x01\0\0\0" + bytes(128) for csid in range(3, 64)),
    ]
    return _rtmp(place, "chunks", 100, seeds, rtmp_wire.connect("live", "rtmp://h/live"))


def guessed_keys(place: Place) -> Answers:
    """Stream keys by chance."""
    chance, answers = _chance(place, "keys"), Counter[str]()
    hello = rtmp_wire.hello() + bytes(rtmp_wire.HANDSHAKE_BYTES) + rtmp_wire.connect("live", "rtmp://h/live")
    for _ in range(40):
        key = base64.b32encode(chance.randbytes(10)).decode()
        publish = rtmp_wire.command("publish", 3, None, key, "live", stream_id=1)
        said, is_closed = exchange(
            place.rtmp_port, hello + rtmp_wire.command("createStream", 2, None) + publish, wait_s=2.0
        )
        if b"Publish.Start" in said:
            answers["admitted"] += 1
        else:
            answers["closed" if is_closed else "open"] += 1
    return answers


# --- rooms ---


def hostile_websocket(place: Place) -> Answers:
    """WebSocket frames and Socket.IO packets off the rails, before and after joining."""
    chance, answers = _chance(place, "websocket"), Counter[str]()
    join = frame(json.dumps({"room": place.room}).join(("40", "")))
    deep = "42" + "[" * 20_000
    seeds = [join, frame('421["danmaku",{"id":"a","text":"hi"}]'), frame('42["like",{"count":1e400}]'), frame(deep)]
    seeds += [b"\x81\xff" + b"\xff" * 8 + bytes(8), b"\x82\x84\0\0\0\0abcd", frame('421["danmaku",{"text":[[[]]]}]')]
    for index in range(200):
        pieces = [HANDSHAKE, join] if index % 2 else [HANDSHAKE]
        _, is_closed = exchange(place.http_port, *pieces, mutated(chance, seeds), wait_s=0.05)
        answers["closed" if is_closed else "open"] += 1
    return answers


def hostile_polling(place: Place) -> Answers:
    """The same by long polling, and session ids that nobody gave out."""
    chance, answers = _chance(place, "polling"), Counter[str]()
    seeds = [b'40{"room":"show"}\x1e421["like",{"count":1}]', b"bAAAA", b"4" * 3_000, b"42" + b"[" * 30_000]
    for index in range(100):
        sid = base64.urlsafe_b64encode(chance.randbytes(12)).decode()
        if index % 2:
            opened, _ = exchange(
                place.http_port,
                b"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
                wait_s=_TIMEOUT_S,
            )
            _, found, rest = opened.partition(b'"sid":"')
            sid = rest.partition(b'"')[0].decode("latin-1") if found else sid
        path = f"/socket.io/?EIO=4&transport=polling&sid={sid}"
        answers[_ask(place.http_port, "POST", path, mutated(chance, seeds), Content_Type="text/plain")] += 1
    return answers


# --- HTTP ---


def hostile_json(place: Place) -> Answers:
    """Bodies too deep, too large, of wrong types, and not JSON at all."""
    wrong: list[Any] = [None, 5, "x", [], {}, {"name": {"a": [1]}}, {"name": 1, "password": []}, {"refresh_token": {}}]
    bodies = [json.dumps(each).encode() for each in wrong]
    bodies += [b"[" * 100_000, b'{"a":' * 50_000, b"9" * 200_000, b'{"name":1e999999}', b'{"name":-0}', b"\xff\xfe{}"]
    bodies += [
        b'{"name":"\\ud800","password":"x"}',
        b'{"name":"\0","password":"\\u0000"}',
        b"NaN",
        b'{"name":' + b"9" * 5_000 + b"}",
    ]
    bodies += [b'{"name":"a","name":"b"}', b" " * 3_000_000, b'{"sku_id":9223372036854775808,"quantity":1e30}']
    answers: Answers = Counter()
    paths = ("sessions", "sessions/refresh", "users", "rooms", f"rooms/{place.room}/orders", "page-errors")
    for path in paths:
        for body in bodies:
            answers[_ask(place.http_port, "POST", f"/api/v1/{path}", body, Content_Type="application/json")] += 1
    return answers


def forged_tokens(place: Place) -> Answers:
    """Access tokens that anybody could have made."""
    now_s = int(time.time())
    claims: dict[str, Any] = {"iss": "streamd", "sub": "u1", "sid": "s", "gen": 1, "iat": now_s, "exp": now_s + 600}
    other = Ed25519PrivateKey.generate()
    tokens = [
        jwt.encode(claims, "", algorithm="none", headers={"typ": "at+jwt", "kid": kid})
        for kid in ("", "../../dev/null", "1", "' or 1=1")
    ]
    tokens += [jwt.encode(claims, "k" * 32, algorithm="HS256", headers={"typ": "at+jwt"})]
    tokens += [
        jwt.encode(claims | {"exp": exp}, other, algorithm="EdDSA", headers={"typ": "at+jwt"}) for exp in (1, now_s + 9)
    ]
    tokens += [tokens[0] * 40, "a.b.c", "..", "\udcff", "Bearer", "=" * 2_000]
    calls = (("DELETE", "/api/v1/sessions"), ("POST", "/api/v1/rooms"), ("GET", f"/api/v1/rooms/{place.room}/orders"))
    answers: Answers = Counter()
    for method, path in calls:
        for token in tokens:
            answers[_ask(place.http_port, method, path, Authorization=f"Bearer {token}")] += 1
    return answers


def traversal(place: Place) -> Answers:
    """Names of rooms, renditions, pictures and pages that climb."""
    steps = ("..", "%2e%2e", "..%2f..", "%252e%252e", "..%5c..", "．．", "..%c0%af..", "%00", "a%00b", "..;", "....//")
    target = "etc/passwd"
    forms = (
        "/live/{}/source/media.m3u8",
        "/live/{}.flv",
        f"/live/{place.room}/{{}}/media.m3u8",
        f"/live/{place.room}/source/{{}}",
        "/pictures/{}.jpg",
        f"/assets/{{}}/{{}}/{target}",
        "/api/v1/rooms/{}/stream",
        f"/{{}}/{{}}/{{}}/{target}",
        "/watch/{}",
        "/whip/{}",
    )
    answers: Answers = Counter()
    for form in forms:
        for step in steps:
            path = form.replace("{}", step)
            said, is_closed = exchange(
                place.http_port,
                f"GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nAccept: */*\r\n\r\n".encode(),
                wait_s=_TIMEOUT_S,
            )
            leaks = b"root:" in said or b"PRIVATE KEY" in said
            answers["leaked" if leaks else _status(said, is_closed)] += 1
    return answers


def hostile_flv(place: Place) -> Answers:
    """Requests for FLV with lines, methods and headers that are none."""
    chance = _chance(place, "flv")
    plain = (
        f"GET /live/{place.room}.flv?x=1 HTTP/1.1\r\nHost: h\r\nConnection: close\r\nRange: bytes=0-\r\n\r\n".encode()
    )
    upgrade = plain.replace(
        b"Connection: close", b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 99"
    )
    answers: Answers = Counter()
    for _ in range(150):
        said, is_closed = exchange(place.http_port, mutated(chance, [plain, upgrade]), wait_s=0.1)
        answers[_status(said, is_closed)] += 1
    return answers


def hostile_offers(place: Place) -> Answers:
    """SDP offers of an encoder that has the key."""
    chance, answers = _chance(place, "sdp"), Counter[str]()
    for _ in range(100):
        body = mutated(chance, [place.offer])
        path = f"/whip/{place.room}"
        headers = {"Content_Type": "application/sdp", "Authorization": "Bearer wrong-key"}
        answers[_ask(place.http_port, "POST", path, body, **headers)] += 1
    return answers


def ambiguous() -> list[bytes]:
    """Requests of which two servers could disagree where they end; a second request stands where the body might be."""
    hidden = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
    chunked, length = b"Transfer-Encoding: chunked\r\n", b"Content-Length: %d\r\n"
    ended = b"0\r\n\r\n" + hidden
    heads = (
        length % 5 + chunked,
        chunked + length % len(ended),
        length % len(ended) + b"Transfer-Encoding : chunked\r\n",
        length % len(ended) + b"Transfer-Encoding:\x0bchunked\r\n",
        length % len(ended) + b"Transfer-Encoding: xchunked\r\n",
        length % len(ended) + b"X: y\r\n Transfer-Encoding: chunked\r\n",
        length % 0 + length % len(ended),
        b"Content-Length: +5\r\n",
        b"Content-Length: 0x5\r\n",
        b"Content-Length: 5, 5\r\n",
        chunked + chunked,
        b"Transfer-Encoding: chunked, identity\r\n",
    )
    start = b"POST /api/v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return [start + head + b"\r\n" + ended for head in heads]


def smuggling(place: Place) -> Answers:
    """At our own HTTP port. A second answer means that what might have been the body was taken for a request."""
    answers: Answers = Counter()
    for request in ambiguous():
        said, is_closed = exchange(place.http_port, request, wait_s=1.0)
        answers["taken in" if said.count(b"HTTP/1.") > 1 else _status(said, is_closed)] += 1
    return answers


_REFUSED = frozenset(
    {"400", "401", "403", "404", "405", "406", "409", "411", "413", "414", "415", "422", "429", "431", "closed"}
)

ATTACKS = (
    Attack("HTTP headers that never end", slow_http_header, frozenset({"closed", "408"})),
    Attack("HTTP bodies that never end", slow_http_body, frozenset({"closed", "408"})),
    Attack("RTMP handshakes of a byte a second", slow_rtmp, frozenset({"closed"})),
    Attack("TLS greetings of a byte a second (RTMPS)", slow_rtmps, frozenset({"closed"})),
    Attack("AMF0: nested, cut, endless", hostile_amf0, frozenset({"closed", "open"})),
    Attack("chunk headers that lie", hostile_chunks, frozenset({"closed", "open"})),
    Attack("stream keys by chance", guessed_keys, frozenset({"closed"})),
    Attack("WebSocket and Socket.IO packets", hostile_websocket, frozenset({"closed", "open"})),
    Attack("Socket.IO by polling", hostile_polling, _REFUSED | {"200"}),
    Attack("JSON bodies", hostile_json, _REFUSED | {"204"}),
    Attack("forged access tokens", forged_tokens, frozenset({"400", "401"})),
    Attack("names that climb", traversal, _REFUSED | {"200", "301", "302", "308"}),
    Attack("FLV requests", hostile_flv, _REFUSED | {"200", "101", "open", "501", "505", "426"}),
    Attack("SDP offers", hostile_offers, _REFUSED),
    Attack("request smuggling", smuggling, _REFUSED),
)
