"""The tables of the shop: what is sold, what was bought, how it was paid, and what has still to be told or done.

Same rules as `tables`: money is an integer in the currency's minor unit, times are UTC milliseconds, a unique
constraint that ends in the primary key is an index. Guards live in the statements that change rows, never in a read
before them.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, String, Table, Text, UniqueConstraint

from streamd.db.tables import INNODB, ascii_key, identity, metadata

products = Table(
    "products",
    metadata,
    Column("id", identity, primary_key=True, autoincrement=True),
    # Name of the account whose goods these are.
    Column("owner", ascii_key(32), nullable=False),
    Column("title", String(200), nullable=False),
    Column("description", Text(), nullable=False),
    # Id of a picture; null where there is none.
    Column("image", ascii_key(32), nullable=True),
    Column("currency", ascii_key(3), nullable=False),
    # active, sold_out (said so by hand, whatever the stock), archived
    Column("status", ascii_key(16), nullable=False),
    # Grows with every change of the product or of one of its SKUs' prices; a change that names an older one is refused.
    Column("version", Integer(), nullable=False),
    Column("created_at_ms", BigInteger(), nullable=False),
    Column("updated_at_ms", BigInteger(), nullable=False),
    UniqueConstraint("owner", "id"),
    **INNODB,
)

skus = Table(
    "skus",
    metadata,
    Column("id", identity, primary_key=True, autoincrement=True),
    Column("product_id", BigInteger(), ForeignKey("products.id"), nullable=False),
    # "Red, M"; empty where the product has no variants.
    Column("name", String(100), nullable=False),
    Column("price_minor", BigInteger(), nullable=False),
    # What is struck through; null where nothing is.
    Column("original_price_minor", BigInteger(), nullable=True),
    # What can still be bought. Changed by conditional statements only.
    Column("stock", Integer(), nullable=False),
    # How many one buyer may have in orders that are not cancelled; null: any number.
    Column("buyer_limit", Integer(), nullable=True),
    Column("position", Integer(), nullable=False),
    # 1 while it is offered.
    Column("is_offered", Integer(), nullable=False),
    UniqueConstraint("product_id", "id"),
    **INNODB,
)

room_products = Table(
    "room_products",
    metadata,
    Column("room_id", BigInteger(), ForeignKey("rooms.id"), primary_key=True, autoincrement=False),
    Column("product_id", BigInteger(), ForeignKey("products.id"), primary_key=True, autoincrement=False),
    # 1, 2, 3 … : also the key that pins it.
    Column("position", Integer(), nullable=False),
    UniqueConstraint("product_id", "room_id"),
    **INNODB,
)

# What the room shows now: its list's and its card's versions, and the card. Made with the first command in a room.
room_counters = Table(
    "room_counters",
    metadata,
    Column("room_id", BigInteger(), ForeignKey("rooms.id"), primary_key=True, autoincrement=False),
    Column("list_version", Integer(), nullable=False),
    Column("card_version", Integer(), nullable=False),
    # Null: no card.
    Column("card_product_id", BigInteger(), ForeignKey("products.id"), nullable=True),
    Column("card_at_ms", BigInteger(), nullable=False),
    # Account name of who pinned or unpinned last.
    Column("card_by", ascii_key(32), nullable=False),
    **INNODB,
)

flash_sales = Table(
    "flash_sales",
    metadata,
    Column("id", identity, primary_key=True, autoincrement=True),
    Column("room_id", BigInteger(), ForeignKey("rooms.id"), nullable=False),
    Column("sku_id", BigInteger(), ForeignKey("skus.id"), nullable=False),
    # The SKU again while the sale is announced or running, then null: two sales of one SKU cannot stand at once.
    Column("open_sku_id", BigInteger(), nullable=True),
    Column("price_minor", BigInteger(), nullable=False),
    Column("starts_at_ms", BigInteger(), nullable=False),
    Column("ends_at_ms", BigInteger(), nullable=False),
    # How many may be sold at this price, and how many have been (orders that were not cancelled).
    Column("quantity", Integer(), nullable=False),
    Column("sold", Integer(), nullable=False),
    Column("buyer_limit", Integer(), nullable=True),
    # announced, running, ended, cancelled
    Column("status", ascii_key(16), nullable=False),
    Column("created_by", ascii_key(32), nullable=False),
    Column("created_at_ms", BigInteger(), nullable=False),
    UniqueConstraint("open_sku_id"),
    UniqueConstraint("room_id", "id"),
    **INNODB,
)

# How much of a SKU or a flash sale one buyer holds, in orders that are not cancelled.
buyer_counts = Table(
    "buyer_counts",
    metadata,
    # sku or sale
    Column("scope", ascii_key(4), primary_key=True),
    Column("scope_id", BigInteger(), primary_key=True, autoincrement=False),
    Column("buyer_id", BigInteger(), ForeignKey("users.id"), primary_key=True, autoincrement=False),
    Column("count", Integer(), nullable=False),
    **INNODB,
)

orders = Table(
    "orders",
    metadata,
    Column("id", identity, primary_key=True, autoincrement=True),
    # What people and addresses call it: time and chance, nothing to be counted by.
    Column("number", ascii_key(32), nullable=False),
    Column("room_id", BigInteger(), ForeignKey("rooms.id"), nullable=False),
    Column("buyer_id", BigInteger(), ForeignKey("users.id"), nullable=False),
    Column("product_id", BigInteger(), ForeignKey("products.id"), nullable=False),
    Column("sku_id", BigInteger(), ForeignKey("skus.id"), nullable=False),
    Column("sale_id", BigInteger(), ForeignKey("flash_sales.id"), nullable=True),
    Column("count", Integer(), nullable=False),
    # As they were when it was placed.
    Column("title", String(200), nullable=False),
    Column("sku_name", String(100), nullable=False),
    Column("unit_price_minor", BigInteger(), nullable=False),
    Column("total_minor", BigInteger(), nullable=False),
    Column("currency", ascii_key(3), nullable=False),
    # See shop.states.
    Column("status", ascii_key(16), nullable=False),
    # SHA-256 of the buyer's Idempotency-Key, and of what was asked with it.
    Column("idempotency_hash", ascii_key(64), nullable=False),
    Column("request_hash", ascii_key(64), nullable=False),
    # Recipient, phone and address, sealed with the key in the data folder.
    Column("shipping_sealed", Text(), nullable=True),
    Column("tracking", String(100), nullable=False, server_default=""),
    Column("placed_at_ms", BigInteger(), nullable=False),
    # When an unpaid one is cancelled and its stock goes back.
    Column("expires_at_ms", BigInteger(), nullable=False),
    Column("paid_at_ms", BigInteger(), nullable=True),
    Column("changed_at_ms", BigInteger(), nullable=False),
    UniqueConstraint("number"),
    UniqueConstraint("buyer_id", "idempotency_hash"),
    UniqueConstraint("buyer_id", "id"),
    UniqueConstraint("room_id", "id"),
    UniqueConstraint("status", "expires_at_ms", "id"),
    Index(None, "room_id", "placed_at_ms"),
    **INNODB,
)

# Every step of every order, in order.
order_steps = Table(
    "order_steps",
    metadata,
    Column("id", identity, primary_key=True, autoincrement=True),
    Column("order_id", BigInteger(), ForeignKey("orders.id"), nullable=False),
    Column("status", ascii_key(16), nullable=False),
    Column("at_ms", BigInteger(), nullable=False),
    # Account name, or what did it: "gateway", "expiry".
    Column("actor", ascii_key(32), nullable=False),
    Column("reason", String(200), nullable=False),
    UniqueConstraint("order_id", "id"),
    **INNODB,
)

payments = Table(
    "payments",
    metadata,
    Column("id", identity, primary_key=True, autoincrement=True),
    Column("order_id", BigInteger(), ForeignKey("orders.id"), nullable=False),
    Column("gateway", ascii_key(16), nullable=False),
    # What we call it towards the gateway.
    Column("reference", ascii_key(64), nullable=False),
    # What the gateway calls it; empty until it says so.
    Column("gateway_reference", ascii_key(64), nullable=False, server_default=""),
    Column("amount_minor", BigInteger(), nullable=False),
    Column("currency", ascii_key(3), nullable=False),
    # open, paid, closed
    Column("status", ascii_key(16), nullable=False),
    Column("pay_url", Text(), nullable=False),
    Column("opened_at_ms", BigInteger(), nullable=False),
    Column("paid_at_ms", BigInteger(), nullable=True),
    UniqueConstraint("reference"),
    UniqueConstraint("order_id", "id"),
    UniqueConstraint("gateway", "opened_at_ms", "id"),
    **INNODB,
)

refunds = Table(
    "refunds",
    metadata,
    Column("id", identity, primary_key=True, autoincrement=True),
    Column("payment_id", BigInteger(), ForeignKey("payments.id"), nullable=False),
    Column("reference", ascii_key(64), nullable=False),
    Column("amount_minor", BigInteger(), nullable=False),
    # asked, done, failed
    Column("status", ascii_key(16), nullable=False),
    Column("reason", String(200), nullable=False),
    Column("asked_at_ms", BigInteger(), nullable=False),
    Column("done_at_ms", BigInteger(), nullable=True),
    UniqueConstraint("reference"),
    UniqueConstraint("payment_id", "id"),
    **INNODB,
)

# What gateways told us, and what came of it: told twice, the second is recognised.
payment_notices = Table(
    "payment_notices",
    metadata,
    Column("id", identity, primary_key=True, autoincrement=True),
    Column("gateway", ascii_key(16), nullable=False),
    Column("notice_id", ascii_key(64), nullable=False),
    Column("reference", ascii_key(64), nullable=False),
    Column("kind", ascii_key(16), nullable=False),
    # One word: paid, repeated, refunding, amount_differs, unknown …
    Column("outcome", ascii_key(32), nullable=False),
    Column("body", Text(), nullable=False),
    Column("received_at_ms", BigInteger(), nullable=False),
    UniqueConstraint("gateway", "notice_id"),
    UniqueConstraint("reference", "id"),
    Index(None, "received_at_ms"),
    **INNODB,
)

# Facts that must reach a room: written with what made them true, told at least once, in order.
outbox = Table(
    "outbox",
    metadata,
    Column("id", identity, primary_key=True, autoincrement=True),
    Column("room", ascii_key(63), nullable=False),
    # As the room hears it: card, product, order.
    Column("event", ascii_key(32), nullable=False),
    Column("payload", Text(), nullable=False),
    Column("at_ms", BigInteger(), nullable=False),
    # 0 until it was told.
    Column("told_at_ms", BigInteger(), nullable=False, server_default="0"),
    UniqueConstraint("told_at_ms", "id"),
    **INNODB,
)

# Work for later, done by whichever worker leases it first.
jobs = Table(
    "jobs",
    metadata,
    Column("id", identity, primary_key=True, autoincrement=True),
    # order.expire, sale.start, sale.end, payment.query, refund.ask, retention …
    Column("kind", ascii_key(32), nullable=False),
    # What it is about: with the kind, once.
    Column("subject", ascii_key(64), nullable=False),
    Column("payload", Text(), nullable=False),
    # waiting, done, dead
    Column("status", ascii_key(8), nullable=False),
    # Not before; while somebody works at it, when their lease is over.
    Column("due_at_ms", BigInteger(), nullable=False),
    # Of who works at it; empty where nobody does.
    Column("lease", ascii_key(32), nullable=False, server_default=""),
    Column("attempts", Integer(), nullable=False, server_default="0"),
    Column("error", String(500), nullable=False, server_default=""),
    Column("created_at_ms", BigInteger(), nullable=False),
    Column("finished_at_ms", BigInteger(), nullable=True),
    # When it was asked for again, while somebody works at it. The last column: MySQL assigns from left to right.
    Column("again_at_ms", BigInteger(), nullable=True),
    UniqueConstraint("kind", "subject"),
    UniqueConstraint("status", "due_at_ms", "id"),
    **INNODB,
)

# What only one process does at a time.
leases = Table(
    "leases",
    metadata,
    Column("name", ascii_key(32), primary_key=True),
    # A chance word of the process that holds it.
    Column("holder", ascii_key(32), nullable=False),
    # Free from then on.
    Column("until_ms", BigInteger(), nullable=False),
    **INNODB,
)
