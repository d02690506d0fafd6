"""The rules allow what passed and nothing else, and none of them too much or twice."""

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubelatch.gate import Allowed
from kubelatch.observe.written_rules.outcomes import RequestOutcome
from kubelatch.relay.record import Record

from .support import (
    collect,
    decide,
    gate,
    manifests,
    passes,
    request,
    uncommented,
    without_a_verb,
    written,
)

_NOT_FOUND = '{"kind":"Status","message":"pods \\"a\\" not found"}'
_ADMISSION = '{"kind":"Status","message":"pods \\"a\\" is forbidden: exceeded quota: q"}'
_names = st.sampled_from(["a", "b", "system:x", "web-1"])
_namespaces = st.sampled_from(["shop", "kube-system"])
_resources = st.sampled_from(
    [
        *("/api/v1|pods", "/api/v1|secrets", "/api/v1|services", "/apis/apps/v1|deployments"),
        *("/apis/extensions/v1|ingresses", "/apis/networking.k8s.io/v1|ingresses"),
        *("/apis/rbac.authorization.k8s.io/v1|roles", "/apis/metrics.k8s.io/v1|pods"),
    ]
)
_subresources = st.sampled_from(["log", "exec", "scale", "proxy/x//y", "status", "portforward"])
_methods = st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "*"])
_paths = st.sampled_from(
    ["/", "/version", "/api", "/apis/apps/v1", "/healthz/etcd", "/logs/x", "/odd*", "/a%20b"]
)
_queries = st.sampled_from(["", "?watch=1", "?fieldSelector=metadata.name%3Da", "?limit=500"])
_headers = st.lists(
    st.sampled_from(
        [
            ("Content-Type", "application/apply-patch+yaml"),
            ("Impersonate-User", "jane"),
            ("Impersonate-User", "system:serviceaccount:shop:robot"),
            ("Impersonate-Group", "admins"),
            ("Impersonate-Extra-Acme.com%2Fproject", "p"),
            ("Accept", "application/json"),
        ]
    ),
    max_size=2,
    unique_by=lambda field: field[0],
)
_outcomes = st.sampled_from([(200, ""), (201, ""), (404, _NOT_FOUND), (403, _ADMISSION)])


@st.composite
def targets(draw: st.DrawFn) -> str:
    """A target of the API, or another."""
    if draw(st.booleans()) and draw(st.booleans()):
        return draw(_paths)
    prefix, _, resource = draw(_resources).partition("|")
    namespace = f"/namespaces/{draw(_namespaces)}" if draw(st.booleans()) else ""
    target = f"{prefix}{namespace}/{resource}"
    kind = draw(st.integers(0, 2))
    if kind:
        target += f"/{draw(_names)}"
    if kind == 2:
        target += f"/{draw(_subresources)}"
    elif not resource:
        target = f"{prefix}{namespace}"
    return target + draw(_queries)


@st.composite
def requests(draw: st.DrawFn) -> Record:
    """A request that was refused by nobody."""
    status, body = draw(_outcomes)
    return request(draw(_methods), draw(targets()), *draw(_headers), status=status, body=body)


def counted(records: list[Record], *, names: bool) -> list[Record]:
    return [
        record
        for record in records
        if collect([record], names=names).outcomes[RequestOutcome.COUNTED]
    ]


@settings(max_examples=60, deadline=None)
@given(st.lists(requests(), max_size=10), st.lists(requests(), max_size=10), st.booleans())
def test_the_same_passes_nothing_else_does_and_no_verb_is_superfluous(
    records: list[Record], others: list[Record], names: bool
) -> None:
    collector = collect(records, names=names)
    text = uncommented(written(collector, names=names))
    documents = manifests(text)
    judge = gate(documents)
    seen = counted(records, names=names)
    for record in seen:
        assert passes(judge, record), text

    for record in counted(others, names=names):
        needed = collect([record], names=names).counts
        known = all(
            permission in collector.counts
            or any(wider in collector.counts for wider in permission.wider())
            for permission in needed
        )
        assert passes(judge, record) == known, text

    for which, fewer in without_a_verb(documents):
        less = gate(fewer)
        assert not all(isinstance(decide(less, record), Allowed) for record in seen), which


@settings(max_examples=60, deadline=None)
@given(st.lists(requests(), max_size=10), st.booleans())
def test_no_order_of_requests_changes_the_file(records: list[Record], names: bool) -> None:
    texts = {
        written(collect(each, names=names), names=names)
        for each in (records, records[::-1], sorted(records, key=lambda one: one.target))
    }
    assert len(texts) == 1


_ONE = "/api/v1/namespaces/shop"


def rules(*records: Record, names: bool = False) -> list[dict[str, list[str]]]:
    [document] = manifests(uncommented(written(collect(records, names=names), names=names)))
    found: list[dict[str, list[str]]] = document["rules"]
    return found


def test_resources_with_the_same_verbs_share_a_rule() -> None:
    assert rules(
        *(request("GET", f"{_ONE}/{kind}/x") for kind in ("pods", "services", "configmaps")),
        request("GET", f"{_ONE}/pods"),
    ) == [
        {"apiGroups": [""], "resources": ["configmaps", "services"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]},
    ]


def test_groups_with_the_same_resources_share_a_rule() -> None:
    assert rules(
        request("GET", "/apis/extensions/v1/namespaces/shop/ingresses"),
        request("GET", "/apis/networking.k8s.io/v1/namespaces/shop/ingresses"),
        request("GET", "/apis/networking.k8s.io/v1/namespaces/shop/ingresses/x"),
        request("GET", "/apis/extensions/v1/namespaces/shop/ingresses/x"),
    ) == [
        {
            "apiGroups": ["extensions", "networking.k8s.io"],
            "resources": ["ingresses"],
            "verbs": ["get", "list"],
        }
    ]


def test_what_the_whole_cluster_allows_is_not_repeated_in_a_namespace() -> None:
    [document] = manifests(
        written(collect([request("GET", "/api/v1/pods"), request("GET", f"{_ONE}/pods")]))
    )
    assert document["kind"] == "ClusterRole"
    assert document["rules"] == [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]


def test_each_namespace_has_a_role_of_its_own() -> None:
    found = manifests(
        written(
            collect(
                [
                    request("GET", "/version"),
                    request("GET", "/api/v1/namespaces/b/pods"),
                    request("DELETE", "/api/v1/namespaces/a/pods/x"),
                ]
            )
        )
    )
    assert [(each["kind"], each["metadata"].get("namespace")) for each in found] == [
        ("ClusterRole", None),
        ("Role", "a"),
        ("Role", "b"),
    ]
    assert [each["rules"][0]["verbs"] for each in found] == [["get"], ["delete"], ["list"]]


def test_with_names_each_verb_has_its_own() -> None:
    assert rules(
        request("GET", f"{_ONE}/pods/a"),
        request("GET", f"{_ONE}/pods/b"),
        request("DELETE", f"{_ONE}/pods/a"),
        request("GET", f"{_ONE}/pods?fieldSelector=metadata.name%3Da"),
        request("POST", f"{_ONE}/pods"),
        names=True,
    ) == [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["create"]},
        {"apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"],
         "verbs": ["delete", "list"]},
        {"apiGroups": [""], "resources": ["pods"], "resourceNames": ["a", "b"], "verbs": ["get"]},
    ]  # fmt: skip


def test_without_names_they_are_nowhere_in_the_file() -> None:
    name = "only-here"
    text = written(collect([request("GET", f"{_ONE}/pods/{name}")]))
    assert name not in text


@pytest.mark.parametrize("char", string.punctuation)
def test_no_character_of_a_path_makes_a_rule_wider(char: str) -> None:
    target = f"/metrics{char}" if char not in "?#%\\" else f"/metrics%{ord(char):02X}"
    record = request("GET", target)
    judge = gate(manifests(written(collect([record]))))
    assert not passes(judge, request("GET", "/metrics"))
    assert not passes(judge, request("GET", f"{target}/more"))
