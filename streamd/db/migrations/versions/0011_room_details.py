"""What a room says of itself, who may watch it, and how it talks.

Several columns, so several statements that MySQL cannot undo together: what is there already is left alone, and an
upgrade that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from streamd.db.migrations.column_types import ascii_key

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def _columns() -> list[sa.Column[object]]:
    return [
        sa.Column("announcement", sa.String(1000), nullable=False, server_default=""),
        sa.Column("starts_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("cover", ascii_key(32), nullable=True),
        sa.Column("access", ascii_key(16), nullable=False, server_default="public"),
        sa.Column("playback_generation", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("cut_until_ms", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("chat", sa.JSON(), nullable=True),
    ]


def upgrade() -> None:
    present = {column["name"] for column in sa.inspect(op.get_bind()).get_columns("rooms")}
    for column in _columns():
        if column.name not in present:
            op.add_column("rooms", column)


def downgrade() -> None:
    present = {column["name"] for column in sa.inspect(op.get_bind()).get_columns("rooms")}
    for column in _columns():
        if column.name in present:
            op.drop_column("rooms", str(column.name))
