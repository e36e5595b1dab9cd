"""How log lines look and where they go: standard error, for people on a terminal, as JSON elsewhere."""

from __future__ import annotations

import sys
from typing import Any

import structlog

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}  # as in the standard library's logging


def set_up(level: str = "info", format: str = "auto") -> None:
    """Send structlog's lines to standard error.

    `format` is "console", "json" (one object a line, `timestamp` in UTC) or "auto": console on a terminal.
    """
    is_console = format == "console" or (format == "auto" and sys.stderr.isatty())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if is_console:
        ends: list[Any] = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    else:
        ends = [structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer(sort_keys=True)]
    structlog.configure(
        processors=shared + ends,
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),  # what it is then: it may be replaced, and closed
        cache_logger_on_first_use=False,  # loggers are made at import, before this is called
    )
