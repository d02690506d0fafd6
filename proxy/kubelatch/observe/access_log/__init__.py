"""The request log: one line for each exchange, in the form that its reader wants.

``masking`` says what may be shown, ``reading`` what a record says, ``formats`` how it looks and
``narration`` what ``-v`` adds; all four are pure. ``log`` works by the batch, ``sink`` writes.
It learns of requests from records alone, and can stop none.
"""

from .formats import CombinedFormat, Format, JsonFormat, TextFormat
from .log import AccessLog, Batches, Scope
from .reading import Reader, StreamKind
from .verbose import ANSWER_FIELDS, STREAMS
from .writer import STDERR, Sink, SinkHandler, sanitized_traceback

__all__ = [
    "ANSWER_FIELDS",
    "STDERR",
    "STREAMS",
    "AccessLog",
    "Batches",
    "CombinedFormat",
    "Format",
    "JsonFormat",
    "Reader",
    "Scope",
    "Sink",
    "SinkHandler",
    "StreamKind",
    "TextFormat",
    "sanitized_traceback",
]
