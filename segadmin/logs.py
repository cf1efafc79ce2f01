"""Log lines: one event, one line, with the id of the request it belongs to. Loaded by settings, so it imports no models."""

import logging
from contextvars import ContextVar

from segadmin.plain import visible

request_id: ContextVar[str] = ContextVar("request_id", default="-")


class RequestIdFilter(logging.Filter):
    """Gives every log line the id of the request it belongs to."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = request_id.get()
        return True


class OneLineFormatter(logging.Formatter):
    """Text from outside can't start a line of its own, nor speak to the terminal; a traceback's lines are indented."""

    def format(self, record: logging.LogRecord) -> str:
        rest = record.stack_info or ""
        if record.exc_info:
            rest = f"{self.formatException(record.exc_info)}\n{rest}"
        record.message = visible(record.getMessage())
        record.asctime = self.formatTime(record, self.datefmt)
        return "\n    ".join([self.formatMessage(record), *(visible(line) for line in rest.splitlines() if line)])
