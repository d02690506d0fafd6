"""Upgrades: what is as through kubectl proxy, and the differences, proven."""

import socket

import pytest

from tests.support.kubeconfig import kubeconfig

from .conftest import TOKEN, Pairs
from .differences import proves
from .pairs import Hosted, Pair, Running
from .upstream import Peer, Received, RecordingUpstream, Script
from .wire import Ask, Reply, ask, connect, read_reply

SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %b\r\n\r\n"
UPGRADE = ("Connection: Upgrade", "Upgrade: websocket")


def upgrade(*fields: str, method: str = "GET", target: str = "/api", **more: bytes) -> Ask:
    """A request for a WebSocket."""
    return ask(method, target, *UPGRADE, *fields, **more)  # type: ignore[arg-type]


def echoes(protocol: bytes = b"websocket") -> Script:
    """Switch, then send back what comes until it ends, then say so."""

    def script(peer: Peer, _: Received) -> bool:
        peer.send(SWITCHED % protocol)
        while data := peer.stream.read1(65536):
            peer.send(data)
        peer.send(b"<end>")
        return False

    return script


def converse(
    pair: Pair, proxy: Running | Hosted, request: Ask, script: Script, *later: bytes
) -> tuple[Reply | None, bytes]:
    """Ask for a tunnel, send more when it is there, end our side, and read to the other's end."""
    pair.upstream.script = script
    pair.upstream.received.clear()
    with connect(proxy.address) as connection, connection.makefile("rb") as stream:
        connection.sendall(request.data)
        reply = read_reply(stream)
        heard = b""
        for data in later:
            connection.sendall(data)
            heard += stream.read(len(data))
        connection.shutdown(socket.SHUT_WR)
        try:
            heard += stream.read()
        except ConnectionError:
            heard += b"<reset>"
    return reply, heard


@pytest.mark.parametrize(
    ("method", "protocol"), [("GET", "websocket"), ("GET", "SPDY/3.1"), ("POST", "SPDY/3.1")]
)
def test_tunnels_are_the_same(plain: Pair, method: str, protocol: str) -> None:
    request = ask(
        method,
        "/api/v1/namespaces/shop/pods/web/portforward?ports=80",
        "Connection: Upgrade",
        f"Upgrade: {protocol}",
        "Sec-WebSocket-Protocol: v5.channel.k8s.io",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    )
    both = []
    for proxy in (plain.kubelatch, plain.kubectl):
        script = echoes(protocol.encode())
        reply, heard = converse(plain, proxy, request, script, b"ping", b"\x00" * 9)
        assert reply is not None
        [received] = plain.upstream.received
        # Whether a client that names no agent gets one is compared elsewhere.
        fields = [f for f in received.fields if f[0] not in {"user-agent", "content-length"}]
        assert heard.startswith(b"ping" + b"\x00" * 9)
        both.append((reply, received.line, fields))
    assert both[0] == both[1]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 500, 503])
def test_refused_upgrades_are_the_same(plain: Pair, status: int) -> None:
    refusal = (
        f"HTTP/1.1 {status} No\r\nContent-Type: application/json\r\nX-A: b\r\n"
        "Content-Length: 2\r\n\r\nno"
    )
    theirs, ours = plain.both(upgrade(answer=refusal.encode()))
    assert theirs.reply is not None
    assert ours.reply is not None
    assert (ours.status, ours.body, ours.reply.meaning) == (
        theirs.status,
        theirs.body,
        theirs.reply.meaning,
    )


@proves("web-socket-of-page")
def test_web_socket_of_a_page(plain: Pair) -> None:
    request = upgrade("Origin: http://evil.example")
    reply, heard = converse(plain, plain.kubectl, request, echoes(), b"ping")
    assert (reply and reply.status, heard[:4]) == (101, b"ping")
    reply, _ = converse(plain, plain.kubelatch, request, echoes())
    assert (reply and reply.status, plain.upstream.received) == (403, [])


@proves("early-bytes")
def test_early_bytes(plain: Pair) -> None:
    request = Ask(upgrade().data + b"EARLY")
    _, heard = converse(plain, plain.kubectl, request, echoes())
    assert b"EARLY" not in heard
    _, heard = converse(plain, plain.kubelatch, request, echoes())
    assert heard.startswith(b"EARLY")


@proves("half-close")
def test_half_close(plain: Pair) -> None:
    script = answers_after_the_end()
    _, heard = converse(plain, plain.kubectl, upgrade(), script)
    assert b"after the end" not in heard
    _, heard = converse(plain, plain.kubelatch, upgrade(), script)
    assert heard.endswith(b"after the end")


def answers_after_the_end() -> Script:
    """Switch, wait for the end of what comes, and only then speak."""

    def script(peer: Peer, _: Received) -> bool:
        peer.send(SWITCHED % b"websocket")
        while peer.stream.read1(65536):
            pass
        peer.send(b"after the end")
        return False

    return script


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(("Connection: Upgrade", "Upgrade: h2c"), id="h2c"),
        pytest.param(("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c"), id="curl --http2"),
        pytest.param(("Connection: Upgrade", "Upgrade: TLS/1.2"), id="TLS"),
        pytest.param(("Connection: upgrade",), id="none named"),
        pytest.param(("Connection: x-upgrade-y",), id="not even the word"),
    ],
)
@proves("other-upgrade", "upgrade-substring")
def test_other_upgrades(plain: Pair, fields: tuple[str, ...]) -> None:
    theirs, ours = plain.both(ask("GET", "/api", *fields))
    assert theirs.status == 500
    assert theirs.body == b"invalid upgrade response: status code 200\n"
    assert (ours.status, ours.body) == (200, b"{}")
    assert ours.sent("connection") == ours.sent("upgrade") == []


@proves("other-101")
def test_101_for_another_protocol(plain: Pair) -> None:
    script = echoes(b"another")
    reply, heard = converse(plain, plain.kubectl, upgrade(), script, b"ping")
    assert (reply and reply.status, heard[:4]) == (101, b"ping")
    reply, _ = converse(plain, plain.kubelatch, upgrade(), script)
    assert reply is not None
    assert reply.status == 502


@proves("upgrade-body")
def test_upgrade_with_a_body(plain: Pair) -> None:
    theirs, ours = plain.both(upgrade(body=b"abc", answer=SWITCHED % b"websocket"))
    assert theirs.status == 101
    assert theirs.received[0].body == b"abc"
    assert (ours.status, ours.received) == (400, ())


@proves("upgrade-method")
def test_web_socket_by_post(plain: Pair) -> None:
    theirs, ours = plain.both(upgrade(method="POST", answer=SWITCHED % b"websocket"))
    assert theirs.status == 101
    assert (ours.status, ours.received) == (400, ())


def test_encoded_slash_of_an_upgrade_is_kept(plain: Pair) -> None:
    theirs, ours = plain.both(upgrade(target="/a%2Fb", answer=SWITCHED % b"websocket"))
    assert ours.targets == theirs.targets == ["/a%2Fb"]


@pytest.mark.parametrize(
    ("flags", "path", "target", "below"),
    [
        pytest.param("--api-prefix=/custom/", "", "/custom/a", "/a", id="prefix"),
        pytest.param("--append-server-path", "/k8s", "/a", "/k8s/a", id="server path"),
    ],
)
@proves("upgrade-encoded")
def test_encoded_slash_of_an_upgrade(
    pairs: Pairs, flags: str, path: str, target: str, below: str
) -> None:
    request = upgrade(target=f"{target}%2Fb", answer=SWITCHED % b"websocket")
    theirs, ours = pairs(flags, path=path).both(request)
    assert theirs.targets == [f"{below}/b"]
    assert ours.targets == [f"{below}%2Fb"]


@pytest.mark.parametrize("status", [200, 302])
@proves("upgrade-answered")
def test_upgrade_that_is_answered(plain: Pair, status: int) -> None:
    answer = f"HTTP/1.1 {status} X\r\nLocation: /a\r\nContent-Length: 0\r\n\r\n"
    theirs, ours = plain.both(upgrade(answer=answer.encode()))
    assert (theirs.status, ours.status) == (500, 502)
    assert ours.values("location") == []


@proves("upgrade-unverified")
def test_upgrade_without_a_ca(pairs: Pairs, upstream: RecordingUpstream) -> None:
    pair = pairs(config=kubeconfig(upstream.url, user={"token": TOKEN}))
    theirs, ours = pair.both(ask("GET", "/api"))
    assert theirs.received == ours.received == ()
    theirs, ours = pair.both(upgrade(answer=SWITCHED % b"websocket"))
    assert theirs.sent("authorization") == [f"Bearer {TOKEN}"]
    assert (ours.status, ours.received) == (502, ())
