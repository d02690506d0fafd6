"""The request log: one line for each exchange, in the form that its views wants.

``masking`` says what may be shown, ``view`` what a record says, ``formats`` how it looks and
``verbose`` what ``-v`` adds; all four are pure. ``log`` works by the batch, ``writer`` writes.
It learns of requests from records alone, and can stop none.
"""

from .formats import CombinedFormat, Format, JsonFormat, TextFormat
from .log import AccessLog, Batches, Scope
from .request_view import RequestViews, StreamKind
from .verbose import RESPONSE_FIELDS, STREAMS
from .writer import STDERR, LogHandler, LogWriter, sanitized_traceback

__all__ = [
    "RESPONSE_FIELDS",
    "STDERR",
    "STREAMS",
    "AccessLog",
    "Batches",
    "CombinedFormat",
    "Format",
    "JsonFormat",
    "LogHandler",
    "LogWriter",
    "RequestViews",
    "Scope",
    "StreamKind",
    "TextFormat",
    "sanitized_traceback",
]
