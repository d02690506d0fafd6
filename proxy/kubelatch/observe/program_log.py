"""The program's own log on standard error: text for people, or JSON for collectors.

With ``--log-format=json`` every line that the program writes there is one JSON object, the request
log's included.
"""

import logging
import time
import traceback
from collections.abc import Callable
from json.encoder import encode_basestring_ascii
from typing import Final

from ..redact import printable, redact, sanitize
from .access_log import LogWriter

# Of one message, in characters.
_MAX_LENGTH: Final = 8000


def sanitized_traceback(error: BaseException) -> str:
    """The traceback, redacted and escaped; each line with its line end."""
    text = redact("".join(traceback.format_exception(error)))
    return "".join(f"{printable(line)}\n" for line in text.splitlines())


def json_line(level: str, message: str, moment: float, trace: str = "") -> str:
    """A message as one JSON object, without a line end.

    Args:
        level: such as ``warning``.
        message: redacted.
        moment: seconds since the epoch.
        trace: a traceback, redacted.
    """
    second, millisecond = divmod(int(moment * 1000), 1000)
    at = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(second))}.{millisecond:03d}Z"
    text = f'{{"time":"{at}","event":"log","level":"{level}"'
    text += f',"message":{encode_basestring_ascii(message)}'
    return f'{text},"traceback":{encode_basestring_ascii(trace)}}}' if trace else f"{text}}}"


class LogHandler(logging.Handler):
    """Writes each record of :mod:`logging` as one line, sanitized.

    A record with the attribute ``redacted`` is sanitized already, and one with the attribute
    ``line`` is written as it is.

    Args:
        writer: usually that of standard error, which the request log may share.
        tracebacks: add the traceback of an exception; in text, in more lines.
        mark: returns the prefix of each line for the level of a record, as the journal reads it.
        json: write JSON objects.
    """

    def __init__(
        self,
        writer: LogWriter,
        *,
        tracebacks: bool = False,
        mark: Callable[[int], str] | None = None,
        json: bool = False,
    ) -> None:
        super().__init__()
        self._writer = writer
        self._tracebacks = tracebacks
        self._mark = mark
        self._json = json

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record; an exception is added by its type and text."""
        text, trace = record.getMessage(), ""
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            text += f": {type(error).__name__}: {error}"
            if self._tracebacks:
                trace = sanitized_traceback(error)
        if not getattr(record, "redacted", False):
            text = sanitize(text, _MAX_LENGTH)
        if getattr(record, "line", False):
            lines = f"{text}\n"
        elif self._json:
            lines = json_line(record.levelname.lower(), text, record.created, trace) + "\n"
        else:
            lines = f"{record.levelname}: {text}\n{trace}"
        if self._mark is not None:
            mark = self._mark(record.levelno)
            lines = "".join(f"{mark}{line}\n" for line in lines.split("\n")[:-1])
        self._writer.write(lines.encode("utf-8", "backslashreplace"))
