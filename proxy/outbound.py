"""The request as the upstream gets it: one builder for plain exchanges and upgrades.

That both go through the same code is the point: kubectl proxy cleans the header fields of
plain requests only.
"""

from dataclasses import dataclass
from typing import Final

from . import headers
from .credentials import Credential
from .upstream.generation import Generation

# Go's transport asks for gzip on the client's behalf only where it can undo it
# (net/http Transport.roundTrip): no Range, no HEAD, nothing chosen by the client.
_NO_GZIP_METHODS: Final = frozenset({"HEAD"})


_EXPECTS_BODY: Final = frozenset({"POST", "PUT", "PATCH"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What of the settings shapes requests.

    Attributes:
        user_agent: our own name, for clients that give none.
        replace_authorization: our credential replaces a client's (``--client-auth=replace``).
    """

    user_agent: bytes
    replace_authorization: bool = False


class Outbound:
    """One request on its way out.

    Args:
        method: as the client sent it.
        target: origin-form, byte for byte.
        fields: the client's header fields, sorted.
        peer: the client's IP address, or empty.
        policy: what the settings say.
        compression: gzip may be asked for on behalf of a client that does not choose.
        chunked: the request's body is chunked.
        upgrade: the protocol to switch to, as the client wrote it, or empty.
    """

    __slots__ = (
        "_lines",
        "_policy",
        "_target",
        "chunked",
        "fields",
        "gzip",
        "method",
        "own_credential",
    )

    def __init__(
        self,
        method: str,
        target: bytes,
        fields: headers.ClientFields,
        *,
        peer: bytes,
        policy: Policy,
        compression: bool,
        chunked: bool = False,
        upgrade: bytes = b"",
    ) -> None:
        self.method = method
        self.chunked = chunked
        self._target = target
        self.fields = fields
        self._policy = policy
        if fields.authorization and policy.replace_authorization:
            fields.kept = [p for p in fields.kept if p[0].lower() != b"authorization"]
            fields.authorization = False
        # False: the request carries a credential that the client brought.
        self.own_credential = not fields.authorization
        self.gzip = (
            compression and not fields.encodings and not upgrade and method not in _NO_GZIP_METHODS
        )
        self._lines = self._own_lines(peer, chunked=chunked, upgrade=upgrade)

    def head(self, generation: Generation, credential: Credential) -> bytes:
        """The head's bytes for *generation*, authenticated by *credential*."""
        fixed = generation.fixed_lines
        if self.own_credential:
            fixed += generation.authorization(credential)
        return headers.request_head(
            self.method.encode(),
            generation.upstream.path_prefix + self._target,
            self.fields,
            self._lines,
            fixed,
        )

    def _own_lines(self, peer: bytes, *, chunked: bool, upgrade: bytes) -> list[bytes]:
        fields, lines = self.fields, []
        if not fields.user_agent:
            lines.append(b"User-Agent: " + self._policy.user_agent)
        if self.gzip:
            lines.append(b"Accept-Encoding: gzip")
        if peer or fields.forwarded_for:
            lines.append(b"X-Forwarded-For: " + headers.forwarded_for(fields.forwarded_for, peer))
        if fields.trailers:
            lines.append(b"TE: trailers")
        if fields.expect:
            lines.append(b"Expect: " + fields.expect)
        if chunked:
            lines.append(b"Transfer-Encoding: chunked")
        elif fields.content_length is not None:
            lines.append(b"Content-Length: " + fields.content_length)
        elif self.method in _EXPECTS_BODY and not upgrade:
            # RFC 9110 section 8.6; some front ends answer 411 without it.
            lines.append(b"Content-Length: 0")
        if upgrade:
            lines += [b"Connection: Upgrade", b"Upgrade: " + upgrade]
        return lines
