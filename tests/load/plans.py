"""What happens to one request of a soak: all of it follows from a seed and a number."""

import enum
import gzip
import random
from dataclasses import dataclass


class Fault(enum.Enum):
    """What goes wrong with a request, on whose side."""

    NONE = "none"
    # The upstream's.
    RESET = "reset"  # before a byte of an answer
    GARBAGE = "garbage"  # an answer that is none
    CUT = "cut"  # within the answer
    STALL = "stall"  # no answer, ever
    # The client's.
    LEAVE_REQUEST = "leave-request"  # within its request
    LEAVE_ANSWER = "leave-answer"  # within the answer
    HALF_CLOSE = "half-close"  # behind its request
    SLOW = "slow"  # it takes its time to read

    @property
    def of_upstream(self) -> bool:
        """No whole answer can come of it."""
        return self in {Fault.RESET, Fault.GARBAGE, Fault.CUT, Fault.STALL}


class Framing(enum.Enum):
    """How the end of an answer is told."""

    LENGTH = "length"
    CHUNKED = "chunked"
    CLOSE = "close"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One request, its answer, and what happens to them.

    Attributes:
        number: tells requests apart on the wire.
        tunnel: it is an upgrade: *content* goes up and comes back.
        content: the request's body.
        answer: the body of its answer, as the client is to get it.
        cut_at: where in the bytes of the answer its upstream, or of whatever its client, leaves.
        clean: who leaves does so by an ordinary close.
        close: the upstream closes the connection behind the answer, unannounced.
        pauses: how often a sender takes a breath.
    """

    number: int
    tunnel: bool
    method: str
    content: bytes
    content_chunked: bool
    answer: bytes
    zipped: bool
    framing: Framing
    fault: Fault
    cut_at: float
    clean: bool
    close: bool
    pauses: int

    @property
    def request(self) -> bytes:
        """The request's bytes."""
        lines = [
            f"{'GET' if self.tunnel else self.method} /soak/{self.number} HTTP/1.1",
            "Host: localhost",
            f"X-Soak: {self.number}",
        ]
        if self.tunnel:
            lines += ["Connection: Upgrade", "Upgrade: websocket"]
        elif self.content_chunked:
            lines.append("Transfer-Encoding: chunked")
        elif self.content:
            lines.append(f"Content-Length: {len(self.content)}")
        head = "\r\n".join(lines).encode() + b"\r\n\r\n"
        return head + (chunked(self.content) if self.content_chunked else self.content)

    @property
    def response(self) -> bytes:
        """The bytes of the upstream's answer."""
        lines = ["HTTP/1.1 200 OK", f"X-Soak: {self.number}"]
        wire = gzip.compress(self.answer, 1) if self.zipped else self.answer
        if self.zipped:
            lines.append("Content-Encoding: gzip")
        if self.framing is Framing.LENGTH:
            lines.append(f"Content-Length: {len(wire)}")
        elif self.framing is Framing.CHUNKED:
            lines.append("Transfer-Encoding: chunked")
            wire = chunked(wire)
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + wire

    def within(self, data: bytes) -> bytes:
        """A beginning of *data* that is not all of it."""
        return data[: int(self.cut_at * (len(data) - 1))]


def chunked(data: bytes) -> bytes:
    """*data* in chunks of no regular size."""
    sizes, at = (1, 700, 16384, 3), 0
    parts: list[bytes] = []
    while at < len(data):
        piece = data[at : at + sizes[len(parts) % len(sizes)]]
        parts.append(b"%x\r\n%b\r\n" % (len(piece), piece))
        at += len(piece)
    return b"".join([*parts, b"0\r\n\r\n"])


def plan(seed: int, number: int) -> Plan:
    """The plan of request *number*."""
    rng = random.Random(f"{seed} {number}")
    tunnel = rng.random() < 0.1
    method = rng.choice(["GET", "GET", "GET", "POST", "PUT", "PATCH", "DELETE"])
    fault = Fault.NONE if rng.random() < 0.5 else rng.choice(list(Fault))
    has_content = tunnel or method not in {"GET", "DELETE"}
    clean = rng.random() < 0.5
    framing = rng.choice([Framing.LENGTH, Framing.CHUNKED, Framing.CLOSE])
    if fault is Fault.CUT and framing is Framing.CLOSE:
        clean = False  # nothing else tells it from an end
    if tunnel and fault is Fault.STALL:
        clean = False  # a close would wait behind bytes that nobody reads
    return Plan(
        number=number,
        tunnel=tunnel,
        method=method,
        content=rng.randbytes(_size(rng)) if has_content else b"",
        content_chunked=not tunnel and has_content and rng.random() < 0.5,
        answer=rng.randbytes(_size(rng)),
        zipped=rng.random() < 0.2,
        framing=framing,
        fault=fault,
        cut_at=rng.random(),
        clean=clean,
        close=framing is Framing.CLOSE or rng.random() < 0.1,
        pauses=rng.choice([0, 0, 0, 1, 5]),
    )


def _size(rng: random.Random) -> int:
    return rng.choice([0, 1, rng.randrange(2000), rng.randrange(2000), rng.randrange(300_000)])
