"""What ``-v`` adds to the program's log: 3 decisions, 6 upstream timing, 7 and 8 header fields.

The levels are kubectl's where kubectl gives them a meaning. Secrets are redacted at every level.
"""

from collections.abc import Iterator
from typing import Final

from ...http1.fields import Pairs
from ...relay.record import Record
from .formats import upstream_time
from .redaction import redact_field, visible_host
from .request_view import RequestView, field, is_refusal

STREAMS: Final = 2
"""From this level on, watches and tunnels are logged when they begin."""
DECISIONS: Final = 3
TIMING: Final = 6
REQUEST_FIELDS: Final = 7
RESPONSE_FIELDS: Final = 8


def beginning(record: Record, view: RequestView) -> str:
    """The message for a request that the gate has accepted."""
    return f"gate: accepted {_request(record, view)}"


def ending(record: Record, view: RequestView, verbosity: int) -> Iterator[str]:
    """The messages for an exchange that has ended."""
    if record.rule and verbosity >= DECISIONS:
        verdict = "refused" if is_refusal(record) else "handled"
        yield f"gate: {verdict} {_request(record, view)} by {record.rule}"
    if verbosity < TIMING:
        return
    if not record.rule:
        yield f"upstream: {_request(record, view)}: {_timing(record)}"
    if verbosity >= REQUEST_FIELDS:
        yield from _fields("request", record.headers)
    if verbosity >= RESPONSE_FIELDS:
        yield from _fields("response", record.response_headers)


def _request(record: Record, view: RequestView) -> str:
    host = field(record.headers, b"host")
    return f"{view.method} {view.target}" + (f" for host {visible_host(host)}" if host else "")


def _timing(record: Record) -> str:
    parts = [f"status {record.status}" if record.status else "no response"]
    if record.credential_wait:
        parts.append(f"waited {record.credential_wait * 1000:.1f}ms for a credential")
    if record.connects:
        parts.append(f"opened {record.connects} in {record.connect_wait * 1000:.1f}ms")
    elif record.reused:
        parts.append("reused a connection")
    if record.first_byte:
        parts.append(f"response after {upstream_time(record) * 1000:.1f}ms")
    if record.retries:
        parts.append(f"sent {record.retries + 1} times")
    if record.cause:
        parts.append(f"failed: {record.cause}")
    parts.append(f"over after {(record.ended - record.started) * 1000:.1f}ms")
    return ", ".join(parts)


def _fields(whose: str, pairs: Pairs) -> Iterator[str]:
    for pair in pairs:
        name, value = redact_field(*pair)
        yield f"{whose}: {name}: {value}"
