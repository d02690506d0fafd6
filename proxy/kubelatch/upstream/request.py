"""The request as the upstream gets it: one builder for plain requests and upgrades.

That both go through the same code is the point: kubectl proxy cleans the header fields of
plain requests only.
"""

from typing import Final

from ..http1 import headers, writer

_EXPECTS_BODY: Final = frozenset({"POST", "PUT", "PATCH"})


class UpstreamRequest:
    """A request's head, all but the credential; it may be sent many times.

    Args:
        method: as the client sent it.
        target: origin-form, byte for byte.
        fields: the client's header fields, sorted.
        path_prefix: the server's path, put before the target.
        fixed_fields: fields that every request to this upstream has, ``Host`` among them.
        compression: gzip may be asked for on the client's behalf.
        peer: the client's IP address, or empty.
        user_agent: our own name, for clients that give none.
        own_credential: one of ours is added; False: the client has brought one itself.
        chunked: its body is chunked.
        upgrade: the protocol to switch to, as the client wrote it, or empty.

    Attributes:
        method: HTTP method.
        target: what is asked for, with the server's path before it.
        fields: the header fields that go upstream, but for ``Authorization``.
        chunked: the body's length is not known beforehand.
        upgrade: the protocol to switch to, lower case, or empty.
        expect: what the client expects, lower case.
        own_credential: it carries a credential of ours; False: the client brought one.
        gzip: compression is asked for on the client's behalf.
    """

    __slots__ = (
        "_http1",
        "chunked",
        "expect",
        "fields",
        "gzip",
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
        fixed_fields: headers.Pairs,
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
        self.upgrade = upgrade.lower()
        self.expect = fields.expect
        # Go's transport asks for gzip on the client's behalf only where it can undo it
        # (net/http Transport.roundTrip): no Range, no HEAD, nothing chosen by the client.
        self.gzip = compression and not fields.encodings and not upgrade and method != "HEAD"
        self.own_credential = own_credential
        self.fields = [
            *fields.kept,
            *self._own_fields(fields, peer, user_agent, upgrade),
            # Last, for nothing of the client's to replace it.
            *fixed_fields,
        ]
        self._http1: bytes | None = None

    def http1_head(self, authorization: bytes) -> bytes:
        """The head for HTTP/1.1; *authorization* is the value of that field, or empty."""
        start = self._http1
        if start is None:
            start = self._http1 = writer.request_start(self.method, self.target, self.fields)
        if authorization:
            return b"%bAuthorization: %b\r\n\r\n" % (start, authorization)
        return start + b"\r\n"

    def _own_fields(
        self, fields: headers.ClientFields, peer: bytes, user_agent: bytes, upgrade: bytes
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
            own.append((b"Transfer-Encoding", b"chunked"))
        elif fields.content_length is not None:
            own.append((b"Content-Length", fields.content_length))
        elif self.method in _EXPECTS_BODY and not upgrade:
            # RFC 9110 section 8.6; some front ends answer 411 without it.
            own.append((b"Content-Length", b"0"))
        if upgrade:
            own += [(b"Connection", b"Upgrade"), (b"Upgrade", upgrade)]
        return own
