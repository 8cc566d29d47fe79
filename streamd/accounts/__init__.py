"""Who may do what: rooms and the keys that put them on air. Knows nothing of HTTP, sockets or media.

Accounts, sessions and roles will live here too: a module for each, on tables of their own in `streamd.db.tables`.
"""
