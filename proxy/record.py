"""What is known of one exchange when it ends; access log and metrics are made of it."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class Record:
    """One exchange.

    Times are seconds of the event loop's clock; sizes are bytes of bodies (of a tunnel: all).

    Attributes:
        method: as sent.
        target: as sent.
        client: the peer's IP address, empty on a unix socket.
        started: when its head had been read.
        status: what the client was told; 0 if it was told nothing.
        first_byte: when the upstream's head came; 0 if none came.
        ended: when the exchange was over.
        received: bytes from the client.
        sent: bytes to the client.
        reused: the upstream connection had served before.
        retries: how often the request was sent again.
        credential: the kind of credential used.
        rule: the gate's rule that refused it.
        cause: one word for what failed.
        protocol: the tunnel's protocol.
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
    protocol: str = ""


Recorder = Callable[[Record], None]
