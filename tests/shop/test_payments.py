"""Payments and refunds: whatever a gateway says, however often and however late, ends where it should."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from streamd.db import shop_tables as tables
from streamd.errors import (
    ConflictError,
    ForbiddenError,
    NotFoundError,
    StreamdError,
    UnauthenticatedError,
    UnavailableError,
)
from streamd.shop.gateway import BillLine, Charge, Notice, Opened, PaymentGateway, PaymentWord, RefundWord
from streamd.shop.orders import By, Order
from streamd.shop.payments import LOOKS_MS, Payment, Payments, PaymentSettings
from streamd.shop.reconciliation import Reconciler, day_bounds
from streamd.shop.refunds import Refunds
from streamd.telemetry.log import get_log
from tests.shop.market import EXPIRY_MS, Market, open_market
from tests.support.clock import FakeClock

DAY_MS = 24 * 3_600_000
DAY = "2027-01-15"  # of FakeClock
BUYER = By(name="buyer1", parties=frozenset({"buyer"}))
HOST = By(name="host", parties=frozenset({"staff", "host"}))


@dataclass
class Till:
    """A gateway in the hand of a test: it says what it is told to say."""

    name: str = "sandbox"
    charges: dict[str, Charge] = field(default_factory=dict)
    words: dict[str, PaymentWord] = field(default_factory=dict)
    refunds: dict[str, RefundWord] = field(default_factory=dict)
    lines: list[BillLine] = field(default_factory=list)
    is_away: bool = False

    async def open(self, charge: Charge) -> Opened:
        self._answers()
        self.charges[charge.reference] = charge
        return Opened(gateway_reference=f"G{len(self.charges)}", pay_url=f"https://pay.example/{charge.reference}")

    async def query(self, reference: str) -> PaymentWord | None:
        self._answers()
        return self.words.get(reference)

    async def refund(self, *, reference: str, payment: str, amount_minor: int, notify_url: str) -> RefundWord:
        self._answers()
        asked = RefundWord(reference=reference, state="asked", amount_minor=amount_minor, at_ms=0)
        return self.refunds.setdefault(reference, asked)

    def read_notice(self, *, path: str, headers: Mapping[str, str], body: bytes, now_ms: int) -> Notice:
        if headers.get("signature") != "good":
            raise UnauthenticatedError("forged", code="signature")
        told = json.loads(body)
        kind = PaymentWord if "gateway_reference" in told["word"] else RefundWord
        return Notice(id=told["id"], word=kind(**told["word"]))

    async def bill(self, day: str) -> list[BillLine]:
        self._answers()
        return self.lines

    def _answers(self) -> None:
        if self.is_away:
            raise UnavailableError("the gateway is away", code="gateway_unavailable")


class Desk:
    """A market that can be paid."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self.till = Till()
        gateways: dict[str, PaymentGateway] = {"sandbox": self.till}
        shared: dict[str, Any] = {
            "engine": market.engine,
            "clock": market.clock,
            "gateways": gateways,
            "later": market.jobs,
            "log": get_log("test"),
        }
        origin = "https://live.example.com"
        self.refunds = Refunds(**shared, notify_origin=origin, facts=market.outbox, news=market.news)
        settings = PaymentSettings(notify_origin=origin, return_origin=origin)
        self.payments = Payments(**shared, refunds=self.refunds, settings=settings)
        self.reconciler = Reconciler(engine=market.engine, gateways=gateways)
        self._ids = 0

    def advance(self, ms: int) -> None:
        assert isinstance(self.market.clock, FakeClock)
        self.market.clock.advance(ms)

    async def paying(self, *, count: int = 1, buyer: int = 1) -> tuple[Order, Payment]:
        """An order whose buyer stands before the page of the gateway."""
        order = await self.market.buy(count=count, buyer=buyer)
        return order, await self.payments.open(order.number, buyer_id=buyer)

    def word(self, payment: Payment, **changes: Any) -> PaymentWord:
        facts: dict[str, Any] = {
            "reference": payment.reference,
            "gateway_reference": "G1",
            "state": "paid",
            "amount_minor": payment.amount_minor,
            "currency": payment.currency,
            "at_ms": self.market.clock.utc_ms(),
        }
        return PaymentWord(**facts | changes)

    async def tell(self, word: PaymentWord | RefundWord, *, notice: str = "", signature: str = "good") -> str:
        """A notice comes in: what came of it."""
        self._ids += 1
        names = word.__slots__
        told = {"id": notice or f"n{self._ids}", "word": {name: getattr(word, name) for name in names}}
        headers = {"signature": signature}
        body = json.dumps(told).encode()
        return await self.payments.notified("sandbox", path="/notify", headers=headers, body=body)

    async def status(self, order: Order) -> str:
        return (await self.market.orders.get(order.number)).status

    async def expire(self, order: Order) -> None:
        """What the job does."""
        self.advance(EXPIRY_MS)
        await self.payments.look_before_expiry(order.number)
        await self.market.orders.expire(order.number)

    async def jobs(self, kind: str) -> list[dict[str, Any]]:
        return await self.market.rows(select(tables.jobs).where(tables.jobs.c.kind == kind).order_by(tables.jobs.c.id))

    async def refund_done(self, payment: Payment) -> str:
        """The job asks, and the gateway says it is through."""
        reference = f"{payment.reference}-R"
        await self.refunds.send(reference, {})
        word = self.till.refunds[reference]
        return await self.tell(
            RefundWord(
                reference=reference, state="done", amount_minor=word.amount_minor, at_ms=self.market.clock.utc_ms()
            )
        )


@pytest.fixture
async def desk(engine: AsyncEngine) -> AsyncIterator[Desk]:
    async with open_market(engine) as market:
        yield Desk(market)


async def test_a_payment_that_is_announced_makes_the_order_paid(desk: Desk) -> None:
    order, payment = await desk.paying(count=2)
    assert await desk.status(order) == "paying"
    charge = desk.till.charges[payment.reference]
    assert (charge.amount_minor, charge.currency, charge.expires_at_ms) == (1_980, "CNY", order.expires_at_ms)
    assert charge.notify_url == "https://live.example.com/api/v1/payments/sandbox/notify"
    assert order.number in charge.return_url
    assert await desk.tell(desk.word(payment)) == "paid"
    paid = await desk.market.orders.get(order.number)
    assert (paid.status, paid.paid_at_ms) == ("paid", desk.market.clock.utc_ms())
    assert [step.actor for step in await desk.market.orders.history(paid)] == ["buyer1", "buyer1", "gateway"]


async def test_asking_where_to_pay_again_gives_the_same_place(desk: Desk) -> None:
    order, payment = await desk.paying()
    assert await desk.payments.open(order.number, buyer_id=1) == payment
    assert len(desk.till.charges) == 1


async def test_a_gateway_that_was_away_is_asked_again_under_the_same_reference(desk: Desk) -> None:
    order = await desk.market.buy()
    desk.till.is_away = True
    with pytest.raises(UnavailableError):
        await desk.payments.open(order.number, buyer_id=1)
    (waiting,) = await desk.payments.of_order(await desk.market.orders.get(order.number))
    desk.till.is_away = False
    opened = await desk.payments.open(order.number, buyer_id=1)
    assert opened.reference == waiting.reference
    assert await desk.market.count(tables.payments) == 1


async def test_nobody_pays_for_somebody_elses_order_or_too_late_or_twice(desk: Desk) -> None:
    order, payment = await desk.paying()
    with pytest.raises(NotFoundError):
        await desk.payments.open(order.number, buyer_id=2)
    await desk.tell(desk.word(payment))
    with pytest.raises(ConflictError, match="paid cannot become paying"):
        await desk.payments.open(order.number, buyer_id=1)
    late = await desk.market.buy()
    desk.advance(EXPIRY_MS)
    with pytest.raises(ConflictError) as caught:
        await desk.payments.open(late.number, buyer_id=1)
    assert caught.value.code == "order_late"


async def test_without_a_gateway_paying_says_what_to_set(desk: Desk) -> None:
    order = await desk.market.buy()
    none = Payments(
        engine=desk.market.engine,
        clock=desk.market.clock,
        gateways={},
        refunds=desk.refunds,
        later=desk.market.jobs,
        settings=PaymentSettings(notify_origin="", return_origin=""),
        log=get_log("test"),
    )
    with pytest.raises(ConflictError, match="nothing can be paid") as caught:
        await none.open(order.number, buyer_id=1)
    assert "STREAMD_PAYMENT_URL" in caught.value.fix
    assert await desk.status(order) == "created"


async def test_the_same_notice_again_and_again_changes_nothing(desk: Desk) -> None:
    order, payment = await desk.paying()
    first = await desk.tell(desk.word(payment), notice="one")
    again = [await desk.tell(desk.word(payment), notice="one") for _ in range(5)]
    # Two notices of one payment: "paid twice" as a gateway's retry makes it.
    other = await desk.tell(desk.word(payment), notice="two")
    assert (first, set(again), other) == ("paid", {"repeated"}, "repeated")
    assert await desk.market.count(tables.refunds) == 0
    assert [step.status for step in await desk.market.orders.history(order)] == ["created", "paying", "paid"]


async def test_of_many_notices_at_once_one_counts(desk: Desk) -> None:
    order, payment = await desk.paying()
    word = desk.word(payment)
    outcomes = await asyncio.gather(*(desk.tell(word, notice=f"n{n % 3}") for n in range(12)), return_exceptions=True)
    # One that finds the database busy is told again by the gateway.
    told = [outcome for outcome in outcomes if isinstance(outcome, str)]
    assert all(isinstance(outcome, str | UnavailableError) for outcome in outcomes)
    assert (told.count("paid"), set(told) - {"paid"}) == (1, {"repeated"})
    assert await desk.status(order) == "paid"
    assert await desk.market.count(tables.refunds) == 0


async def test_notices_out_of_order_end_like_those_in_order(desk: Desk) -> None:
    order, payment = await desk.paying()
    await desk.tell(desk.word(payment))
    for state in ("open", "closed"):
        assert await desk.tell(desk.word(payment, state=state)) in ("pending", "repeated")
    assert await desk.status(order) == "paid"
    # The end of a refund before its beginning.
    await desk.refunds.request(order.number, by=HOST, reason="broken")
    reference = f"{payment.reference}-R"
    done = RefundWord(reference=reference, state="done", amount_minor=990, at_ms=5)
    assert await desk.tell(done) == "refunded"
    assert await desk.tell(RefundWord(reference=reference, state="asked", amount_minor=990, at_ms=1)) == "pending"
    assert await desk.tell(RefundWord(reference=reference, state="failed", amount_minor=990, at_ms=1)) != "refunded"
    await desk.refunds.send(reference, {})
    assert await desk.status(order) == "refunded"
    assert await desk.market.scalar(select(tables.refunds.c.status)) == "done"


async def test_a_forged_notice_is_refused_and_counted_and_nothing_is_written(desk: Desk) -> None:
    order, payment = await desk.paying()
    for _ in range(3):
        with pytest.raises(UnauthenticatedError):
            await desk.tell(desk.word(payment), signature="bad")
    assert await desk.status(order) == "paying"
    assert await desk.market.count(tables.payment_notices) == 0
    (family,) = desk.payments.collect()
    assert {sample.labels["outcome"]: sample.value for sample in family.samples} == {"forged": 3}


@pytest.mark.parametrize("change", [{"amount_minor": 989}, {"amount_minor": 0}, {"currency": "JPY"}])
async def test_another_amount_is_not_believed_and_reported(desk: Desk, change: dict[str, Any]) -> None:
    order, payment = await desk.paying()
    wrong = desk.word(payment, **change)
    for _ in range(2):
        with pytest.raises(ConflictError) as caught:
            await desk.tell(wrong, notice="wrong")
        assert caught.value.code == "amount_differs"
    assert await desk.status(order) == "paying"
    assert await desk.market.scalar(select(tables.payment_notices.c.outcome)) == "amount_differs"
    desk.till.lines = [line_of(wrong)]
    (difference,) = (await desk.reconciler.report("sandbox", DAY)).differences
    assert (difference.kind, difference.reference) == ("amount_differs", payment.reference)
    # The right one, should it come, is believed.
    assert await desk.tell(desk.word(payment)) == "paid"


async def test_a_notice_of_a_payment_that_we_never_asked_for_is_not_found_and_written_down(desk: Desk) -> None:
    _, payment = await desk.paying()
    for _ in range(2):
        with pytest.raises(NotFoundError):
            await desk.tell(desk.word(payment, reference="P0"), notice="strange")
    assert await desk.market.scalar(select(tables.payment_notices.c.outcome)) == "unknown"


@pytest.mark.parametrize("late_ms", [0, DAY_MS])
@pytest.mark.parametrize("how", ["cancelled", "expired"])
async def test_money_for_an_order_that_was_given_up_goes_back_by_itself(desk: Desk, how: str, late_ms: int) -> None:
    order, payment = await desk.paying(count=2)
    if how == "cancelled":
        await desk.market.orders.cancel(order.number, by=BUYER)
    else:
        await desk.expire(order)
    assert await desk.market.stock() == 10
    desk.advance(late_ms)
    assert await desk.tell(desk.word(payment)) == "refunding"
    assert await desk.tell(desk.word(payment)) == "repeated"
    assert await desk.status(order) == "refunding"
    (job,) = await desk.jobs("refund.ask")
    assert job["subject"] == f"{payment.reference}-R"
    assert await desk.refund_done(payment) == "refunded"
    assert await desk.status(order) == "refunded"
    assert await desk.market.stock() == 10, "the goods went back once, when it was given up"
    history = await desk.market.orders.history(order)
    assert [step.status for step in history] == ["created", "paying", "cancelled", "refunding", "refunded"]


async def test_a_second_payment_of_one_order_goes_back_and_the_order_stays_paid(desk: Desk) -> None:
    order, first = await desk.paying()
    assert await desk.tell(desk.word(first, state="closed")) == "closed"
    second = await desk.payments.open(order.number, buyer_id=1)
    assert second.reference != first.reference
    assert await desk.tell(desk.word(second)) == "paid"
    # The one that was closed is paid after all.
    assert await desk.tell(desk.word(first)) == "refunding"
    assert await desk.refund_done(first) == "refunded"
    assert await desk.status(order) == "paid"
    # And the host can still give back the other one.
    await desk.refunds.request(order.number, by=HOST, reason="")
    assert await desk.refund_done(second) == "refunded"
    assert await desk.status(order) == "refunded"


async def test_two_refunds_of_one_order_end_it_when_both_are_through(desk: Desk) -> None:
    order, first = await desk.paying()
    await desk.tell(desk.word(first, state="closed"))
    second = await desk.payments.open(order.number, buyer_id=1)
    await desk.tell(desk.word(second))
    await desk.tell(desk.word(first))
    await desk.refunds.request(order.number, by=HOST, reason="")
    await desk.refund_done(first)
    assert await desk.status(order) == "refunding"
    await desk.refund_done(second)
    assert await desk.status(order) == "refunded"


async def test_what_no_notice_closed_is_closed_by_asking(desk: Desk) -> None:
    order, payment = await desk.paying()
    (job,) = await desk.jobs("payment.query")
    assert (job["subject"], job["due_at_ms"]) == (payment.reference, desk.market.clock.utc_ms() + LOOKS_MS[0])
    desk.till.words[payment.reference] = desk.word(payment)
    await desk.payments.look(payment.reference, {"tries": 0})
    assert await desk.status(order) == "paid"
    assert await desk.tell(desk.word(payment)) == "repeated"


async def test_looks_become_rarer_and_end(desk: Desk) -> None:
    _, payment = await desk.paying()
    pauses = []
    for _ in range(len(LOOKS_MS)):
        (job,) = await desk.jobs("payment.query")
        pauses.append(job["due_at_ms"] - desk.market.clock.utc_ms())
        await desk.payments.look(payment.reference, json.loads(job["payload"]))
    assert pauses[: len(LOOKS_MS)] == list(LOOKS_MS)
    assert await desk.market.scalar(select(tables.payments.c.status)) == "closed"


async def test_an_order_that_was_paid_without_a_word_does_not_expire(desk: Desk) -> None:
    order, payment = await desk.paying()
    desk.till.words[payment.reference] = desk.word(payment)
    await desk.expire(order)
    assert await desk.status(order) == "paid"


async def test_an_order_does_not_wait_for_a_gateway_that_is_away(desk: Desk) -> None:
    order, _ = await desk.paying()
    desk.till.is_away = True
    await desk.expire(order)
    assert await desk.status(order) == "cancelled"
    assert await desk.market.stock() == 10


async def test_payment_and_expiry_at_once_leave_the_order_paid_or_its_money_on_the_way_back(desk: Desk) -> None:
    for buyer in range(1, 6):
        order, payment = await desk.paying(buyer=buyer)
        desk.advance(EXPIRY_MS)
        async with asyncio.TaskGroup() as group:
            group.create_task(again(desk, desk.word(payment)))
            group.create_task(desk.market.orders.expire(order.number))
        status = await desk.status(order)
        refunds = await desk.market.rows(
            select(tables.refunds.c.id)
            .join(tables.payments, tables.payments.c.id == tables.refunds.c.payment_id)
            .where(tables.payments.c.order_id == order.id)
        )
        assert (status, len(refunds)) in (("paid", 0), ("refunding", 1))


async def test_the_host_gives_money_back_and_unsent_goods_go_back_on_the_shelf_once(desk: Desk) -> None:
    order, payment = await desk.paying(count=3)
    await desk.tell(desk.word(payment))
    with pytest.raises(ForbiddenError):
        await desk.refunds.request(order.number, by=BUYER, reason="")
    outcomes = await asyncio.gather(
        *(desk.refunds.request(order.number, by=HOST, reason="broken") for _ in range(4)), return_exceptions=True
    )
    assert sum(outcome is None for outcome in outcomes) == 1
    assert all(outcome is None or isinstance(outcome, StreamdError) for outcome in outcomes)
    assert await desk.market.stock() == 10
    assert await desk.market.count(tables.refunds) == 1
    await desk.refund_done(payment)
    assert await desk.status(order) == "refunded"


async def test_goods_that_were_sent_do_not_come_back_with_the_money(desk: Desk) -> None:
    order, payment = await desk.paying(count=3)
    await desk.tell(desk.word(payment))
    await desk.market.orders.ship(order.number, tracking="SF1", by=HOST)
    await desk.refunds.request(order.number, by=HOST, reason="lost")
    await desk.refund_done(payment)
    assert await desk.market.stock() == 7


async def test_a_refund_that_takes_its_time_is_asked_for_again(desk: Desk) -> None:
    order, payment = await desk.paying()
    await desk.tell(desk.word(payment))
    await desk.refunds.request(order.number, by=HOST, reason="")
    reference = f"{payment.reference}-R"
    desk.till.is_away = True
    with pytest.raises(UnavailableError):
        await desk.refunds.send(reference, {"tries": 0})
    desk.till.is_away = False
    await desk.refunds.send(reference, {"tries": 0})
    (job,) = await desk.jobs("refund.ask")
    assert (json.loads(job["payload"]), job["due_at_ms"]) == ({"tries": 1}, desk.market.clock.utc_ms() + 5_000)
    desk.till.refunds[reference] = RefundWord(reference=reference, state="done", amount_minor=990, at_ms=9)
    await desk.refunds.send(reference, {"tries": 1})
    assert await desk.status(order) == "refunded"


async def test_a_refund_that_failed_may_be_asked_for_again(desk: Desk) -> None:
    order, payment = await desk.paying()
    await desk.tell(desk.word(payment))
    await desk.refunds.request(order.number, by=HOST, reason="")
    reference = f"{payment.reference}-R"
    desk.till.refunds[reference] = RefundWord(reference=reference, state="failed", amount_minor=990, at_ms=9)
    await desk.refunds.send(reference, {})
    assert await desk.market.scalar(select(tables.refunds.c.status)) == "failed"
    assert await desk.status(order) == "refunding"
    await desk.refunds.request(order.number, by=HOST, reason="")
    desk.till.refunds[reference] = RefundWord(reference=reference, state="done", amount_minor=990, at_ms=9)
    await desk.refunds.send(reference, {})
    assert await desk.status(order) == "refunded"


# --- reconciliation ---


def line_of(word: PaymentWord, **changes: Any) -> BillLine:
    facts: dict[str, Any] = {
        "kind": "payment",
        "reference": word.reference,
        "gateway_reference": word.gateway_reference,
        "amount_minor": word.amount_minor,
        "currency": word.currency,
        "at_ms": word.at_ms,
    }
    return BillLine(**facts | changes)


async def test_a_day_on_which_both_sides_agree_has_no_difference(desk: Desk) -> None:
    order, payment = await desk.paying(count=2)
    word = desk.word(payment)
    await desk.tell(word)
    await desk.refunds.request(order.number, by=HOST, reason="")
    await desk.refund_done(payment)
    desk.till.lines = [line_of(word), line_of(word, kind="refund", reference=f"{payment.reference}-R")]
    report = await desk.reconciler.report("sandbox", DAY)
    assert (report.ours_count, report.theirs_count, report.ours_minor, report.theirs_minor) == (2, 2, 0, 0)
    assert report.differences == []


async def test_every_difference_is_named_with_its_order(desk: Desk) -> None:
    paid_there, unheard = await desk.paying(buyer=1)
    paid_here, believed = await desk.paying(buyer=2)
    twice, charged = await desk.paying(buyer=3)
    await desk.tell(desk.word(believed))
    await desk.tell(desk.word(charged))
    double = line_of(desk.word(charged))
    strange = line_of(desk.word(charged), reference="P-OTHER")
    desk.till.lines = [line_of(desk.word(unheard)), double, double, strange]
    found = {(one.kind, one.reference, one.order) for one in (await desk.reconciler.report("sandbox", DAY)).differences}
    assert found == {
        ("not_paid_here", unheard.reference, paid_there.number),
        ("missing_there", believed.reference, paid_here.number),
        ("twice_there", charged.reference, twice.number),
        ("unknown_here", "P-OTHER", ""),
    }


async def test_a_refund_that_only_the_gateway_made_is_a_difference(desk: Desk) -> None:
    order, payment = await desk.paying()
    word = desk.word(payment)
    await desk.tell(word)
    await desk.refunds.request(order.number, by=HOST, reason="")
    desk.till.lines = [line_of(word), line_of(word, kind="refund", reference=f"{payment.reference}-R")]
    (difference,) = (await desk.reconciler.report("sandbox", DAY)).differences
    assert (difference.kind, difference.subject) == ("not_refunded_here", "refund")


async def test_a_payment_of_another_day_is_said_to_be(desk: Desk) -> None:
    _, payment = await desk.paying()
    word = desk.word(payment)
    await desk.tell(word)
    await desk.market.write(update(tables.payments).values(paid_at_ms=word.at_ms - DAY_MS))
    desk.till.lines = [line_of(word)]
    (difference,) = (await desk.reconciler.report("sandbox", DAY)).differences
    assert difference.kind == "day_differs"


def test_a_day_is_from_midnight_to_midnight_in_utc() -> None:
    start_ms, end_ms = day_bounds(DAY)
    assert (end_ms - start_ms, start_ms % DAY_MS) == (DAY_MS, 0)
    assert start_ms <= FakeClock().utc_ms() < end_ms
    for wrong in ("2027-02-30", "yesterday", "2027-1-15x"):
        with pytest.raises(StreamdError):
            day_bounds(wrong)


async def again(desk: Desk, word: PaymentWord) -> None:
    """As a gateway does: until it is heard."""
    for _ in range(10):
        with suppress(UnavailableError):
            await desk.tell(word)
            return
