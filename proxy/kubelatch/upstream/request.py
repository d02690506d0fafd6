"""The request as the upstream gets it: one builder for plain requests and upgrades.

That both go through the same code is the point: kubectl proxy cleans the header fields of
plain requests only.
"""

from typing import Final

from ..http1 import headers
from ..http1.fields import Pairs

_EXPECTS_BODY: Final = frozenset({"POST", "PUT", "PATCH"})


class UpstreamRequest:
    """A request's head, all but the credential, for any version of HTTP; it may be sent many times.

    Args:
        method: as the client sent it.
        target: origin-form, byte for byte.
        fields: the client's header fields, sorted.
        path_prefix: the server's path, put before the target.
        authority: the upstream's host and port, as ``Host`` or ``:authority`` names it.
        identity: ``Impersonate-*`` fields.
        compression: gzip may be asked for on the client's behalf.
        peer: the client's IP address, or empty.
        user_agent: our own name, for clients that give none.
        own_credential: one of ours is added; False: the client has brought one itself.
        chunked: its body is chunked.
        upgrade: the protocol to switch to, as the client wrote it, or empty.

    Attributes:
        method: HTTP method.
        target: what is asked for, with the server's path before it.
        authority: the upstream's host and port.
        fields: the header fields that go upstream, but for ``Authorization``, the authority,
            :attr:`identity`, and what belongs to a version of HTTP: framing and ``Connection``.
        identity: ``Impersonate-*`` fields; they go last, for nothing of the client's to replace.
        chunked: the body's length is not known beforehand.
        upgrade: the protocol to switch to, as the client wrote it, or empty.
        expect: what the client expects, lower case.
        own_credential: it carries a credential of ours; False: the client brought one.
        gzip: compression is asked for on the client's behalf.
        http1: the head in HTTP/1.1, once it has been written; not the credential.
    """

    __slots__ = (
        "authority",
        "chunked",
        "expect",
        "fields",
        "gzip",
        "http1",
        "identity",
        "method",
        "own_credential",
        "target",
        "upgrade",
    )

    def __init__(
        self,
        method: str,
        target: bytes,
        fields: headers.ClientFields,
        *,
        path_prefix: bytes,
        authority: bytes,
        identity: Pairs,
        compression: bool,
        peer: bytes,
        user_agent: bytes,
        own_credential: bool,
        chunked: bool = False,
        upgrade: bytes = b"",
    ) -> None:
        self.method = method
        self.target = path_prefix + target
        self.chunked = chunked
        self.upgrade = upgrade
        self.authority = authority
        self.expect = fields.expect
        # Go's transport asks for gzip on the client's behalf only where it can undo it
        # (net/http Transport.roundTrip): no Range, no HEAD, nothing chosen by the client.
        self.gzip = compression and not fields.encodings and not upgrade and method != "HEAD"
        self.own_credential = own_credential
        self.fields = [*fields.kept, *self._own_fields(fields, peer, user_agent)]
        self.identity = identity
        self.http1: bytes | None = None

    def _own_fields(
        self, fields: headers.ClientFields, peer: bytes, user_agent: bytes
    ) -> list[tuple[bytes, bytes]]:
        own = []
        if not fields.user_agent:
            own.append((b"User-Agent", user_agent))
        if self.gzip:
            own.append((b"Accept-Encoding", b"gzip"))
        if peer or fields.forwarded_for:
            own.append((b"X-Forwarded-For", headers.forwarded_for(fields.forwarded_for, peer)))
        if fields.trailers:
            own.append((b"TE", b"trailers"))
        if fields.expect:
            own.append((b"Expect", fields.expect))
        if self.chunked:
            return own
        if fields.content_length is not None:
            own.append((b"Content-Length", fields.content_length))
        elif self.method in _EXPECTS_BODY and not self.upgrade:
            # RFC 9110 section 8.6; some front ends answer 411 without it.
            own.append((b"Content-Length", b"0"))
        return own
