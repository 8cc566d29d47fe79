"""Bytes in a column, on both dialects.

aiomysql 0.3.2 cannot send bytes with PyMySQL 1.2.3 and later (aiomysql #1080): on MySQL they travel as hexadecimal text
and are made bytes again by the server. What comes back needs no help.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Dialect, LargeBinary, TypeDecorator
from sqlalchemy.dialects.mysql import MEDIUMBLOB
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import BindParameter
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeEngine


class _Sent(FunctionElement[bytes]):
    """A parameter on its way."""

    inherit_cache = True


@compiles(_Sent)
def _as_it_is(element: _Sent, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(element.clauses, **options)


@compiles(_Sent, "mysql", "mariadb")
def _unhex(element: _Sent, compiler: SQLCompiler, **options: Any) -> str:
    return f"UNHEX({compiler.process(element.clauses, **options)})"


class Blob(TypeDecorator[bytes]):
    """Up to 16 MiB."""

    impl = LargeBinary
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(MEDIUMBLOB() if _is_mysql(dialect) else LargeBinary())

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any] | None:
        return _hex if _is_mysql(dialect) else super().bind_processor(dialect)

    def bind_expression(self, bindparam: BindParameter[bytes]) -> _Sent:
        return _Sent(bindparam)


def _is_mysql(dialect: Dialect) -> bool:
    return dialect.name in ("mysql", "mariadb")


def _hex(value: bytes | None) -> str | None:
    return None if value is None else value.hex()
