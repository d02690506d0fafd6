"""``--accept-hosts``: the protection against DNS rebinding.

A page that points its own name at 127.0.0.1 reaches the proxy, but its browser sends the page's
name in ``Host``. The rule is about the host in the URL, not about the client's address.
"""

import re
from typing import Final

from .decision import Refusal, forbidden, malformed
from .patterns import PatternList

# RFC 9110 section 7.2: uri-host [ ":" port ]; a bracketed literal is an IPv6 address.
_HOST: Final = re.compile(r"(?:\[([\w:.%~-]+)\]|([\w.~!$&'()*+;=-]*))(?::[0-9]*)?", re.ASCII)
_MAX_CACHED: Final = 256
# Patterns that match only loopback: browsers trust these names over plain HTTP, too (Secure
# Contexts section 3.1). Any prefix of ".localhost" is allowed.
_LOOPBACK: Final = re.compile(
    r"(?:\(\?i\))?\^(?:"
    r"(?:[^|]*\\\.|\((?:\?:)?[^|()]*\\\.\)[?*])?localhost(?:\\\.\??)?"
    r"|127(?:\\\.(?:[0-9]{1,3}|\\d\+|\[0-9\]\+)){3}"
    r"|\\\[::1\\\]|::1"
    r")\$"
)


class HostRule:
    """``--accept-hosts``.

    As in kubectl (proxy_server.go, extractHost), with its bugs fixed: a name's case and final dot
    are ignored, and ``[::1]:8001`` is ``[::1]``. Patterns that work around the bug, with ``::1``
    without brackets, still match.
    """

    def __init__(self, patterns: PatternList) -> None:
        self._patterns = patterns
        self._accepted: set[str] = set()

    def judge(self, authority: str) -> Refusal | None:
        """Returns a refusal, or None if this host and port are accepted."""
        if authority in self._accepted:
            return None
        refusal = self._judge(authority)
        if refusal is None and len(self._accepted) < _MAX_CACHED and len(authority) <= 255:
            self._accepted.add(authority)
        return refusal

    def _judge(self, authority: str) -> Refusal | None:
        match = _HOST.fullmatch(authority)
        if match is None:
            return malformed("host", f"{authority!r} is not a host and port")
        if any(self._patterns.first_match(name) is not None for name in _spellings(match)):
            return None
        return forbidden(
            "accept-hosts",
            f"the host {authority!r} is not one that this proxy answers to",
            "--accept-hosts says which hosts are accepted; it is about the name in the URL, "
            "not about the client's address",
        )


def beyond_loopback(patterns: tuple[str, ...]) -> tuple[str, ...]:
    """The patterns of ``--accept-hosts`` that may match more than loopback."""
    return tuple(pattern for pattern in patterns if not _LOOPBACK.fullmatch(pattern))


def _spellings(match: re.Match[str]) -> tuple[str, ...]:
    literal = match[1]
    if literal is not None:
        return f"[{literal}]", literal
    name = match[2]
    if name.endswith(".") and name != ".":
        return name, name[:-1]
    return (name,)
