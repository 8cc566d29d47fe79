"""The tables of the show board: programmes, who watched them, and what happened in each minute of them.

Same rules as `tables`. Orders, payments and danmaku are not repeated here: the board counts them where they are.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Integer, String, Table, UniqueConstraint

from streamd.db.tables import INNODB, ascii_key, identity, metadata

# One programme: from its first frame until its encoder has been gone for the grace time, restarts of ours included.
shows = Table(
    "shows",
    metadata,
    Column("id", identity, primary_key=True, autoincrement=True),
    Column("room_id", BigInteger(), ForeignKey("rooms.id"), nullable=False),
    # The room again while it runs, then null: two cannot run at once.
    Column("open_room_id", BigInteger(), nullable=True),
    # Of the room, when it began.
    Column("title", String(200), nullable=False),
    # The process that carries it.
    Column("node", ascii_key(16), nullable=False),
    Column("started_at_ms", BigInteger(), nullable=False),
    # When it was last known to run.
    Column("seen_at_ms", BigInteger(), nullable=False),
    Column("ended_at_ms", BigInteger(), nullable=True),
    # What was counted before the rows it is counted from were deleted; null while they are there.
    Column("kept_viewers", Integer(), nullable=True),
    Column("kept_visits", Integer(), nullable=True),
    Column("kept_watch_ms", BigInteger(), nullable=True),
    Column("kept_messages", Integer(), nullable=True),
    UniqueConstraint("open_room_id"),
    UniqueConstraint("room_id", "id"),
    **INNODB,
)

# Somebody was in the room while the programme ran.
visits = Table(
    "visits",
    metadata,
    # A chance word of the process that they were connected to, and its count of visits.
    Column("node", ascii_key(16), primary_key=True),
    Column("number", BigInteger(), primary_key=True, autoincrement=False),
    Column("show_id", BigInteger(), ForeignKey("shows.id"), nullable=False),
    # A user's public id; of guests, what their address becomes by the installation's secret.
    Column("viewer", ascii_key(64), nullable=False),
    Column("joined_at_ms", BigInteger(), nullable=False),
    # Null while they are there, or where their node died: see `show_nodes`.
    Column("left_at_ms", BigInteger(), nullable=True),
    UniqueConstraint("show_id", "viewer", "node", "number"),
    **INNODB,
)

# Until when a node could say who was there.
show_nodes = Table(
    "show_nodes",
    metadata,
    Column("show_id", BigInteger(), ForeignKey("shows.id"), primary_key=True, autoincrement=False),
    Column("node", ascii_key(16), primary_key=True),
    Column("seen_at_ms", BigInteger(), nullable=False),
    **INNODB,
)

show_minutes = Table(
    "show_minutes",
    metadata,
    Column("show_id", BigInteger(), ForeignKey("shows.id"), primary_key=True, autoincrement=False),
    # When the minute began.
    Column("minute_ms", BigInteger(), primary_key=True, autoincrement=False),
    # Most people at a time, and hearts given.
    Column("online_peak", Integer(), nullable=False),
    Column("likes", BigInteger(), nullable=False),
    **INNODB,
)

card_minutes = Table(
    "card_minutes",
    metadata,
    Column("show_id", BigInteger(), ForeignKey("shows.id"), primary_key=True, autoincrement=False),
    Column("product_id", BigInteger(), ForeignKey("products.id"), primary_key=True, autoincrement=False),
    Column("minute_ms", BigInteger(), primary_key=True, autoincrement=False),
    # People who were shown the card, and taps on it.
    Column("exposures", Integer(), nullable=False),
    Column("clicks", Integer(), nullable=False),
    **INNODB,
)
