"""A client's request, and what the gate and the upstream make of its header lines.

Nearly all clients send the same lines with each request on a connection, and most ask for the
same few things: what the gate decides, and what goes upstream, is worked out once.
"""

from typing import Final

from aiohttp.http import RawRequestMessage
from aiohttp.streams import StreamReader

from ..gate import Allowed, Caller, Decision, Held, Judge, Refusal
from ..gate.request_info import RequestInfo, request_info
from ..http1 import headers
from ..http1.fields import Fields
from ..upstream.generation import Generation
from ..upstream.request import UpstreamRequest
from .record import Memo

# What one connection may cache: lines of so many bytes, and so many decisions on targets of so
# many characters.
_MAX_LINES: Final = 4096
_MAX_TARGET: Final = 512
_MAX_PLANS: Final = 16


class Plan:
    """What becomes of a method and target.

    Args:
        method: HTTP method.
        decision: the gate's.
        upstream: what goes upstream, if it is allowed.
        mount: the path below which the client finds the API, without a trailing slash.

    Attributes:
        decision: the gate's.
        allowed: what passes if it is allowed, or if somebody lets it pass; None: nothing.
        upstream: what goes upstream then.
        mount: the path below which the client finds the API, without a trailing slash.
        extra_fields: what the gate adds to the response then.
        memo: for the records of requests that follow it.
    """

    __slots__ = (
        "_info",
        "_method",
        "allowed",
        "decision",
        "extra_fields",
        "memo",
        "mount",
        "upstream",
    )

    def __init__(
        self,
        method: str,
        decision: Decision,
        upstream: UpstreamRequest | None,
        mount: bytes = b"",
    ) -> None:
        self._method = method
        self.decision = decision
        self.allowed = passing(decision)
        self.upstream = upstream
        self.mount = mount
        self.memo = Memo()
        self.extra_fields = self.allowed.response_headers if self.allowed is not None else ()
        self._info: RequestInfo | None = None

    @property
    def info(self) -> RequestInfo | None:
        """What a request that may pass asks of Kubernetes; None for all others."""
        allowed = self.allowed
        if self._info is None and allowed is not None:
            target = allowed.target
            self._info = allowed.info or request_info(self._method, target.path, target.query)
        return self._info


def passing(decision: Decision) -> Allowed | None:
    """What goes upstream, now or if somebody lets it pass; None: nothing does."""
    if isinstance(decision, Allowed):
        return decision
    return decision.allowed if isinstance(decision, Held) else None


class HeaderCache:
    """The header lines of a request, and the plans of requests that repeat them.

    Args:
        message: has the lines.
        gate: decides.
        generation: what is allowed goes there.
        peer: the client's IP address, or empty.
        user_agent: our own name, for clients that give none.

    Attributes:
        cacheable: the lines are small enough to be kept.
    """

    __slots__ = (
        "_caller",
        "_chunked",
        "_client_fields",
        "_fields",
        "_gate",
        "_generation",
        "_peer",
        "_plans",
        "_user_agent",
        "_version",
        "cacheable",
    )

    def __init__(
        self,
        message: RawRequestMessage,
        gate: Judge,
        generation: Generation,
        *,
        peer: bytes,
        user_agent: bytes,
    ) -> None:
        self._fields = Fields(message.raw_headers)
        self._version = message.version
        self._chunked = message.chunked
        self._gate = gate
        self._generation = generation
        self._peer = peer
        self._user_agent = user_agent
        self._client_fields: headers.ClientFields | None = None
        self._plans: dict[tuple[str, str], Plan] = {}
        self._caller: Caller | Refusal = gate.read(self._fields, message.version)
        size = sum(len(name) + len(value) for name, value in message.raw_headers)
        self.cacheable = size <= _MAX_LINES

    def holds_for(self, message: RawRequestMessage, gate: Judge, generation: Generation) -> bool:
        """Whether what is cached holds for another request of the same client, too."""
        return (
            (self._fields.pairs is message.raw_headers or self._fields.pairs == message.raw_headers)
            and self._version == message.version
            and self._gate is gate
            and self._generation is generation
        )

    def plan(self, method: str, target: str) -> Plan:
        """Decide what becomes of a request with these lines."""
        plan = self._plans.get((method, target))
        if plan is None:
            decision = self._gate.judge(method, target, self._caller)
            allowed = passing(decision)
            upstream = None if allowed is None else self._upstream_request(method, allowed)
            plan = Plan(method, decision, upstream, self._gate.mount)
            if len(target) <= _MAX_TARGET:
                if len(self._plans) >= _MAX_PLANS:
                    self._plans.clear()
                self._plans[method, target] = plan
        return plan

    def _upstream_request(self, method: str, allowed: Allowed) -> UpstreamRequest:
        if self._client_fields is None:
            # The gate strips the same, whatever is asked for.
            self._client_fields = headers.read_request(self._fields, allowed.strip)
            if self._version.minor == 0:
                # RFC 9110 section 10.1.1: an expectation of an HTTP/1.0 client is ignored.
                self._client_fields.expect = b""
        upstream, authority = self._generation.upstream, allowed.authority
        return UpstreamRequest(
            method,
            allowed.target.raw.encode("utf-8", "surrogateescape"),
            self._client_fields,
            path_prefix=upstream.path_prefix,
            authority=authority or upstream.host_header,
            identity=upstream.identity,
            compression=upstream.compression,
            # An application that has its own host gets nothing that its client did not send.
            peer=b"" if authority else self._peer,
            user_agent=b"" if authority else self._user_agent,
            own_credential=not allowed.client_authorization,
            chunked=self._chunked,
            upgrade=(allowed.upgrade or "").encode(),
        )


class ClientRequest:
    """One request.

    Args:
        message: its head.
        body: its body.

    Attributes:
        keep_alive: the client wants the connection to go on.
        http10: it speaks HTTP/1.0.
        held: the whole body, if it has been read already.
    """

    __slots__ = ("body", "held", "http10", "keep_alive", "message", "method")

    def __init__(self, message: RawRequestMessage, body: StreamReader) -> None:
        self.message = message
        self.body = body
        self.method = message.method
        self.keep_alive = not message.should_close
        self.http10 = message.version.minor == 0
        self.held: bytes | None = None

    @property
    def prefers_text(self) -> bool:
        """It asks for text before JSON: a browser, or a script written for kubectl proxy."""
        accept = self.message.headers.get("Accept", "")
        return "text/" in accept and "json" not in accept

    @property
    def wants_page(self) -> bool:
        """A browser opens it: API clients never ask for HTML."""
        accept = self.message.headers.get("Accept", "")
        return self.message.method in {"GET", "HEAD"} and "text/html" in accept

    @property
    def ignores_status(self) -> bool:
        """It is the discovery of client-go, with which most commands of kubectl begin. That shows
        a text and nothing of a ``Status`` (rest/request.go, Result.Raw), and of 404, 503 and 504 a
        message of its own (apimachinery api/errors, NewGenericServerResponse)."""
        return "as=APIGroupDiscoveryList" in self.message.headers.get("Accept", "")
