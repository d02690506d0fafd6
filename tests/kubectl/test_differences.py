"""The table of differences, proven: what kubectl proxy does and what kubelatch does.

Requests and answers here; what concerns processes is in test_differences_of_life.py, and tunnels
are in test_differences_of_tunnels.py.
"""

import json
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.certificates import Authority
from tests.support.kubeconfig import kubeconfig

from .conftest import TOKEN, Pairs
from .differences import DIFFERENCES, proves
from .pairs import ROOT, Pair, Through
from .upstream import OK, Peer, Received, RecordingUpstream, hangs_up, says
from .wire import Ask, ask

EVIL = "http://evil.example"
UNCHANGED = (200, ["/api"])


def verdict(way: Through) -> tuple[int | None, list[str]]:
    """The client's status, and what the API server was asked for."""
    return way.status, way.targets


def status_of(way: Through) -> dict[str, object]:
    """The Kubernetes Status that a client got."""
    status: dict[str, object] = json.loads(way.body)
    assert (status["kind"], status["code"]) == ("Status", way.status)
    return status


def rows(page: str) -> dict[str, list[str]]:
    """The rows of a page's table of differences by their first cells, but for headings."""
    text = (ROOT / page).read_text()
    table = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return {cells[0]: cells for cells in table[2:] if not cells[0].startswith("**")}


DOCUMENTED = rows("docs/differences.md")


def test_every_difference_is_proven() -> None:
    texts = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    proven = re.findall(r'"([a-z0-9-]+)"', "".join(re.findall(r"@proves\(([^)]*)\)", texts)))
    assert sorted(proven) == sorted(DIFFERENCES)


@pytest.mark.parametrize("phrase", sorted({d.page for d in DIFFERENCES.values()} - {""}))
def test_the_difference_is_documented(phrase: str) -> None:
    assert [row for row in DOCUMENTED if row.startswith(phrase)], phrase


@pytest.mark.parametrize("row", DOCUMENTED)
def test_what_is_documented_is_in_the_table(row: str) -> None:
    assert any(d.page and row.startswith(d.page) for d in DIFFERENCES.values()), row


def test_no_row_is_documented_twice() -> None:
    """Of two rows that begin alike, one is an older edition of the other."""
    for phrase in {d.page for d in DIFFERENCES.values()} - {""}:
        assert len([row for row in DOCUMENTED if row.startswith(phrase)]) == 1, phrase


def test_the_readme_has_the_rows_that_matter_most() -> None:
    short = rows("README.md")
    assert len(short) == 12
    assert {first: DOCUMENTED.get(first) for first in short} == short


@pytest.mark.parametrize(
    "field",
    [f"Origin: {EVIL}", "Origin: null", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site"],
)
@proves("web-page")
def test_web_page(plain: Pair, field: str) -> None:
    theirs, ours = plain.both(ask("GET", "/api", field))
    assert verdict(theirs) == UNCHANGED
    assert verdict(ours) == (403, [])


@proves("service-worker")
def test_service_worker(plain: Pair) -> None:
    theirs, ours = plain.both(
        ask("GET", "/api", "Service-Worker: script", "Sec-Fetch-Site: same-origin")
    )
    assert verdict(theirs) == UNCHANGED
    assert verdict(ours) == (403, [])


@pytest.mark.parametrize(
    "field",
    ["Service-Worker-Allowed: /", 'Clear-Site-Data: "*"', "Strict-Transport-Security: max-age=9",
     'Alt-Svc: h2=":1"', "NEL: {}", "Report-To: {}", "X-Accel-Redirect: /x", "X-Sendfile: /x"],
)  # fmt: skip
@proves("origin-wide", "orders-to-front")
def test_fields_for_the_whole_origin(plain: Pair, field: str) -> None:
    name, _, value = field.partition(": ")
    theirs, ours = plain.both(
        ask("GET", "/api", answer=OK.replace(b"Date:", f"{field}\r\nDate:".encode()))
    )
    assert (theirs.status, theirs.values(name)) == (200, [value])
    assert (ours.status, ours.values(name)) == (200, [])


@proves("unbuffered")
def test_streams_are_not_to_be_buffered(plain: Pair) -> None:
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"
    theirs, ours = plain.both(ask("GET", "/api/v1/pods?watch=1", answer=answer))
    assert (theirs.values("x-accel-buffering"), ours.values("x-accel-buffering")) == ([], ["no"])


@proves("impersonation")
def test_impersonation(pairs: Pairs) -> None:
    pair = pairs("--as=bob", "--as-group=g1")
    theirs, ours = pair.both(ask("GET", "/api", "Impersonate-Group: system:masters"))
    assert theirs.sent("impersonate-user") == ["bob"]
    assert sorted(theirs.sent("impersonate-group")) == ["g1", "system:masters"]
    assert verdict(ours) == (403, [])
    theirs, ours = pair.both(ask("GET", "/api", "Impersonate-User: eve"))
    assert theirs.sent("impersonate-user") == ["eve"]
    assert verdict(ours) == (403, [])


@proves("impersonation-spelled-oddly")
def test_impersonation_spelled_oddly(plain: Pair) -> None:
    theirs, ours = plain.both(ask("GET", "/api", "Impersonate_User: eve"))
    assert theirs.sent("impersonate_user") == ["eve"]
    assert verdict(ours) == (403, [])


@proves("x-remote")
def test_x_remote(plain: Pair) -> None:
    theirs, ours = plain.both(ask("GET", "/api", "X-Remote-User: eve", "X-Remote-Group: a"))
    assert (theirs.sent("x-remote-user"), theirs.sent("x-remote-group")) == (["eve"], ["a"])
    assert (ours.sent("x-remote-user"), ours.sent("x-remote-group")) == ([], [])


@proves("trace", "connect")
def test_trace_and_connect(plain: Pair) -> None:
    for method in ("TRACE", "CONNECT"):
        theirs, ours = plain.both(ask(method, "/api"))
        assert verdict(theirs) == UNCHANGED
        assert verdict(ours) == (405, [])
    theirs, ours = plain.both(ask("CONNECT", "localhost:443"))
    assert (theirs.status, ours.status) == (404, 405)


@pytest.mark.parametrize(
    ("target", "forwarded"),
    [
        ("/%2e%2e/x", "/%2e%2e/x"),
        ("/a/%2E./b", "/a/%2E./b"),
        ("/a%2f..%2fb", "/a%2f..%2fb"),
        ("/a;/..;/b", "/a;/..;/b"),
        ("/a\\b", "/a%5Cb"),
        ("/a%5cb", "/a%5cb"),
        ("/api/v1/nodes/n/proxy/x/%2e%2e/y", "/api/v1/nodes/n/proxy/x/%2e%2e/y"),
        ("/a%00b", "/a%00b"),
        ("/a%0Ab", "/a%0Ab"),
        ("/a%7Fb", "/a%7Fb"),
        ("/a%252Fb", "/a%252Fb"),
        ("/a%2F/b", "/a%2F/b"),
        ("/a%2F%2Fb", "/a%2F%2Fb"),
    ],
)
@proves(
    "encoded-dots",
    "backslash",
    "control-bytes",
    "encoded-twice",
    "encoded-slash-beside-slash",
)
def test_paths_of_two_meanings(plain: Pair, target: str, forwarded: str) -> None:
    theirs, ours = plain.both(ask("GET", target))
    assert verdict(theirs) == (200, [forwarded])
    assert verdict(ours) == (400, [])


@proves("host-malformed")
def test_malformed_host(pairs: Pairs) -> None:
    theirs, ours = pairs("--accept-hosts=.*").both(ask("GET", "/api", host="::1"))
    assert verdict(theirs) == UNCHANGED
    assert verdict(ours) == (400, [])


@proves("userinfo")
def test_userinfo(pairs: Pairs) -> None:
    request = ask("GET", "http://user@localhost/api")
    theirs, ours = pairs("--accept-hosts=.*").both(request)
    assert verdict(theirs) == UNCHANGED
    assert verdict(ours) == (400, [])


@proves("absolute-host")
def test_host_beside_an_absolute_target(plain: Pair) -> None:
    theirs, ours = plain.both(ask("GET", "http://localhost/api", host="evil.example"))
    assert verdict(theirs) == UNCHANGED
    assert verdict(ours) == (403, [])


@proves("two-authorizations")
def test_two_authorizations(plain: Pair) -> None:
    theirs, ours = plain.both(ask("GET", "/api", "Authorization: a", "Authorization: b"))
    assert theirs.sent("authorization") == ["a", "b"]
    assert verdict(ours) == (400, [])


@proves("redirect-away")
def test_redirect_to_the_api_server(pairs: Pairs, upstream: RecordingUpstream) -> None:
    location = f"{upstream.url}/api/v1/namespaces/x/services/y/proxy/slash/"
    answer = f"HTTP/1.1 307 X\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()
    theirs, ours = pairs().both(ask("GET", "/api", answer=answer))
    assert theirs.values("location") == [location]
    assert ours.values("location") == ["/api/v1/namespaces/x/services/y/proxy/slash/"]


@pytest.mark.parametrize("name", ["Authorization", "Cookie", "X-Forwarded-For", "Impersonate-User"])
@proves("named-away")
def test_end_to_end_field_named_in_connection(plain: Pair, name: str) -> None:
    theirs, ours = plain.both(ask("GET", "/api", f"Connection: {name}", f"{name}: 1.2.3.4"))
    assert verdict(theirs) == UNCHANGED
    assert "1.2.3.4" not in theirs.sent(name)
    assert theirs.sent("authorization") == [f"Bearer {TOKEN}"]
    assert verdict(ours) == (400, [])


@proves("clients-token")
def test_clients_token_beside_a_certificate(
    pairs: Pairs, upstream: RecordingUpstream, authority: Authority
) -> None:
    config = kubeconfig(upstream.url, authority, identity=authority.client("admin"))
    certified: list[bool] = []

    def script(peer: Peer, request: Received) -> bool:
        certified.append(bool(peer.socket.getpeercert()))
        return says(OK)(peer, request)

    theirs, ours = pairs(config=config).both(ask("GET", "/api", "Authorization: Bearer x"), script)
    assert theirs.sent("authorization") == ours.sent("authorization") == ["Bearer x"]
    assert certified == [True, False]


@proves("websocket-token")
def test_clients_token_in_a_websockets_protocol(plain: Pair) -> None:
    protocol = "base64url.bearer.authorization.k8s.io.bWluZQ, x"
    fields = "Connection: Upgrade", "Upgrade: websocket", f"Sec-WebSocket-Protocol: {protocol}"
    answer = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
    theirs, ours = plain.both(ask("GET", "/api", *fields, answer=answer))
    for way in (theirs, ours):
        assert way.sent("sec-websocket-protocol") == [protocol]
    assert theirs.sent("authorization") == [f"Bearer {TOKEN}"]
    assert ours.sent("authorization") == []


HEAD = "POST /api HTTP/1.1\r\nHost: localhost\r\n"
AMBIGUOUS = {
    "length beside chunked": HEAD
    + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "two equal lengths": HEAD + "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "HTTP/1.0 and chunked": HEAD.replace("1.1", "1.0")
    + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "bare LF": "GET /api HTTP/1.1\nHost: localhost\n\n",
    "folded line": HEAD + "X-A: a\r\n  b\r\nContent-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("text", AMBIGUOUS.values(), ids=AMBIGUOUS)
@proves("framing-twice", "length-twice", "old-chunked", "line-ends", "folded")
def test_ambiguous_framing(plain: Pair, text: str) -> None:
    theirs, ours = plain.both(Ask(text.encode()))
    assert verdict(theirs) == UNCHANGED
    assert verdict(ours) == (400, [])


@pytest.fixture(scope="session")
def www(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Static files, and a link out of their tree."""
    outside = tmp_path_factory.mktemp("outside") / "secret.txt"
    outside.write_text("secret")
    root = tmp_path_factory.mktemp("www")
    (root / "a.txt").write_text("hello")
    (root / "README").write_text("hello")
    (root / "link.txt").symlink_to(outside)
    return root


@proves("static-host", "static-page")
def test_static_files_behind_the_checks(pairs: Pairs, www: Path) -> None:
    pair = pairs(f"--www={www}")
    for request in (
        ask("GET", "/static/a.txt", host="evil.example"),
        ask("GET", "/static/a.txt", f"Origin: {EVIL}"),
    ):
        theirs, ours = pair.both(request)
        assert (theirs.status, theirs.body) == (200, b"hello")
        assert ours.status == 403


@proves("static-symlink")
def test_static_symlink(pairs: Pairs, www: Path) -> None:
    request = ask("GET", "/static/link.txt")
    theirs, ours = pairs(f"--www={www}").both(request)
    assert (theirs.status, theirs.body) == (200, b"secret")
    assert ours.status == 404


@proves("close-notify")
def test_stream_without_close_notify(plain: Pair) -> None:
    script = hangs_up(b"HTTP/1.1 200 OK\r\nContent-Type: a/b\r\n\r\nabc")
    theirs, ours = plain.both(ask("GET", "/api"), script)
    assert theirs.reply is not None
    assert (theirs.body, theirs.reply.whole) == (b"abc", True)
    assert ours.reply is None or not ours.reply.whole


@pytest.mark.parametrize("host", ["[::1]:8001", "LOCALHOST", "localhost.", "Localhost:8001"])
@proves("host-spelling")
def test_host_spelling(plain: Pair, host: str) -> None:
    theirs, ours = plain.both(ask("GET", "/api", host=host))
    assert verdict(theirs) == (403, [])
    assert verdict(ours) == UNCHANGED


@proves("root-path")
def test_root_path(pairs: Pairs) -> None:
    theirs, ours = pairs("--accept-paths=^/.*").both(ask("GET", "/"))
    assert verdict(theirs) == (403, [])
    assert verdict(ours) == (200, ["/"])


@proves("page")
def test_the_root_in_a_browser(plain: Pair) -> None:
    theirs, ours = plain.both(ask("GET", "/", "Accept: text/html,*/*;q=0.8"))
    assert verdict(theirs) == (200, ["/"])
    assert verdict(ours) == (200, [])


@proves("dots-between-contexts")
def test_dot_segments_between_contexts(plain: Pair) -> None:
    theirs, ours = plain.both(ask("GET", "/clusters/a/../b/api"))
    assert theirs.moved == ["/clusters/b/api"]
    assert verdict(ours) == (400, [])


@proves("unclean-encoded")
def test_unclean_and_encoded(plain: Pair) -> None:
    for escape in ("%2F", "%20"):
        theirs, ours = plain.both(ask("GET", f"/a{escape}b//c"))
        assert theirs.moved == [f"/a%25{escape[1:]}b/c"]
        assert ours.moved == [f"/a{escape}b/c"]


@proves("proxy-slashes")
def test_slashes_behind_proxy(plain: Pair) -> None:
    base = "/api/v1/namespaces/shop/services/web/proxy"
    theirs, ours = plain.both(ask("GET", f"{base}//a//b"))
    assert theirs.moved == [f"{base}/a/b"]
    assert verdict(ours) == (200, [f"{base}//a//b"])
    theirs, ours = plain.both(ask("GET", f"{base}/a%2Fb//c"))
    assert theirs.moved == [f"{base}/a%252Fb/c"]
    assert verdict(ours) == (200, [f"{base}/a%2Fb//c"])


@proves("prefix-encoded")
def test_encoded_behind_a_prefix(pairs: Pairs) -> None:
    theirs, ours = pairs("--api-prefix=/custom/").both(ask("GET", "/custom/a%2Fb"))
    assert verdict(theirs) == (200, ["/a/b"])
    assert verdict(ours) == (200, ["/a%2Fb"])


@pytest.mark.parametrize("method", ["FOO", "get", "BREW"])
@proves("unknown-method")
def test_unknown_method(plain: Pair, method: str) -> None:
    theirs, ours = plain.both(ask(method, "/api"))
    assert verdict(theirs) == UNCHANGED
    assert verdict(ours) == (400, [])


@pytest.mark.parametrize(
    ("target", "forwarded"),
    [
        ('/a|b<c>"^`{}', "/a%7Cb%3Cc%3E%22%5E%60%7B%7D"),
        ("/größe?q=ä|", "/gr%C3%B6%C3%9Fe?q=ä|"),
        pytest.param("/\udcff?\udcff", "/%FF?\udcff", id="no UTF-8"),
    ],
)
@proves("raw-bytes")
def test_raw_bytes(plain: Pair, target: str, forwarded: str) -> None:
    request = Ask(
        f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode("utf-8", "surrogateescape")
    )
    theirs, ours = plain.both(request)

    def seen(way: Through) -> list[str]:
        return [t.encode("latin-1").decode("utf-8", "surrogateescape") for t in way.targets]

    assert (theirs.status, seen(theirs)) == (200, [forwarded])
    assert (ours.status, seen(ours)) == (200, [target])


@proves("fragment")
def test_fragment_in_a_target(plain: Pair) -> None:
    theirs, ours = plain.both(ask("GET", "/a#b"))
    assert verdict(theirs) == (200, ["/a%23b"])
    assert verdict(ours) == (400, [])


@proves("absolute-empty")
def test_absolute_target_without_a_path(plain: Pair) -> None:
    theirs, ours = plain.both(ask("GET", "http://localhost?a"))
    assert (theirs.moved, theirs.targets) == (["/?a"], [])
    assert verdict(ours) == (200, ["/?a"])


@pytest.mark.parametrize("scheme", ["https", "ftp"])
@proves("absolute-scheme")
def test_absolute_target_of_another_scheme(plain: Pair, scheme: str) -> None:
    theirs, ours = plain.both(ask("GET", f"{scheme}://localhost/api"))
    assert verdict(theirs) == UNCHANGED
    assert verdict(ours) == (400, [])


@proves("empty-line")
def test_empty_line_before_a_request(plain: Pair) -> None:
    theirs, ours = plain.both(Ask(b"\r\n" + ask("GET", "/api").data))
    assert verdict(theirs) == (400, [])
    assert verdict(ours) == UNCHANGED


@proves("minor-version")
def test_a_later_minor_version(plain: Pair) -> None:
    theirs, ours = plain.both(ask("GET", "/api", version="1.2"))
    assert verdict(theirs) == UNCHANGED
    assert verdict(ours) == (400, [])


@pytest.mark.parametrize("coding", ["gzip, chunked", "identity"])
@proves("transfer-coding")
def test_other_transfer_codings(plain: Pair, coding: str) -> None:
    text = f"{HEAD}Transfer-Encoding: {coding}\r\n\r\n"
    theirs, ours = plain.both(Ask(text.encode()))
    assert verdict(theirs) == (501, [])
    assert verdict(ours) == (400, [])


@proves("many-fields")
def test_many_fields(plain: Pair) -> None:
    theirs, ours = plain.both(ask("GET", "/api", *[f"X-{i}: 1" for i in range(300)]))
    assert verdict(theirs) == UNCHANGED
    assert verdict(ours) == (431, [])


@proves("request-trailers")
def test_request_trailers(plain: Pair) -> None:
    request = ask("POST", "/api", "Trailer: X-T", chunks=(b"abc",), trailers="X-T: 1\r\n")
    theirs, ours = plain.both(request)
    assert (theirs.sent("trailer"), theirs.received[0].trailers) == (["X-T"], ())
    assert (ours.sent("trailer"), ours.received[0].trailers) == ([], ())


EXEC = "/api/v1/namespaces/shop/pods/web/exec"


@proves("filter-refusal")
def test_refusal_of_the_filter(plain: Pair) -> None:
    theirs, ours = plain.both(ask("GET", EXEC))
    assert (theirs.status, theirs.body) == (403, b"Forbidden\n")
    status = status_of(ours)
    assert status["reason"] == "Forbidden"
    assert "--reject-paths" in str(status["message"])
    _, ours = plain.both(ask("GET", EXEC, "Accept: text/plain, */*"))
    assert ours.values("content-type") == ["text/plain; charset=utf-8"]
    assert ours.body.startswith(b"Forbidden\n")


def test_refusal_of_the_filter_keeps_the_connection(plain: Pair) -> None:
    theirs, ours = plain.both(ask("GET", EXEC))
    assert theirs.reply is not None
    assert ours.reply is not None
    assert not ours.reply.closes
    assert not theirs.reply.closes


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that nobody listens on, and that nobody else gets."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@proves("refused")
def test_refused_connection(pairs: Pairs, authority: Authority, closed_port: int) -> None:
    config = kubeconfig(f"https://127.0.0.1:{closed_port}", authority, user={"token": TOKEN})
    theirs, ours = pairs(config=config).both(ask("GET", "/api"))
    assert theirs.status == 500
    assert b"connection refused" in theirs.body
    assert ours.status == 502
    assert "refused" in str(status_of(ours))


@proves("reset")
def test_connection_that_ends_without_an_answer(plain: Pair) -> None:
    theirs, ours = plain.both(ask("GET", "/api"), hangs_up())
    assert (theirs.status, theirs.body) == (500, b"EOF\n")
    assert ours.status == 502
    status_of(ours)


@proves("bad-answer")
def test_answer_that_is_not_http(plain: Pair) -> None:
    theirs, ours = plain.both(ask("GET", "/api"), hangs_up(b"SSH-2.0-x\r\n\r\n"))
    assert theirs.status == 500
    assert b"malformed HTTP" in theirs.body
    assert ours.status == 502
    status_of(ours)


@proves("tls-failure")
def test_certificate_of_another_authority(pairs: Pairs, upstream: RecordingUpstream) -> None:
    config = kubeconfig(upstream.url, Authority(), user={"token": TOKEN})
    theirs, ours = pairs(config=config).both(ask("GET", "/api"))
    assert theirs.status == 500
    assert b"unknown authority" in theirs.body
    assert ours.status == 502
    assert "certificate" in str(status_of(ours)["message"])
    assert theirs.received == ours.received == ()


@proves("slow")
def test_handshake_that_does_not_end(pairs: Pairs, authority: Authority) -> None:
    # Ten seconds on both sides, at the same time.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}"
        pair = pairs(config=kubeconfig(url, authority, user={"token": TOKEN}))
        theirs: list[Through] = []
        other = threading.Thread(
            target=lambda: theirs.append(pair.through_kubectl(ask("GET", "/api")))
        )
        other.start()
        ours = pair.through_kubelatch(ask("GET", "/api"))
        other.join()
    assert (theirs[0].status, theirs[0].body) == (500, b"net/http: TLS handshake timeout\n")
    assert ours.status == 504
    status_of(ours)


@proves("no-credential")
def test_no_credential(pairs: Pairs, authority: Authority, upstream: RecordingUpstream) -> None:
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "/bin/false",
        "interactiveMode": "Never",
    }
    config = kubeconfig(upstream.url, authority, user={"exec": plugin})
    theirs, ours = pairs(config=config).both(ask("GET", "/api"))
    assert theirs.status == 500
    assert b"getting credentials" in theirs.body
    assert ours.status == 503
    assert "/bin/false" in str(status_of(ours)["message"])
    assert theirs.received == ours.received == ()


@proves("redirect-body")
def test_body_of_redirects(plain: Pair) -> None:
    theirs, ours = plain.both(ask("GET", "//api"))
    assert theirs.body.startswith(b'<a href="/api">')
    assert ours.body == b""


@proves("no-type")
def test_answer_without_content_type(plain: Pair) -> None:
    request = ask("GET", "/", answer=b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>")
    theirs, ours = plain.both(request)
    assert theirs.values("content-type") == ["text/html; charset=utf-8"]
    assert ours.values("content-type") == []


@proves("static-method")
def test_static_methods(pairs: Pairs, www: Path) -> None:
    pair = pairs(f"--www={www}")
    theirs, ours = pair.both(ask("GET", "/static/README"))
    assert theirs.values("content-type") == ours.values("content-type")
    theirs, ours = pair.both(ask("POST", "/static/a.txt", body=b"x"))
    assert (theirs.status, ours.status) == (200, 405)


@proves("user-agent")
def test_user_agent(plain: Pair) -> None:
    theirs, ours = plain.both(ask("GET", "/api"))
    assert theirs.sent("user-agent")[0].startswith("kubectl/v")
    assert ours.sent("user-agent")[0].startswith("kubelatch/")


@proves("name-case")
def test_case_of_names(plain: Pair) -> None:
    theirs, ours = plain.both(ask("GET", "/api", "x-mIne: 1"))
    assert b"X-Mine: 1" in theirs.received[0].head
    assert b"x-mIne: 1" in ours.received[0].head


@proves("not-modified-type")
def test_type_of_not_modified(plain: Pair) -> None:
    request = ask("GET", "/api", answer=b"HTTP/1.1 304 X\r\nContent-Type: a/b\r\n\r\n")
    theirs, ours = plain.both(request)
    assert theirs.values("content-type") == []
    assert ours.values("content-type") == ["a/b"]


@proves("expect")
def test_expect_continue(plain: Pair) -> None:
    theirs, ours = plain.both(ask("POST", "/api", "Expect: 100-continue", body=b"abc"))
    assert theirs.reply is not None
    assert ours.reply is not None
    assert (theirs.reply.informational, ours.reply.informational) == ((100,), ())
    assert verdict(theirs) == verdict(ours) == UNCHANGED
    assert theirs.received[0].body == ours.received[0].body == b"abc"


@proves("expect-other")
def test_other_expectations(plain: Pair) -> None:
    theirs, ours = plain.both(ask("GET", "/api", "Expect: wonders"))
    assert (theirs.status, theirs.body) == (417, b"")
    assert ours.status == 417
    status_of(ours)


@pytest.mark.parametrize(
    "data",
    [
        ask("GET", "/a%zz").data,
        ask("GET", "/a b").data,
        ask("GET", "/api", host=None).data,
        ask("GET", "/api", "Host: localhost").data,
        ask("POST", "/api", "Content-Length: 4", body=b"abc").data,
        ask("GET", "/api", "X : a").data,
        ask("GET", "/api", "X: a\0b").data,
        b"\x16\x03\x01\x02\r\n\r\n",
    ],
    ids=["escape", "space", "no host", "two hosts", "lengths", "space in name", "NUL", "TLS"],
)
@proves("bad-request")
def test_bad_requests(plain: Pair, data: bytes) -> None:
    theirs, ours = plain.both(Ask(data))
    assert verdict(theirs) == (400, [])
    assert theirs.body.startswith(b"400 Bad Request")
    assert verdict(ours) == (400, [])
    assert status_of(ours)["reason"] == "BadRequest"


def test_options_asterisk_is_answered_by_the_proxy(plain: Pair) -> None:
    theirs, ours = plain.both(ask("OPTIONS", "*"))
    assert verdict(ours) == verdict(theirs) == (200, [])
    assert ours.body == theirs.body == b""


def test_other_major_versions_are_refused(plain: Pair) -> None:
    theirs, ours = plain.both(ask("GET", "/api", version="2.0"))
    assert verdict(ours) == verdict(theirs) == (505, [])


def test_http_0_9_is_refused(pairs: Pairs) -> None:
    theirs, ours = pairs("--accept-hosts=.*").both(Ask(b"GET /api\r\n\r\n"))
    assert verdict(ours) == verdict(theirs) == (400, [])


def test_broken_chunks_of_a_request_are_answered(plain: Pair) -> None:
    text = f"{HEAD}Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n"
    theirs, ours = plain.both(Ask(text.encode()))
    # Which status depends on how far the request had got; that there is an end does not.
    assert theirs.status in {400, 500, 502}
    assert ours.status == 400


def test_bad_requests_do_not_tell_of_the_software(plain: Pair) -> None:
    theirs, ours = plain.both(ask("GET", "/a b"))
    assert ours.values("server") == theirs.values("server") == []
