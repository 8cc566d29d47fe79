"""ICE-lite: whose check counts, where answers go, and what a flood may cost."""

from __future__ import annotations

from streamd.whip import stun
from streamd.whip.ice_lite import IceLite
from streamd.whip.limits import WhipLimits
from tests.whip.test_stun import request

HOME, CAFE = ("192.0.2.1", 1_000), ("192.0.2.2", 2_000)


class Agent:
    """An agent under test, asked as a peer that knows the answer would ask."""

    def __init__(self, limits: WhipLimits | None = None) -> None:
        self.ice = IceLite(limits=limits or WhipLimits())
        self.now_ms = 1_000

    def check(
        self, address: tuple[str, int], *, nominates: bool = False, ufrag: str = "", password: str = ""
    ) -> bytes | None:
        data = request(
            username=f"{ufrag or self.ice.ufrag}:theirs",
            password=(password or self.ice.password).encode(),
            nominates=nominates,
        )
        read = stun.parse_request(data)
        assert read is not None
        return self.ice.check(data, read, address, now_ms=self.now_ms)


def test_an_authentic_check_proves_its_address() -> None:
    agent = Agent()
    assert agent.check(HOME) is not None
    assert (agent.ice.addresses, agent.ice.selected) == ([HOME], HOME)


def test_a_check_with_a_wrong_password_is_answered_by_silence() -> None:
    agent = Agent()
    assert agent.check(HOME, password="wrong") is None
    assert agent.check(HOME, ufrag="nobody") is None
    assert (agent.ice.addresses, agent.ice.selected) == ([], None)


def test_the_address_nominated_last_is_where_we_send() -> None:
    agent = Agent()
    agent.check(HOME)
    agent.check(CAFE)
    assert agent.ice.selected == HOME
    agent.check(CAFE, nominates=True)
    assert agent.ice.selected == CAFE
    agent.check(HOME)
    assert agent.ice.selected == CAFE
    agent.check(HOME, nominates=True)
    assert agent.ice.selected == HOME


def test_addresses_are_bounded_and_the_selected_one_stays() -> None:
    agent = Agent(WhipLimits(addresses_count=3, checks_per_second=100))
    agent.check(HOME, nominates=True)
    for port in range(10):
        agent.check(("198.51.100.1", port))
    assert len(agent.ice.addresses) == 3
    assert HOME in agent.ice.addresses


def test_a_flood_from_elsewhere_costs_so_many_checks_a_second_and_shuts_nobody_out() -> None:
    agent = Agent(WhipLimits(checks_per_second=5))
    agent.check(HOME, nominates=True)
    for port in range(20):
        agent.check(("198.51.100.1", port), password="wrong")
    assert agent.check(CAFE) is None  # the budget of this second is spent
    assert agent.check(HOME) is not None  # who has proved an address needs none
    agent.now_ms += 1_000
    assert agent.check(CAFE) is not None


def test_a_restart_keeps_the_old_credentials_until_the_new_ones_are_used() -> None:
    agent = Agent()
    old, old_password = agent.ice.ufrag, agent.ice.password
    agent.check(HOME, nominates=True)
    agent.ice.renew()
    assert agent.ice.ufrag != old
    assert agent.check(HOME, ufrag=old, password=old_password) is not None
    assert agent.check(CAFE, nominates=True) is not None
    assert agent.check(HOME, ufrag=old, password=old_password) is None
    assert agent.ice.selected == CAFE


def test_restarts_without_end_keep_two_credentials() -> None:
    agent = Agent()
    for _ in range(20):
        agent.ice.renew()
    assert len(agent.ice.ufrags) == 2
