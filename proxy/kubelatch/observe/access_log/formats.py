"""Log line formats: ``text`` for people, ``json`` for programs, ``combined`` for Apache's tools.

Each format is made once and called for each record. All text in a record comes from peers, so
every field is escaped: one record is always one line.
"""

import time
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from typing import Final, Protocol

from ...redact import printable
from ...relay.record import Record
from .redaction import visible, visible_name, visible_target
from .request_view import RequestView, field, user_agent

_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")  # fmt: skip  # noqa: E501
# Escapes control characters and DEL, and everything beyond ASCII.
_quote: Final = encode_basestring_ascii
_UUID: Final = b"0123456789abcdef-"
_MAX_UUID: Final = 64
# Formatted parts of lines that are kept for later records with the same values.
CACHE_SIZE: Final = 1024
# Keys that every resource request has; the core group is empty.
_ALWAYS: Final = frozenset({"group", "version", "resource"})


class LineFormat(Protocol):
    """Formats one record as a line."""

    def __call__(self, record: Record, view: RequestView, offset: float, /) -> str:
        """The line, without a line end.

        Args:
            record: one that has not ended is formatted as a beginning.
            view: of its request.
            offset: seconds to add to the record's times to get seconds since the epoch.
        """
        ...


class _Clock:
    """Formats timestamps in UTC with milliseconds, and caches what consecutive ones share."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._second = self._millisecond = -1
        self._prefix = self._text = ""

    def __call__(self, moment: float) -> str:
        """The timestamp of *moment*, in seconds since the epoch."""
        millisecond = int(moment * 1000)
        if millisecond != self._millisecond:
            self._millisecond = millisecond
            second, rest = divmod(millisecond, 1000)
            if second != self._second:
                self._second = second
                self._prefix = time.strftime(self._pattern, time.gmtime(second))
            self._text = f"{self._prefix}.{rest:03d}"
        return self._text


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
        self._time = _Clock("%Y-%m-%dT%H:%M:%S")
        self._request = lru_cache(CACHE_SIZE)(_request_columns)
        self._details = Details()

    def __call__(self, record: Record, view: RequestView, offset: float, /) -> str:
        ended = record.ended
        if ended:
            status = str(record.status) if record.status else "  -"
            took, size = as_duration(ended - record.started), as_size(record.sent)
        else:
            status, took, size = ">>>", "", ""
        return (
            f"{self._time((ended or record.started) + offset)}Z "
            f"{status} {took.rjust(7)} {size.rjust(6)}  {self._request(view)}"
            f"{self._details(record)}"
        )


class Details:
    """What a record holds beyond the columns of its line, as ``key=value`` pairs."""

    def __init__(self) -> None:
        self._caller = lru_cache(CACHE_SIZE)(_caller)

    def __call__(self, record: Record) -> str:
        """The pairs, each with a space before it."""
        text = _events(record)
        if record.first_byte:
            connection = "reused" if record.reused else "new"
            text += f" upstream={as_duration(upstream_time(record))} conn={connection}"
        credential = f" cred={record.credential}" if record.credential else ""
        if record.context:
            credential = f" context={record.context}{credential}"
        audit = f" audit={_audit(record.audit_id)}" if record.audit_id else ""
        caller = self._caller(record.client, record.uid, user_agent(record))
        return f"{text}{credential}{caller}{audit}"


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


def _audit(value: bytes) -> str:
    # The API server's own are UUIDs, which need neither redaction nor quoting.
    if len(value) <= _MAX_UUID and not value.translate(None, _UUID):
        return value.decode()
    return as_word(visible(value))


def _request_columns(view: RequestView) -> str:
    verb = view.info.verb
    what = f"{verb} {as_word(view.kind)}" if view.kind else verb
    return f"{what:<24} {as_word(view.method or '-')} {as_word(view.target or '-')}"


def _caller(client: str, uid: int | None, agent: str) -> str:
    text = f" client={client or 'unix'}"
    if uid is not None:
        text += f" uid={uid}"
    return f"{text} ua={as_word(agent)}" if agent else text


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
        return _tenths(round(seconds * 10_000))
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f}ms"
    if seconds < 59.95:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{rest:02d}s"
    return f"{minutes // 60}h{minutes % 60:02d}m"


@lru_cache(128)
def _tenths(count: int) -> str:
    """Tenths of a millisecond: there are a hundred of them, and floats take long to format."""
    return f"{count / 10:.1f}ms"


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


class JsonFormat:
    """JSON lines; docs/logging.md lists the keys, which are stable."""

    def __init__(self) -> None:
        self._time = _Clock("%Y-%m-%dT%H:%M:%S")
        self._request = lru_cache(CACHE_SIZE)(_request_keys)
        self._caller = lru_cache(CACHE_SIZE)(_caller_keys)

    def __call__(self, record: Record, view: RequestView, offset: float, /) -> str:
        ended = record.ended
        protocol = f',"protocol":{_quote(record.protocol)}' if record.protocol else ""
        if record.context:
            protocol = f',"context":{_quote(record.context)}{protocol}'
        return (
            f'{{"time":"{self._time((ended or record.started) + offset)}Z"'
            f',"event":"{"end" if ended else "begin"}"'
            f"{self._caller(record.client, record.uid, user_agent(record))}"
            f"{self._request(view)}{protocol}{_outcome(record) if ended else ''}}}"
        )


def _caller_keys(client: str, uid: int | None, agent: str) -> str:
    text = f',"client":{_quote(client)}'
    if uid is not None:
        text += f',"uid":{uid}'
    return f'{text},"user_agent":{_quote(agent)}' if agent else text


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
    return text


def _outcome(record: Record) -> str:
    started = record.started
    text = (
        f',"status":{record.status},"received_bytes":{record.received}'
        f',"sent_bytes":{record.sent},"duration_ms":{(record.ended - started) * 1000:.3f}'
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
        text += f',"audit_id":{_quote(visible(record.audit_id))}'
    return text


class CombinedFormat:
    """Apache's combined log format (mod_log_config), as GoAccess and similar tools read it.

    A request whose client left before a response has nginx's status 499.
    """

    def __init__(self) -> None:
        self._second = -1
        self._text = ""

    def __call__(self, record: Record, view: RequestView, offset: float, /) -> str:
        agent = _apache(user_agent(record))
        referer = field(record.headers, b"referer")
        major, minor = record.version
        request = f"{view.method} {view.target} HTTP/{major}.{minor}"
        return (
            f"{record.client or '-'} - - [{self._moment(record.started + offset)}] "
            f'"{_apache(request) if view.method else "-"}" '
            f"{record.status or 499} {record.sent or '-'} "
            f'"{_apache(_url(referer)) if referer else "-"}" "{agent or "-"}"'
        )

    def _moment(self, moment: float) -> str:
        second = int(moment)
        if second != self._second:
            t = time.gmtime(second)
            self._second = second
            self._text = (
                f"{t.tm_mday:02d}/{_MONTHS[t.tm_mon - 1]}/{t.tm_year}"
                f":{t.tm_hour:02d}:{t.tm_min:02d}:{t.tm_sec:02d} +0000"
            )
        return self._text


def _url(value: bytes) -> str:
    return visible_target(value.decode("utf-8", "surrogateescape"))


def _apache(text: str) -> str:
    """Escape as Apache does: quotes and backslashes with a backslash, other bytes as ``\\xhh``."""
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return text
    out = []
    for byte in text.encode("utf-8", "surrogateescape"):
        char = chr(byte)
        if char in '"\\':
            out.append("\\" + char)
        else:
            out.append(char if 0x20 <= byte < 0x7F else f"\\x{byte:02x}")
    return "".join(out)
