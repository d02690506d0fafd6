"""Request targets: one path, read once, for the gate and for the API server.

Whatever decodes to another path for some reader (a second decoding, dot segments, a backslash)
is refused; what passes arrives byte for byte (RFC 3986 section 6, RFC 9112 section 3.2).
"""

import pytest

from .attack import (
    NO_RULE,
    READ_ONLY,
    Case,
    arrives,
    attack_each,
    case,
    forbidden,
    moved,
    passes,
    request,
    unreadable,
)
from .policies import NAMESPACE, PODS, Fence

POD = f"{PODS}/p"
LOG = f"{POD}/log"
SERVICE = f"{NAMESPACE}/services/s/proxy"
MALFORMED = forbidden("target", 400)
EXEC_REFUSED = forbidden("reject-paths")

KEPT = [
    case(f"kept: {target}", request(target), passes(arrives(target)))
    for target in [
        POD,
        f"{POD}/",
        f"{PODS}?",
        f"{PODS}?a=1;b=2&c=%zz&d=//..%2f%00",
        f"{PODS}?x=%0d%0aAuthorization:%20Bearer%20theirs",
        f"{PODS}?watch=1&watch=0",
        f"{PODS}?labelSelector=a%3Db&limit=5",
        f"{LOG}?follow=true",
        f"{NAMESPACE}/p%6fds/p",
        f"{NAMESPACE}/pods%2Fp",
        f"{NAMESPACE}/pods/p%2Flog",
        "/%61pi/v1/namespaces/dev/pods",
        "/api/v1/watch/namespaces/dev/pods",
        f"{PODS}/a+b",
        f"{PODS}/a.b",
        f"{PODS}/...",
        f"{PODS}/p;v=1",
        f"{PODS}/%c3%a9",
        f"{PODS}/%c0%ae%c0%ae",
        f"{PODS}/%ff",
        f"{PODS}/%20",
        f"{PODS}/a'b(c)*!$&,=:@",
    ]
]
OUTSIDE = [
    case(f"outside the rules: {target}", request(target), passes(arrives(target)),
         read_only=READ_ONLY if "secret" in target or "proxy" in target else None,
         rules=NO_RULE)
    for target in [
        "/",
        "/api",
        "/api/v1",
        "/version",
        "/healthz",
        "/api/v1/pods",
        "/api/v1/namespaces",
        NAMESPACE,
        "/api/v1/namespaces/prod/pods",
        "/api/v1/namespaces/devil/pods",
        "/api/v1/namespaces/de/v/pods",
        "/api/v1/namespaces/DEV/pods",
        "/api/v1/Namespaces/dev/pods",
        "/API/v1/namespaces/dev/pods",
        "/apis/apps/v1/namespaces/dev/pods",
        "/api/v1/namespaces/dev/Pods",
        "/api/v1/namespaces/dev/PODS/p",
        f"{NAMESPACE}/pod",
        f"{NAMESPACE}/pods.v1",
        f"{NAMESPACE}/pods%20",
        f"{NAMESPACE}/pods;a",
        f"{NAMESPACE}/%70ods%73",
        f"{POD}/status",
        f"{POD}/LOG",
        f"{POD}/ephemeralcontainers",
        f"{NAMESPACE}/secrets",
        f"{NAMESPACE}/secret%73/s",
        f"{NAMESPACE}/secrets%2Fs",
        "/api/v1/watch/secrets",
        "/api/v1/watch/namespaces/dev/secrets/s",
        f"{SERVICE}/",
        f"{SERVICE}//a%2Fb//",
        f"{SERVICE}/%252e%252e/x",
        f"{NAMESPACE}/pods/p:8080/proxy/x",
        "/api/v1/nodes/n/proxy/run/dev/p/c?cmd=id",
        "/api/v1/proxy/namespaces/dev/services/s/x",
    ]
] + [
    case(f"outside the rules: {target}", request(target), passes(arrives(target)), rules=NO_RULE,
         read_only=READ_ONLY)
    for target in [f"{POD}/portforward", f"{POD}/portforward?ports=80", f"{POD}/proxy"]
]  # fmt: skip
EXEC = [
    case(f"{method} {target}", request(target, method=method), EXEC_REFUSED,
         open=passes(arrives(target, method=method,
                             own=("Content-Length: 0",) if method == "POST" else ())))
    for method, target in [
        ("GET", f"{POD}/exec"),
        ("POST", f"{POD}/exec"),
        ("HEAD", f"{POD}/exec"),
        ("OPTIONS", f"{POD}/exec"),
        ("DELETE", f"{POD}/exec"),
        ("GET", f"{POD}/attach"),
        ("POST", f"{POD}/attach"),
        ("GET", f"{POD}/exec?command=id&stdin=1"),
        ("GET", f"{POD}/exec?stdin=1;command=id"),
        ("GET", f"{POD}/exec?"),
        ("GET", f"{POD}/exec/"),
        ("GET", f"{POD}/exec/x"),
        ("GET", f"{POD}/exec;x"),
        ("GET", f"{POD}/%65xec"),
        ("GET", f"{POD}/e%78e%63"),
        ("GET", f"{POD}%2Fexec"),
        ("GET", f"{POD}%2Fexec%2F"),
        ("GET", f"{NAMESPACE}/%70ods/p/exec"),
        ("GET", "/%61pi/v1/namespaces/dev/pods/p/exec"),
        ("GET", f"{POD}/a%74tach"),
        ("GET", "/api/v1/watch/namespaces/dev/pods/p/exec"),
        ("GET", f"{NAMESPACE}/pods/%ff/exec"),
    ]
] + [
    case(f"exec behind a query is no path: {query}", request(f"{PODS}?{query}"),
         passes(arrives(f"{PODS}?{query}")))
    for query in ["/exec", "stdin=1;/../p/exec", "%2Fp%2Fexec"]
]  # fmt: skip
TWO_READINGS = [
    case(f"two readings: {target}", request(target), MALFORMED)
    for target in [
        f"{NAMESPACE}/%2e%2e/%2e%2e/secrets",
        f"{NAMESPACE}/%2E%2E/kube-system/pods",
        f"{NAMESPACE}/.%2e/kube-system/pods",
        f"{NAMESPACE}/%2e./kube-system/pods",
        f"{NAMESPACE}/%2e/pods",
        f"{NAMESPACE}/..%2fkube-system/pods",
        f"{NAMESPACE}%2f../kube-system/pods",
        f"{NAMESPACE}%2f..%2fkube-system/pods",
        f"{NAMESPACE}/..;/kube-system/pods",
        f"{NAMESPACE}/..;a=b/kube-system/pods",
        f"{NAMESPACE}/%2e%2e;/kube-system/pods",
        f"{NAMESPACE}/.;/pods",
        f"{NAMESPACE}/%252e%252e/kube-system/pods",
        f"{NAMESPACE}/%25252e%25252e/kube-system/pods".replace("%2525", "%25%32%35"),
        f"{NAMESPACE}/pods%252fp",
        f"{NAMESPACE}/pods%255cp",
        f"{NAMESPACE}/pods%2500",
        f"{NAMESPACE}/pods%250d%250aX:y",
        f"{NAMESPACE}\\pods",
        f"{NAMESPACE}\\..\\kube-system\\pods",
        f"{NAMESPACE}/..\\kube-system",
        f"{NAMESPACE}%5cpods",
        f"{NAMESPACE}%5C..%5Ckube-system",
        f"{POD}%00",
        f"{POD}%00/exec",
        f"{POD}%0a",
        f"{POD}%0d%0aX-Remote-User:%20root",
        f"{POD}%20HTTP/1.1%0d%0aHost:%20x%0d%0a%0d%0aGET%20/api/v1/secrets",
        f"{POD}%1f",
        f"{POD}%7f",
        f"{POD}%09",
        f"{POD}%zz",
        f"{POD}%",
        f"{POD}%2",
        f"{POD}%%32%65",
        f"{POD}%u002e",
        f"{POD}#/exec",
        f"{POD}?x#y",
        "/%2fapi/v1",
        "/api%2f%2fv1",
        "/api/%2fv1",
        f"{SERVICE}/%2e%2e/%2e%2e/secrets",
        f"{SERVICE}/..%2f..%2fsecrets",
        f"{SERVICE}/a%00",
        f"{SERVICE}/..;/x",
    ]
]
MOVED = [
    case(f"moved: {target}", request(target), moved(location))
    for target, location in [
        ("//api/v1/namespaces/dev/pods", PODS),
        ("/api//v1/namespaces/dev/pods", PODS),
        (f"{PODS}//", f"{PODS}/"),
        ("/api/v1/namespaces/x/../dev/pods", PODS),
        ("/./api/v1/namespaces/dev/pods", PODS),
        (f"{PODS}/.", PODS),
        (f"{PODS}/..", NAMESPACE),
        (f"{NAMESPACE}/../../../../x", "/x"),
        ("//evil.example/x", "/evil.example/x"),
        ("///evil.example//", "/evil.example/"),
        (f"{POD}//exec", f"{POD}/exec"),
        (f"{POD}/x/../exec?a=..", f"{POD}/exec?a=.."),
        (f"{SERVICE}/a/../b", f"{SERVICE}/b"),
        (f"{SERVICE}/../../../secrets", f"{NAMESPACE}/secrets"),
    ]
]
FORMS = [
    case("absolute-form", request(f"http://localhost{PODS}?x=1"), passes(arrives(f"{PODS}?x=1"))),
    case("absolute-form, other accepted host", request(f"http://127.0.0.1:8001{PODS}"), passes()),
    case("absolute-form, any case", request(f"HTTP://LOCALHOST{PODS}"), passes()),
    case("absolute-form without a path", request("http://localhost"), passes(arrives("/")),
         rules=NO_RULE),
    case("absolute-form with dots", request("http://localhost/a/../exec"), moved("/exec")),
    case("absolute-form of exec", request(f"http://localhost{POD}/exec"), EXEC_REFUSED,
         open=passes(arrives(f"{POD}/exec"))),
    *(
        case(f"absolute-form: {target}", request(target), forbidden("accept-hosts"),
             open=passes(arrives(PODS)))
        for target in [f"http://evil.example{PODS}", f"http://localhost.evil.example{PODS}"]
    ),
    *(
        case(f"not a target: {target}", request(target), MALFORMED)
        for target in [
            f"https://localhost{PODS}",
            f"HTTPS://localhost{PODS}",
            f"ftp://localhost{PODS}",
            f"ws://localhost{PODS}",
        ]
    ),
    case("not an authority", request(f"http://a,b{PODS}"), forbidden("host", 400),
         open=passes()),
    *(
        case(f"not a URL: {target}", request(target), unreadable())
        for target in [f"http://{PODS}", f"http://[::1{PODS}", "file:///etc/passwd", "*", "**"]
    ),
    case("userinfo", request(f"http://localhost@evil.example{PODS}"), MALFORMED),
    case("no slash", request("api/v1"), unreadable()),
    case("a question mark first", request("?x"), unreadable()),
    case("authority-form of another method", request("localhost:8001"), unreadable()),
    case("a dot", request("."), unreadable()),
    case("* of OPTIONS", request("*", method="OPTIONS"), forbidden("", 200)),
    case("a space within", request(f"{POD} x"), unreadable()),
    case("a tab within", request(f"{POD}\tx"), unreadable()),
    case("a NUL", request(f"{POD}\0"), unreadable()),
    case("a control byte", request(f"{POD}\x01"), unreadable()),
    case("a DEL", request(f"{POD}\x7f"), unreadable()),
    case("a byte above ASCII", request(f"{POD}\xff"), passes(arrives(f"{POD}\xff"))),
    case("UTF-8", request(f"{POD}\xc3\xa9"), passes(arrives(f"{POD}\xc3\xa9"))),
    case("UTF-8 in the query", request(f"{POD}?\xc3\xa9\xff"),
         passes(arrives(f"{POD}?\xc3\xa9\xff"))),
    case("a path after UTF-8", request(f"/\xc3\xa9/../{POD[1:]}/exec"), moved(f"{POD}/exec")),
    case("exec of UTF-8", request(f"{POD}\xc3\xa9\xff/exec"), EXEC_REFUSED,
         open=passes(arrives(f"{POD}\xc3\xa9\xff/exec"))),
    case("a control byte in the query", request(f"{POD}?\x01"), unreadable()),
    case("a long one", request(f"{PODS}?x=" + "a" * 20_000),
         passes(arrives(f"{PODS}?x=" + "a" * 20_000))),
    case("more parameters than Go reads", request(f"{PODS}?" + "a=1&" * 1001),
         passes(arrives(f"{PODS}?" + "a=1&" * 1001)),
         read_only=forbidden("query", 400), rules=forbidden("query", 400)),
]  # fmt: skip
WRITES = [
    case(f"{method} {target}", request(target, method=method),
         passes(arrives(target, method=method,
                        own=() if method == "DELETE" else ("Content-Length: 0",))),
         read_only=None if dry else READ_ONLY, rules=NO_RULE)
    for method, target, dry in [
        ("DELETE", PODS, False),
        ("DELETE", f"{POD}?dryRun=All", True),
        ("DELETE", f"{POD}?dryRun=all", False),
        ("DELETE", f"{POD}?dryRun=All&dryRun=None", False),
        ("DELETE", f"{POD}?dryRun=All;x", False),
        ("DELETE", f"{POD}?dryRun=All%zz", False),
        ("DELETE", f"{POD}?dryrun=All", False),
        ("DELETE", f"{POD}?dry%52un=A%6cl", True),
        ("DELETE", f"{POD};dryRun=All", False),
        ("POST", f"{PODS}?dryRun=All", True),
        ("POST", f"{POD}/binding?dryRun=All", True),
        ("POST", f"{POD}/eviction", False),
        ("POST", f"{NAMESPACE}/serviceaccounts/default/token?dryRun=All", False),
        ("PUT", f"{POD}/status", False),
        ("PATCH", f"{POD}?dryRun=All", True),
        ("POST", "/x?dryRun=All", False),
    ]
] + [
    case("a dry DELETE with a body that may say otherwise",
         request(f"{POD}?dryRun=All", "Content-Length: 2", method="DELETE", body=b"{}"),
         passes(arrives(f"{POD}?dryRun=All", method="DELETE", own=("Content-Length: 2",),
                        body=b"{}")),
         read_only=READ_ONLY, rules=NO_RULE),
    case("a POST to a watch is a watch to the API server's authorizer",
         request("/api/v1/watch/namespaces/dev/pods?dryRun=All", method="POST"),
         passes(arrives("/api/v1/watch/namespaces/dev/pods?dryRun=All", method="POST",
                        own=("Content-Length: 0",))),
         read_only=READ_ONLY),
]  # fmt: skip


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("case", [*KEPT, *OUTSIDE, *EXEC, *TWO_READINGS, *MOVED, *FORMS, *WRITES])
async def test_a_target_has_one_meaning(fences: list[Fence], case: Case) -> None:
    await attack_each(fences, case)
