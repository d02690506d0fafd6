"""--read-only: what may change something, or hand out a credential, does not pass."""

import pytest

from .support import allowed, decide, refused

WEBSOCKET = [("Connection", "Upgrade"), ("Upgrade", "websocket")]
SPDY = [("Connection", "Upgrade"), ("Upgrade", "SPDY/3.1")]
POD = "/api/v1/namespaces/x/pods/p"
REVIEWS = "/apis/authorization.k8s.io/v1"


@pytest.mark.parametrize(
    ("method", "target", "headers"),
    [
        ("GET", "/", []),
        ("GET", "/healthz", []),
        ("HEAD", POD, []),
        ("OPTIONS", "/api", []),
        ("GET", f"{POD}/log?follow=true", []),
        ("GET", "/api/v1/pods?watch=true", []),
        ("GET", "/api/v1/pods?watch=true", WEBSOCKET),
        ("GET", "/api/v1/watch/pods", WEBSOCKET),
        ("GET", "/apis/example.com/v1/secrets", []),
        ("GET", "/api/v1/namespaces/secrets/pods", []),
        ("POST", f"{REVIEWS}/selfsubjectaccessreviews", []),
        ("POST", f"{REVIEWS}/selfsubjectrulesreviews", []),
        ("POST", f"{REVIEWS}/subjectaccessreviews", []),
        ("POST", f"{REVIEWS}/namespaces/x/localsubjectaccessreviews", []),
        ("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", []),
        ("POST", "/apis/authentication.k8s.io/v1/tokenreviews", []),
        ("POST", "/api/v1/namespaces/x/pods?dryRun=All", []),
        ("PATCH", f"{POD}?dryRun=All&dryRun=All&fieldManager=me", []),
        ("PUT", f"{POD}/status?dryRun=All", []),
        ("POST", f"{POD}/eviction?dryRun=All", []),
        ("DELETE", f"{POD}?dryRun=All", []),
        ("DELETE", f"{POD}?dryRun=All", [("Content-Length", "0")]),
    ],
)
def test_what_only_looks_passes(method: str, target: str, headers: list[tuple[str, str]]) -> None:
    allowed(decide(method, target, *headers, read_only="on"))


@pytest.mark.parametrize(
    ("method", "target", "headers"),
    [
        ("POST", "/api/v1/namespaces/x/pods", []),
        ("PUT", POD, []),
        ("PATCH", POD, []),
        ("DELETE", POD, []),
        ("DELETE", "/api/v1/namespaces/x/pods", []),
        ("PURGE", POD, []),
        ("PUT", "/debug/flags/v", []),
        pytest.param("GET", f"{POD}/exec?command=ls", [], id="exec is a GET"),
        ("GET", f"{POD}/exec?command=ls", WEBSOCKET),
        ("POST", f"{POD}/exec?command=ls", SPDY),
        ("POST", f"{POD}/exec?dryRun=All", []),
        ("GET", f"{POD}/attach", WEBSOCKET),
        ("GET", f"{POD}/portforward?ports=80", WEBSOCKET),
        ("GET", f"{POD}/proxy/", []),
        ("GET", f"{POD}/proxy", []),
        ("HEAD", "/api/v1/namespaces/x/services/s/proxy/metrics", []),
        ("GET", "/api/v1/nodes/n/proxy/run/x/p/c?cmd=id", []),
        ("GET", "/api/v1/proxy/nodes/n/logs", []),
        ("GET", "/api/v1/watch/namespaces/x/pods/p/exec", WEBSOCKET),
        ("GET", f"{POD}/log", WEBSOCKET),
        pytest.param(
            "GET",
            "/apis/subresources.kubevirt.io/v1/namespaces/x/virtualmachineinstances/v/console",
            WEBSOCKET,
            id="another server's tunnel",
        ),
        ("GET", "/", WEBSOCKET),
        ("POST", f"{REVIEWS}/selfsubjectaccessreviews/x", []),
        ("PUT", f"{REVIEWS}/selfsubjectaccessreviews", []),
        ("POST", "/apis/example.com/v1/selfsubjectaccessreviews", []),
        ("POST", "/api/v1/namespaces/x/pods?dryRun=None", []),
        ("POST", "/api/v1/namespaces/x/pods?dryRun=All&dryRun=", []),
        ("POST", "/api/v1/namespaces/x/pods?dryRun=All;x", []),
        ("POST", "/api/v1/namespaces/x/pods?dryrun=All", []),
        pytest.param(
            "DELETE",
            f"{POD}?dryRun=All",
            [("Content-Length", "2")],
            id="a delete takes its options from the body",
        ),
        ("DELETE", f"{POD}?dryRun=All", [("Transfer-Encoding", "chunked")]),
        pytest.param(
            "POST",
            "/api/v1/namespaces/x/serviceaccounts/s/token?dryRun=All",
            [],
            id="tokens are issued all the same",
        ),
        (
            "PUT",
            "/apis/subresources.kubevirt.io/v1/namespaces/x/virtualmachines/v/start?dryRun=All",
            [],
        ),
        ("POST", "/healthz?dryRun=All", []),
        ("POST", "/api/v1/watch/pods?dryRun=All", []),
    ],
)
@pytest.mark.parametrize("mode", ["on", "with-secrets"])
def test_what_may_touch_is_refused(
    mode: str, method: str, target: str, headers: list[tuple[str, str]]
) -> None:
    decision = decide(method, target, *headers, read_only=mode, reject_paths=())
    assert "--read-only" in refused(decision, "read-only").hint
    allowed(decide(method, target, *headers, reject_paths=()))


@pytest.mark.parametrize(
    "target",
    [
        "/api/v1/secrets",
        "/api/v1/secrets?watch=1",
        "/api/v1/watch/secrets",
        "/api/v1/namespaces/x/secrets/s",
        "/api/v1/namespaces/x/s%65crets/s",
        "/api/v1/namespaces/x/secrets/s/status",
    ],
)
def test_secrets_are_not_readable_by_default(target: str) -> None:
    refusal = refused(decide("GET", target, read_only="on"), "read-only")
    assert "--read-only=with-secrets" in refusal.hint
    allowed(decide("GET", target, read_only="with-secrets"))


@pytest.mark.parametrize(
    "gateway",
    [
        "/k8s/clusters/c-m-1",
        "/clusters/root:org",
        "/api/v1/api",
        "/apis/example.com/v1/clusters/one/api-server",
    ],
)
def test_an_api_below_a_path_is_judged_as_one(gateway: str) -> None:
    for mode in ("on", "with-secrets"):
        allowed(decide("GET", f"{gateway}/api/v1/namespaces/x/pods", read_only=mode))
        for what in ("services/s/proxy/", "pods/p/exec?command=ls", "pods/p/proxy/api/v1/pods"):
            target = f"{gateway}/api/v1/namespaces/x/{what}"
            refused(decide("GET", target, read_only=mode, reject_paths=()), "read-only")
    for path in ("api/v1/secrets", "%61pi/v1/namespaces/x/secrets/s", "api/v1/watch/secrets"):
        target = f"{gateway}/{path}"
        refusal = refused(decide("GET", target, read_only="on"), "read-only")
        assert "Secrets cannot be read" in refusal.message
        allowed(decide("GET", target, read_only="with-secrets"))


def test_a_path_of_many_apis_has_no_meaning() -> None:
    allowed(decide("GET", "/x" + "/api/v1" * 8, read_only="on"))
    refused(decide("GET", "/x" + "/api/v1" * 10_000, read_only="on"), "read-only")


@pytest.mark.parametrize("mode", ["on", "with-secrets"])
def test_secrets_are_not_writable(mode: str) -> None:
    refused(decide("DELETE", "/api/v1/namespaces/x/secrets/s", read_only=mode), "read-only")


def test_a_query_that_go_would_not_read_is_refused() -> None:
    target = "/api/v1/namespaces/x/pods?dryRun=All" + "&a" * 1000
    refused(decide("POST", target, read_only="on"), "query", 400)
    allowed(decide("POST", target))


def test_the_decision_carries_what_it_found_out() -> None:
    info = allowed(decide("GET", POD, read_only="on")).info
    assert info is not None
    assert (info.verb, info.resource, info.name) == ("get", "pods", "p")
    assert allowed(decide("GET", POD)).info is None
