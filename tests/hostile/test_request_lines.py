"""Request lines, versions, methods and field lines: what is no HTTP/1.1 goes no further.

(RFC 9112 sections 2 to 5, RFC 9110 sections 5, 7.2 and 9)
"""

import pytest

from .attack import (
    NO_RULE,
    READ_ONLY,
    START,
    Case,
    Outcome,
    arrives,
    attack_each,
    case,
    forbidden,
    passes,
    refused,
    request,
    unreadable,
)
from .policies import PODS, Fence

FIELDS = START.encode()
FRAMING = refused(400, "framing")
HELLO = b"\x16\x03\x01\x00\x4a\x01\x00\x00\x46\x03\x03" + bytes(range(63))
H2_SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"


def line(text: bytes, fields: bytes = FIELDS) -> bytes:
    return text + b"\r\n" + fields + b"\r\n"


LINES = [
    case("empty lines before", b"\r\n\r\n" + request(), passes()),
    case("bare line feeds before", b"\n\n" + request(), passes()),
    case("two spaces before the target", line(f"GET  {PODS} HTTP/1.1".encode()), passes()),
    case("two spaces behind the target", line(f"GET {PODS}  HTTP/1.1".encode()), passes()),
    *(
        case(name, line(text.replace(b"T ", b"T " + PODS.encode(), 1)), unreadable())
        for name, text in [
            ("a space before the method", b" GET  HTTP/1.1"),
            ("a tab before the target", b"GET\t HTTP/1.1"),
            ("a tab behind the target", b"GET \tHTTP/1.1"),
            ("a space behind the version", b"GET  HTTP/1.1 "),
            ("a word behind the version", b"GET  HTTP/1.1 x"),
            ("two targets", b"GET  /x HTTP/1.1"),
            ("a bare line feed", b"GET  HTTP/1.1\nX: y"),
            ("a bare return", b"GET  HTTP/1.1\rX: y"),
            ("a NUL", b"GET \0 HTTP/1.1"),
            ("lower-case http", b"GET  http/1.1"),
            ("another protocol", b"GET  HTTQ/1.1"),
            ("HTTPS", b"GET  HTTPS/1.1"),
            ("version 1.2", b"GET  HTTP/1.2"),
            ("version 1.10", b"GET  HTTP/1.10"),
            ("version 11.1", b"GET  HTTP/11.1"),
            ("version 1", b"GET  HTTP/1"),
            ("version 1,1", b"GET  HTTP/1,1"),
            ("version 3.0", b"GET  HTTP/3.0"),
            ("version -1.1", b"GET  HTTP/-1.1"),
            ("no method", b" HTTP/1.1"),
        ]
    ),
    case("only a version", line(b"HTTP/1.1"), unreadable()),
    case("an answer", line(b"HTTP/1.1 200 OK"), unreadable()),
    case("HTTP/0.9 without fields", f"GET {PODS}\r\n\r\n".encode(), FRAMING),
    case("HTTP/0.9 with fields", line(f"GET {PODS} HTTP/0.9".encode()), FRAMING),
    case("HTTP/2.0", line(f"GET {PODS} HTTP/2.0".encode()), refused(505, "framing")),
    case("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + H2_SETTINGS, unreadable()),
    case("a PRI request", line(b"PRI * HTTP/1.1"), unreadable()),
    case("a TLS ClientHello", HELLO, unreadable()),
    case("SSH", b"SSH-2.0-x\r\n\r\n", unreadable()),
    case("SMTP", b"EHLO localhost\r\n\r\n", unreadable()),
    case("a PROXY header", b"PROXY TCP4 1.2.3.4 127.0.0.1 1 2\r\n" + request(), unreadable()),
    case("HTTP/1.0", request(version="HTTP/1.0"), passes(closed=True)),
    case("HTTP/1.0, kept alive", request(PODS, "Connection: keep-alive", version="HTTP/1.0"),
         passes()),
    case("HTTP/1.0 without a host",
         request(version="HTTP/1.0").replace(b"Host: localhost\r\n", b""),
         forbidden("accept-hosts"), open=passes(closed=True)),
]  # fmt: skip
METHODS = [
    *(case(method, request(PODS, method=method), passes(arrives(method=method)))
      for method in ["HEAD"]),
    case("OPTIONS", request(PODS, method="OPTIONS"), passes(arrives(method="OPTIONS")),
         rules=NO_RULE),
    *(case(method, request(PODS, method=method), passes(arrives(method=method)),
           read_only=READ_ONLY, rules=NO_RULE)
      for method in ["DELETE", "PURGE", "PROPFIND", "LINK", "QUERY", "REPORT", "M-SEARCH"]),
    *(case(method, request(PODS, method=method),
           passes(arrives(method=method, own=("Content-Length: 0",))),
           read_only=READ_ONLY, rules=NO_RULE)
      for method in ["POST", "PUT", "PATCH"]),
    *(case(method, request(PODS, method=method), refused(405, "method"))
      for method in ["TRACE", "CONNECT"]),
    case("CONNECT to an authority", request("localhost:8001", method="CONNECT"),
         refused(405, "method")),
    case("CONNECT with dots", request("/a/../b", method="CONNECT"), refused(405, "method")),
    case("CONNECT with a request behind", request("evil.example:443", method="CONNECT") + request(),
         refused(405, "method")),
    *(case(f"method {method!r}", request(PODS, method=method), unreadable())
      for method in ["get", "Get", "gET", "post", "trace", "connect", "GETT", "GE", "G", "FOO",
                     "GET/", "GET:", "G(ET", "G@T", "GET\0", "\0GET", "G\xc9T", "BREW", "X" * 300]),
]  # fmt: skip
VALUES = [
    case("a tab within", request(PODS, "X: a\tb"), passes(arrives(PODS, "X: a\tb"))),
    case("bytes above ASCII", request(PODS, "X: caf\xc3\xa9\xff"),
         passes(arrives(PODS, "X: caf\xc3\xa9\xff"))),
    case("white space around", request(PODS, "X: \t a \t "), passes(arrives(PODS, "X: a"))),
    case("no space", request(PODS, "X:a"), passes(arrives(PODS, "X: a"))),
    case("a colon first", request(PODS, "X::a"), passes(arrives(PODS, "X: :a"))),
    case("a line as a value", request(PODS, "X: GET /x HTTP/1.1"),
         passes(arrives(PODS, "X: GET /x HTTP/1.1"))),
    *(
        case(name, request(PODS, *fields), unreadable())
        for name, fields in [
            ("a NUL", ("X: a\0b",)),
            ("a bell", ("X: a\x07b",)),
            ("an escape", ("X: a\x1bb",)),
            ("a DEL", ("X: a\x7fb",)),
            ("a vertical tab", ("X: a\x0bb",)),
            ("a form feed", ("X: a\x0cb",)),
            ("a bare return", ("X: a\rb",)),
            ("a bare return before a field", ("X: a\rAuthorization: Bearer theirs",)),
            ("a bare line feed", ("X: a\nAuthorization: Bearer theirs",)),
            ("a return before the line's end", ("X: a\r",)),
            ("folded", ("X: a\r\n b",)),
            ("folded with a tab", ("X: a\r\n\tb",)),
            ("folded over nothing", ("X:\r\n \r\n b",)),
            ("a blank line of spaces", ("X: a", " ")),
        ]
    ),
]  # fmt: skip
NAMES = [
    case("underscores", request(PODS, "X_Forwarded_User: a"),
         passes(arrives(PODS, "X_Forwarded_User: a"))),
    case("all that is a token", request(PODS, "!#$%&'*+-.^_`|~09: a"),
         passes(arrives(PODS, "!#$%&'*+-.^_`|~09: a"))),
    *(
        case(f"a name with {name}", request(PODS, field), unreadable())
        for name, field in [
            ("a space behind", "X : a"),
            ("a tab behind", "X\t: a"),
            ("a space within", "X Y: a"),
            ("a space before", " X: a"),
            ("nothing", ": a"),
            ("no colon", "X"),
            ("a control byte", "X\x01: a"),
            ("a NUL", "X\0: a"),
            ("a byte above ASCII", "X\xe9: a"),
            ("a bracket", "X(: a"),
            ("a slash", "X/Y: a"),
            ("a quote", 'X": a'),
            ("a comma", "X,Y: a"),
            ("a semicolon", "X;Y: a"),
            ("an at sign", "X@: a"),
        ]
    ),
    case("a space before the first field",
         f"GET {PODS} HTTP/1.1\r\n Host: localhost\r\n\r\n".encode(),
         unreadable()),
    case("bare line feeds", request().replace(b"\r\n", b"\n"), unreadable()),
    case("bare returns", request().replace(b"\r\n", b"\r") + b"\r\n\r\n", unreadable()),
    case("a bare line feed ends the head", request()[:-2] + b"\n", unreadable()),
    case("expecting miracles", request(PODS, "Expect: miracles"),
         Outcome(answers=((417, ""),), closed=None)),
    case("the first websocket draft", request(PODS, "Sec-WebSocket-Key1: x"), unreadable()),
]  # fmt: skip


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("case", [*LINES, *METHODS, *VALUES, *NAMES])
async def test_only_http_1_passes(fences: list[Fence], case: Case) -> None:
    await attack_each(fences, case)
