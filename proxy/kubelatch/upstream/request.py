"""The upstream request: one builder for plain requests and upgrades.

Both use the same code, whereas kubectl proxy cleans the header fields of plain requests only.
"""

from copy import copy
from typing import Final

from ..http1 import headers
from ..http1.fields import Pairs

_EXPECTS_BODY: Final = frozenset({"POST", "PUT", "PATCH"})


class UpstreamRequest:
    """A request's head without the credential, for any version of HTTP; it may be sent repeatedly.

    Args:
        method: as the client sent it.
        target: origin-form, byte for byte.
        fields: the client's header fields, sorted.
        path_prefix: the path of the server's URL.
        authority: the upstream's host and port, as ``Host`` or ``:authority`` names it.
        identity: ``Impersonate-*`` fields.
        compression: request gzip if the client did not choose.
        peer: the client's IP address, or empty.
        user_agent: the proxy's own, for clients that send none; or empty.
        own_credential: the proxy's credential is added; False: the client sends its own.
        chunked: its body is chunked.
        upgrade: the protocol to switch to, as the client wrote it, or empty.

    Attributes:
        method: HTTP method.
        target: with the path prefix.
        authority: the upstream's host and port.
        fields: the header fields, without ``Authorization``, the authority, :attr:`identity`, and
            fields of one HTTP version: framing and ``Connection``.
        identity: ``Impersonate-*`` fields; sent last, so that no client field replaces them.
        chunked: the body's length is unknown.
        upgrade: the protocol to switch to, as the client wrote it, or empty.
        expect: the client's ``Expect``, lower case.
        own_credential: the proxy's credential is added; False: the client sends its own.
        gzip: the proxy requests gzip, and decompresses the response.
        http1: the HTTP/1.1 head without the credential, cached when first sent.
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
        # Go's transport requests gzip itself only if it can decompress the response
        # (net/http Transport.roundTrip): no Range, no HEAD, no Accept-Encoding of the client's.
        self.gzip = compression and not fields.encodings and not upgrade and method != "HEAD"
        self.own_credential = own_credential
        self.fields = [*fields.kept, *self._own_fields(fields, peer, user_agent)]
        self.identity = identity
        self.http1: bytes | None = None

    def without_expectation(self) -> "UpstreamRequest":
        """The same request without ``Expect``, which the proxy has met itself."""
        if not self.expect:
            return self
        request = copy(self)
        request.expect, request.http1 = b"", None
        request.fields = [pair for pair in self.fields if pair[0] != b"Expect"]
        return request

    def _own_fields(
        self, fields: headers.ClientFields, peer: bytes, user_agent: bytes
    ) -> list[tuple[bytes, bytes]]:
        own = []
        if user_agent and not fields.user_agent:
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
            # RFC 9110 section 8.6; some servers respond 411 without it.
            own.append((b"Content-Length", b"0"))
        return own
