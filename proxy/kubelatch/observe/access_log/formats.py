"""Log line formats: ``text`` for people, ``json`` for programs; ``combined`` has its own module.

Each format is made once and called for each record. All text in a record comes from peers, so
every field is escaped: one record is always one line.
"""

import time
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from typing import Final, Protocol

from ...redact import printable
from ...relay.record import Record
from .redaction import visible, visible_name
from .request_view import (
    LONGEST_CACHED,
    RequestView,
    user_agent_field,
    visible_agent,
)

# Escapes control characters and DEL, and everything beyond ASCII.
_quote: Final = encode_basestring_ascii
# Turns the characters of a UUID into letters, and all others into spaces.
_HEX: Final = bytes(97 if char in b"0123456789abcdef-" else 32 for char in range(256))
_MAX_UUID: Final = 64
# Formatted parts of lines that are kept for later records with the same values.
CACHE_SIZE: Final = 1024
# Keys that every resource request has; the core group is empty.
_ALWAYS: Final = frozenset({"group", "version", "resource"})


class LineFormat(Protocol):
    """Formats one record as a line."""

    def line(self, record: Record, view: RequestView, offset: float) -> str:
        """The line, without a line end.

        Args:
            record: one that has not ended is formatted as a beginning.
            view: of its request.
            offset: seconds to add to the record's times to get seconds since the epoch.
        """
        ...


class _Clock:
    """Formats timestamps in UTC with milliseconds, and caches what consecutive ones share.

    Attributes:
        millisecond: since the epoch, of the last timestamp.
        text: the last timestamp.
    """

    __slots__ = ("_prefix", "_second", "millisecond", "text")

    def __init__(self) -> None:
        self._second = self.millisecond = -1
        self._prefix = self.text = ""

    def set(self, millisecond: int) -> str:
        """The timestamp of another *millisecond*."""
        second, rest = divmod(millisecond, 1000)
        if second != self._second:
            self._second = second
            self._prefix = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        self.millisecond = millisecond
        self.text = f"{self._prefix}.{rest:03d}"
        return self.text


def upstream_time(record: Record) -> float:
    """Seconds from sending the request upstream to the response's head; 0 without a response.

    Includes earlier attempts, but not waiting for a credential or a connection.
    """
    if not record.first_byte:
        return 0.0
    waits = record.credential_wait + record.connect_wait + record.ask_wait
    return max(0.0, record.first_byte - record.started - waits)


class TextFormat:
    """Aligned columns, then ``key=value`` pairs for everything else."""

    def __init__(self) -> None:
        self._clock = _Clock()
        self._details = Details()
        # Status and size as they are shown.
        self._outcomes: dict[tuple[int, int], tuple[str, str]] = {}

    def line(self, record: Record, view: RequestView, offset: float) -> str:
        """See :class:`LineFormat`."""
        ended, clock = record.ended, self._clock
        millisecond = int(((ended or record.started) + offset) * 1000)
        moment = clock.text if millisecond == clock.millisecond else clock.set(millisecond)
        columns = view.columns or _request_columns(view)
        if not ended:
            return f"{moment}Z >>> {'':7} {'':6}  {columns}{self._details.pairs(record)}"
        seconds = ended - record.started
        took = _TOOK.get(round(seconds * 10_000)) or as_duration(seconds).rjust(7)
        outcome = self._outcomes.get((record.status, record.sent))
        if outcome is None:
            outcome = self._outcome(record.status, record.sent)
        status, size = outcome
        return f"{moment}Z {status} {took} {size}  {columns}{self._details.pairs(record)}"

    def _outcome(self, status: int, sent: int) -> tuple[str, str]:
        if len(self._outcomes) >= CACHE_SIZE:
            self._outcomes.clear()
        outcome = str(status) if status else "  -", as_size(sent).rjust(6)
        self._outcomes[status, sent] = outcome
        return outcome


class Details:
    """What a record holds beyond the columns of its line, as ``key=value`` pairs."""

    def __init__(self) -> None:
        self._caller = lru_cache(CACHE_SIZE)(_caller)

    def pairs(self, record: Record) -> str:
        """The pairs, each with a space before it."""
        upstream = events = ""
        if record.first_byte:
            waits = record.credential_wait + record.connect_wait + record.ask_wait
            took = record.first_byte - record.started - waits
            texts = _UPSTREAM_REUSED if record.reused else _UPSTREAM_NEW
            upstream = texts.get(round(took * 10_000)) or _upstream(record)
        memo = record.memo
        if (
            memo is not None
            and memo.caller
            and memo.credential == record.credential
            and memo.context == record.context
        ):
            caller = memo.caller
        else:
            caller = self._find_caller(record)
        if (
            record.rule
            or record.cause
            or record.asked
            or record.protocol
            or record.proto
            or record.retries
            or record.received
            or record.connect_wait
            or record.credential_wait
        ):
            events = _events(record)
        audit = record.audit_id
        if not audit:
            return f"{events}{upstream}{caller}"
        shown = _plain_id(audit) or as_word(visible(audit))
        return f"{events}{upstream}{caller} audit={shown}"

    def _find_caller(self, record: Record) -> str:
        agent, memo = user_agent_field(record), record.memo
        find = self._caller if len(agent) <= LONGEST_CACHED else _caller
        text = find(record.context, record.credential, record.client, record.uid, agent)
        if memo is not None:
            memo.caller = text
            memo.credential, memo.context = record.credential, record.context
        return text


def _events(record: Record) -> str:
    """The pairs that most exchanges do not have."""
    text = f" rule={record.rule}" if record.rule else ""
    if record.cause:
        text += f" cause={record.cause}"
        if record.server and record.cause != "client-gone":
            text += f" server={as_word(visible(record.server))}"
    if record.asked:
        text += f" asked={record.asked}"
        if record.answer:
            by = f" by={record.answered_by}" if record.answered_by else ""
            text += f" answer={record.answer}{by} waited={as_duration(record.ask_wait)}"
    if record.protocol:
        text += f" protocol={as_word(record.protocol)}"
    if record.proto:
        text += f" proto={record.proto}"
    if record.retries:
        text += f" retries={record.retries}"
    if record.received:
        text += f" in={as_size(record.received)}"
    if record.connect_wait or record.credential_wait:
        text += _wait_times(record)
    return text


def _plain_id(value: bytes) -> str:
    """A UUID, as those of the API server, which needs neither redaction nor quoting; empty for
    other values."""
    return value.decode() if len(value) <= _MAX_UUID and value.translate(_HEX).isalpha() else ""


def _request_columns(view: RequestView) -> str:
    verb = view.info.verb
    what = f"{verb} {as_word(view.kind)}" if view.kind else verb
    view.columns = f"{what:<24} {as_word(view.method or '-')} {as_word(view.target or '-')}"
    return view.columns


def _caller(context: str, credential: str, client: str, uid: int | None, agent: bytes) -> str:
    text = f" context={context}" if context else ""
    if credential:
        text += f" cred={credential}"
    text += f" client={client or 'unix'}"
    if uid is not None:
        text += f" uid={uid}"
    return f"{text} ua={as_word(visible_agent(agent))}" if agent else text


def _upstream(record: Record) -> str:
    return _upstream_text(upstream_time(record), "reused" if record.reused else "new")


def _upstream_text(seconds: float, connection: str) -> str:
    return f" upstream={as_duration(seconds)} conn={connection}"


def _wait_times(record: Record) -> str:
    """How long the exchange waited; only then does ``first`` differ from ``upstream``."""
    text = f" connect={as_duration(record.connect_wait)}" if record.connect_wait else ""
    if record.credential_wait:
        text += f" wait={as_duration(record.credential_wait)}"
    if record.first_byte:
        text += f" first={as_duration(record.first_byte - record.started)}"
    return text


def as_word(text: str) -> str:
    """The text as one field: escaped, and quoted if it has spaces or quotes."""
    if not text.isascii() or not text.isprintable():
        text = printable(text)
    if " " in text or '"' in text:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return text


def as_duration(seconds: float) -> str:
    """Two or three digits: 0.4ms, 38ms, 2.1s, 12m04s, 3h20m."""
    if seconds < 0.00995:
        return f"{round(seconds * 10_000) / 10:.1f}ms"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f}ms"
    if seconds < 59.95:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{rest:02d}s"
    return f"{minutes // 60}h{minutes % 60:02d}m"


def as_size(count: int) -> str:
    """Bytes in decimal units: 512, 1.2k, 38k, 4.0M."""
    if count < 1000:
        return str(count)
    value = float(count)
    for unit in "kMGT":
        value /= 1000
        if value < 9.95:
            return f"{value:.1f}{unit}"
        if value < 999.5:
            return f"{value:.0f}{unit}"
    return f"{value:.0f}T"


# Of most exchanges the times are below ten milliseconds, and floats take long to format: what is
# shown of them, by tenths of a millisecond.
_TOOK: Final = {tenths: as_duration(tenths / 10_000).rjust(7) for tenths in range(100)}
_UPSTREAM_NEW: Final = {n: _upstream_text(n / 10_000, "new") for n in range(100)}
_UPSTREAM_REUSED: Final = {n: _upstream_text(n / 10_000, "reused") for n in range(100)}


class JsonFormat:
    """JSON lines; docs/logging.md lists the keys, which are stable."""

    def __init__(self) -> None:
        self._clock = _Clock()
        self._caller = lru_cache(CACHE_SIZE)(_caller_keys)

    def line(self, record: Record, view: RequestView, offset: float) -> str:
        """See :class:`LineFormat`."""
        return self.line_at(record, view, offset, record.ended)

    def line_at(self, record: Record, view: RequestView, offset: float, ended: float) -> str:
        """The line of a record as if it had ended then; 0: as if it had not."""
        clock = self._clock
        millisecond = int(((ended or record.started) + offset) * 1000)
        moment = clock.text if millisecond == clock.millisecond else clock.set(millisecond)
        agent = user_agent_field(record)
        find = self._caller if len(agent) <= LONGEST_CACHED else _caller_keys
        protocol = f',"protocol":{_quote(record.protocol)}' if record.protocol else ""
        if record.context:
            protocol = f',"context":{_quote(record.context)}{protocol}'
        return (
            f'{{"time":"{moment}Z","event":"{"end" if ended else "begin"}"'
            f"{find(record.client, record.uid, agent)}{view.keys or _request_keys(view)}"
            f"{protocol}{_outcome(record, ended) if ended else ''}}}"
        )


def _caller_keys(client: str, uid: int | None, agent: bytes) -> str:
    text = f',"client":{_quote(client)}'
    if uid is not None:
        text += f',"uid":{uid}'
    return f'{text},"user_agent":{_quote(visible_agent(agent))}' if agent else text


def _request_keys(view: RequestView) -> str:
    info = view.info
    text = (
        f',"method":{_quote(view.method)},"target":{_quote(view.target)},"verb":{_quote(info.verb)}'
    )
    if info.is_resource:
        text += "".join(
            f',"{key}":{_quote(visible_name(value))}'
            for key, value in (
                ("group", info.group),
                ("version", info.version),
                ("resource", info.resource),
                ("subresource", info.subresource),
                ("namespace", info.namespace),
                ("name", info.name),
            )
            if value or key in _ALWAYS
        )
    view.keys = text
    return text


def _outcome(record: Record, ended: float) -> str:
    started = record.started
    text = (
        f',"status":{record.status},"received_bytes":{record.received}'
        f',"sent_bytes":{record.sent},"duration_ms":{(ended - started) * 1000:.3f}'
    )
    if record.first_byte:
        text += (
            f',"first_byte_ms":{(record.first_byte - started) * 1000:.3f}'
            f',"upstream_ms":{upstream_time(record) * 1000:.3f}'
            f',"reused":{"true" if record.reused else "false"}'
        )
    if record.proto:
        text += f',"proto":"{record.proto}"'
    if record.connect_wait:
        text += f',"connect_ms":{record.connect_wait * 1000:.3f}'
    if record.credential_wait:
        text += f',"credential_wait_ms":{record.credential_wait * 1000:.3f}'
    if record.retries:
        text += f',"retries":{record.retries}'
    if record.credential:
        text += f',"credential":"{record.credential}"'
    if record.rule:
        text += f',"rule":"{record.rule}"'
    if record.cause:
        text += f',"cause":"{record.cause}"'
        if record.server and record.cause != "client-gone":
            text += f',"server":{_quote(visible(record.server))}'
    if record.asked:
        text += f',"asked":"{record.asked}","answer":"{record.answer}"'
        if record.answered_by:
            text += f',"answered_by":"{record.answered_by}"'
        text += f',"ask_wait_ms":{record.ask_wait * 1000:.3f}'
    if record.audit_id:
        shown = _plain_id(record.audit_id) or visible(record.audit_id)
        text += f',"audit_id":{_quote(shown)}'
    return text
