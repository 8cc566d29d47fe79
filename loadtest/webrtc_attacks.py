"""Attacks at the WHIP door and its UDP port, by a stranger and by an encoder that has the key.

Answers at the UDP port are "ignored" and "answered", one for each datagram; of a peer whose transport stands, "borne"
when it is still heard afterwards, or "cut off".
"""

from __future__ import annotations

import random
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress

from aioice import stun

from loadtest.attack_kit import Answers, Attack, Place, ask, chance_of
from loadtest.fuzzing import mutated
from loadtest.whip_peer import Answer, Offering, WhipPeer
from loadtest.whip_publishers import post_offer

_COUNT = 20_000
_BATCH_COUNT = 50
_PAUSE_S = 0.002  # after each batch
_HEARD_S = 0.2
_DATAGRAM_BYTES = 1_200


def flooded_port(place: Place) -> Answers:
    """Datagrams from nobody: checks of unknown users, or with a wrong password, greetings of DTLS, media, noise."""
    where, _ = post_offer(_door(place), place.room, Offering().sdp())
    chance = chance_of(place, "udp")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.connect(where.address)
        stranger.setblocking(False)
        _send(stranger.send, (_stray(chance, where) for _ in range(_COUNT)))
        time.sleep(_HEARD_S)
        answered = 0
        with suppress(BlockingIOError, ConnectionError):
            while stranger.recv(2_048):
                answered += 1
    return +Counter(answered=answered, ignored=_COUNT - answered)


def hostile_media(place: Place) -> Answers:
    """A peer whose transport stands, and who then sends what nobody can decrypt."""
    peer = WhipPeer()
    answer, _ = post_offer(_door(place), place.room, peer.offering.sdp())
    peer.connect(answer)
    chance = chance_of(place, "srtp")
    heads = (b"\x80\x60", b"\x80\xe0", b"\x81\xc8", b"\x90\x6f", b"\x17\xfe\xfd")
    _send(peer.send_raw, (chance.choice(heads) + _noise(chance) for _ in range(_COUNT)))
    try:
        peer.reach(answer)
        how = "borne"
    except TimeoutError:
        how = "cut off"
    peer.close()
    return Counter({how: _COUNT})


def hostile_offers(place: Place) -> Answers:
    """SDP off the rails, with the key. What is still an offer is taken, and nobody comes."""
    chance = chance_of(place, "sdp")
    return Counter(_offer(place, mutated(chance, [place.offer])) for _ in range(100))


def abandoned_offers(place: Place) -> Answers:
    """Proper offers with the key, more than there is room for, whose peers never come."""
    return Counter(_offer(place, place.offer) for _ in range(300))


_REFUSED = frozenset({"400", "403", "404", "406", "409", "413", "415", "422", "429"})

ATTACKS = (
    Attack("UDP from nobody: STUN, DTLS, RTP, noise", flooded_port, frozenset({"ignored"})),
    Attack("media that cannot be decrypted", hostile_media, frozenset({"borne"})),
    Attack("SDP off the rails, with the key", hostile_offers, _REFUSED | {"201"}),
    Attack("WHIP offers whose peers never come", abandoned_offers, frozenset({"201", "429", "503"})),
)


def _door(place: Place) -> str:
    return f"http://127.0.0.1:{place.http_port}/whip/{place.room}"


def _offer(place: Place, body: bytes) -> str:
    headers = {"Content_Type": "application/sdp", "Authorization": f"Bearer {place.room}"}
    return ask(place.http_port, "POST", f"/whip/{place.room}", body, **headers)


def _send(send: Callable[[bytes], object], datagrams: Iterable[bytes]) -> None:
    """As fast as one machine on a fast line."""
    for index, datagram in enumerate(datagrams):
        with suppress(BlockingIOError, ConnectionError):
            send(datagram)
        if index % _BATCH_COUNT == 0:
            time.sleep(_PAUSE_S)


def _stray(chance: random.Random, where: Answer) -> bytes:
    match chance.randrange(5):
        case 0:
            return _check(chance, user=chance.randbytes(4).hex(), password=where.password)
        case 1:
            return _check(chance, user=where.ufrag, password="x" * 22)
        case 2:
            return b"\x16\xfe\xfd" + _noise(chance)
        case 3:
            return struct.pack(">BBHII", 0x80, 96, 1, 2, 3) + _noise(chance)
        case _:
            return _noise(chance)


def _check(chance: random.Random, *, user: str, password: str) -> bytes:
    message = stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST)
    message.transaction_id = chance.randbytes(12)
    message.attributes["USERNAME"] = f"{user}:abcd"
    message.attributes["PRIORITY"] = 1
    message.attributes["ICE-CONTROLLING"] = 1
    message.add_message_integrity(password.encode())
    return bytes(message)


def _noise(chance: random.Random) -> bytes:
    return chance.randbytes(chance.randrange(_DATAGRAM_BYTES))
