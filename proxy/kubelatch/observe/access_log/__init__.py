"""The request log: one line for each exchange, as text, JSON or Apache's combined format.

``redaction`` decides what may be shown, ``request_view`` parses a record's request, ``formats``
makes the line and ``verbose`` what ``-v`` adds; these four are pure. ``log`` handles batches of
records, ``terminal`` fits them into the rows of a terminal, ``writer`` writes in a thread.
"""

from .combined import CombinedFormat
from .formats import JsonFormat, LineFormat, TextFormat
from .log import AccessLog, Batches, LineLog, Scope
from .request_view import RequestViews, StreamKind
from .verbose import RESPONSE_FIELDS, STREAMS
from .writer import STDERR, LogWriter

__all__ = [
    "RESPONSE_FIELDS",
    "STDERR",
    "STREAMS",
    "AccessLog",
    "Batches",
    "CombinedFormat",
    "JsonFormat",
    "LineFormat",
    "LineLog",
    "LogWriter",
    "RequestViews",
    "Scope",
    "StreamKind",
    "TextFormat",
]
