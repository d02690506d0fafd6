"""One reading of the request target: what is accepted, mended in the open, or refused."""

import json
import re
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubelatch.errors import UsageError
from kubelatch.gate import (
    Allowed,
    Decision,
    Gate,
    GateSettings,
    Refusal,
    Static,
    Target,
    parse_target,
)
from kubelatch.gate.manifests import parse_rules
from kubelatch.gate.rules import RuleSet
from kubelatch.http1.target import Malformed, Moved
from tests.gate.support import allowed, answered, decide, refused

SERVICE = "/api/v1/namespaces/x/services/https:y:443/proxy"


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/api/",
        "/a%2Fb/c",
        "/a%2fb%20c",
        "/%65xec",
        "/%7euser",
        "/a+b",
        "/api;v=1",
        "/a'b(c)*!$&,=:@",
        '/a|b<c>"d',
        "/api?",
        "/x?a=1;b=2&c=%zz",
        "/x?watch=true&x=%2F&y=../..//",
        "/.well-known/openid-configuration",
        "/a.b/..c/d..",
        "/a/...",
        "/caf\u00e9",
        "/\udcff",
        f"{SERVICE}//a%2Fb//",
        f"{SERVICE}/%252e%252e/x",
        f"{SERVICE}/%2F%2F",
        "/api/v1/nodes/n/proxy//logs",
        "/api/v1/proxy/namespaces/x/pods/p//a",
        pytest.param(f"/k8s/clusters/c-m-abc12{SERVICE}/api/queues/%2F/orders", id="Rancher"),
        pytest.param(
            f"/apis/cluster.karmada.io/v1alpha1/clusters/m/proxy{SERVICE}/job/feature%252Flogin//",
            id="Karmada",
        ),
        pytest.param(f"/custom{SERVICE}/%2F/%252F", id="any other path before the API's"),
        pytest.param(
            "/apis/external.metrics.k8s.io/v1beta1/namespaces/n/s0-http%3A%2F%2Fprom",
            id="a metric's name may be a URL",
        ),
        "/k8s/clusters/c/apis/custom.metrics.k8s.io/v1beta2/namespaces/n/pods/%2A/a%2F%2Fb",
    ],
)
def test_an_accepted_target_goes_upstream_byte_for_byte(target: str) -> None:
    assert allowed(decide("GET", target)).target.raw == target


@pytest.mark.parametrize(
    ("target", "location"),
    [
        ("//api//v1", "/api/v1"),
        ("/api/../version", "/version"),
        ("/./api", "/api"),
        ("/api/.", "/api"),
        ("/api/..", "/"),
        ("/a/../", "/"),
        ("/a/b/..//", "/a/"),
        ("/../../x", "/x"),
        ("//evil.example/x", "/evil.example/x"),
        ("/a//b?x=//&y=..", "/a/b?x=//&y=.."),
        pytest.param("/a%2Fb//c", "/a%2Fb/c", id="escapes are kept, not doubled"),
        pytest.param("/\udcff//x", "/%FF/x", id="a Location is ASCII"),
        (f"{SERVICE}/a/../b", f"{SERVICE}/b"),
        (f"{SERVICE}//a/./b//", f"{SERVICE}//a/b//"),
        (f"/api//{SERVICE[5:]}//a", f"{SERVICE}/a"),
        pytest.param(
            "/api/v1/nodes/n/proxy/../../../../..//evil.example/",
            "/evil.example/",
            id="dots that lead out of an application never make another host",
        ),
    ],
)
def test_a_target_with_a_clean_form_is_redirected_there(target: str, location: str) -> None:
    assert answered(decide("GET", target), 307) == {"Location": location}
    assert answered(decide("HEAD", target), 307) == {"Location": location}
    assert answered(decide("POST", target), 307) == {"Location": location}


@pytest.mark.parametrize(
    "target",
    [
        "/%2e%2e/x",
        "/.%2e/x",
        "/%2E/x",
        "/x/..%2f",
        "/x%2f..%2fy",
        "/x%2f.",
        "/..;/x",
        "/.;a=b/x",
        "/..;",
        "/%2e%2e;x/y",
        "/a\\b",
        "/a%5cb",
        "/a%00b",
        "/a%0ab",
        "/a%1f",
        "/a%7F",
        "/a%zz",
        "/a%",
        "/a%2",
        "/x#y",
        "/x?y#z",
        "/a\x01b",
        "/a?b\x7f",
        "/a b",
        "/api%2f%2fx",
        "/api/%2fx",
        "/%2Fevil.example",
        pytest.param("/%252e%252e/x", id="decoded twice it is .."),
        "/a%252fb",
        "/a%250ab",
        f"{SERVICE}/%2e%2e/%2e%2e/secrets",
        f"{SERVICE}/..%2fsecrets",
        f"{SERVICE}/a%00",
        pytest.param(
            "/api/v1/namespaces/a%2Fb/pods/c/proxy/x%2F%2Fy", id="the service is not where it seems"
        ),
        f"/k8s%2F%2Fclusters/c{SERVICE}/x",
        f"/k8s/%252e%252e/c{SERVICE}/x",
        f"/k8s/clusters/c{SERVICE}/%2e%2e/x",
        "/k8s/clusters/c/api/v1/namespaces/d/pods/p%2F%2Fexec",
        "/k8s/clusters/c/api/v1/namespaces/d/pods/p%252Fexec",
        "/apis/cluster.karmada.io/v1alpha1/clusters/m/proxy/api/v1/pods%252Fp",
        "/apis%2F%2Fapps/v1/x",
        "/apis/apps%2F%2Fv1/x",
        "/a%2F%2Fb/apis/apps/v1/x",
        "/apis/external.metrics.k8s.io/v1beta1/namespaces/n/a%252Fb",
        "",
        "x",
        "?x",
        "https://127.0.0.1:8001/api",
        "ftp://127.0.0.1:8001/api",
        "http://user@127.0.0.1:8001/api",
        "127.0.0.1:443",
    ],
)
def test_a_target_with_two_readings_is_refused(target: str) -> None:
    refused(decide("GET", target), "target", 400)


def decoded(path: str) -> str:
    raw = unquote_to_bytes(path.encode("utf-8", "surrogateescape"))
    return raw.decode("utf-8", "surrogateescape")


@given(st.text(st.sampled_from("/.%25eEfFcC0a;\\?#"), max_size=24).map(lambda text: "/" + text))
def test_no_accepted_path_decodes_to_a_refused_one(target: str) -> None:
    parsed = parse_target(target)
    if not isinstance(parsed, Target):
        return
    assert parsed.raw == target
    raw_path = target.partition("?")[0]
    assert parsed.path == decoded(raw_path)
    # Any reader, however often it decodes, whatever it takes for a slash, sees the same segments.
    seen = parsed.path
    for _ in range(3):
        segments = re.split(r"[/\\]", seen)[1:]
        assert not {".", ".."} & {segment.partition(";")[0] for segment in segments}
        assert "" not in segments[:-1]
        assert not re.search(r"[\x00-\x1f\x7f]", seen)
        seen = decoded(seen)


@given(
    st.lists(
        st.sampled_from(
            ["api", "v1", "nodes", "n", "proxy", "", ".", "..", "a", "%2F", "b%2fc", "a?b//"]
        ),
        max_size=10,
    ).map(lambda segments: "/" + "/".join(segments))
)
def test_a_redirect_leads_to_an_accepted_target_on_this_host(target: str) -> None:
    parsed = parse_target(target)
    if isinstance(parsed, Moved):
        assert not parsed.location.startswith("//")
        again = parse_target(parsed.location)
        assert not isinstance(again, Moved), "a redirect to a redirect"


@given(st.text(max_size=30))
def test_any_text_has_an_outcome(target: str) -> None:
    assert isinstance(parse_target(target), Target | Moved | Malformed)


@pytest.mark.parametrize("encoded", ["%65xec", "e%78ec", "exec%2Fx", "p%2Fexec"])
def test_the_filter_sees_the_decoded_path(encoded: str) -> None:
    refused(decide("GET", f"/api/v1/namespaces/d/pods/p/{encoded}"), "reject-paths")


# A gateway may merge slashes, and an application too: what is refused at one of them must not be
# had with two.
@pytest.mark.parametrize(
    ("target", "settings", "rule"),
    [
        ("/apis/x.io/v1/namespaces/d/pods/p%2F%2Fexec", {"reject_paths": ("/p/exec",)}, "reject"),
        (f"{SERVICE}//admin", {"reject_paths": ("/proxy/admin",)}, "reject-paths"),
        (f"{SERVICE}//admin", {"accept_paths": ("/proxy//admin",)}, "accept-paths"),
        (f"{SERVICE}/admin", {"reject_paths": ("/proxy//admin",)}, ""),
        ("/apis/x.io/v1/namespaces/d/a%2F%2Fb", {"accept_paths": ("^/apis/x.io/",)}, ""),
    ],
)
def test_slashes_side_by_side_do_not_hide_a_path(
    target: str, settings: dict[str, Any], rule: str
) -> None:
    decision = decide("GET", target, **settings)
    if rule:
        assert isinstance(decision, Refusal)
        assert decision.rule.startswith(rule)
    else:
        allowed(decision)


def test_rules_hold_for_a_name_with_slashes_in_either_reading() -> None:
    def ask(*resources: str) -> Decision:
        rules = [{"apiGroups": ["x.io"], "resources": [*resources], "verbs": ["get"]}]
        manifest = {"kind": "ClusterRole", "metadata": {"name": "r"}, "rules": rules}
        manifest["apiVersion"] = "rbac.authorization.k8s.io/v1"
        found = RuleSet(tuple(parse_rules(json.dumps(manifest), "r")))
        target = "/apis/x.io/v1/namespaces/d/things/t%2F%2Fsecrets"
        return decide("GET", target, allow_rules=found)

    assert "things/secrets" in refused(ask("things"), "allow-rules").message
    allowed(ask("things", "things/secrets"))


def test_absolute_form_is_read_as_its_path() -> None:
    target = allowed(decide("GET", "HTTP://LocalHost:8001/api?x=1")).target
    assert (target.raw, target.path, target.query) == ("/api?x=1", "/api", "x=1")
    assert allowed(decide("GET", "http://localhost:8001")).target.raw == "/"
    assert allowed(decide("GET", "http://localhost:8001?a")).target.raw == "/?a"


def test_absolute_form_must_name_an_accepted_host_and_so_must_the_host_header() -> None:
    refused(decide("GET", "http://evil.example/api"), "accept-hosts")
    refused(decide("GET", "http://localhost/api", host="evil.example"), "accept-hosts")


def test_asterisk_is_for_options_alone() -> None:
    assert answered(decide("OPTIONS", "*"), 200) == {}
    refused(decide("GET", "*"), "target", 400)
    refused(decide("OPTIONS", "*", host="evil.example"), "accept-hosts")


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("TRACE", "/api"),
        ("trace", "/api"),
        ("CONNECT", "example.com:443"),
        ("CONNECT", "/a/../b"),
    ],
)
def test_trace_and_connect_are_never_forwarded(method: str, target: str) -> None:
    assert refused(decide(method, target, disable_filter=True), "method", 405).close


def test_other_methods_pass_as_they_are() -> None:
    allowed(decide("PURGE", "/api"))
    allowed(decide("post", "/api", reject_methods=("^POST$",)))
    assert refused(decide("GE T", "/api"), "method", 400).close


@pytest.mark.parametrize(
    ("prefix", "target", "upstream"),
    [
        ("/custom", "/custom/", "/"),
        ("/custom/", "/custom/api/v1?x=1", "/api/v1?x=1"),
        pytest.param("/custom/", "/custom/a%2Fb", "/a%2Fb", id="kubectl loses the encoding"),
        ("/a/b/", "/a/b/c", "/c"),
        pytest.param("/api", "/api/v1", "/api/v1", id="kubectl strips no prefix that is /api…"),
        ("/api-proxy/", "/api-proxy/x", "/api-proxy/x"),
        ("/custom/", f"/custom{SERVICE}//x%2Fy", f"{SERVICE}//x%2Fy"),
        ("/api/", f"{SERVICE}//x%2Fy", f"{SERVICE}//x%2Fy"),
    ],
)
def test_the_api_prefix_is_stripped(prefix: str, target: str, upstream: str) -> None:
    decision = allowed(decide("GET", target, api_prefix=prefix))
    assert decision.target.raw == upstream
    assert decision.target.path == decoded(upstream.partition("?")[0])


@pytest.mark.parametrize(
    "target", ["/", "/api", "/customer", "/Custom/", "/%63ustom/x", "/x/custom/"]
)
def test_outside_the_api_prefix_there_is_nothing(target: str) -> None:
    refused(decide("GET", target, api_prefix="/custom/"), "not-found", 404)


def test_a_prefix_without_its_slash_is_redirected() -> None:
    location = answered(decide("GET", "/custom?x=1", api_prefix="/custom/"), 307)
    assert location == {"Location": "/custom/?x=1"}
    assert answered(decide("GET", "/static", www_prefix="/static"), 307) == {"Location": "/static/"}


@pytest.mark.parametrize(
    "settings",
    [
        {"api_prefix": "custom"},
        {"api_prefix": "/x/{y}/"},
        {"api_prefix": "/x//y/"},
        {"api_prefix": "/x/../y/"},
        {"api_prefix": "/x%20y/"},
        {"api_prefix": "/x?y"},
        {"www_prefix": "static"},
        {"www_prefix": "/"},
        {"www_prefix": "/same", "api_prefix": "/same/"},
    ],
)
def test_a_prefix_that_cannot_work_fails_the_start(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="-prefix"):
        Gate(GateSettings(**settings))


def test_an_empty_prefix_is_the_root() -> None:
    assert allowed(decide("GET", "/api", api_prefix="")).target.raw == "/api"


def test_static_files_and_api_share_a_listener_the_longer_prefix_wins() -> None:
    both: dict[str, Any] = {"www_prefix": "/", "api_prefix": "/api/"}
    assert isinstance(decide("GET", "/api/v1", **both), Allowed)
    static = decide("GET", "/index%20a.html?x", **both)
    assert isinstance(static, Static)
    assert static.path == "index a.html"
    static = decide("GET", "/static/a/", www_prefix="/static/")
    assert isinstance(static, Static)
    assert static.path == "a/"
    assert isinstance(decide("GET", "/staticfile", www_prefix="/static/"), Allowed)
    assert isinstance(decide("GET", "/static/a"), Allowed), "without --www there are no files"


def test_static_files_are_behind_host_and_origin_but_not_behind_path_patterns() -> None:
    www: dict[str, Any] = {"www_prefix": "/static/", "accept_paths": ("^/api/v1$",)}
    assert isinstance(decide("GET", "/static/a", **www), Static)
    refused(decide("GET", "/static/a", host="evil.example", **www), "accept-hosts")
    refused(decide("GET", "/static/a", ("Origin", "http://evil.example"), **www), "origin")
    refused(decide("GET", "/static/a", ("Sec-Fetch-Site", "cross-site"), **www), "fetch-site")
