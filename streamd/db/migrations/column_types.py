"""Column types as the revisions use them. What a revision has made stays as it is: add names here, change none."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.mysql import MEDIUMBLOB, VARCHAR
from sqlalchemy.types import TypeEngine

INNODB: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_default_charset": "utf8mb4"}


def ascii_key(length: int) -> TypeEngine[str]:
    """Compares byte for byte."""
    exact = VARCHAR(length, charset="ascii", collation="ascii_bin")
    return sa.String(length).with_variant(exact, "mysql", "mariadb")


def identity() -> TypeEngine[int]:
    """Counts up by itself as a primary key."""
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def medium_blob() -> TypeEngine[bytes]:
    """Up to 16 MiB."""
    return sa.LargeBinary().with_variant(MEDIUMBLOB(), "mysql", "mariadb")
