"""The structured log: events with fields, not sentences.

An event name is an API (`rtmp.session_closed`): operators filter on it. One closing line a session, nothing a frame,
and no keys, tokens, phone numbers or message texts, ever. Written to standard error; JSON when that is not a terminal.
"""

from __future__ import annotations

import logging
import sys
from typing import Protocol

import structlog


class Log(Protocol):
    """What the product uses of a structlog logger."""

    def debug(self, event: str, **fields: object) -> None: ...
    def info(self, event: str, **fields: object) -> None: ...
    def warning(self, event: str, **fields: object) -> None: ...
    def error(self, event: str, **fields: object) -> None: ...
    def exception(self, event: str, **fields: object) -> None: ...


def configure(*, level: str = "info", form: str = "auto") -> None:
    """Set the process's log up once, at the start of a command. `form`: auto, json or text."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    as_json = form == "json" or (form == "auto" and not sys.stderr.isatty())
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer()
    )
    if as_json:
        shared.append(structlog.processors.format_exc_info)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
            foreign_pre_chain=shared,
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def get_log(area: str) -> Log:
    """A logger for one area; its name becomes the `logger` of the record."""
    log: Log = structlog.stdlib.get_logger(f"streamd.{area}")
    return log
