"""Browsers: whose pages may use the proxy."""

from typing import Any

import pytest

from kubelatch.gate import Allowed, Decision, Static
from kubelatch.secret import Secret

from .support import allowed, answered, decide, refused

UPGRADE = [("Connection", "Upgrade"), ("Upgrade", "websocket")]
UI = "http://localhost:3000"


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([], id="not a browser"),
        pytest.param([("Sec-Fetch-Site", "none"), ("Sec-Fetch-Mode", "navigate")], id="typed in"),
        pytest.param([("Sec-Fetch-Site", "same-origin")], id="our own page"),
        pytest.param([("Origin", "http://127.0.0.1:8001")], id="our own page writes"),
        pytest.param(
            [("Origin", "http://127.0.0.1:8001"), ("Sec-Fetch-Site", "same-origin"), *UPGRADE],
            id="our own page opens a websocket",
        ),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_user_and_our_own_pages_may(method: str, headers: list[tuple[str, str]]) -> None:
    if method == "HEAD" and UPGRADE[0] in headers:
        headers = headers[:2]
    assert not allowed(decide(method, "/api", *headers)).response_headers


@pytest.mark.parametrize(
    ("headers", "rule"),
    [
        ([("Origin", "http://evil.example")], "origin"),
        ([("Origin", "http://evil.example"), *UPGRADE], "origin"),
        ([("Origin", "null")], "origin"),
        ([("Origin", "")], "origin"),
        pytest.param([("Origin", "https://127.0.0.1:8001")], "origin", id="another scheme"),
        pytest.param([("Origin", "http://127.0.0.1")], "origin", id="another port"),
        pytest.param([("Origin", "http://localhost:8001")], "origin", id="another name"),
        pytest.param([("Origin", "http://127.0.0.1:8001.evil.example")], "origin", id="longer"),
        pytest.param([("Origin", "http://127.0.0.1:8001")] * 2, "origin", id="two origins"),
        ([("Sec-Fetch-Site", "cross-site")], "fetch-site"),
        pytest.param([("Sec-Fetch-Site", "same-site")], "fetch-site", id="another local port"),
        ([("Sec-Fetch-Site", "")], "fetch-site"),
        pytest.param(
            [("Origin", "https://127.0.0.1:8001"), ("X-Forwarded-Proto", "http")],
            "origin",
            id="another scheme, and TLS is not ended in front",
        ),
        pytest.param(
            [("Origin", "http://127.0.0.1:8001"), ("X-Forwarded-Proto", "https")],
            "origin",
            id="TLS ended in front, and the page came without",
        ),
        pytest.param(
            [("Origin", "https://127.0.0.1"), ("X-Forwarded-Proto", "https")],
            "origin",
            id="TLS ended in front, of another port",
        ),
        pytest.param(
            [("Origin", "http://127.0.0.1:8001"), ("Sec-Fetch-Site", "cross-site")],
            "fetch-site",
            id="a namesake, behind a front proxy that rewrites Host",
        ),
        pytest.param(
            [("Origin", "null"), ("Sec-Fetch-Site", "cross-site")], "origin", id="a sandbox"
        ),
        pytest.param(
            [("Origin", "null"), ("Sec-Fetch-Site", "same-origin"), ("Origin", "null")],
            "origin",
            id="two origins in spite of the site",
        ),
        pytest.param(
            [("Origin", UI), ("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Site", "cross-site")],
            "origin",
            id="two sites",
        ),
        ([("Sec-Fetch-Site", "none"), ("Sec-Fetch-Site", "cross-site")], "fetch-site"),
        pytest.param(
            [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate")],
            "fetch-site",
            id="a link on another site",
        ),
    ],
)
@pytest.mark.parametrize("settings", [{}, {"disable_filter": True}, {"unix_socket": True}])
def test_other_pages_may_not(
    headers: list[tuple[str, str]], rule: str, settings: dict[str, Any]
) -> None:
    refused(decide("GET", "/api", *headers, **settings), rule)


SAME = ("Sec-Fetch-Site", "same-origin")


@pytest.mark.parametrize(
    ("headers", "host"),
    [
        pytest.param([("Origin", "null"), SAME], "localhost:8001", id="a form without referrer"),
        pytest.param(
            [("Origin", "http://localhost:5173"), SAME], "localhost:8001", id="Host is rewritten"
        ),
        pytest.param(
            [("Origin", "http://localhost:8080"), SAME], "localhost", id="Host loses its port"
        ),
        pytest.param(
            [("Origin", "https://dash.example"), SAME], "dash.example", id="TLS ended in front"
        ),
        # Chromium's WebSockets bring no Sec-Fetch fields, nor does Safari before 16.4.
        pytest.param(
            [("Origin", "https://dash.example"), ("X-Forwarded-Proto", "https"), *UPGRADE],
            "dash.example",
            id="a websocket, TLS ended in front",
        ),
        pytest.param(
            [("Origin", "https://dash.example"), ("X-Forwarded-Proto", "https"), *UPGRADE],
            "dash.example:443",
            id="a websocket, Host with the default port",
        ),
        pytest.param([("Origin", "http://localhost")], "localhost:80", id="port 80"),
        pytest.param(
            [("Origin", "https://dash.example"), ("X-Forwarded-Proto", "wss"), *UPGRADE],
            "dash.example",
            id="a websocket, TLS ended by Traefik",
        ),
    ],
)
@pytest.mark.parametrize("settings", [{}, {"disable_filter": True}])
def test_our_own_page_may_though_origin_and_host_differ(
    headers: list[tuple[str, str]], host: str, settings: dict[str, Any]
) -> None:
    hosts = ("^localhost$", r"^dash\.example$")
    method = "GET" if UPGRADE[0] in headers else "POST"
    decision = decide(method, "/api", *headers, host=host, accept_hosts=hosts, **settings)
    assert not allowed(decision).response_headers


def test_a_rebound_name_is_refused_before_the_origin_is_checked() -> None:
    refused(decide("POST", "/api", ("Origin", "null"), SAME, host="evil.example"), "accept-hosts")


def test_the_refusal_names_what_a_proxy_in_front_has_to_send() -> None:
    decision = decide(
        "POST", "/api", ("Origin", "https://d.example"), host="d.example", accept_hosts=("d",)
    )
    assert "X-Forwarded-Proto: https" in refused(decision, "origin").hint


@pytest.mark.parametrize(
    ("origin", "host", "tls", "own"),
    [
        ("https://localhost:8001", "localhost:8001", True, True),
        ("https://localhost", "localhost:443", True, True),
        # Whoever is between a browser and an http page writes that page.
        ("http://localhost:8001", "localhost:8001", True, False),
        ("https://localhost:8002", "localhost:8001", True, False),
        ("https://localhost:8001", "localhost:8001", False, False),
    ],
)
def test_our_own_origin_is_https_with_tls(origin: str, host: str, tls: bool, own: bool) -> None:
    decision = decide("POST", "/api", ("Origin", origin), host=host, tls=tls)
    if own:
        allowed(decision)
    else:
        hint = refused(decision, "origin").hint
        assert ("X-Forwarded-Proto" in hint) is (not tls)


LINK = [
    ("Sec-Fetch-Site", "cross-site"),
    ("Sec-Fetch-Mode", "navigate"),
    ("Sec-Fetch-Dest", "document"),
]
APP = "/api/v1/namespaces/shop/services/web:http/proxy/"
CALLBACK: dict[str, Any] = {"accept_navigation": (f"^{APP}auth/callback$",)}


def without(name: str, *more: tuple[str, str]) -> list[tuple[str, str]]:
    return [line for line in LINK if line[0] != name] + [*more]


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize(
    "target", ["auth/callback", "auth/callback?code=x&state=y", "auth/%63allback"]
)
def test_a_navigation_is_let_in_by_its_path(site: str, target: str) -> None:
    fields = without("Sec-Fetch-Site", ("Sec-Fetch-Site", site), ("Sec-Fetch-User", "?1"))
    assert not allowed(decide("GET", APP + target, *fields, **CALLBACK)).response_headers


def test_the_path_of_a_navigation_is_below_the_prefix_and_static_files_keep_theirs() -> None:
    settings: dict[str, Any] = {"api_prefix": "/k8s/", "www_prefix": "/static/"}
    allowed(decide("GET", f"/k8s{APP}auth/callback", *LINK, **settings, **CALLBACK))
    decision = decide("GET", "/static/x", *LINK, **settings, accept_navigation=("^/static/x$",))
    assert isinstance(decision, Static)


@pytest.mark.parametrize(
    ("method", "target", "fields"),
    [
        pytest.param("GET", "auth/callback/x", LINK, id="another path"),
        pytest.param("GET", "x?auth/callback", LINK, id="in the query"),
        pytest.param("GET", "/auth/callback", LINK, id="unclean"),
        pytest.param("HEAD", "auth/callback", LINK, id="HEAD"),
        pytest.param("POST", "auth/callback", LINK, id="POST"),
        pytest.param(
            "GET", "auth/callback", without("Sec-Fetch-Dest"), id="no destination"
        ),
        *(
            pytest.param(
                "GET",
                "auth/callback",
                without("Sec-Fetch-Dest", ("Sec-Fetch-Dest", dest)),
                id=f"destination: {dest}",
            )
            for dest in ("iframe", "frame", "embed", "object", "empty", "image", "script",
                         "Document", "")
        ),
        *(
            pytest.param(
                "GET",
                "auth/callback",
                without("Sec-Fetch-Mode", ("Sec-Fetch-Mode", mode)),
                id=f"mode: {mode}",
            )
            for mode in ("no-cors", "cors", "websocket", "nested-navigate", "")
        ),
        pytest.param(
            "GET", "auth/callback", [*LINK, ("Sec-Fetch-Mode", "cors")], id="two modes"
        ),
        pytest.param(
            "GET", "auth/callback", [*LINK, ("Sec-Fetch-Dest", "iframe")], id="two destinations"
        ),
    ],
)  # fmt: skip
def test_nothing_else_is_let_in_by_that_path(
    method: str, target: str, fields: list[tuple[str, str]]
) -> None:
    refused(decide(method, APP + target, *fields, **CALLBACK), "fetch-site")


def test_a_form_that_another_site_sends_is_no_link() -> None:
    fields = [*LINK, ("Origin", "https://idp.example")]
    for method in ("GET", "POST"):
        refused(decide(method, APP + "auth/callback", *fields, **CALLBACK), "origin")


def test_the_refusal_of_a_link_names_the_flag() -> None:
    link = refused(decide("GET", "/api", *LINK), "fetch-site")
    assert "--accept-navigation" in link.hint
    frame = refused(decide("GET", "/api", *without("Sec-Fetch-Dest")), "fetch-site")
    assert "--accept-navigation" not in frame.hint


@pytest.mark.parametrize(
    ("referer", "passes"),
    [
        ("https://idp.example/", True),
        ("https://idp.example", True),
        ("https://idp.example/login?x=https://a", True),
        ("https://idp.example.evil.example/", False),
        ("https://idp.example@evil.example/", False),
        ("https://evil.example/https://idp.example/", False),
        ("https://evil.example?https://idp.example/", False),
        ("https://idp.example\\@evil.example/", False),
        ("http://idp.example/", False),
        ("https://idp.example:8443/", False),
        ("null", False),
        ("", False),
    ],
)
def test_links_of_a_page_that_is_let_in_are_too(referer: str, passes: bool) -> None:
    settings: dict[str, Any] = {"accept_origins": (r"https://idp\.example", "null")}
    decision = decide("GET", "/api", *LINK, ("Referer", referer), **settings)
    assert isinstance(decision, Allowed) == passes
    frame = without("Sec-Fetch-Dest", ("Sec-Fetch-Dest", "iframe"), ("Referer", referer))
    refused(decide("GET", "/api", *frame, **settings), "fetch-site")


def test_a_navigation_that_is_let_in_still_needs_the_token() -> None:
    decision = decide("GET", APP + "auth/callback", *LINK, client_token=Secret("s"), **CALLBACK)
    refused(decision, "client-token", 401)


@pytest.mark.parametrize("fields", [[], [SAME], [("Origin", "http://127.0.0.1:8001")]])
@pytest.mark.parametrize(
    "settings",
    [{}, {"disable_filter": True}, {"accept_origins": (".*",)}, {"accept_navigation": ("",)}],
)
@pytest.mark.parametrize("target", ["/api", APP + "sw.js", "/static/sw.js"])
def test_a_service_worker_is_refused(
    target: str, fields: list[tuple[str, str]], settings: dict[str, Any]
) -> None:
    fields = [("Service-Worker", "script"), *fields]
    refused(decide("GET", target, *fields, www_prefix="/static/", **settings), "service-worker")


def test_a_page_may_not_learn_which_paths_are_refused() -> None:
    answers = {
        repr(decide("GET", target, ("Origin", "http://evil.example"), www_prefix="/static/"))
        for target in ("/api", "//api", "/static", "/static/x", "/api/v1/pods/p/exec")
    }
    assert len(answers) == 1


def vary(decision: Decision) -> str | None:
    assert isinstance(decision, Allowed)
    return dict(decision.response_headers).get("Vary")


def test_an_accepted_origin_is_granted_what_it_needs_and_no_credentials() -> None:
    decision = allowed(
        decide("GET", "/api", ("Origin", UI), ("Sec-Fetch-Site", "same-site"), accept_origins=(UI,))
    )
    headers = dict(decision.response_headers)
    assert headers["Access-Control-Allow-Origin"] == UI
    assert headers["Vary"] == "Origin"
    assert "Audit-Id" in headers["Access-Control-Expose-Headers"]
    assert "Access-Control-Allow-Credentials" not in headers


def test_a_refusal_can_be_read_by_an_accepted_origin() -> None:
    decision = decide("GET", "/api", ("Origin", UI), accept_origins=(UI,), accept_paths=())
    assert dict(refused(decision, "accept-paths").headers)["Access-Control-Allow-Origin"] == UI


def test_responses_vary_as_soon_as_an_origin_may_be_accepted() -> None:
    assert vary(decide("GET", "/api")) is None
    assert vary(decide("GET", "/api", accept_origins=(UI,))) == "Origin"


@pytest.mark.parametrize(
    ("patterns", "origin", "accepted"),
    [
        ((r"http://localhost:\d+",), "http://localhost:5173", True),
        ((r"http://localhost:\d+",), "http://localhost:5173.evil.example", False),
        ((r"http://localhost:\d+",), "xhttp://localhost:1", False),
        (("localhost",), "http://localhost", False),
        (("http://a|http://b",), "http://b", True),
        (("http://a|http://b",), "http://a.evil.example", False),
        (("^http://a$",), "http://a", True),
        (("http://a", "http://b"), "http://b", True),
        ((".*",), "http://anything.example", True),
        pytest.param((".*", "null"), "null", False, id="null is nobody"),
    ],
)
def test_accept_origins_match_whole_origins(
    patterns: tuple[str, ...], origin: str, accepted: bool
) -> None:
    decision = decide("GET", "/api", ("Origin", origin), accept_origins=patterns)
    assert isinstance(decision, Allowed) == accepted


def test_a_preflight_of_an_accepted_origin_gets_a_local_response() -> None:
    headers = answered(
        decide(
            "OPTIONS",
            "/api/v1/pods",
            ("Origin", UI),
            ("Access-Control-Request-Method", "PATCH"),
            ("Access-Control-Request-Headers", "content-type,x-a"),
            accept_origins=(UI,),
            read_only="on",
        ),
        204,
    )
    assert headers["Access-Control-Allow-Origin"] == UI
    assert "PATCH" in headers["Access-Control-Allow-Methods"]
    assert headers["Access-Control-Allow-Headers"] == "content-type,x-a"
    assert "Access-Control-Request-Method" in headers["Vary"]
    assert "Access-Control-Allow-Credentials" not in headers


def test_a_preflight_cannot_inject_into_the_response() -> None:
    headers = answered(
        decide(
            "OPTIONS",
            "/api",
            ("Origin", UI),
            ("Access-Control-Request-Method", "GET"),
            ("Access-Control-Request-Headers", 'x"; <y>'),
            accept_origins=(UI,),
        ),
        204,
    )
    assert "Access-Control-Allow-Headers" not in headers


def test_other_preflights_are_refused_and_other_options_forwarded() -> None:
    preflight = [("Origin", "http://evil.example"), ("Access-Control-Request-Method", "GET")]
    refused(decide("OPTIONS", "/api", *preflight, accept_origins=(UI,)), "origin")
    allowed(decide("OPTIONS", "/api", ("Origin", UI), accept_origins=(UI,)))
    allowed(decide("OPTIONS", "/api"))
