"""Structured logs: one JSON object a line, with the correlation id of the work at hand. No personal data."""

import logging
import sys
from typing import Any

import orjson
import structlog

from services.kernel.errors import ZoeklichtError

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def configure_logging(service: str, level: str = "info") -> None:
    """Sends every log line of this process, also those of libraries, to standard output as JSON."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _safe_exception,
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer(serializer=orjson.dumps)],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.BytesLoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(_LEVELS[level], logging.WARNING), force=True)
    structlog.contextvars.bind_contextvars(service=service)


def _safe_exception(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    """Keeps type and place of an error and drops its text unless it is our own: a driver's text may quote a value."""
    error = event.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()
    if isinstance(error, tuple):
        error = error[1]
    if isinstance(error, BaseException):
        event["error"] = type(error).__name__
        if isinstance(error, ZoeklichtError):
            event["error_text"] = str(error)
        trace, places = error.__traceback__, []
        while trace is not None:
            places.append(f"{trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}")
            trace = trace.tb_next
        event["at"] = places[-6:]
    return event


def told(error: BaseException) -> dict[str, str]:
    """What a line may say of an error that is got over: its class, and its text when it is our own."""
    text = {"error_text": str(error)} if isinstance(error, ZoeklichtError) else {}
    return {"error_class": type(error).__name__, **text}


def correlation_id() -> str:
    """The correlation id of the work at hand; empty outside of any."""
    return str(structlog.contextvars.get_contextvars().get("correlation_id", ""))
