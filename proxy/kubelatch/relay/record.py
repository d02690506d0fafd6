"""What is known of one exchange when it ends; access log and metrics are made of it.

Those who carry an exchange put in what they know at the moment, by reference where they can:
nothing is computed here that an observer can still find out later.
"""

from collections.abc import Callable
from dataclasses import dataclass

from ..gate.request_info import RequestInfo
from ..http1.fields import Pairs


@dataclass(slots=True, eq=False)
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
    """

    method: str
    target: str
    client: str
    started: float
    status: int = 0
    first_byte: float = 0.0
    ended: float = 0.0
    received: int = 0
    sent: int = 0
    reused: bool = False
    retries: int = 0
    credential: str = ""
    rule: str = ""
    cause: str = ""
    server: bytes = b""
    protocol: str = ""
    headers: Pairs = ()
    version: tuple[int, int] = (1, 1)
    uid: int | None = None
    response_headers: Pairs = ()
    audit_id: bytes = b""
    credential_wait: float = 0.0
    connect_wait: float = 0.0
    connects: int = 0
    proto: str = ""
    context: str = ""
    carrier: RequestInfo | None = None
    error_body: bytes = b""
    asked: str = ""
    answer: str = ""
    answered_by: str = ""
    ask_wait: float = 0.0


Recorder = Callable[[Record], None]
