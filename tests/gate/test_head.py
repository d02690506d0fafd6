"""What frames a message twice is refused; what asks for another protocol is told apart."""

import pytest

from .support import allowed, decide, refused


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([("Host", "localhost")], id="two hosts"),
        pytest.param([("HOST", "127.0.0.1:8001")], id="two equal hosts"),
        [("Content-Length", "1"), ("Transfer-Encoding", "chunked")],
        [("Content-Length", "1"), ("content-length", "1")],
        [("Content-Length", "1, 1")],
        [("Content-Length", "+1")],
        [("Content-Length", "1_0")],
        [("Content-Length", "")],
        [("Content-Length", "0x1")],
        [("Content-Length", "\u00b9")],
        [("Transfer-Encoding", "gzip, chunked")],
        [("Transfer-Encoding", "xchunked")],
        [("Transfer-Encoding", "identity")],
        [("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "chunked")],
        [("X", "a\x00b")],
        [("X", "a\rb")],
        [("X", "a\nb")],
        [("X", "a\x7fb")],
    ],
)
def test_ambiguous_framing_closes_the_connection(headers: list[tuple[str, str]]) -> None:
    assert refused(decide("POST", "/x", *headers), "framing", 400).close


def test_http_1_1_needs_a_host() -> None:
    assert refused(decide("GET", "/", host=None), "framing", 400).close


def test_http_1_0_has_no_transfer_encoding() -> None:
    chunked = ("Transfer-Encoding", "chunked")
    assert refused(decide("POST", "/", chunked, version=(1, 0)), "framing", 400).close


@pytest.mark.parametrize(
    "headers",
    [
        [("Content-Length", "0")],
        [("Content-Length", "1234567890123")],
        [("Transfer-Encoding", "Chunked")],
        [("X", "tab\tand \u00fcmlaut")],
    ],
)
def test_plain_framing_passes(headers: list[tuple[str, str]]) -> None:
    allowed(decide("POST", "/x", *headers))


WEBSOCKET = [("Connection", "Upgrade"), ("Upgrade", "websocket")]
SPDY = [("Connection", "keep-alive, upgrade"), ("Upgrade", "SPDY/3.1")]


@pytest.mark.parametrize(
    ("method", "headers", "upgrade"),
    [
        ("GET", WEBSOCKET, "websocket"),
        ("GET", [("connection", "a,UPGRADE"), ("upgrade", "WebSocket")], "websocket"),
        ("POST", [*SPDY, ("Content-Length", "0")], "SPDY/3.1"),
        ("GET", SPDY, "SPDY/3.1"),
        pytest.param("GET", [("Upgrade", "websocket")], None, id="no Connection"),
        pytest.param(
            "GET", [("Connection", "x-upgrade-y"), ("Upgrade", "websocket")], None, id="a substring"
        ),
        pytest.param("GET", [("Connection", "Upgrade")], None, id="to nothing"),
        ("GET", [("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c")], None),
        ("GET", [("Connection", "Upgrade"), ("Upgrade", "TLS/1.0")], None),
        ("POST", [("Connection", "Upgrade"), ("Upgrade", "h2c"), ("Content-Length", "1")], None),
        pytest.param(
            "GET", [("Connection", "Upgrade"), ("Upgrade", "h2c, websocket")], None, id="a choice"
        ),
        pytest.param("GET", [*WEBSOCKET, ("Upgrade", "h2c")], None, id="a choice in two lines"),
    ],
)
def test_only_websocket_and_spdy_are_upgrades(
    method: str, headers: list[tuple[str, str]], upgrade: str | None
) -> None:
    assert allowed(decide(method, "/x", *headers)).upgrade == upgrade


def test_http_1_0_cannot_upgrade() -> None:
    assert allowed(decide("GET", "/x", *WEBSOCKET, version=(1, 0))).upgrade is None


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("GET", [*WEBSOCKET, ("Content-Length", "5")]),
        ("GET", [*WEBSOCKET, ("Transfer-Encoding", "chunked")]),
        ("POST", [*SPDY, ("Content-Length", "5")]),
        ("POST", WEBSOCKET),
        ("PUT", SPDY),
    ],
)
def test_an_upgrade_that_could_be_read_as_two_requests_is_refused(
    method: str, headers: list[tuple[str, str]]
) -> None:
    assert refused(decide(method, "/x", *headers), "upgrade", 400).close
