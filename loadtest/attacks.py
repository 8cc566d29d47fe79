"""What a stranger with a socket may try, each a function that gives how it was answered, by kind.

Everything is made from one seed, is bounded in number and time, and goes to loopback. Kinds of answers: `attack_kit`.
Not here: what the attack did to others (`bystanders`), and parsers without sockets (`fuzzing`).
"""

from __future__ import annotations

import base64
import json
import select
import socket
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from loadtest import rtmp_wire, webrtc_attacks
from loadtest.attack_kit import TIMEOUT_S, Answers, Attack, Place, ask, chance_of, exchange, status_of
from loadtest.chatters import HANDSHAKE, frame
from loadtest.fuzzing import mutated

# --- patience ---


def _loris(place: Place, port: int, count: int, first: bytes, drop: bytes) -> Answers:
    """Many connections that each send a byte a second; how many the server still serves at the end."""
    held: list[socket.socket] = []
    answers: Answers = Counter()
    for _ in range(count):
        try:
            connection = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)
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
    chance, answers = chance_of(place, what), Counter[str]()
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
    chance, answers = chance_of(place, "keys"), Counter[str]()
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
    chance, answers = chance_of(place, "websocket"), Counter[str]()
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
    chance, answers = chance_of(place, "polling"), Counter[str]()
    seeds = [b'40{"room":"show"}\x1e421["like",{"count":1}]', b"bAAAA", b"4" * 3_000, b"42" + b"[" * 30_000]
    for index in range(100):
        sid = base64.urlsafe_b64encode(chance.randbytes(12)).decode()
        if index % 2:
            opened, _ = exchange(
                place.http_port,
                b"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
                wait_s=TIMEOUT_S,
            )
            _, found, rest = opened.partition(b'"sid":"')
            sid = rest.partition(b'"')[0].decode("latin-1") if found else sid
        path = f"/socket.io/?EIO=4&transport=polling&sid={sid}"
        answers[ask(place.http_port, "POST", path, mutated(chance, seeds), Content_Type="text/plain")] += 1
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
            answers[ask(place.http_port, "POST", f"/api/v1/{path}", body, Content_Type="application/json")] += 1
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
            answers[ask(place.http_port, method, path, Authorization=f"Bearer {token}")] += 1
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
                wait_s=TIMEOUT_S,
            )
            leaks = b"root:" in said or b"PRIVATE KEY" in said
            answers["leaked" if leaks else status_of(said, is_closed)] += 1
    return answers


def hostile_flv(place: Place) -> Answers:
    """Requests for FLV with lines, methods and headers that are none."""
    chance = chance_of(place, "flv")
    plain = (
        f"GET /live/{place.room}.flv?x=1 HTTP/1.1\r\nHost: h\r\nConnection: close\r\nRange: bytes=0-\r\n\r\n".encode()
    )
    upgrade = plain.replace(
        b"Connection: close", b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 99"
    )
    answers: Answers = Counter()
    for _ in range(150):
        said, is_closed = exchange(place.http_port, mutated(chance, [plain, upgrade]), wait_s=0.1)
        answers[status_of(said, is_closed)] += 1
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
        answers["taken in" if said.count(b"HTTP/1.") > 1 else status_of(said, is_closed)] += 1
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
    *webrtc_attacks.ATTACKS,
    Attack("request smuggling", smuggling, _REFUSED),
)
