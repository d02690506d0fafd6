"""What is known of one exchange when it ends; access log and metrics are made of it.

Those who carry an exchange put in what they know at the moment, by reference where they can:
nothing is computed here that an observer can still find out later.
"""

from collections.abc import Callable
from typing import Any

from ..gate.request_info import RequestInfo
from ..http1.fields import Pairs


class Memo:
    """What observers keep of a request for those that repeat it: the same client, header fields,
    method and target. The relay makes it and looks at nothing in it.

    Attributes:
        view: the request as the log shows it; None before it was read.
        user_agent: the value of ``User-Agent``, empty without one; None before it was looked for.
        caller: what a line of the log has of the client, for the next two.
        credential: see :class:`Record`.
        context: see :class:`Record`.
    """

    __slots__ = ("caller", "context", "credential", "user_agent", "view")

    def __init__(self) -> None:
        self.view: Any = None
        self.user_agent: bytes | None = None
        self.caller = ""
        self.credential = ""
        self.context = ""


class Record:
    """One exchange.

    Times are those of ``time.monotonic`` (uvloop's own clock knows whole milliseconds only),
    waits are seconds; sizes are bytes of bodies (of a tunnel: all).

    Attributes:
        method: as sent; empty if the request could not be read.
        target: as sent.
        client: the peer's IP address, empty on a unix socket.
        started: when its head had been read.
        status: of the response that the client got; 0 if it got none.
        first_byte: when the upstream's head came; 0 if none came.
        ended: when the exchange was over; 0 while it is under way.
        received: bytes from the client.
        sent: bytes to the client.
        reused: the upstream connection had served before.
        retries: how often the request was sent again.
        credential: the kind of credential used.
        rule: the gate's rule that refused it or responded to it.
        cause: one word for what failed.
        server: the API server's ``host:port``, if something failed on the way to it or from it.
        protocol: the tunnel's protocol.
        headers: the client's header fields, as they came.
        version: the request's HTTP version.
        uid: the user id of the client's process, where it is known.
        response_headers: the upstream's header fields, as they came; forgotten at the end unless
            they are to be logged.
        audit_id: the API server's name for the request (``Audit-Id``).
        credential_wait: how long a credential had to be waited for.
        connect_wait: how long new upstream connections took.
        connects: how many upstream connections were opened.
        proto: ``h2`` if it went upstream over HTTP/2.
        context: the alias of the context that it was for; empty where there is only one.
        carrier: what the policy was asked for, of a request to an application: what carries it
            there. None: the request itself.
        error_body: the beginning of the upstream's 403 or 404, as it was sent on; kept only where
            the registry asks for it.
        asked: the rule that stopped it, so that somebody was asked.
        answer: what became of it then, in one word; empty while it waits.
        answered_by: ``page``, ``command`` or ``interface``, if a person decided.
        ask_wait: how long it waited for an answer.
        memo: of the plan that it follows; None if it is no ordinary request that goes upstream.
    """

    __slots__ = (
        "answer",
        "answered_by",
        "ask_wait",
        "asked",
        "audit_id",
        "carrier",
        "cause",
        "client",
        "connect_wait",
        "connects",
        "context",
        "credential",
        "credential_wait",
        "ended",
        "error_body",
        "first_byte",
        "headers",
        "memo",
        "method",
        "proto",
        "protocol",
        "received",
        "response_headers",
        "retries",
        "reused",
        "rule",
        "sent",
        "server",
        "started",
        "status",
        "target",
        "uid",
        "version",
    )

    def __init__(
        self,
        method: str,
        target: str,
        client: str,
        started: float,
        headers: Pairs = (),
        version: tuple[int, int] = (1, 1),
        uid: int | None = None,
        status: int = 0,
        sent: int = 0,
    ) -> None:
        self.method = method
        self.target = target
        self.client = client
        self.started = started
        self.headers = headers
        self.version = version
        self.uid = uid
        self.status = status
        self.sent = sent
        self.first_byte = self.ended = 0.0
        self.credential_wait = self.connect_wait = self.ask_wait = 0.0
        self.received = self.retries = self.connects = 0
        self.reused = False
        self.credential = self.rule = self.cause = self.protocol = self.proto = self.context = ""
        self.asked = self.answer = self.answered_by = ""
        self.server = self.audit_id = self.error_body = b""
        self.response_headers: Pairs = ()
        self.carrier: RequestInfo | None = None
        self.memo: Memo | None = None


Recorder = Callable[[Record], None]
