"""Requests in the API server's own terms.

The expectations are those of ``requestinfo_test.go`` and of the API documentation.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubelatch.gate.request_info import RequestInfo, query_values, request_info


@pytest.mark.parametrize(
    ("method", "path", "verb", "group", "version", "namespace", "resource", "sub", "name"),
    [
        ("GET", "/api/v1/namespaces", "list", "", "v1", "", "namespaces", "", ""),
        ("GET", "/api/v1/namespaces/other", "get", "", "v1", "other", "namespaces", "", "other"),
        ("GET", "/api/v1/namespaces/other/pods", "list", "", "v1", "other", "pods", "", ""),
        ("GET", "/api/v1/namespaces/other/pods/foo", "get", "", "v1", "other", "pods", "", "foo"),
        ("HEAD", "/api/v1/namespaces/other/pods/foo", "get", "", "v1", "other", "pods", "", "foo"),
        ("GET", "/api/v1/pods", "list", "", "v1", "", "pods", "", ""),
        ("HEAD", "/api/v1/pods", "list", "", "v1", "", "pods", "", ""),
        ("GET", "/api/v1/nodes/n", "get", "", "v1", "", "nodes", "", "n"),
        ("POST", "/api/v1/pods", "create", "", "v1", "", "pods", "", ""),
        ("PUT", "/api/v1/namespaces/x/pods/p", "update", "", "v1", "x", "pods", "", "p"),
        ("PATCH", "/api/v1/namespaces/x/pods/p", "patch", "", "v1", "x", "pods", "", "p"),
        ("DELETE", "/api/v1/namespaces/x/pods/p", "delete", "", "v1", "x", "pods", "", "p"),
        ("DELETE", "/api/v1/namespaces/x/pods", "deletecollection", "", "v1", "x", "pods", "", ""),
        ("DELETE", "/api/v1/nodes", "deletecollection", "", "v1", "", "nodes", "", ""),
        ("PURGE", "/api/v1/pods", "", "", "v1", "", "pods", "", ""),
        ("get", "/api/v1/pods", "", "", "v1", "", "pods", "", ""),
        ("GET", "/apis/apps/v1/namespaces/x/deployments/d/scale", "get", "apps", "v1", "x",
         "deployments", "scale", "d"),
        ("GET", "/api/v1/namespaces/x/status", "get", "", "v1", "x", "namespaces", "status", "x"),
        ("PUT", "/api/v1/namespaces/x/finalize", "update", "", "v1", "x", "namespaces",
         "finalize", "x"),
        ("GET", "/api/v1/namespaces/x/pods/p/log", "get", "", "v1", "x", "pods", "log", "p"),
        ("GET", "/api/v1/namespaces/x/services/s/proxy/a/b", "get", "", "v1", "x", "services",
         "proxy", "s"),
        ("GET", "/api/v1/watch/pods", "watch", "", "v1", "", "pods", "", ""),
        ("POST", "/api/v1/watch/pods", "watch", "", "v1", "", "pods", "", ""),
        ("GET", "/api/v1/watch/namespaces/x/pods/p", "watch", "", "v1", "x", "pods", "", "p"),
        ("GET", "/api/v1/proxy/namespaces/x/pods/p/a", "proxy", "", "v1", "x", "pods", "", "p"),
        ("DELETE", "/api/v1/proxy/nodes/n", "proxy", "", "v1", "", "nodes", "", "n"),
        ("GET", "/api/v1/pods/", "list", "", "v1", "", "pods", "", ""),
        ("GET", "/api/v1/watch", "get", "", "v1", "", "", "", ""),
    ],
)  # fmt: skip
def test_resources(
    method: str, path: str, verb: str, group: str, version: str, namespace: str,
    resource: str, sub: str, name: str,
) -> None:  # fmt: skip
    prefix = path.split("/")[1]
    expected = RequestInfo(True, verb, path, prefix, group, version, namespace, resource, sub, name)
    assert request_info(method, path) == expected


@pytest.mark.parametrize(
    ("method", "path", "verb"),
    [
        ("GET", "/", "get"),
        ("GET", "", "get"),
        ("POST", "/api", "post"),
        ("GET", "/api/v1", "get"),
        ("GET", "/apis", "get"),
        ("GET", "/apis/apps", "get"),
        ("GET", "/apis/apps/v1", "get"),
        ("PUT", "/healthz/x/y/z", "put"),
        ("GET", "/apix/v1/pods", "get"),
        ("GET", "/API/v1/pods", "get"),
    ],
)
def test_non_resources(method: str, path: str, verb: str) -> None:
    assert request_info(method, path) == RequestInfo(False, verb, path)


@pytest.mark.parametrize(
    ("query", "verb", "name"),
    [
        ("", "list", ""),
        ("watch=true", "watch", ""),
        ("watch=1", "watch", ""),
        ("watch", "watch", ""),
        ("watch=", "watch", ""),
        ("watch=no", "watch", ""),
        ("watch=0", "list", ""),
        ("watch=FALSE", "list", ""),
        ("watch=0&watch=1", "list", ""),
        ("w%61tch=tru%65", "watch", ""),
        pytest.param("watch=true;a=b", "list", "", id="Go drops pairs with a semicolon"),
        pytest.param("watch=%zz", "list", "", id="Go drops pairs with a bad escape"),
        pytest.param("watch%zz=1&watch=1", "watch", "", id="but keeps the others"),
        ("fieldSelector=metadata.name%3Dfoo", "list", "foo"),
        ("fieldSelector=metadata.name=foo", "list", "foo"),
        ("fieldSelector=metadata.name==foo&watch=1", "watch", "foo"),
        ("fieldSelector=metadata.name!=foo", "list", ""),
        ("fieldSelector=spec.nodeName=n,metadata.name=foo", "list", "foo"),
        ("fieldSelector=spec.nodeName=metadata.name", "list", ""),
        ("fieldSelector=,metadata.name=foo,", "list", "foo"),
        pytest.param("fieldSelector=metadata.name=b,metadata.name=a", "list", "a", id="sorted"),
        pytest.param("fieldSelector=metadata.name=a,metadata.name==b", "list", "b", id="= is low"),
        ("fieldSelector=metadata.name=a&fieldSelector=metadata.name=b", "list", "a"),
        ("fieldSelector=metadata.name=foo,bad", "list", ""),
        (r"fieldSelector=metadata.name=a\,b", "list", "a,b"),
        (r"fieldSelector=metadata.name=a\=b", "list", "a=b"),
        (r"fieldSelector=metadata.name=a\b", "list", ""),
        ("fieldSelector=metadata.name=a=b", "list", ""),
        ("fieldSelector=metadata.name=a\\", "list", ""),
        ("fieldSelector=metadata.name=..", "list", ""),
        ("fieldSelector=metadata.name=a/b", "list", ""),
        ("fieldSelector=metadata.name=a%2525", "list", ""),
        ("fieldSelector=metadata.name=", "list", ""),
        ("fieldSelector=metadata.name=foo&limit=500&timeoutSeconds=-1", "list", "foo"),
        pytest.param(
            "fieldSelector=metadata.name=foo&limit=x", "list", "", id="options do not decode"
        ),
        ("fieldSelector=metadata.name=foo&watch=1&limit=", "watch", ""),
        ("fieldSelector=metadata.name=foo&limit=9223372036854775808", "list", ""),
        ("fieldSelector=metadata.name=foo&timeoutSeconds=1_0", "list", ""),
        ("fieldSelector=metadata.name=foo&limit=" + "9" * 5000, "list", ""),
        ("fieldSelector=metadata.name=foo&labelSelector=a%3Db,c+in+(d,e),!f", "list", "foo"),
        ("fieldSelector=metadata.name=foo&labelSelector=x.io/a+notin+(),b>1,c!=", "list", "foo"),
        ("fieldSelector=metadata.name=foo&labelSelector=a,,b", "list", ""),
        ("fieldSelector=metadata.name=foo&labelSelector=-a", "list", ""),
        ("fieldSelector=metadata.name=foo&labelSelector=a+in+b", "list", ""),
    ],
)
def test_what_the_query_makes_of_a_get_without_a_name(query: str, verb: str, name: str) -> None:
    info = request_info("GET", "/api/v1/namespaces/x/pods", query)
    assert (info.verb, info.name) == (verb, name)


def test_a_selector_names_nothing_for_other_verbs() -> None:
    selector = "fieldSelector=metadata.name=foo"
    assert request_info("DELETE", "/api/v1/namespaces/x/pods", selector).name == ""
    assert request_info("GET", "/api/v1/watch/pods", selector).name == ""
    assert request_info("GET", "/api/v1/namespaces/x/pods/p", selector).name == "p"


@pytest.mark.parametrize(
    ("method", "path", "query", "long_running"),
    [
        ("GET", "/api/v1/pods", "", False),
        ("GET", "/api/v1/pods", "watch=1", True),
        ("GET", "/api/v1/watch/pods", "", True),
        ("GET", "/api/v1/namespaces/x/pods/p/log", "", True),
        ("GET", "/api/v1/namespaces/x/pods/p/exec", "", True),
        ("POST", "/api/v1/namespaces/x/pods/p/portforward", "", True),
        ("GET", "/api/v1/namespaces/x/services/s/proxy/", "", True),
        ("GET", "/api/v1/namespaces/x/pods/p/status", "", False),
        ("GET", "/debug/pprof/profile", "", True),
        ("GET", "/healthz", "", False),
    ],
)
def test_long_running(method: str, path: str, query: str, long_running: bool) -> None:
    assert request_info(method, path, query).long_running == long_running


@pytest.mark.parametrize(
    ("query", "values"),
    [
        ("", {}),
        ("&&", {}),
        ("a", {"a": [""]}),
        ("=", {}),
        ("=b&a=1", {"a": ["1"]}),
        ("e=1&a=2", {"a": ["2"]}),
        ("a=1&b=2&a=3", {"a": ["1", "3"], "b": ["2"]}),
        ("a=b=c", {"a": ["b=c"]}),
        ("a+b=c+d%2B", {"a b": ["c d+"]}),
        ("a=1;b=2&c=3", {"c": ["3"]}),
        ("a=%&b=%2&c=%gg&d=%41", {"d": ["A"]}),
        ("a=%c3%a9&b=%ff", {"a": ["\u00e9"], "b": ["\udcff"]}),
    ],
)
def test_queries_are_read_as_go_reads_them(query: str, values: dict[str, list[str]]) -> None:
    keys = frozenset({"a", "b", "c", "d", "a b", "\u00e9"})
    assert query_values(query, keys) == values


def test_more_parameters_than_go_reads_are_none() -> None:
    keys = frozenset({"watch"})
    assert query_values("watch=1" + "&a=b" * 9_999, keys) == {"watch": ["1"]}
    assert query_values("watch=1" + "&a=b" * 10_000, keys) == {}


def test_a_key_of_escapes_alone_is_read() -> None:
    key = "".join(f"%{ord(letter):02X}" for letter in "fieldSelector")
    assert request_info("GET", "/api/v1/pods", f"{key}=metadata.name%3Dx").name == "x"


@pytest.mark.parametrize(
    "query",
    [
        "fieldSelector=" + "metadata.name=x," * 10_000,
        "fieldSelector=metadata.name%3Dx&labelSelector=" + "a=b," * 20_000 + "a",
    ],
    ids=["field selector", "label selector"],
)
def test_an_overlong_selector_makes_no_name(query: str) -> None:
    assert request_info("GET", "/api/v1/pods", query).name == ""


@given(st.text(max_size=20), st.text(max_size=40), st.text(max_size=40))
def test_any_request_has_an_info(method: str, path: str, query: str) -> None:
    info = request_info(method, path, query)
    assert info.path == path
    assert info.is_resource or not info.resource


@pytest.mark.parametrize(
    "selector",
    [
        pytest.param("a%3D" + "+" * 1_000_000 + "%01", id="behind an operator"),
        pytest.param("a+in+(" + "+" * 1_000_000 + "%01", id="in a set"),
        pytest.param("a" + "+" * 1_000_000 + "%01", id="behind a key"),
    ],
)
def test_a_megabyte_of_spaces_in_a_selector_does_not_hold_up_the_proxy(selector: str) -> None:
    """Two patterns for spaces side by side took hours for this, in every request's path."""
    query = f"fieldSelector=metadata.name%3Dx&labelSelector={selector}"
    assert request_info("GET", "/api/v1/pods", query).name == ""
