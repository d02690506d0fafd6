"""Whether a tunnel's protocol has ended, from the last bytes alone.

A server that has sent all closes its connection. If the client was still sending, its kernel
makes a TCP reset of that, and TLS may have no time for its own end; but what the protocol itself
sent last shows that nothing is missing. Pure: it knows nothing of connections.
"""

from typing import Final

LAST_BYTES: Final = 127
"""How many of the last bytes are needed: the longest close frame of WebSocket."""

# RFC 6455 section 5.5.1: FIN and opcode 8, unmasked; status 1000 is a normal end.
_CLOSE: Final = 0x88
_NORMAL: Final = (1000).to_bytes(2)
# SPDY/3.1 section 2.6.6: GOAWAY, eight bytes long: the last stream, then status 0 for OK.
_GOAWAY: Final = b"\x80\x03\x00\x07\x00\x00\x00\x08"
_OK: Final = bytes(4)


def is_over(protocol: bytes, last: bytes) -> bool:
    """Whether a server has ended its stream in the manner of the protocol.

    Args:
        protocol: ``websocket`` or ``spdy/3.1``.
        last: the last :data:`LAST_BYTES` that it sent, or all of them.
    """
    if protocol == b"websocket":
        return any(
            last[at] == _CLOSE and last[at + 1] == len(last) - at - 2
            for at in range(len(last) - 3)
            if last[at + 2 : at + 4] == _NORMAL
        )
    at = last.rfind(_GOAWAY)
    return at >= 0 and last[at + 12 : at + 16] == _OK
