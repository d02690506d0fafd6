"""Who a request claims to be: nobody becomes more than the proxy's user, or a mixture.

(kubernetes/staging/src/k8s.io/apiserver/pkg/authentication/request and
.../endpoints/filters/impersonation)
"""

import pytest

from .attack import (
    NO_RULE,
    Case,
    arrives,
    attack_each,
    case,
    forbidden,
    passes,
    request,
    tunnels,
    unreadable,
)
from .policies import PODS, Fence

WATCH = f"{PODS}?watch=1"
WEBSOCKET = "Connection: Upgrade", "Upgrade: websocket"
NAMED_AWAY = forbidden("connection", 400)

REMOTE = [
    case(f"stripped: {name}", request(PODS, f"{name}: root"), passes())
    for name in [
        "X-Remote-User", "x-remote-user", "X-REMOTE-USER", "x-ReMoTe-uSeR", "X-Remote-Group",
        "X-Remote-Uid", "X-Remote-Extra-Scopes", "X-Remote-Extra-a%2fb", "X_Remote_User",
        "X-Remote_User", "X_Remote-Group", "x_remote_extra_x", "X-Remote-", "X-Remote-Anything",
    ]
] + [
    case("stripped, two of them", request(PODS, "X-Remote-User: a", "X-Remote-User: b"), passes()),
    case("stripped from an upgrade", request(WATCH, *WEBSOCKET, "X-Remote-User: root"),
         tunnels(arrives(WATCH, own=WEBSOCKET))),
    case("named in Connection", request(PODS, "Connection: x-remote-user", "X-Remote-User: root"),
         NAMED_AWAY),
    case("not stripped: X-Remote", request(PODS, "X-Remote: a"),
         passes(arrives(PODS, "X-Remote: a"))),
    case("a space before the colon", request(PODS, "X-Remote-User : root"), unreadable()),
    case("folded into another", request(PODS, "X: a\r\n X-Remote-User: root"), unreadable()),
    case("behind a bare return", request(PODS, "X: a\rX-Remote-User: root"), unreadable()),
    case("behind a bare line feed", request(PODS, "X: a\nX-Remote-User: root"), unreadable()),
    case("behind a NUL", request(PODS, "X: a\0X-Remote-User: root"), unreadable()),
    case("not stripped: the hop before us", request(PODS, "X-Forwarded-User: a"),
         passes(arrives(PODS, "X-Forwarded-User: a"))),
]  # fmt: skip
IMPERSONATION = [
    *(
        case(f"its own to ask for: {field}", request(PODS, field), passes(arrives(PODS, field)),
             rules=NO_RULE)
        for field in [
            "Impersonate-User: bob", "impersonate-user: bob", "IMPERSONATE-USER: bob",
            "iMpErSoNaTe-UsEr: bob", "Impersonate-Group: system:masters",
            "Impersonate-Uid: 42", "Impersonate-Extra-Scopes: all",
            "Impersonate-Extra-Some_Key: all", "Impersonate-Extra-a%2Fb: all",
            "Impersonate-User: system:serviceaccount:kube-system:default",
            "Impersonate-User: system:anonymous", "Impersonate-User: \xc2\xa0",
            "Impersonate-User: \xe3\x80\x80",
        ]
    ),
    case("a user and groups",
         request(PODS, "Impersonate-User: a", "Impersonate-Group: b", "Impersonate-Group: c"),
         passes(arrives(PODS, "Impersonate-User: a", "Impersonate-Group: b",
                        "Impersonate-Group: c")),
         rules=NO_RULE),
    case("of an upgrade", request(WATCH, *WEBSOCKET, "Impersonate-User: bob"),
         tunnels(arrives(WATCH, "Impersonate-User: bob", own=WEBSOCKET)), rules=NO_RULE),
    *(
        case(f"named in Connection: {name}",
             request(PODS, f"Connection: close, {name}", "Impersonate-User: bob"), NAMED_AWAY)
        for name in ["impersonate-user", "Impersonate-Group", "impersonate_user;q=1"]
    ),
    *(
        case(f"disguised: {name}", request(PODS, f"{name}: root"), forbidden("impersonation"))
        for name in ["Impersonate_User", "IMPERSONATE_USER", "impersonate_group",
                     "Impersonate_Extra_Scopes", "Impersonate_Extra-Scopes",
                     "Impersonate-Extra_Scopes", "Impersonate_Uid"]
    ),
    case("disguised, in an upgrade", request(WATCH, *WEBSOCKET, "Impersonate_User: root"),
         forbidden("impersonation")),
    case("empty", request(PODS, "Impersonate-User:"), passes(arrives(PODS, "Impersonate-User: "))),
    case("a space before the colon", request(PODS, "Impersonate-User : root"), unreadable()),
    case("not one: Impersonate", request(PODS, "Impersonate: a"),
         passes(arrives(PODS, "Impersonate: a"))),
]  # fmt: skip
CREDENTIALS = [
    *(
        case(f"the client's own: {field}", request(PODS, field),
             passes(arrives(PODS, field, credential=False)))
        for field in [
            "Authorization: Bearer theirs", "authorization: Bearer theirs",
            "AUTHORIZATION: Basic eDp5", "Authorization: x",
        ]
    ),
    case("empty is none", request(PODS, "Authorization:"), passes()),
    case("blank is none", request(PODS, "Authorization: \t "), passes()),
    *(
        case(name, request(PODS, *fields), forbidden("client-auth", 400))
        for name, fields in [
            ("two", ("Authorization: Bearer a", "Authorization: Bearer b")),
            ("two equal", ("Authorization: Bearer a", "Authorization: Bearer a")),
            ("two in two cases", ("Authorization: Bearer a", "authorization: Basic b")),
            ("one and an empty one", ("Authorization:", "Authorization: Bearer b")),
        ]
    ),
    case("the client's own, in an upgrade",
         request(WATCH, *WEBSOCKET, "Authorization: Bearer theirs"),
         tunnels(arrives(WATCH, "Authorization: Bearer theirs", own=WEBSOCKET, credential=False))),
    *(
        case(f"named in Connection: ours does not take its place: {fields}",
             request(PODS, *fields, "Authorization: Bearer theirs"), NAMED_AWAY)
        for fields in [
            ("Connection: authorization",), ("Connection: close, AUTHORIZATION",),
            ("Connection: x", "Connection: \t,authorization\t,"),
            ("Connection: authorization;a=b",),
            (WEBSOCKET[0] + ", authorization", WEBSOCKET[1]),
        ]
    ),
    case("ours cannot be named away", request(PODS, "Connection: Authorization, close"),
         NAMED_AWAY),
    case("for proxies", request(PODS, "Proxy-Authorization: Basic eDp5"), passes()),
    case("for proxies, in an upgrade",
         request(WATCH, *WEBSOCKET, "Proxy-Authorization: Basic eDp5"),
         tunnels(arrives(WATCH, own=WEBSOCKET))),
    case("an underscore makes it another field", request(PODS, "Author_ization: Bearer x"),
         passes(arrives(PODS, "Author_ization: Bearer x"))),
    case("a bearer protocol",
         request(WATCH, *WEBSOCKET,
                 "Sec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io.dGhlaXJz, x"),
         tunnels(arrives(
             WATCH, "Sec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io.dGhlaXJz, x",
             own=WEBSOCKET, credential=False))),
    case("a bearer protocol of no WebSocket",
         request(PODS, "Sec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io.dGhlaXJz"),
         passes(arrives(
             PODS, "Sec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io.dGhlaXJz"))),
    case("cookies are the application's", request(PODS, "Cookie: a=b"),
         passes(arrives(PODS, "Cookie: a=b"))),
]  # fmt: skip


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("case", [*REMOTE, *IMPERSONATION, *CREDENTIALS])
async def test_an_identity_is_whole_and_its_own(fences: list[Fence], case: Case) -> None:
    await attack_each(fences, case)
