"""Where a message ends: whoever could read that in two ways gets no second reading.

Lengths, codings, chunks, trailers, and requests hidden behind and within others
(RFC 9112 sections 6 and 7).
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
    broken_body,
    case,
    forbidden,
    passes,
    refused,
    request,
    unreadable,
)
from .policies import PODS, Fence

HIDDEN = b"GET /api/v1/secrets HTTP/1.1\r\nHost: localhost\r\n\r\n"
FRAMING = refused(400, "framing")
CHUNKED = "Transfer-Encoding: chunked"
POST = f"POST {PODS} HTTP/1.1\r\n{START}".encode()


def post(*fields: str, body: bytes = b"") -> bytes:
    return request(PODS, *fields, method="POST", body=body)


def chunks(body: bytes) -> bytes:
    """A chunked body in a request of a client that may only look: all fences judge its body."""
    return request(PODS, CHUNKED, body=body)


def whole(body: bytes) -> Outcome:
    """A chunked body arrives as one."""
    return passes(arrives(own=(CHUNKED,), body=body))


def length(value: str, body: bytes = b"hello") -> bytes:
    return request(PODS, f"Content-Length:{value}", body=body)


TWICE = [
    case(f"{name}, {where}", post(*fields, body=body + HIDDEN), unreadable())
    for name, coding in [
        ("chunked", "chunked"),
        ("Chunked", "Chunked"),
        ("tab", "\tchunked"),
        ("xchunked", "xchunked"),
        ("chunkedx", "chunkedx"),
        ("identity", "identity"),
        ("gzip", "gzip"),
        ("chunked, identity", "chunked, identity"),
        ("identity, chunked", "identity, chunked"),
        ("quoted", '"chunked"'),
        ("parameter", "chunked;q=1"),
        ("trailing comma", "chunked,"),
    ]
    for where, fields, body in [
        ("CL first", ("Content-Length: 5", f"Transfer-Encoding: {coding}"), b"0\r\n\r\n"),
        ("CL last", (f"Transfer-Encoding: {coding}", "Content-Length: 5"), b"0\r\n\r\n"),
        ("CL zero", ("Content-Length: 0", f"transfer-encoding: {coding}"), b"0\r\n\r\n"),
    ]
]
CODINGS = [
    case("a tab before", request(PODS, "Transfer-Encoding:\tchunked", body=b"0\r\n\r\n"),
         whole(b"0\r\n\r\n")),
    case("any case", request(PODS, "tRANSFER-eNCODING: cHUNKED", body=b"0\r\n\r\n"),
         whole(b"0\r\n\r\n")),
    *(
        case(name, post(*fields, body=b"0\r\n\r\n" + HIDDEN), outcome)
        for name, fields, outcome in [
            ("a vertical tab", ("Transfer-Encoding: \x0bchunked",), unreadable()),
            ("a form feed", ("Transfer-Encoding: \x0cchunked",), unreadable()),
            ("a non-breaking space", ("Transfer-Encoding: \xa0chunked",), unreadable()),
            ("a NUL behind", ("Transfer-Encoding: chunked\0",), unreadable()),
            ("a tab behind", ("Transfer-Encoding: chunked\t",), unreadable()),
            ("xchunked", ("Transfer-Encoding: xchunked",), unreadable()),
            ("chunkedx", ("Transfer-Encoding: chunkedx",), unreadable()),
            ("chunked x", ("Transfer-Encoding: chunked x",), unreadable()),
            ("quoted", ('Transfer-Encoding: "chunked"',), unreadable()),
            ("a parameter", ("Transfer-Encoding: chunked;a=b",), unreadable()),
            ("chunked, identity", ("Transfer-Encoding: chunked, identity",), unreadable()),
            ("chunked, chunked", ("Transfer-Encoding: chunked, chunked",), unreadable()),
            ("identity, chunked", ("Transfer-Encoding: identity, chunked",), FRAMING),
            ("gzip, chunked", ("Transfer-Encoding: gzip, chunked",), FRAMING),
            ("a comma before", ("Transfer-Encoding: ,chunked",), FRAMING),
            ("identity", ("Transfer-Encoding: identity",), unreadable()),
            ("gzip", ("Transfer-Encoding: gzip",), unreadable()),
            ("empty", ("Transfer-Encoding:",), FRAMING),
            ("twice", (CHUNKED, CHUNKED), unreadable()),
            ("twice, the second identity", (CHUNKED, "Transfer-Encoding: identity"), unreadable()),
            ("twice, the first identity", ("Transfer-Encoding: identity", CHUNKED), unreadable()),
            ("twice, one empty", ("Transfer-Encoding:", CHUNKED), unreadable()),
            ("a space before the colon", ("Transfer-Encoding : chunked",), unreadable()),
            ("folded", ("Transfer-Encoding:\r\n chunked",), unreadable()),
            ("folded behind another", ("X: y\r\n Transfer-Encoding: chunked",), unreadable()),
        ]
    ),
    case("in HTTP/1.0", request(PODS, CHUNKED, version="HTTP/1.0", body=b"0\r\n\r\n" + HIDDEN),
         FRAMING),
    case("in HTTP/1.0 with a length",
         request(PODS, CHUNKED, "Content-Length: 5", version="HTTP/1.0",
                 body=b"0\r\n\r\n" + HIDDEN),
         unreadable()),
]  # fmt: skip
LENGTHS = [
    case("spaces around", length(" \t5 \t"),
         passes(arrives(own=("Content-Length: 5",), body=b"hello"))),
    case("zero", length(" 0", b""), passes(arrives(own=("Content-Length: 0",)))),
    case("leading zeros", length(" 005"),
         passes(arrives(own=("Content-Length: 005",), body=b"hello"))),
    *(
        case(name, length(value, b"hello" + HIDDEN), unreadable())
        for name, value in [
            ("empty", ""),
            ("blank", " "),
            ("negative", " -5"),
            ("plus", " +5"),
            ("hexadecimal", " 0x5"),
            ("hexadecimal digit", " a"),
            ("underscore", " 1_0"),
            ("decimal point", " 5.0"),
            ("exponent", " 5e0"),
            ("two numbers", " 5 5"),
            ("a list of equals", " 5, 5"),
            ("a list", " 5, 6"),
            ("a trailing comma", " 5,"),
            ("quoted", ' "5"'),
            ("superscript", " \xb2"),
            ("full width", " \xef\xbc\x95"),
            ("a NUL behind", " 5\0"),
            ("beyond 64 bits", " 18446744073709551621"),
            ("beyond all bits", " " + "9" * 400),
            ("folded", " 5\r\n 5"),
            ("twice, equal", " 5\r\nContent-Length: 5"),
            ("twice, different", " 5\r\nContent-Length: 0"),
            ("twice, other case", " 5\r\nCONTENT-LENGTH: 5"),
        ]
    ),
    case("the last of 64 bits", length(" 18446744073709551615"), FRAMING),
    case("the first that is negative in 64 bits", length(" 9223372036854775808"), FRAMING),
    case("a space before the colon", request(PODS, "Content-Length : 5", body=b"hello" + HIDDEN),
         unreadable()),
    case("an underscore makes it another field", request(PODS, "Content_Length: 500"),
         passes(arrives(PODS, "Content_Length: 500"))),
]  # fmt: skip
CHUNKS = [
    case("extensions are dropped", chunks(b'5;a=b;c="d;e"\r\nhello\r\n0;z\r\n\r\n'),
         whole(b"5\r\nhello\r\n0\r\n\r\n")),
    case("large extensions too", chunks(b"5;" + b"a" * 30_000 + b"\r\nhello\r\n0\r\n\r\n"),
         whole(b"5\r\nhello\r\n0\r\n\r\n")),
    case("leading zeros", chunks(b"0005\r\nhello\r\n000\r\n\r\n"),
         whole(b"5\r\nhello\r\n0\r\n\r\n")),
    case("a request as data", chunks(b"%x\r\n%b\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN)),
         whole(b"%x\r\n%b\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN))),
    *(
        case(name, chunks(body + HIDDEN), broken_body())
        for name, body in [
            ("a negative size", b"-1\r\na\r\n0\r\n\r\n"),
            ("a plus", b"+1\r\na\r\n0\r\n\r\n"),
            ("0x", b"0x1\r\na\r\n0\r\n\r\n"),
            ("an underscore", b"1_0\r\n0123456789abcdef\r\n0\r\n\r\n"),
            ("no size", b"\r\na\r\n0\r\n\r\n"),
            ("no digit", b"g\r\na\r\n0\r\n\r\n"),
            ("beyond 64 bits", b"10000000000000001\r\na\r\n0\r\n\r\n"),
            ("far beyond", b"f" * 40 + b"\r\na\r\n0\r\n\r\n"),
            ("a space before", b" 1\r\na\r\n0\r\n\r\n"),
            ("a tab before", b"\t1\r\na\r\n0\r\n\r\n"),
            ("a space behind", b"1 \r\na\r\n0\r\n\r\n"),
            ("a NUL behind", b"1\0\r\na\r\n0\r\n\r\n"),
            ("a bare line feed behind the size", b"1\na\r\n0\r\n\r\n"),
            ("a bare return behind the size", b"1\ra\r\n0\r\n\r\n"),
            ("a bare line feed in an extension", b"1;a\nb\r\na\r\n0\r\n\r\n"),
            ("a bare return in an extension", b"1;a\rb\r\na\r\n0\r\n\r\n"),
            ("a NUL in an extension", b"1;a\0b\r\na\r\n0\r\n\r\n"),
            ("a bare line feed behind the data", b"1\r\na\n0\r\n\r\n"),
            ("no line end behind the data", b"1\r\nab\r\n0\r\n\r\n"),
            ("more data than said", b"1\r\nhello\r\n0\r\n\r\n"),
            ("a bare line feed at the end", b"1\r\na\r\n0\r\n\n"),
            ("bare line feeds", b"1\na\n0\n\n"),
            ("a folded trailer", b"0\r\nX: y\r\n z\r\n\r\n"),
            ("a trailer without a colon", b"0\r\nGET /api/v1/secrets HTTP/1.1\r\n\r\n"),
            ("a trailer with a space before its colon", b"0\r\nX : y\r\n\r\n"),
            ("a trailer with a NUL", b"0\r\nX: \0\r\n\r\n"),
            ("a trailer with a bare line feed", b"0\r\nX: y\nZ: a\r\n\r\n"),
            ("a length in the trailers", b"0\r\nContent-Length: 50\r\n\r\n"),
        ]
    ),
    *(
        case(f"trailers do not pass: {name}", chunks(b"1\r\na\r\n0\r\n" + line + b"\r\n\r\n"),
             whole(b"1\r\na\r\n0\r\n\r\n"))
        for name, line in [
            ("plain", b"X-T: 1"),
            ("Authorization", b"Authorization: Bearer theirs"),
            ("Impersonate-User", b"Impersonate-User: root"),
            ("X-Remote-User", b"X-Remote-User: root"),
            ("Host", b"Host: evil.example"),
            ("Connection", b"Connection: close, upgrade"),
        ]
    ),
]  # fmt: skip
HIDDEN_REQUESTS = [
    case("in a body by length",
         post(f"Content-Length: {len(HIDDEN)}", body=HIDDEN),
         passes(arrives(method="POST", own=(f"Content-Length: {len(HIDDEN)}",), body=HIDDEN)),
         read_only=READ_ONLY, rules=NO_RULE),
    case("in the body of a GET",
         request(PODS, f"Content-Length: {len(HIDDEN)}", body=HIDDEN),
         passes(arrives(own=(f"Content-Length: {len(HIDDEN)}",), body=HIDDEN))),
    case("in the body of a refused request",
         request("/x#", f"Content-Length: {len(HIDDEN)}", body=HIDDEN),
         Outcome(answers=((400, "target"),), closed=None)),
    case("behind a refused POST, which has its own body",
         request("/api/v1/namespaces/dev/pods/p/exec", CHUNKED, method="POST",
                 body=b"%x\r\n%b\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN)),
         Outcome(answers=((403, "reject-paths"),), closed=None),
         open=passes(arrives("/api/v1/namespaces/dev/pods/p/exec", method="POST", own=(CHUNKED,),
                             body=b"%x\r\n%b\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN)))),
    case("behind one that passes: judged for itself",
         request() + request("/api/v1/namespaces/dev/pods/p/exec"),
         Outcome(answers=((200, ""), (403, "reject-paths")), seen=(arrives(),), closed=None),
         open=passes(arrives(), arrives("/api/v1/namespaces/dev/pods/p/exec"))),
    case("behind one that passes: judged by the rules",
         request() + request("/api/v1/secrets"),
         passes(arrives(), arrives("/api/v1/secrets")),
         read_only=Outcome(answers=((200, ""), (403, "read-only")), seen=(arrives(),), closed=None),
         rules=Outcome(answers=((200, ""), (403, "allow-rules")), seen=(arrives(),), closed=None)),
    case("behind one that is refused",
         request("/a%00b") + request(),
         Outcome(answers=((400, "target"), (200, "")), seen=(arrives(),))),
    case("behind one that closes",
         request(PODS, "Connection: close") + HIDDEN, passes(closed=True)),
    case("behind an HTTP/1.0 request",
         request(version="HTTP/1.0") + HIDDEN, passes(closed=True)),
    case("behind one with two lengths",
         request(PODS, "Content-Length: 0", f"Content-Length: {len(HIDDEN)}", body=HIDDEN),
         unreadable()),
    case("garbage behind a length",
         request(PODS, "Content-Length: 2", body=b"hello\r\n\r\n"),
         Outcome(answers=((200, ""), (400, "")), closed=True,
                 seen=(arrives(own=("Content-Length: 2",), body=b"he"),))),
    case("the length named in Connection",
         request(PODS, "Connection: content-length", "Content-Length: 5", body=b"hello"),
         forbidden("connection", 400)),
    case("the coding named in Connection",
         request(PODS, "Connection: transfer-encoding", CHUNKED, body=b"0\r\n\r\n"),
         forbidden("connection", 400)),
    case("a method in the query does not make it another",
         request(PODS, "X-HTTP-Method-Override: DELETE", "X-HTTP-Method: DELETE"),
         passes(arrives(PODS, "X-HTTP-Method-Override: DELETE", "X-HTTP-Method: DELETE"))),
]  # fmt: skip

# A proxy that remembers what it made of a connection's fields must not remember too much.
SAME_FIELDS = [
    case("again", request() * 3, passes(arrives(), arrives(), arrives())),
    case("again, stripped again", request(PODS, "X-Remote-User: root") * 2,
         passes(arrives(), arrives())),
    case("as HTTP/1.0",
         request(PODS, CHUNKED, body=b"0\r\n\r\n")
         + request(PODS, CHUNKED, version="HTTP/1.0", body=b"0\r\n\r\n"),
         Outcome(answers=((200, ""), (400, "framing")), closed=True,
                 seen=(arrives(own=(CHUNKED,), body=b"0\r\n\r\n"),))),
    case("to another host",
         request() + request(f"http://evil.example{PODS}"),
         Outcome(answers=((200, ""), (403, "accept-hosts")), seen=(arrives(),), closed=None),
         open=passes(arrives(), arrives())),
    case("of a page that is no longer ours",
         request(PODS, "Origin: http://localhost")
         + request(f"http://127.0.0.1{PODS}", "Origin: http://localhost"),
         Outcome(answers=((200, ""), (403, "origin")), closed=None,
                 seen=(arrives(PODS, "Origin: http://localhost"),))),
    case("by TRACE", request() + request(method="TRACE"),
         Outcome(answers=((200, ""), (405, "method")), seen=(arrives(),), closed=True)),
    case("by a method that cannot upgrade",
         request(PODS, "Connection: Upgrade", "Upgrade: foo")
         + request(PODS, "Connection: Upgrade", "Upgrade: websocket", method="POST"),
         Outcome(answers=((200, ""), (400, "upgrade")), seen=(arrives(),), closed=True)),
    case("with another value of the same length",
         request(PODS, "Sec-Fetch-Site: none") + request(PODS, "Sec-Fetch-Site: nope"),
         Outcome(answers=((200, ""), (403, "fetch-site")), closed=None,
                 seen=(arrives(PODS, "Sec-Fetch-Site: none"),))),
    case("with another host of the same length",
         request(host="localhost") + request(host="localhosx"),
         Outcome(answers=((200, ""), (403, "accept-hosts")), seen=(arrives(),), closed=None),
         open=passes(arrives(), arrives())),
]  # fmt: skip


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize(
    "case", [*TWICE, *CODINGS, *LENGTHS, *CHUNKS, *HIDDEN_REQUESTS, *SAME_FIELDS]
)
async def test_a_message_has_one_end(fences: list[Fence], case: Case) -> None:
    await attack_each(fences, case)
