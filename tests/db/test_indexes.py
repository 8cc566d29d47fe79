"""The questions that are asked often find their rows by an index: both engines say so themselves."""

from __future__ import annotations

import pytest
from sqlalchemy import Select, select
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.ext.asyncio import AsyncEngine

from streamd.db.board_tables import card_minutes, show_minutes, shows, visits
from streamd.db.shop_tables import (
    buyer_counts,
    flash_sales,
    jobs,
    leases,
    order_steps,
    orders,
    outbox,
    payment_notices,
    payments,
    products,
    refunds,
    room_counters,
    room_products,
    skus,
)
from streamd.db.tables import (
    audit_log,
    danmaku,
    identities,
    invitations,
    refresh_tokens,
    room_members,
    rooms,
    stored_answers,
    users,
)

QUESTIONS: dict[str, Select[tuple[int]]] = {
    "account by a provider's word": select(identities.c.user_id).where(
        identities.c.provider == "wechat", identities.c.subject_index == "x"
    ),
    "account by name": select(users.c.id).where(users.c.name == "alice"),
    "accounts by phone": select(users.c.id).where(users.c.phone_index == "x"),
    "refresh token": select(refresh_tokens.c.id).where(refresh_tokens.c.token_hash == "x"),
    "session": select(refresh_tokens.c.id).where(refresh_tokens.c.family == "x"),
    "sessions of an account": select(refresh_tokens.c.id).where(refresh_tokens.c.user_id == 7),
    "members of a room": select(room_members.c.user_id).where(room_members.c.room_id == 7),
    "rooms of a person": select(room_members.c.room_id).where(room_members.c.user_id == 7),
    "invitation": select(invitations.c.id).where(invitations.c.token_hash == "x"),
    "invitations of a room": select(invitations.c.id).where(invitations.c.room_id == 7),
    "room by name": select(rooms.c.id).where(rooms.c.slug == "demo"),
    "room by key": select(rooms.c.id).where(rooms.c.stream_key_hash == "x"),
    "deeds in a room": select(audit_log.c.seq).where(audit_log.c.room == "demo").order_by(audit_log.c.seq.desc()),
    "answers that are over": select(stored_answers.c.claimed_at_ms).where(stored_answers.c.expires_at_ms < 7),
    "danmaku of a span of time": select(danmaku.c.id).where(danmaku.c.room == "demo", danmaku.c.at_ms >= 7),
    "danmaku from long ago": select(danmaku.c.id).where(danmaku.c.at_ms < 7),
    "goods of somebody": select(products.c.id).where(products.c.owner == "host"),
    "variants of a product": select(skus.c.id).where(skus.c.product_id == 7),
    "rooms that sell a product": select(room_products.c.room_id).where(room_products.c.product_id == 7),
    "flash sale of a SKU": select(flash_sales.c.id).where(flash_sales.c.open_sku_id == 7),
    "what a buyer holds": select(buyer_counts.c.count).where(
        buyer_counts.c.scope == "sku", buyer_counts.c.scope_id == 7, buyer_counts.c.buyer_id == 7
    ),
    "order by number": select(orders.c.id).where(orders.c.number == "x"),
    "order by the buyer's key": select(orders.c.id).where(orders.c.buyer_id == 7, orders.c.idempotency_hash == "x"),
    "orders of a buyer": select(orders.c.id).where(orders.c.buyer_id == 7).order_by(orders.c.id.desc()),
    "orders of a room's show": select(orders.c.total_minor).where(orders.c.room_id == 7, orders.c.placed_at_ms >= 7),
    "orders that run out": select(orders.c.id).where(orders.c.status == "created", orders.c.expires_at_ms < 7),
    "steps of an order": select(order_steps.c.id).where(order_steps.c.order_id == 7),
    "payment by reference": select(payments.c.id).where(payments.c.reference == "x"),
    "payments of an order": select(payments.c.id).where(payments.c.order_id == 7),
    "refunds of a payment": select(refunds.c.id).where(refunds.c.payment_id == 7),
    "notice that came before": select(payment_notices.c.id).where(
        payment_notices.c.gateway == "x", payment_notices.c.notice_id == "x"
    ),
    "notices from long ago": select(payment_notices.c.id).where(payment_notices.c.received_at_ms < 7),
    "facts that are untold": select(outbox.c.id).where(outbox.c.told_at_ms == 0).order_by(outbox.c.id),
    "facts told long ago": select(outbox.c.id).where(outbox.c.told_at_ms > 0, outbox.c.told_at_ms < 7),
    "lease": select(leases.c.holder).where(leases.c.name == "outbox"),
    "jobs that are due": select(jobs.c.id).where(jobs.c.status == "waiting").order_by(jobs.c.due_at_ms),
    "job by name": select(jobs.c.id).where(jobs.c.kind == "x", jobs.c.subject == "x"),
    "jobs done long ago": select(jobs.c.id).where(jobs.c.status == "done", jobs.c.due_at_ms < 7),
    "list of a room": select(room_products.c.product_id).where(room_products.c.room_id == 7),
    "card of a room": select(room_counters.c.card_version).where(room_counters.c.room_id == 7),
    "sales of a room": select(flash_sales.c.id).where(flash_sales.c.room_id == 7).order_by(flash_sales.c.id.desc()),
    "orders of a room": select(orders.c.id).where(orders.c.room_id == 7).order_by(orders.c.id.desc()),
    "orders just placed": select(orders.c.id).where(orders.c.number.in_(["x", "y"])),
    "payments of a gateway's day": select(payments.c.id).where(
        payments.c.gateway == "x", payments.c.opened_at_ms >= 7, payments.c.opened_at_ms < 9
    ),
    "notices of a payment": select(payment_notices.c.id).where(payment_notices.c.reference == "x"),
    "refund by reference": select(refunds.c.id).where(refunds.c.reference == "x"),
    "jobs that are dead": select(jobs.c.id).where(jobs.c.status == "dead"),
    "show that runs": select(shows.c.id).where(shows.c.open_room_id == 7),
    "shows of a room": select(shows.c.id).where(shows.c.room_id == 7).order_by(shows.c.id.desc()),
    "visits of a show": select(visits.c.viewer).where(visits.c.show_id == 7),
    "visit": select(visits.c.viewer).where(visits.c.node == "x", visits.c.number == 7),
    "minutes of a show": select(show_minutes.c.likes).where(show_minutes.c.show_id == 7),
    "cards of a show": select(card_minutes.c.clicks).where(card_minutes.c.show_id == 7),
}


@pytest.mark.parametrize("name", sorted(QUESTIONS))
async def test_question_is_answered_by_an_index(engine: AsyncEngine, name: str) -> None:
    on_mysql = engine.dialect.name == "mysql"
    dialect = mysql.dialect() if on_mysql else sqlite.dialect()
    statement = str(QUESTIONS[name].compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
    async with engine.connect() as connection:
        plan = (await connection.exec_driver_sql(f"EXPLAIN {'' if on_mysql else 'QUERY PLAN '}{statement}")).one()
    if on_mysql:
        # The table is empty: the engine may say so and stop there, having looked into a unique index.
        assert plan.possible_keys or "const" in (plan.Extra or ""), plan
    else:
        assert "SEARCH" in plan.detail, plan
