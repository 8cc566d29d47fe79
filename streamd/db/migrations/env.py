"""What Alembic runs: the revisions, on the connection that `streamd.db.migrate` opened."""

from __future__ import annotations

from alembic import context

from streamd.db.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
