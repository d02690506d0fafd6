"""The format ``combined`` of log lines, for Apache's tools."""

import time
from typing import Final

from ...relay.record import Record
from .redaction import visible_target
from .request_view import RequestView, field, user_agent

_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")  # fmt: skip  # noqa: E501


class CombinedFormat:
    """Apache's combined log format (mod_log_config), as GoAccess and similar tools read it.

    A request whose client left before a response has nginx's status 499.
    """

    def __init__(self) -> None:
        self._second = -1
        self._text = ""

    def line(self, record: Record, view: RequestView, offset: float) -> str:
        """See :class:`.formats.LineFormat`."""
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
