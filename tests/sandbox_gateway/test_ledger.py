"""The sandbox gateway's books."""

from __future__ import annotations

from dataclasses import replace

import pytest

from streamd.errors import ConflictError, NotFoundError
from streamd.sandbox_gateway.ledger import LATE_MS, Asked, Ledger

ASKED = Asked(
    reference="P1",
    amount_minor=990,
    currency="CNY",
    title="Tea",
    expires_at_ms=60_000,
    notify_url="http://shop/notify",
    return_url="http://shop/watch",
)


def refund(ledger: Ledger, *, reference: str = "R1", amount_minor: int = 990, now_ms: int = 10) -> bool:
    return ledger.refund(
        reference=reference, payment="P1", amount_minor=amount_minor, notify_url="http://shop/notify", now_ms=now_ms
    )[1]


def test_a_reference_is_one_charge_however_often_it_is_opened() -> None:
    ledger = Ledger(refund_delay_ms=100)
    assert ledger.open(ASKED, 0) is ledger.open(ASKED, 5)
    with pytest.raises(ConflictError):
        ledger.open(replace(ASKED, amount_minor=1), 5)


def test_a_charge_is_paid_or_closed_once() -> None:
    ledger = Ledger(refund_delay_ms=100)
    charge = ledger.open(ASKED, 0)
    assert ledger.pay(charge, 7)
    assert not ledger.pay(charge, 8)
    assert not ledger.fail(charge, 8)
    assert not ledger.pay_late(charge, 8)
    assert (charge.word()["state"], charge.word()["at_ms"]) == ("paid", 7)


def test_late_money_comes_after_the_shop_has_given_up() -> None:
    ledger = Ledger(refund_delay_ms=100)
    charge = ledger.open(ASKED, 0)
    assert ledger.pay_late(charge, 10)
    assert not ledger.pay_late(charge, 11)
    assert ledger.advance(ASKED.expires_at_ms) == ([], [])
    paid, _ = ledger.advance(ASKED.expires_at_ms + LATE_MS)
    assert (paid, charge.state, charge.at_ms) == ([charge], "paid", ASKED.expires_at_ms + LATE_MS)
    assert ledger.advance(ASKED.expires_at_ms + 2 * LATE_MS) == ([], [])


def test_a_refund_takes_its_time_is_one_under_its_reference_and_never_too_much() -> None:
    ledger = Ledger(refund_delay_ms=100)
    charge = ledger.open(ASKED, 0)
    with pytest.raises(ConflictError):
        refund(ledger)
    ledger.pay(charge, 1)
    assert refund(ledger, amount_minor=900)
    assert not refund(ledger, amount_minor=900)
    with pytest.raises(ConflictError):
        refund(ledger, amount_minor=1)
    with pytest.raises(ConflictError):
        refund(ledger, reference="R2", amount_minor=91)
    assert refund(ledger, reference="R2", amount_minor=90)
    assert ledger.advance(109) == ([], [])
    _, done = ledger.advance(110)
    assert [one.state for one in done] == ["done", "done"]


def test_a_bill_holds_what_moved_between_two_midnights() -> None:
    ledger = Ledger(refund_delay_ms=100)
    ledger.pay(ledger.open(ASKED, 0), 50)
    ledger.open(replace(ASKED, reference="P2"), 0)
    refund(ledger, now_ms=50)
    ledger.advance(150)
    lines = [(line["kind"], line["reference"], line["at_ms"]) for line in ledger.bill(0, 1_000)]
    assert lines == [("payment", "P1", 50), ("refund", "R1", 150)]
    assert [line["kind"] for line in ledger.bill(0, 150)] == ["payment"]
    assert list(ledger.bill(151, 1_000)) == []


def test_the_oldest_is_forgotten_when_there_are_too_many() -> None:
    ledger = Ledger(refund_delay_ms=100, limit_count=3)
    charges = [ledger.open(replace(ASKED, reference=f"P{n}"), n) for n in range(5)]
    for gone in charges[:2]:
        with pytest.raises(NotFoundError):
            ledger.charge(gone.asked.reference)
        with pytest.raises(NotFoundError):
            ledger.by_token(gone.token)
    assert [ledger.charge(f"P{n}") for n in (2, 3, 4)] == charges[2:]


def test_nobody_guesses_a_page() -> None:
    ledger = Ledger(refund_delay_ms=0)
    tokens = {ledger.open(replace(ASKED, reference=f"P{n}"), n).token for n in range(100)}
    assert (len(tokens), {len(token) for token in tokens}) == (100, {32})
