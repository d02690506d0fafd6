"""A request as it came from a client, and what its header lines mean.

Nearly all clients send the same lines with each request on a connection, and most ask for the
same few things: what the gate makes of them, and what goes upstream, is found out once.
"""

from typing import Final, NamedTuple

from aiohttp import StreamReader
from aiohttp.http import RawRequestMessage

from ..gate import Allowed, Caller, Decision, Gate, Refusal
from ..http1 import headers
from ..upstream.generation import Generation
from ..upstream.request import Outbound, Policy

# What one connection may keep: lines of so many bytes, and so many decisions on targets of so
# many characters.
_MOST_LINES: Final = 4096
_MOST_TARGET: Final = 512
_MOST_PLANS: Final = 16


class Plan(NamedTuple):
    """What becomes of a method and target.

    Attributes:
        decision: the gate's.
        outbound: what goes upstream, if it is let through.
    """

    decision: Decision
    outbound: Outbound | None


class Lines:
    """The header lines of a request, and of those that repeat them.

    Args:
        message: has them.
        gate: decides.
        generation: what is allowed goes there.
        peer: the client's IP address, or empty.
        policy: how requests are shaped.

    Attributes:
        memorable: they are small enough to be kept.
    """

    __slots__ = (
        "_caller",
        "_chunked",
        "_fields",
        "_gate",
        "_generation",
        "_headers",
        "_peer",
        "_plans",
        "_policy",
        "_version",
        "memorable",
    )

    def __init__(
        self,
        message: RawRequestMessage,
        gate: Gate,
        generation: Generation,
        *,
        peer: bytes,
        policy: Policy,
    ) -> None:
        self._headers = message.raw_headers
        self._version = message.version
        self._chunked = message.chunked
        self._gate = gate
        self._generation = generation
        self._peer = peer
        self._policy = policy
        self._fields: headers.ClientFields | None = None
        self._plans: dict[tuple[str, str], Plan] = {}
        self._caller: Caller | Refusal = gate.read(message.raw_headers, message.version)
        size = sum(len(name) + len(value) for name, value in message.raw_headers)
        self.memorable = size <= _MOST_LINES

    def repeated_by(self, message: RawRequestMessage, gate: Gate, generation: Generation) -> bool:
        """Whether what is known holds for another request of the same client, too."""
        return (
            self._headers == message.raw_headers
            and self._version == message.version
            and self._gate is gate
            and self._generation is generation
        )

    def plan(self, method: str, target: str) -> Plan:
        """Decide what becomes of a request with these lines."""
        plan = self._plans.get((method, target))
        if plan is None:
            decision = self._gate.judge(method, target, self._caller)
            outbound = None
            if isinstance(decision, Allowed):
                outbound = self._outbound(method, decision)
            plan = Plan(decision, outbound)
            if len(target) <= _MOST_TARGET:
                if len(self._plans) >= _MOST_PLANS:
                    self._plans.clear()
                self._plans[method, target] = plan
        return plan

    def _outbound(self, method: str, allowed: Allowed) -> Outbound:
        if self._fields is None:
            # The gate strips the same, whatever is asked for.
            self._fields = headers.read_request(self._headers, allowed.strip)
            if self._version.minor == 0:
                # RFC 9110 section 10.1.1: an expectation of an HTTP/1.0 client is ignored.
                self._fields.expect = b""
        return Outbound(
            method,
            allowed.target.raw.encode("utf-8", "surrogateescape"),
            self._fields,
            self._generation,
            peer=self._peer,
            policy=self._policy,
            own_credential=not allowed.client_authorization,
            chunked=self._chunked,
            upgrade=(allowed.upgrade or "").encode(),
        )


class Incoming:
    """One request.

    Args:
        message: its head.
        content: its body.

    Attributes:
        keep_alive: its client wants the connection to go on.
        http10: it speaks HTTP/1.0.
    """

    __slots__ = ("content", "http10", "keep_alive", "message", "method")

    def __init__(self, message: RawRequestMessage, content: StreamReader) -> None:
        self.message = message
        self.content = content
        self.method = message.method
        self.keep_alive = not message.should_close
        self.http10 = message.version.minor == 0

    @property
    def prefers_text(self) -> bool:
        """It asks for text before JSON: a browser, or a script written for kubectl proxy."""
        accept = self.message.headers.get("Accept", "")
        return "text/" in accept and "json" not in accept

    @property
    def reads_no_status(self) -> bool:
        """It is the discovery of client-go, with which most commands of kubectl begin. That shows
        a text and nothing of a ``Status`` (rest/request.go, Result.Raw), and of 503 and 504 words
        of its own (apimachinery api/errors, NewGenericServerResponse)."""
        return "as=APIGroupDiscoveryList" in self.message.headers.get("Accept", "")
