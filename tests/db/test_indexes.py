"""The questions that are asked often find their rows by an index: both engines say so themselves."""

from __future__ import annotations

import pytest
from sqlalchemy import Select, select
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.ext.asyncio import AsyncEngine

from streamd.db.tables import audit_log, invitations, refresh_tokens, room_members, rooms, stored_answers, users

QUESTIONS: dict[str, Select[tuple[int]]] = {
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
