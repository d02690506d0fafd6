"""Browsers: whose pages may use the proxy."""

from typing import Any

import pytest

from kubelatch.gate import Allowed, Decision

from .asking import allowed, answered, decide, refused

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


def test_a_preflight_of_an_accepted_origin_is_answered_here() -> None:
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


def test_a_preflight_cannot_smuggle_into_the_answer() -> None:
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
