"""The database: engine, tables and migrations, on SQLite and on MySQL or MariaDB.

The only package besides `accounts`, `shop` and danmaku's history that knows SQL. Queries live with the use cases that
need them; here is what they share: `engine.open_engine`, the tables of `tables`, `migrate.upgrade`.
"""
