"""What this server relies on inside aiortc. An upgrade that changes it fails here, and says what to look at."""

from __future__ import annotations

import asyncio
import inspect

import pylibsrtp
import pytest
from aiortc.rtcdtlstransport import RTCDtlsFingerprint, RTCDtlsParameters, RTCDtlsTransport

from loadtest.whip_peer import Answer
from streamd.whip.secure_channel import PACKET_BYTES, Certificate, SecureChannel
from tests.whip.house import open_house


class Wire:
    """A stand-in for an ICE transport that records what is asked of it."""

    role = "controlled"

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def __getattr__(self, name: str) -> object:
        raise AssertionError(f"aiortc asks its transport for {name}: see streamd/whip/secure_channel.py")

    async def _recv(self) -> bytes:
        raise ConnectionError

    async def _send(self, data: bytes) -> None:
        self.sent.append(data)


async def test_aiortc_asks_its_transport_for_nothing_but_recv_and_send() -> None:
    dtls = RTCDtlsTransport(Wire(), [Certificate().inner])  # type: ignore[arg-type]
    dtls._set_role("server")
    await dtls.start(RTCDtlsParameters(fingerprints=[RTCDtlsFingerprint(algorithm="sha-256", value="00")]))
    assert dtls.state == "failed"  # ConnectionError from `_recv` is how a transport says that it is closed
    await dtls.stop()


def test_aiortc_makes_its_srtp_sessions_under_the_names_we_take_them_by() -> None:
    source = inspect.getsource(RTCDtlsTransport)
    for line in ("self._rx_srtp = Session(rx_policy)", "self._tx_srtp = Session(tx_policy)", "def _set_role("):
        assert line in source, f"aiortc has changed: {line!r} is gone; see streamd/whip/secure_channel.py"


def test_pylibsrtp_works_in_a_buffer_of_the_size_we_know() -> None:
    assert f'ffi.new("char[]", {PACKET_BYTES})' in inspect.getsource(pylibsrtp.Session)
    with pytest.raises(ValueError, match="too long"):
        session().unprotect(b"\x80" * (PACKET_BYTES + 1))


def test_garbage_is_an_error_of_pylibsrtp_and_nothing_else() -> None:
    for data in (b"", b"\x80", b"\x80" * 12, b"\x80" * PACKET_BYTES):
        with pytest.raises(pylibsrtp.Error):
            session().unprotect(data)
        with pytest.raises(pylibsrtp.Error):
            session().unprotect_rtcp(data)


def session() -> pylibsrtp.Session:
    policy = pylibsrtp.Policy(key=bytes(30), ssrc_type=pylibsrtp.Policy.SSRC_ANY_INBOUND)
    return pylibsrtp.Session(policy)


async def test_before_the_handshake_nothing_is_decrypted_and_nothing_is_said() -> None:
    sent: list[bytes] = []
    channel = SecureChannel(certificate=Certificate(), send=sent.append, on_closed=sent.clear, waiting_count=2)
    assert channel.decrypt(b"\x80" * 100) is None
    assert channel.decrypt_control(b"\x80" * 100) is None
    assert channel.encrypt_control(b"\x80" * 100) is None
    for _ in range(10):
        channel.receive_handshake(b"\x16" * 100)  # bounded
    await channel.farewell()
    channel.release()
    assert sent == []


async def test_a_session_costs_no_thread_and_one_task_inside_aiortc_that_ends_with_it() -> None:
    async with open_house() as house:
        peer = house.peer()
        response = await house.post(peer.offering.sdp())
        before = asyncio.all_tasks()
        await asyncio.to_thread(peer.connect, Answer.read(await response.text()))
        await house.gate.publication()
        await asyncio.sleep(0)
        others = [task for task in asyncio.all_tasks() - before if "RTCDtlsTransport" in repr(task.get_coro())]
        assert len(others) <= 1
        async with house.http.delete(house.url + response.headers["Location"]) as deleted:
            assert deleted.status == 200
        async with asyncio.timeout(30):
            await asyncio.gather(*others, return_exceptions=True)


async def test_two_sessions_of_one_certificate_have_keys_of_their_own() -> None:
    async with open_house() as house:
        first, second = await house.publish(), await house.publish()
        packet = b"\x80\x60" + bytes(10) + b"\x41payload"
        assert first.peer._out is not None
        assert second.peer._out is not None
        assert first.peer._out.protect(packet) != second.peer._out.protect(packet)
