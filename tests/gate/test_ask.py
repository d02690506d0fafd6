"""--ask: what the policies stop is held, and nothing else is."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubelatch.gate import Allowed, Held, Refusal
from kubelatch.secret import Secret

from .support import decide, refused
from .test_rules import rule, rules, urls

ROLE = rules(
    {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "r"},
        "rules": [rule("get list", "pods"), urls("get", "/api /apis")],
    }
)
ASKABLE = {"read-only", "allow-rules"}

METHODS = st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
TARGETS = st.sampled_from(
    [
        "/",
        "/api",
        "//api",
        "/version",
        "/static/file",
        "/api/v1/namespaces/x/pods",
        "/api/v1/namespaces/x/pods?dryRun=All",
        "/api/v1/namespaces/x/pods/p",
        "/api/v1/namespaces/x/pods/p/exec?command=sh",
        "/api/v1/namespaces/x/pods/p/portforward",
        "/api/v1/namespaces/x/services/s/proxy/a//b",
        "/api/v1/namespaces/x/services/s/proxy/a",
        "/api/v1/namespaces/x/secrets/%2e%2e/pods",
        "/api/v1/secrets?" + "a&" * 1001,
        "/apis/apps/v1/namespaces/x/deployments/web/scale",
        "/private/thing",
        "*",
    ]
)
FIELDS = st.lists(
    st.sampled_from(
        [
            ("Origin", "http://evil.example"),
            ("Origin", "http://good.example"),
            ("Sec-Fetch-Site", "cross-site"),
            ("Authorization", "Bearer right"),
            ("Authorization", "Bearer wrong"),
            ("Impersonate-User", "root"),
            ("Impersonate_User", "root"),
            ("X-Remote-User", "root"),
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Upgrade", "SPDY/3.1"),
            ("Content-Length", "3"),
            ("Transfer-Encoding", "chunked"),
            ("Connection", "authorization"),
            ("Accept", "text/html"),
        ]
    ),
    max_size=4,
    unique=True,
)
SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "reject_paths": st.just(("^/private",)),
        "reject_methods": st.just(("DELETE",)),
        "disable_filter": st.just(True),
        "client_token": st.just(Secret("right")),
        "client_auth": st.just("refuse"),
        "impersonation_configured": st.just(True),
        "accept_origins": st.just(("http://good.example",)),
        "www_prefix": st.just("/static/"),
        "shares_origin": st.just(True),
    },
)
POLICIES = st.sampled_from(
    [
        {"read_only": "on"},
        {"read_only": "with-secrets"},
        {"allow_rules": ROLE},
        {"read_only": "on", "allow_rules": ROLE},
    ]
)
HOSTS = st.sampled_from(["127.0.0.1:8001", "evil.example"])


@given(METHODS, TARGETS, FIELDS, SETTINGS, POLICIES, HOSTS)
def test_only_what_a_policy_refuses_is_held_and_as_it_would_be_allowed_without_it(
    method: str,
    target: str,
    fields: list[tuple[str, str]],
    settings: dict[str, Any],
    policy: dict[str, Any],
    host: str,
) -> None:
    without = decide(method, target, *fields, host=host, **settings, **policy)
    asked = decide(method, target, *fields, host=host, **settings, **policy, ask=True)
    if not isinstance(asked, Held):
        assert asked == without
        # Of what can be read in two ways, nothing is held.
        if isinstance(without, Refusal) and without.rule in ASKABLE:
            assert "//" in target
        return
    assert "//" not in target
    assert asked.refusal == without
    assert asked.refusal.rule in ASKABLE
    open_ = decide(method, target, *fields, host=host, **settings)
    assert isinstance(open_, Allowed)
    assert asked.allowed._replace(info=None) == open_


@given(METHODS, TARGETS, FIELDS, SETTINGS, HOSTS)
def test_without_a_policy_nothing_is_held(
    method: str,
    target: str,
    fields: list[tuple[str, str]],
    settings: dict[str, Any],
    host: str,
) -> None:
    asked = decide(method, target, *fields, host=host, **settings, ask=True)
    assert asked == decide(method, target, *fields, host=host, **settings)


@pytest.mark.parametrize(
    ("method", "target", "settings"),
    [
        ("DELETE", "/api/v1/namespaces/x/pods/p", {"read_only": "on"}),
        ("GET", "/api/v1/namespaces/x/secrets/s", {"read_only": "on"}),
        ("GET", "/api/v1/secrets?watch=true", {"read_only": "on"}),
        ("GET", "/version", {"allow_rules": ROLE}),
        ("GET", "/api/v1/namespaces/x/services/s/proxy/a", {"allow_rules": ROLE}),
    ],
)
def test_what_is_held(method: str, target: str, settings: dict[str, Any]) -> None:
    held = decide(method, target, **settings, ask=True)
    assert isinstance(held, Held)
    assert held.allowed.target.raw == target


def test_a_proxied_page_below_a_context_is_refused_and_not_asked_about() -> None:
    target = "/api/v1/namespaces/x/services/s/proxy/a"
    page = ("Accept", "text/html")
    decision = decide("GET", target, page, read_only="on", ask=True, shares_origin=True)
    refused(decision, "proxied-page")


def test_what_can_be_read_in_two_ways_is_not_held() -> None:
    target = "/api/v1/namespaces/x/services/s/proxy/a//b"
    refused(decide("GET", target, read_only="on", ask=True), "read-only")


def test_headers_for_a_page_that_is_let_in_come_with_either_decision() -> None:
    held = decide(
        "DELETE",
        "/api/v1/namespaces/x/pods/p",
        ("Origin", "http://good.example"),
        read_only="on",
        ask=True,
        accept_origins=("http://good.example",),
    )
    assert isinstance(held, Held)
    allowed = ("Access-Control-Allow-Origin", "http://good.example")
    assert allowed in held.allowed.response_headers
    assert allowed in held.refusal.headers
