"""One JSON object per line: an event name plus fields, with job and trace ids."""

import json
import logging
import sys
import time
from contextvars import ContextVar
from typing import Any, Final

from opentelemetry import trace

job_uid: ContextVar[str | None] = ContextVar("job_uid", default=None)
"""The job that the current task works for; every line it writes names it."""

_PLAIN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """Third-party records become fields as well, so that one reader understands all lines."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self.service = service

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "service": self.service,
            "event": record.getMessage(),
        }
        if record.name.partition(".")[0] != "trawler":
            line["logger"] = record.name
        if (uid := job_uid.get()) is not None:
            line["job"] = uid
        context = trace.get_current_span().get_span_context()
        if context.is_valid:
            line["trace"] = format(context.trace_id, "032x")
        line |= {key: value for key, value in vars(record).items() if key not in _PLAIN}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


def setup(service: str, level: str = "INFO") -> None:
    """Send all logging of this process to standard output as JSON lines."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter(service))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for noisy in ("httpx", "httpcore", "nats", "urllib3", "aiohttp.access", "kopf.objects"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def get(name: str) -> logging.Logger:
    """A logger of ours."""
    return logging.getLogger(f"trawler.{name}")
