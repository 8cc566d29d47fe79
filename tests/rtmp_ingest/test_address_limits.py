"""What one address may do, and that strangers do not pay for it."""

from __future__ import annotations

from rtmp_ingest.address_limits import AddressLimits
from rtmp_ingest.limits import RtmpLimits

LIMITS = RtmpLimits(connections_per_address_count=2, failures_per_address_count=3, failures_window_ms=60_000)


def limits() -> AddressLimits:
    return AddressLimits(limits=LIMITS, trusted=frozenset({"127.0.0.1"}))


def test_connections_of_one_address_are_bounded_and_given_back() -> None:
    addresses = limits()
    assert [addresses.connect("192.0.2.1") for _ in range(3)] == [True, True, False]
    assert addresses.connect("192.0.2.2")
    addresses.disconnect("192.0.2.1")
    assert addresses.connect("192.0.2.1")


def test_a_proxy_on_this_machine_speaks_for_many() -> None:
    addresses = limits()
    assert all(addresses.connect("127.0.0.1") for _ in range(100))
    for _ in range(10):
        addresses.fail("127.0.0.1", 0)
    assert addresses.retry_after_ms("127.0.0.1", 0) == 0


def test_failures_lock_an_address_out_until_their_window_is_over() -> None:
    addresses = limits()
    for at_ms in (0, 10, 20):
        assert addresses.retry_after_ms("192.0.2.1", at_ms) == 0
        addresses.fail("192.0.2.1", at_ms)
    assert addresses.retry_after_ms("192.0.2.1", 1_000) == 59_000
    assert addresses.retry_after_ms("192.0.2.9", 1_000) == 0
    assert addresses.retry_after_ms("192.0.2.1", 60_000) == 0
    addresses.fail("192.0.2.1", 60_000)
    assert addresses.retry_after_ms("192.0.2.1", 60_001) == 0, "a new window starts at one"


def test_ipv6_counts_by_the_network_that_a_customer_is_given() -> None:
    addresses = limits()
    assert addresses.connect("2001:db8:0:1::1")
    assert addresses.connect("2001:db8:0:1:ffff::2")
    assert not addresses.connect("2001:db8:0:1::3")
    assert addresses.connect("2001:db8:0:2::1")
    assert addresses.connect("::ffff:192.0.2.1")
    assert addresses.connect("192.0.2.1")
    assert not addresses.connect("192.0.2.1"), "the mapped form is the same address"


def test_memory_of_failures_is_bounded() -> None:
    addresses = limits()
    for number in range(5_000):
        addresses.fail(f"host-{number}", 0)
    assert len(addresses._failures) == 4096
