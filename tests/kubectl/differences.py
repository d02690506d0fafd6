"""Where kubelatch means to differ from kubectl proxy: all of it, and nothing else.

Each row is proven by a test that asserts both sides, so that it shows when either changes. What
is not in here is the same, and the other tests of this directory say so.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

F = TypeVar("F", bound=Callable[..., object])


@dataclass(frozen=True)
class Difference:
    """One row.

    Attributes:
        id: named by the test that proves it, with ``@proves``.
        page: the first cell of the row in docs/differences.md, or its beginning; empty if it is
            too small a matter for that page.
        kubectl: what kubectl proxy does.
        kubelatch: what kubelatch does.
    """

    id: str
    page: str
    kubectl: str
    kubelatch: str


def proves(*ids: str) -> Callable[[F], F]:
    """Marks the test that proves these rows."""
    for row in ids:
        if row not in DIFFERENCES:
            msg = f"no such difference: {row}"
            raise LookupError(msg)
    return lambda test: test


def _rows(*rows: tuple[str, str, str, str]) -> dict[str, Difference]:
    return {row[0]: Difference(*row) for row in rows}


DIFFERENCES: Final = _rows(
    # Safety
    ("web-page", "a web page", "let through with the credentials", "403"),
    ("web-socket-of-page", "a web page", "tunnelled", "403"),
    ("service-worker", "service workers of applications", "installed", "403"),
    ("origin-wide", "`Service-Worker-Allowed`, `Clear-Site-Data`", "passed on", "dropped"),
    ("orders-to-front", "`X-Accel-Redirect`, `X-Sendfile`", "passed on", "dropped"),
    ("impersonation", "`Impersonate-*` from a client", "replaces or joins that of --as", "403"),
    ("impersonation-spelled-oddly", "", "Impersonate_User passes", "403"),
    ("x-remote", "`X-Remote-User`", "passed on", "dropped"),
    ("trace", "`TRACE`, `CONNECT`", "forwarded", "405"),
    ("connect", "`TRACE`, `CONNECT`", "forwarded if the target is a path, else 404", "405"),
    ("oidc-http", "OIDC refresh over plain http", "the tokens go in the clear", "refused"),
    ("plugin-stderr", "what an exec plugin writes", "shown as it is", "redacted and escaped"),
    ("encoded-dots", "encoded dot segments", "forwarded as sent", "400"),
    ("backslash", "encoded dot segments", "forwarded, encoded", "400"),
    ("control-bytes", "encoded dot segments", "forwarded as sent", "400"),
    ("encoded-twice", "encoded dot segments", "forwarded as sent", "400"),
    ("encoded-slash-beside-slash", "encoded dot segments", "forwarded as sent", "400"),
    ("dots-between-contexts", "dot segments that lead into", "redirected", "400"),
    ("upgrade-unverified", "upgrade with a token and no CA", "the token goes to anyone", "502"),
    ("other-upgrade", "`Upgrade: h2c`", "500, or tunnelled", "served plainly"),
    ("other-101", "101 for another protocol", "tunnelled", "502"),
    ("upgrade-body", "upgrade request with a body", "forwarded", "400"),
    ("upgrade-method", "", "a WebSocket may begin with POST", "400"),
    ("static-host", "static files", "outside the host filter", "behind it"),
    ("static-page", "static files", "read by any page", "403"),
    ("static-symlink", "static files", "followed anywhere", "followed inside the tree"),
    ("socket-taken", "unix socket of a running proxy", "taken over", "refused, exit 1"),
    ("abstract-socket", "abstract unix socket", "let through", "403, but for --clients"),
    ("service-hosts", "services by host name", "there are none", "--service-hosts"),
    ("client-tls", "https for clients", "there is none", "--tls"),
    ("host-malformed", "", "judged by the patterns", "400 if it is no host and port"),
    ("userinfo", "", "http://user@host/ is accepted", "400"),
    (
        "absolute-host",
        "an absolute target",
        "Host is ignored beside an absolute target",
        "both are judged",
    ),
    ("two-authorizations", "more than one `Authorization`", "both forwarded", "400"),
    ("named-away", "`Connection: authorization`", "dropped, and its own added", "400"),
    (
        "clients-token",
        "a client's own token while the kubeconfig",
        "sent beside the certificate",
        "sent on a connection without it",
    ),
    ("websocket-token", "", "joined by the kubeconfig's token", "goes alone"),
    ("framing-twice", "ambiguous framing", "Content-Length beside chunked is dropped", "400"),
    ("length-twice", "ambiguous framing", "two equal lengths are one", "400"),
    ("old-chunked", "ambiguous framing", "HTTP/1.0 with Transfer-Encoding is read", "400"),
    ("line-ends", "ambiguous framing", "bare LF ends a line", "400"),
    ("folded", "ambiguous framing", "a folded line is joined", "400"),
    # Correctness
    ("early-bytes", "bytes sent right after an upgrade", "lost", "delivered"),
    ("half-close", "one side of a tunnel closes", "both sides close", "the other goes on"),
    ("close-notify", "stream cut without TLS close_notify", "looks complete", "cut"),
    ("host-spelling", "`Host: [::1]:8001`", "403", "accepted"),
    (
        "redirect-away",
        "a redirect to the API server's own address",
        "leads there",
        "leads back to the proxy",
    ),
    ("root-path", "path `/` in `--accept-paths`", "an empty string", "a slash"),
    ("page", "`/` in a browser", "the API server's JSON", "a page for people"),
    ("unclean-encoded", "", "escapes in a cleaned path are escaped again", "kept"),
    ("proxy-slashes", "`//` and `%2F` behind a `/proxy/`", "redirected", "byte for byte"),
    ("prefix-encoded", "`%2F` with `--api-prefix`", "decoded", "kept"),
    ("upgrade-encoded", "`%2F` with `--api-prefix`", "decoded below a path", "kept"),
    ("upgrade-substring", "`Connection: x-upgrade-y`", "taken for an upgrade", "plain"),
    ("unknown-method", "methods unknown to HTTP", "forwarded", "400"),
    ("raw-bytes", "", '|, ", <, >, ^, `, {, } and bytes beyond ASCII are encoded', "as they are"),
    ("fragment", "", "# in a target is encoded", "400"),
    ("absolute-empty", "", "http://localhost is redirected to /", "is /"),
    ("absolute-scheme", "", "any scheme is served", "http only, else 400"),
    ("empty-line", "", "an empty line before a request: 400", "skipped"),
    ("minor-version", "", "HTTP/1.2 is served", "400"),
    ("transfer-coding", "", "501 for codings but chunked", "400"),
    (
        "many-fields",
        "more than 256 header fields",
        "any number of fields up to 1 MiB",
        "431 beyond 256",
    ),
    ("request-trailers", "", "announced, and not sent", "neither"),
    # Responses
    ("filter-refusal", "refused by the filter", "403 as text", "403 as Status or text"),
    ("refused", "API server refuses, resets", "500 with Go's text", "502 Status"),
    ("reset", "API server refuses, resets", "500 EOF", "502 Status"),
    ("tls-failure", "API server refuses, resets", "500 with Go's text", "502 Status"),
    ("bad-answer", "API server refuses, resets", "500 with Go's text", "502 Status"),
    ("upgrade-answered", "API server refuses, resets", "500 to an upgrade answered 200", "502"),
    ("slow", "API server too slow", "500", "504"),
    ("no-credential", "no credential available", "500", "503"),
    ("redirect-body", "redirects for path cleaning", "HTML", "no body"),
    ("no-type", "response without `Content-Type`", "one is guessed", "none is added"),
    ("static-method", "POST for a static file", "POST is GET", "405"),
    ("unbuffered", "watches, logs and proxied", "nothing added", "X-Accel-Buffering: no"),
    ("user-agent", "`User-Agent` of clients", "kubectl/…", "kubelatch/…"),
    ("name-case", "case of header names", "made canonical", "kept"),
    ("not-modified-type", "", "304 loses Content-Type", "keeps it"),
    ("expect", "`Expect: 100-continue`", "answers 100 itself", "relays the API server's"),
    ("expect-other", "", "417 without a body", "417 Status"),
    ("bad-request", "", "400 as text", "400 Status"),
    # Lifecycle
    ("signals", "SIGTERM, SIGINT", "dies at once", "finishes, exit 0"),
    ("hangup", "SIGHUP", "dies", "reads its files again; at a terminal, ends as for SIGTERM"),
    ("handshake-cut", "a TLS handshake that is cut", "500 EOF", "dialled once more"),
    ("silent-connection", "a reused connection that brings nothing", "waits", "GET sent again"),
    (
        "protocol",
        "connections to the API server",
        "HTTP/2 for everything",
        "HTTP/2 for watches, HTTP/1.1 for the rest",
    ),
    (
        "unknown-word",
        "an argument that is no flag",
        "ignored",
        "exit 2 where a command could stand",
    ),
    ("watch-at-stop", "a watch when the proxy is stopped", "cut", "ended between two events"),
    (
        "silent-client",
        "a client that connects, or begins a request, and sends no more",
        "waits",
        "ended",
    ),
    ("silent-server", "API server that takes a request and never responds", "waits", "504"),
    ("contexts", "more than one context", "one for each process", "--contexts"),
    ("kubeconfig-edited", "kubeconfig edited", "not noticed", "followed"),
    ("kubeconfig-missing", "missing kubeconfig", "serves, all requests fail", "exit 2"),
    ("no-credentials", "kubeconfig without credentials", "asks for a user name", "anonymous"),
    ("plugin-browser", "an exec plugin that has ended", "waits for the browser", "goes on"),
    ("bad-pattern", "bad regular expression, bad prefix", "exit 255", "one line, exit 2"),
    ("bad-prefix", "bad regular expression, bad prefix", "panic, exit 2", "one line, exit 2"),
    ("socket-left", "unix socket file at exit", "left", "removed"),
    ("exit-codes", "exit codes", "1", "2 for usage"),
    ("requests-logged", "requests", "nothing is said of a refusal", "one line each"),
    ("address-v6", "`--address=::1`", "--address=::1 fails", "is [::1]"),
)
