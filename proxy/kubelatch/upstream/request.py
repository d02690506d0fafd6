"""The request as the upstream gets it: one builder for plain exchanges and upgrades.

That both go through the same code is the point: kubectl proxy cleans the header fields of
plain requests only.
"""

import copy
from dataclasses import dataclass
from typing import Final

from ..credentials import Credential
from ..http1 import headers
from .generation import Generation

_EXPECTS_BODY: Final = frozenset({"POST", "PUT", "PATCH"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What of the settings shapes requests.

    Attributes:
        user_agent: our own name, for clients that give none.
    """

    user_agent: bytes


class Outbound:
    """A request on its way out, all but the credential.

    Args:
        method: as the client sent it.
        target: origin-form, byte for byte.
        fields: the client's header fields, sorted.
        generation: where it goes.
        peer: the client's IP address, or empty.
        policy: what the settings say.
        own_credential: ours is added; False: the client has brought one itself.
        chunked: its body is chunked.
        upgrade: the protocol to switch to, as the client wrote it, or empty.

    Attributes:
        expect: what the client expects, lower case.
        own_credential: as given.
        gzip: compression is asked for on the client's behalf.
    """

    __slots__ = (
        "_generation",
        "_start",
        "chunked",
        "expect",
        "gzip",
        "method",
        "own_credential",
    )

    def __init__(
        self,
        method: str,
        target: bytes,
        fields: headers.ClientFields,
        generation: Generation,
        *,
        peer: bytes,
        policy: Policy,
        own_credential: bool,
        chunked: bool = False,
        upgrade: bytes = b"",
    ) -> None:
        upstream = generation.upstream
        self.method = method
        self.chunked = chunked
        self.expect = fields.expect
        # Go's transport asks for gzip on the client's behalf only where it can undo it
        # (net/http Transport.roundTrip): no Range, no HEAD, nothing chosen by the client.
        self.gzip = (
            upstream.compression and not fields.encodings and not upgrade and method != "HEAD"
        )
        self.own_credential = own_credential
        lines = [
            b"%b %b%b HTTP/1.1" % (method.encode(), upstream.path_prefix, target),
            *[b"%b: %b" % pair for pair in fields.kept],
            *_own_lines(self, fields, peer, policy, upgrade),
            # Last, for nothing of the client's to replace it.
            generation.fixed_lines,
        ]
        self._generation = generation
        self._start = b"\r\n".join(lines)

    def to(self, generation: Generation) -> "Outbound | None":
        """The same request for a newer generation; None if more than the credential differs."""
        if generation is self._generation:
            return self
        if not generation.takes_heads_of(self._generation):
            return None
        outbound = copy.copy(self)
        outbound._generation = generation
        return outbound

    def head(self, credential: Credential) -> bytes:
        """The head's bytes, authenticated by *credential*."""
        if not self.own_credential:
            return self._start + b"\r\n"
        return self._start + self._generation.authorization(credential) + b"\r\n"


def _own_lines(
    outbound: Outbound,
    fields: headers.ClientFields,
    peer: bytes,
    policy: Policy,
    upgrade: bytes,
) -> list[bytes]:
    lines = []
    if not fields.user_agent:
        lines.append(b"User-Agent: " + policy.user_agent)
    if outbound.gzip:
        lines.append(b"Accept-Encoding: gzip")
    if peer or fields.forwarded_for:
        lines.append(b"X-Forwarded-For: " + headers.forwarded_for(fields.forwarded_for, peer))
    if fields.trailers:
        lines.append(b"TE: trailers")
    if fields.expect:
        lines.append(b"Expect: " + fields.expect)
    if outbound.chunked:
        lines.append(b"Transfer-Encoding: chunked")
    elif fields.content_length is not None:
        lines.append(b"Content-Length: " + fields.content_length)
    elif outbound.method in _EXPECTS_BODY and not upgrade:
        # RFC 9110 section 8.6; some front ends answer 411 without it.
        lines.append(b"Content-Length: 0")
    if upgrade:
        lines += [b"Connection: Upgrade", b"Upgrade: " + upgrade]
    return lines
