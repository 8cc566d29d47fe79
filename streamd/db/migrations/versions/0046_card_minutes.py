"""How often a product's card was shown and tapped."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from streamd.db.migrations.column_types import INNODB

revision = "0046"
down_revision = "0045"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "card_minutes",
        sa.Column("show_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("product_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("minute_ms", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("exposures", sa.Integer(), nullable=False),
        sa.Column("clicks", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["show_id"], ["shows.id"], name="fk_card_minutes_show_id_shows"),
        sa.ForeignKeyConstraint(["product_id"], ["products.id"], name="fk_card_minutes_product_id_products"),
        sa.PrimaryKeyConstraint("show_id", "product_id", "minute_ms", name="pk_card_minutes"),
        **INNODB,
    )


def downgrade() -> None:
    op.drop_table("card_minutes")
