"""The table of an order's life."""

from __future__ import annotations

import itertools

import pytest

from streamd.errors import ConflictError, ForbiddenError
from streamd.shop.states import (
    BUYER,
    EXPIRY,
    GATEWAY,
    HOST,
    STAFF,
    STATUSES,
    STEPS,
    check_step,
    next_steps,
    sources,
)

EVERYBODY = frozenset({BUYER, STAFF, HOST, GATEWAY, EXPIRY})
LIFE = ["created", "paying", "paid", "shipped", "completed"]


def test_an_order_is_placed_paid_shipped_and_completed_in_that_order() -> None:
    for before, after in itertools.pairwise(LIFE):
        check_step(before, after, EVERYBODY)
    for before, after in itertools.combinations(LIFE, 2):
        with pytest.raises(ConflictError):
            check_step(after, before, EVERYBODY)


@pytest.mark.parametrize(("status", "wanted"), list(itertools.product(STATUSES, STATUSES)))
def test_step_that_is_not_in_the_table_is_a_conflict_that_names_both_states(status: str, wanted: str) -> None:
    if (status, wanted) in STEPS:
        return
    with pytest.raises(ConflictError) as caught:
        check_step(status, wanted, EVERYBODY)
    assert (status in caught.value.what, wanted in caught.value.what) == (True, True)
    assert caught.value.code == "order_state"


def test_only_the_gateway_makes_an_order_paid_or_refunded() -> None:
    for wanted in ("paid", "refunded"):
        for status in sources(wanted):
            check_step(status, wanted, frozenset({GATEWAY}))
            with pytest.raises(ForbiddenError):
                check_step(status, wanted, EVERYBODY - {GATEWAY})


def test_only_the_host_ships_and_gives_money_back() -> None:
    for status, wanted in (("paid", "shipped"), ("paid", "refunding"), ("completed", "refunding")):
        check_step(status, wanted, frozenset({HOST, STAFF}))
        with pytest.raises(ForbiddenError):
            check_step(status, wanted, frozenset({BUYER, STAFF}))


def test_nothing_leads_out_of_refunded() -> None:
    assert next_steps("refunded", EVERYBODY) == []


def test_a_buyer_sees_what_they_can_do() -> None:
    assert next_steps("created", frozenset({BUYER})) == ["paying", "cancelled"]
    assert next_steps("paid", frozenset({BUYER})) == []
    assert next_steps("shipped", frozenset({BUYER})) == ["completed"]


def test_every_state_can_be_reached() -> None:
    assert [status for status in STATUSES if status != "created" and not sources(status)] == []
