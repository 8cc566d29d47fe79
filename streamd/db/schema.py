"""The whole schema: the metadata with every table in it, for what must see them all (migrations and their tests)."""

from __future__ import annotations

from sqlalchemy import MetaData

from streamd.db import board_tables, shop_tables, tables

metadata: MetaData = tables.metadata

assert shop_tables.orders.metadata is board_tables.shows.metadata is metadata
