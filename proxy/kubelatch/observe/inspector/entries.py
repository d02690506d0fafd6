"""Makes entries of captured exchanges: JSON, redacted, ready to be sent.

It parses and formats, so it runs in the inspector's thread.
"""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple

from ...gate import Gate
from ...gate.request_info import RequestInfo
from ...http1.fields import Pairs
from ...redact import printable, sanitize
from ...relay.record import Record
from ...system.peer_process import PeerProcess, Processes
from ..access_log.formats import JsonFormat
from ..access_log.redaction import redact_field
from ..access_log.request_view import RequestView, RequestViews, field, is_refusal
from . import bodies
from .capture import Capture, CapturedBody
from .forbidden import explain_denial, explain_refusal

# Of bodies that are parsed, bytes in a second: what that takes, requests have to wait for.
_MAX_RATE: Final = 4 * 1024 * 1024
# Connections whose process is remembered.
_MAX_CONNECTIONS: Final = 1024
# After a look-up, so many times as long none is made: where there are many processes and sockets,
# one takes as long as hundreds of requests.
_REST: Final = 100
# Header fields of one head that are kept.
_MAX_FIELDS: Final = 100
_LONGEST_CACHED: Final = 512

GateOf = Callable[[Record], Gate]
"""Finds the gate that decides on the request of a record."""


class KeptExchange(NamedTuple):
    """One exchange as it is kept.

    Attributes:
        number: its id.
        summary: a JSON object: what the list shows.
        detail: what it has besides when it is looked at; a JSON object, empty while it is under
            way.
        target: as it was sent, if it has no secret in it, so that the request can be repeated;
            else empty.
    """

    number: int
    summary: bytes
    detail: bytes
    target: str

    @property
    def size(self) -> int:
        """Bytes of memory, roughly."""
        return len(self.summary) + len(self.detail) + len(self.target) + 500


class _Rate:
    """Allows so much in a second.

    Args:
        most: that much.
    """

    def __init__(self, most: float) -> None:
        self._most = self._left = most
        self._at = time.monotonic()

    def take(self, amount: float = 1) -> bool:
        now = time.monotonic()
        self._left = min(self._most, self._left + (now - self._at) * self._most)
        self._at = now
        if amount > self._left:
            return False
        self._left -= amount
        return True


class EntryBuilder:
    """See the module.

    Args:
        views: parses requests.
        limit: the most bytes of a body that is kept; 0: none is.
    """

    def __init__(self, views: RequestViews, limit: int) -> None:
        self._views = views
        self._limit = limit
        self._format = JsonFormat()
        self._bytes = _Rate(_MAX_RATE)
        self._next_lookup = 0.0
        self._processes = Processes()
        self._known: dict[int, PeerProcess | None] = {}

    def ended(self, capture: Capture, gate: Gate) -> KeptExchange:
        """The entry of an exchange that is over.

        Args:
            capture: of it.
            gate: the one in use, which says why it refused.
        """
        record = capture.record
        view = self._views.read(record)
        content = field(record.headers, b"content-type"), field(record.headers, b"content-encoding")
        request = self._body(capture.request, view.info, *content)
        answer = capture.response_headers
        content = field(answer, b"content-type"), field(answer, b"content-encoding")
        response = self._body(capture.response, view.info, *content)
        detail: dict[str, Any] = {
            "request": {"headers": _fields(record.headers), "body": request},
            "response": {"headers": _fields(answer), "body": response},
        }
        if capture.error:
            detail["error"] = sanitize(capture.error)
        if is_refusal(record):
            detail["forbidden"] = explain_refusal(record, view.info, gate)
        elif record.status == 403 and record.first_byte:
            detail["forbidden"] = explain_denial(view.info, response.get("value"))
        target = record.target if view.target == record.target else ""
        return KeptExchange(
            capture.number,
            self._summary(capture, view, record.ended).encode(),
            _encode(detail).encode(),
            target,
        )

    def running(self, capture: Capture, now: float) -> KeptExchange:
        """The entry of an exchange under way.

        Args:
            capture: of it.
            now: the time on the clock of records.
        """
        view = self._views.read(capture.record)
        # With an end, it has an outcome.
        summary = json.loads(self._summary(capture, view, now))
        summary.update(event="begin", time=_at(summary["started"]))
        return KeptExchange(capture.number, _encode(summary).encode(), b"", "")

    def detail(self, capture: Capture) -> bytes:
        """The detail of an exchange under way: its heads, so far."""
        record = capture.record
        return _encode(
            {
                "request": {"headers": _fields(record.headers)},
                "response": {"headers": _fields(record.response_headers)},
            }
        ).encode()

    def _summary(self, capture: Capture, view: RequestView, ended: float) -> str:
        """The summary of an exchange that is over, as JSON."""
        record = capture.record
        offset = time.time() - time.monotonic()
        more: dict[str, Any] = {"started": round(record.started + offset, 6)}
        if view.stream:
            more["stream"] = view.stream
        if capture.context and not record.context:
            more["context"] = printable(capture.context)
        if capture.events is not None:
            more["events"] = dict(capture.events.counts)
        if capture.replayed:
            more["replayed"] = capture.replayed
        process = self._process(capture)
        if process is not None:
            more["process"] = {"pid": process.pid, "name": printable(process.name)}
        line = self._format.line_at(record, view, offset, ended)
        return f'{{"id":"{capture.number}",{line[1:-1]},{_encode(more)[1:]}'

    def _process(self, capture: Capture) -> PeerProcess | None:
        connection = capture.connection
        if connection is None:
            return None
        if connection.inode not in self._known:
            if time.monotonic() < self._next_lookup:
                return None
            if len(self._known) >= _MAX_CONNECTIONS:
                del self._known[next(iter(self._known))]
            began = time.thread_time()
            self._known[connection.inode] = self._processes.find(connection)
            took = time.thread_time() - began
            self._next_lookup = time.monotonic() + _REST * took
        return self._known[connection.inode]

    def _body(
        self, body: CapturedBody, info: RequestInfo, content_type: bytes, encoding: bytes
    ) -> dict[str, Any]:
        """What is kept of a body: its size, and its value or why there is none."""
        data = body.take()
        kept: dict[str, Any] = {"size": body.size}
        if not body.size:
            return kept
        try:
            kept["value"] = self._value(body, data, info, content_type, encoding)
        except bodies.NotKept as reason:
            kept["not_kept"] = str(reason)
        return kept

    def _value(
        self,
        body: CapturedBody,
        data: bytes,
        info: RequestInfo,
        content_type: bytes,
        encoding: bytes,
    ) -> Any:
        reason = bodies.why_exempt(info)
        if not self._limit:
            reason = "--inspect-bodies=off"
        elif not reason and not body.complete:
            reason = "it is too long"
        elif not reason and not self._bytes.take(len(data)):
            reason = "there are too many at once"
        if reason:
            raise bodies.NotKept(reason)
        return bodies.parse(data, content_type, encoding, self._limit)


def _fields(pairs: Pairs) -> list[tuple[str, str]]:
    return [
        _field(name, value) if len(value) <= _LONGEST_CACHED else redact_field(name, value)
        for name, value in pairs[:_MAX_FIELDS]
    ]


_field: Final = lru_cache(1024)(redact_field)


def _at(seconds: float) -> str:
    """The time as in the log."""
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return f"{text.removesuffix('+00:00')}Z"


def _encode(value: Any) -> str:
    return _ENCODER.encode(value)


_ENCODER: Final = json.JSONEncoder(separators=(",", ":"))
