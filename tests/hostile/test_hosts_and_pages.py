"""Who asks: names that are not the proxy's (DNS rebinding), and pages of other origins.

(RFC 9110 section 7.2, Fetch standard, Fetch Metadata)
"""

import pytest

from .attack import (
    Case,
    arrives,
    attack_each,
    case,
    forbidden,
    moved,
    passes,
    request,
    tunnels,
    unreadable,
)
from .policies import PODS, Fence

ORIGIN = forbidden("origin")
SITE = forbidden("fetch-site")
WORKER = forbidden("service-worker")
WEBSOCKET = "Connection: Upgrade", "Upgrade: websocket"
WATCH = f"{PODS}?watch=1"

HOSTS = [
    *(
        case(f"our name: {host}", request(host=host), passes())
        for host in ["localhost", "LOCALHOST", "localhost.", "localhost:8001", "localhost:",
                     "localhost:80", "127.0.0.1", "127.0.0.1:1", "127.0.0.1.", "[::1]",
                     "[::1]:8001", "localhost:99999"]
    ),
    *(
        case(f"not our name: {host}", request(host=host), forbidden("accept-hosts"), open=passes())
        for host in ["evil.example", "localhost.evil.example", "localhost.evil.example:8001",
                     "evil.localhost", "127.0.0.1.nip.io", "127.0.0.1.evil.example:8001",
                     "1127.0.0.1", "127.0.0.11", "127x0x0x1", "127.0.0.2", "0.0.0.0", "0", "127.1",
                     "0x7f.1", "0x7f000001", "2130706433", "0177.0.0.1", "127.0.0.1..",
                     "localhost..", ".localhost", "localhost_", "*",
                     "xn--localhost", "[::]", "[::1%25lo]", "[::ffff:127.0.0.1]",
                     "[0:0:0:0:0:0:0:1]", "[::1.]", "", ":8001", "127.0.0.1-evil.example",
                     "localhost~", "localhost;x", "localhost=x", "localhost&x", "localhost(x)"]
    ),
    *(
        case(f"no name: {host!r}", request(host=host), forbidden("host", 400), open=passes())
        for host in ["localhost:80@evil.example", "user@localhost", "localhost/", "localhost/../x",
                     "localhost, evil.example", "evil.example, localhost", "localhost evil.example",
                     "localhost\tevil.example", "http://localhost", "localhost:80:80",
                     "localhost:x", "localhost:-1", "localhost: 80", "[::1", "::1", "::1]",
                     "[::1]x", "[::1]:x", "[localhost]x", "localhost?", "localhost#", "localhost\\",
                     "localho\xc5\xbft", "\xef\xbd\x8cocalhost", "localhost\xa0", '"localhost"',
                     "<localhost>", "localhost|", "localhost%00", "local%68ost", "[]", "[]:80"]
    ),
    case("no Host", f"GET {PODS} HTTP/1.1\r\n\r\n".encode(), unreadable()),
    *(
        case(name, request(PODS, *fields), unreadable())
        for name, fields in [
            ("two equal hosts", ("Host: localhost",)),
            ("two hosts", ("Host: evil.example",)),
            ("two hosts, other case", ("hOST: localhost",)),
            ("two hosts, the second empty", ("Host:",)),
        ]
    ),
    *(
        case(f"not believed: {field}", request(PODS, field, host="evil.example"),
             forbidden("accept-hosts"), open=passes(arrives(PODS, field)))
        for field in ["X-Forwarded-Host: localhost", "Forwarded: host=localhost",
                      "X-Host: localhost", "X-Original-Host: localhost"]
    ),
    case("rebinding with its own origin",
         request(PODS, "Origin: http://evil.example", host="evil.example"),
         forbidden("accept-hosts"),
         open=passes(arrives(PODS, "Origin: http://evil.example"))),
    case("a redirect is not for strangers", request("//x", host="evil.example"),
         forbidden("accept-hosts"), open=moved("/x")),
    case("nor is exec's refusal", request(f"{PODS}/p/exec", host="evil.example"),
         forbidden("accept-hosts"), open=passes(arrives(f"{PODS}/p/exec"))),
]  # fmt: skip
ORIGINS = [
    *(
        case(f"our page: {origin} at {host}", request(PODS, f"Origin: {origin}", host=host),
             passes(arrives(PODS, f"Origin: {origin}")))
        for origin, host in [
            ("http://localhost:8001", "localhost:8001"),
            ("http://LOCALHOST:8001", "localhost:8001"),
            ("http://127.0.0.1:8001", "127.0.0.1:8001"),
            ("http://[::1]:8001", "[::1]:8001"),
            ("http://localhost", "localhost"),
            ("http://localhost", "localhost:80"),
        ]
    ),
    *(
        case(f"a page: {origin!r}", request(PODS, f"Origin: {origin}", host="localhost:8001"),
             ORIGIN)
        for origin in [
            "null", "NULL", "", "http://evil.example", "https://evil.example",
            "http://localhost", "http://localhost:3000", "http://localhost:80010",
            "http://localhost:08001", "https://localhost:8001", "http://127.0.0.1:8001",
            "http://localhost:8001.evil.example", "http://localhost:8001@evil.example",
            "http://evil.example#http://localhost:8001", "http://localhost:8001/",
            "http://localhost:8001 http://evil.example", "http://evil.example, http://localhost:8001",
            "//localhost:8001", "localhost:8001", "file://", "chrome-extension://abcdef",
            "moz-extension://x", "app://localhost:8001", "data:", "http://localhost.:8001",
            "http://[::1]:8001", "http://xn--lcalhost-60a:8001", "http://localhost:8001\xa0", "*",
        ]
    ),
    *(
        case(f"a page: {origin} at {host}", request(PODS, f"Origin: {origin}", host=host), ORIGIN)
        for origin, host in [
            ("http://localhost:80", "localhost:8001"),
            ("http://localhost", "localhost:443"),
            ("http://localhost", "localhost:8080"),
            ("http://localhost:443", "localhost:80"),
        ]
    ),
    case("two origins", request(PODS, "Origin: http://localhost", "Origin: http://localhost"),
         ORIGIN),
    case("two origins, ours first", request(PODS, "Origin: http://localhost", "Origin: null"),
         ORIGIN),
    case("an origin in lower case", request(PODS, "origin: null"), ORIGIN),
    case("a preflight", request(PODS, "Origin: http://evil.example",
                                "Access-Control-Request-Method: GET", method="OPTIONS"), ORIGIN),
    case("a preflight for the private network",
         request(PODS, "Origin: http://evil.example", "Access-Control-Request-Method: GET",
                 "Access-Control-Request-Private-Network: true", method="OPTIONS"), ORIGIN),
    case("an origin and the asterisk", request("*", "Origin: null", method="OPTIONS"), ORIGIN),
    case("an origin and a redirect", request("//x", "Origin: null"), ORIGIN),
    case("a form", request(PODS, "Origin: http://evil.example", "Content-Length: 3",
                           "Content-Type: text/plain", method="POST", body=b"a=b"), ORIGIN),
    case("an origin named in Connection",
         request(PODS, "Connection: origin", "Origin: http://evil.example"), ORIGIN),
    case("absolute-form does not change who asks",
         request(f"http://127.0.0.1{PODS}", "Origin: http://localhost"), ORIGIN),
    case("a Referer says nothing", request(PODS, "Referer: http://localhost/"),
         passes(arrives(PODS, "Referer: http://localhost/"))),
]  # fmt: skip
SITES = [
    *(
        case(f"let in: {', '.join(fields)}", request(PODS, *fields), passes(arrives(PODS, *fields)))
        for fields in [
            ("Sec-Fetch-Site: same-origin",),
            ("Sec-Fetch-Site: none",),
            ("Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate"),
            ("Sec-Fetch-Mode: navigate",),
            ("Origin: http://localhost", "Sec-Fetch-Site: same-origin"),
            ("Origin: null", "Sec-Fetch-Site: same-origin"),
            ("Origin: http://localhost:5173", "Sec-Fetch-Site: same-origin"),
            ("Origin: https://localhost", "X-Forwarded-Proto: https"),
        ]
    ),
    *(
        case(f"kept out: {', '.join(fields)}", request(PODS, *fields), outcome)
        for fields, outcome in [
            (("Sec-Fetch-Site: cross-site",), SITE),
            (("Sec-Fetch-Site: same-site",), SITE),
            (("sec-fetch-site: cross-site",), SITE),
            (("Sec-Fetch-Site: Cross-Site",), SITE),
            (("Sec-Fetch-Site:",), SITE),
            (("Sec-Fetch-Site: null",), SITE),
            (("Sec-Fetch-Site: none, cross-site",), SITE),
            (("Sec-Fetch-Site: none", "Sec-Fetch-Site: cross-site"), SITE),
            (("Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: none"), SITE),
            (("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate",
              "Sec-Fetch-Dest: document", "Sec-Fetch-User: ?1"), SITE),
            (("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: script"),
             SITE),
            (("Connection: sec-fetch-site", "Sec-Fetch-Site: cross-site"), SITE),
            (("Origin: null", "Sec-Fetch-Site: cross-site"), ORIGIN),
            (("Origin: null", "Sec-Fetch-Site: none"), ORIGIN),
            (("Origin: null", "Sec-Fetch-Site: Same-Origin"), ORIGIN),
            (("Origin: null", "Sec-Fetch-Site: same-origin, same-origin"), ORIGIN),
            (("Origin: null", "Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: none"), ORIGIN),
            (("Origin: null", "Origin: null", "Sec-Fetch-Site: same-origin"), ORIGIN),
            (("Origin: http://localhost", "Sec-Fetch-Site: cross-site"), SITE),
            (("Origin: https://localhost", "X-Forwarded-Proto: http"), ORIGIN),
            (("Origin: http://localhost", "X-Forwarded-Proto: https"), ORIGIN),
            (("Origin: https://localhost", "X-Forwarded-Proto: http, https"), ORIGIN),
            (("Origin: https://localhost", "X-Forwarded-Proto: https",
              "X-Forwarded-Proto: https"), ORIGIN),
            (("Origin: https://evil.example", "X-Forwarded-Proto: https"), ORIGIN),
            (("Origin: https://evil.example", "X-Forwarded-Host: evil.example"), ORIGIN),
            (("Service-Worker: script",), WORKER),
            (("service-worker: script", "Sec-Fetch-Site: same-origin",
              "Sec-Fetch-Dest: serviceworker"), WORKER),
            (("Origin: http://evil.example", "Sec-Fetch-Site: none"), ORIGIN),
        ]
    ),
]  # fmt: skip
SOCKETS = [
    case("a socket of no page", request(WATCH, *WEBSOCKET),
         tunnels(arrives(WATCH, own=WEBSOCKET))),
    case("a socket of our page", request(WATCH, *WEBSOCKET, "Origin: http://localhost"),
         tunnels(arrives(WATCH, "Origin: http://localhost", own=WEBSOCKET))),
    *(
        case(f"a socket: {', '.join(fields)}", request(WATCH, *WEBSOCKET, *fields), outcome)
        for fields, outcome in [
            (("Origin: http://evil.example",), ORIGIN),
            (("Origin: null",), ORIGIN),
            (("Origin: ws://localhost",), ORIGIN),
            (("Origin: http://localhost:3000",), ORIGIN),
            (("Origin: https://localhost",), ORIGIN),
            (("Origin: http://localhost", "Origin: http://evil.example"), ORIGIN),
            (("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: websocket"), SITE),
        ]
    ),
    case("a rebound page that claims to be ours",
         request(WATCH, *WEBSOCKET, "Origin: http://evil.example", "Sec-Fetch-Site: same-origin",
                 host="evil.example"),
         forbidden("accept-hosts"),
         open=tunnels(arrives(WATCH, "Origin: http://evil.example", "Sec-Fetch-Site: same-origin",
                              own=WEBSOCKET))),
    case("a socket of a rebound page",
         request(WATCH, *WEBSOCKET, "Origin: http://evil.example", host="evil.example"),
         forbidden("accept-hosts"),
         open=tunnels(arrives(WATCH, "Origin: http://evil.example", own=WEBSOCKET))),
    case("SPDY of a page",
         request(f"{PODS}/p/portforward", "Connection: Upgrade", "Upgrade: SPDY/3.1",
                 "Origin: http://evil.example", method="POST"), ORIGIN),
    case("h2c of a page",
         request(PODS, "Connection: Upgrade", "Upgrade: h2c", "Origin: null"), ORIGIN),
]  # fmt: skip


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("case", [*HOSTS, *ORIGINS, *SITES, *SOCKETS])
async def test_unauthenticated_clients_are_refused(fences: list[Fence], case: Case) -> None:
    await attack_each(fences, case)
