"""Which names a client may call this proxy by: the guard against DNS rebinding.

A page that points its own name at 127.0.0.1 reaches the proxy, but its browser still says the
page's name in ``Host``. This is about the destination a client asked for, not about where the
client is.
"""

import re
from typing import Final

from .decision import Refusal, forbidden, malformed
from .patterns import PatternList

# RFC 9110 section 7.2: uri-host [ ":" port ]; a bracketed literal is an IPv6 address.
_HOST: Final = re.compile(r"(?:\[([\w:.%~-]+)\]|([\w.~!$&'()*+;=-]*))(?::[0-9]*)?", re.ASCII)
_REMEMBERED: Final = 256
# Patterns that can match nothing but loopback: browsers trust these names over plain HTTP, too
# (Secure Contexts section 3.1). Whatever is written in front of ".localhost", it ends there.
_LOOPBACK: Final = re.compile(
    r"(?:\(\?i\))?\^(?:"
    r"(?:[^|]*\\\.|\((?:\?:)?[^|()]*\\\.\)[?*])?localhost(?:\\\.\??)?"
    r"|127(?:\\\.(?:[0-9]{1,3}|\\d\+|\[0-9\]\+)){3}"
    r"|\\\[::1\\\]|::1"
    r")\$"
)


class HostRule:
    """``--accept-hosts``.

    As kubectl (proxy_server.go, extractHost), with its faults mended: a name's case and its final
    dot do not matter, and ``[::1]:8001`` is ``[::1]``. Patterns written around the fault, that
    expect ``::1`` without brackets, still match.
    """

    __slots__ = ("_accepted", "_patterns")

    def __init__(self, patterns: PatternList) -> None:
        self._patterns = patterns
        self._accepted: set[str] = set()

    def judge(self, authority: str) -> Refusal | None:
        """None if the proxy may be called by this host and port."""
        if authority in self._accepted:
            return None
        refusal = self._judge(authority)
        if refusal is None and len(self._accepted) < _REMEMBERED and len(authority) <= 255:
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
    """Of the patterns of ``--accept-hosts``, those that are not known to match loopback alone."""
    return tuple(pattern for pattern in patterns if not _LOOPBACK.fullmatch(pattern))


def _spellings(match: re.Match[str]) -> tuple[str, ...]:
    literal = match[1]
    if literal is not None:
        return f"[{literal}]", literal
    name = match[2]
    if name.endswith(".") and name != ".":
        return name, name[:-1]
    return (name,)
