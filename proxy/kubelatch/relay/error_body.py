"""The beginning of an error response, for observers that have to know what it says."""

from typing import Final

from .record import Record

KEPT_ERRORS: Final = frozenset({403, 404})
"""The statuses that do not say by themselves whether a request was refused, or for what."""
MAX_ERROR_BODY: Final = 16 * 1024
"""Bytes that are kept; a ``Status`` is below 2 KiB."""


class ErrorBody:
    """Puts the beginning of a response's body into a record.

    Args:
        record: gets it.

    Attributes:
        at_boundary: never: it is no stream of events.
    """

    __slots__ = ("_record",)

    at_boundary: Final = False

    def __init__(self, record: Record) -> None:
        self._record = record

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        record = self._record
        left = MAX_ERROR_BODY - len(record.error_body)
        if left > 0:
            record.error_body += data[:left]
