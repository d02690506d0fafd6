"""Other protocols: a tunnel for what was asked for and let in, and for nothing else.

(RFC 9110 section 7.8, RFC 6455 section 4.1, RFC 9113 section 3.2)
"""

import pytest

from .attack import (
    NO_RULE,
    READ_ONLY,
    Case,
    Outcome,
    arrives,
    attack_each,
    case,
    forbidden,
    passes,
    refused,
    request,
    tunnels,
    unreadable,
)
from .policies import NAMESPACE, PODS, Fence

WATCH = f"{PODS}?watch=1"
PORTS = f"{PODS}/p/portforward"
EXEC = f"{PODS}/p/exec?command=id"
WEBSOCKET = "Connection: Upgrade", "Upgrade: websocket"
SPDY = "Connection: Upgrade", "Upgrade: SPDY/3.1"
HIDDEN = b"GET /api/v1/secrets HTTP/1.1\r\nHost: localhost\r\n\r\n"
AMBIGUOUS = refused(400, "upgrade")

TUNNELS = [
    case(f"a tunnel: {', '.join(fields)}", request(WATCH, *fields),
         tunnels(arrives(WATCH, *kept, own=WEBSOCKET)))
    for fields, kept in [
        (WEBSOCKET, ()),
        (("Connection: upgrade", "Upgrade: websocket"), ()),
        (("connection: UPGRADE", "upgrade: WebSocket"), ()),
        (("Connection: keep-alive, Upgrade", "Upgrade: websocket"), ()),
        (("Connection: close, upgrade", "Upgrade: websocket"), ()),
        (("Connection: upgrade, close", "Upgrade: websocket"), ()),
        (("Connection: ,,upgrade,,", "Upgrade: websocket"), ()),
        (("Connection: keep-alive", "Connection: upgrade", "Upgrade: websocket"), ()),
        (("Connection: upgrade, upgrade", "Upgrade: websocket"), ()),
        (("Connection: http2-settings, upgrade", "Upgrade: websocket"), ()),
        (("Connection: x-a, upgrade", "Upgrade: websocket", "X-A: 1", "X-B: 2"), ("X-B: 2",)),
        ((*WEBSOCKET, "Upgrade: websocket"), ()),
        ((*WEBSOCKET, "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: x"),
         ("Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: x")),
    ]
] + [
    case("a length of zero",
         request(WATCH, "Connection: upgrade", "Upgrade: websocket", "Content-Length: 0"),
         tunnels(arrives(WATCH, own=("Content-Length: 0", *WEBSOCKET)))),
    case("a request behind it goes through the tunnel", request(WATCH, *WEBSOCKET, body=HIDDEN),
         tunnels(arrives(WATCH, own=WEBSOCKET), early=HIDDEN)),
    case("behind a plain request", request() + request(WATCH, *WEBSOCKET),
         Outcome(answers=((200, ""), (101, "")), seen=(arrives(), arrives(WATCH, own=WEBSOCKET)),
                 tunnelled=b"")),
    case("SPDY", request(PORTS, *SPDY, method="POST"),
         tunnels(arrives(PORTS, method="POST", own=SPDY)), read_only=READ_ONLY, rules=NO_RULE),
    case("SPDY by GET", request(PORTS, *SPDY),
         tunnels(arrives(PORTS, own=SPDY)), read_only=READ_ONLY, rules=NO_RULE),
    case("a socket of a list", request(PODS, *WEBSOCKET), tunnels(arrives(own=WEBSOCKET)),
         read_only=READ_ONLY),
    case("a socket of a log", request(f"{PODS}/p/log", *WEBSOCKET),
         tunnels(arrives(f"{PODS}/p/log", own=WEBSOCKET)), read_only=READ_ONLY),
    case("a socket of an old watch", request("/api/v1/watch/namespaces/dev/pods", *WEBSOCKET),
         tunnels(arrives("/api/v1/watch/namespaces/dev/pods", own=WEBSOCKET))),
    case("a socket below an old watch",
         request("/api/v1/watch/namespaces/dev/pods/p/console", *WEBSOCKET),
         tunnels(arrives("/api/v1/watch/namespaces/dev/pods/p/console", own=WEBSOCKET)),
         read_only=READ_ONLY, rules=NO_RULE),
    case("a socket of an application", request(f"{NAMESPACE}/services/s/proxy/ws", *WEBSOCKET),
         tunnels(arrives(f"{NAMESPACE}/services/s/proxy/ws", own=WEBSOCKET)),
         read_only=READ_ONLY, rules=NO_RULE),
    case("a socket of secrets", request("/api/v1/secrets?watch=1", *WEBSOCKET),
         tunnels(arrives("/api/v1/secrets?watch=1", own=WEBSOCKET)),
         read_only=READ_ONLY, rules=NO_RULE),
]  # fmt: skip
EXECS = [
    case(f"exec by {method} and {protocol[1]}", request(EXEC, *protocol, method=method),
         forbidden("reject-paths"),
         open=tunnels(arrives(EXEC, method=method, own=protocol)))
    for method, protocol in [("GET", WEBSOCKET), ("POST", SPDY), ("GET", SPDY)]
]  # fmt: skip
PLAIN = [
    case(f"no tunnel: {', '.join(fields)}", request(PODS, *fields), passes(arrives(PODS, *kept)))
    for fields, kept in [
        (("Upgrade: websocket",), ()),
        (("Connection: Upgrade",), ()),
        (("Connection: Upgrade", "Upgrade:"), ()),
        (("Connection: keep-alive", "Upgrade: websocket"), ()),
        (("Connection: x-upgrade", "Upgrade: websocket"), ()),
        (("Connection: upgrade;q=1", "Upgrade: websocket"), ()),
        (("Connection: Upgrade", "Upgrade: h2c"), ()),
        (("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"), ()),
        (("Connection: Upgrade", "Upgrade: TLS/1.0"), ()),
        (("Connection: Upgrade", "Upgrade: HTTP/2.0"), ()),
        (("Connection: Upgrade", "Upgrade: SPDY/3"), ()),
        (("Connection: Upgrade", "Upgrade: SPDY/3.10"), ()),
        (("Connection: Upgrade", "Upgrade: foo"), ()),
        (("Connection: Upgrade", "Upgrade: websocket2"), ()),
        (("Connection: Upgrade", "Upgrade: websocket/13"), ()),
        (("Connection: Upgrade", "Upgrade: websocket;x"), ()),
        (("Connection: Upgrade", "Upgrade: web socket"), ()),
        (("Connection: Upgrade", "Upgrade: h2c, websocket"), ()),
        (("Connection: Upgrade", "Upgrade: websocket, h2c"), ()),
        (("Connection: Upgrade", "Upgrade: websocket, SPDY/3.1"), ()),
        ((*WEBSOCKET, "Upgrade: h2c"), ()),
    ]
] + [
    case("h2c, and a request behind it",
         request(PODS, "Connection: Upgrade", "Upgrade: h2c") + request(),
         passes(arrives(), arrives())),
    case("h2c, and exec behind it",
         request(PODS, "Connection: Upgrade", "Upgrade: h2c") + request(EXEC),
         Outcome(answers=((200, ""), (403, "reject-paths")), seen=(arrives(),), closed=None),
         open=passes(arrives(), arrives(EXEC))),
    case("h2c, and the preface behind it",
         request(PODS, "Connection: Upgrade", "Upgrade: h2c") + b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
         Outcome(answers=((200, ""), (400, "")), seen=(arrives(),), closed=True)),
    case("of HTTP/1.0", request(PODS, "Connection: Upgrade, keep-alive", "Upgrade: websocket",
                                version="HTTP/1.0"), passes()),
]  # fmt: skip
BODIES = [
    *(
        case(f"{name}, {protocol[1]}", request(PODS, *protocol, *fields, method=method, body=body),
             AMBIGUOUS)
        for protocol, method in [(WEBSOCKET, "GET"), (SPDY, "GET"), (SPDY, "POST")]
        for name, fields, body in [
            ("a body by length", (f"Content-Length: {len(HIDDEN)}",), HIDDEN),
            ("a body by chunks", ("Transfer-Encoding: chunked",), b"0\r\n\r\n" + HIDDEN),
            ("a body that does not come", ("Content-Length: 5",), b""),
            ("a body that is hidden",
             ("Connection: content-length", f"Content-Length: {len(HIDDEN)}"), HIDDEN),
        ]
        if (protocol, method) != (SPDY, "GET") or name.startswith("a body by")
    ),
    *(
        case(f"by {method}, {protocol[1]}", request(PODS, *protocol, method=method), AMBIGUOUS)
        for protocol, method in [(WEBSOCKET, "POST"), (WEBSOCKET, "HEAD"), (WEBSOCKET, "PUT"),
                                 (WEBSOCKET, "OPTIONS"), (WEBSOCKET, "DELETE"), (SPDY, "PUT"),
                                 (SPDY, "PATCH"), (SPDY, "HEAD")]
    ),
    case("two lengths", request(PODS, *WEBSOCKET, "Content-Length: 0", "Content-Length: 5",
                                body=b"hello"), unreadable()),
    case("length and chunks", request(PODS, *WEBSOCKET, "Content-Length: 0",
                                      "Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
         unreadable()),
    case("refused, and a request behind it",
         request("/x#", *WEBSOCKET) + request(EXEC),
         Outcome(answers=((400, "target"),), closed=True)),
]  # fmt: skip


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("case", [*TUNNELS, *EXECS, *PLAIN, *BODIES])
async def test_only_agreed_protocols_are_tunnelled(fences: list[Fence], case: Case) -> None:
    await attack_each(fences, case)
