"""--allow-rules: what the rules say, the gate does, and an independent reading agrees."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from kubelatch.gate import Decision
from kubelatch.gate.manifests import parse_rules
from kubelatch.gate.rules import RuleSet

from .support import allowed, decide, refused

WEBSOCKET = [("Connection", "Upgrade"), ("Upgrade", "websocket")]


def rules(*documents: dict[str, Any]) -> RuleSet:
    return RuleSet(tuple(parse_rules(yaml.safe_dump_all(documents), "rules.yaml")))


def cluster_role(*items: dict[str, list[str]], name: str = "r") -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": name},
        "rules": list(items),
    }


def role(namespace: str, *items: dict[str, list[str]]) -> dict[str, Any]:
    manifest = cluster_role(*items)
    manifest["kind"] = "Role"
    manifest["metadata"]["namespace"] = namespace
    return manifest


def rule(
    verbs: str, resources: str, groups: Iterable[str] = ("",), names: str = ""
) -> dict[str, list[str]]:
    item = {"verbs": verbs.split(), "resources": resources.split(), "apiGroups": list(groups)}
    if names:
        item["resourceNames"] = names.split()
    return item


def urls(verbs: str, paths: str) -> dict[str, list[str]]:
    return {"verbs": verbs.split(), "nonResourceURLs": paths.split()}


def ask(given: RuleSet, method: str, target: str, *headers: tuple[str, str]) -> Decision:
    return decide(method, target, *headers, allow_rules=given, reject_paths=())


@pytest.mark.parametrize(
    ("item", "method", "target", "passes"),
    [
        (rule("get", "pods"), "GET", "/api/v1/namespaces/x/pods/p", True),
        (rule("get", "pods"), "HEAD", "/api/v1/namespaces/x/pods/p", True),
        (rule("get", "pods"), "GET", "/api/v1/namespaces/x/pods", False),
        (rule("list", "pods"), "GET", "/api/v1/pods", True),
        (rule("list", "pods"), "GET", "/api/v1/pods?watch=1", False),
        (rule("watch", "pods"), "GET", "/api/v1/pods?watch=1", True),
        (rule("watch", "pods"), "GET", "/api/v1/watch/pods", True),
        (rule("get list", "pods"), "GET", "/api/v1/watch/pods", False),
        (rule("delete", "pods"), "DELETE", "/api/v1/namespaces/x/pods", False),
        (rule("deletecollection", "pods"), "DELETE", "/api/v1/namespaces/x/pods", True),
        (rule("*", "pods"), "PURGE", "/api/v1/namespaces/x/pods", True),
        (rule("get", "pods"), "GET", "/apis/metrics.k8s.io/v1/namespaces/x/pods/p", False),
        (rule("get", "pods", ["*"]), "GET", "/apis/metrics.k8s.io/v1/namespaces/x/pods/p", True),
        (rule("get", "pods"), "GET", "/api/v1/namespaces/x/pods/p/log", False),
        (rule("get", "pods/log"), "GET", "/api/v1/namespaces/x/pods/p/log", True),
        (rule("get", "pods/log"), "GET", "/api/v1/namespaces/x/pods/p", False),
        (rule("get", "*/log"), "GET", "/api/v1/namespaces/x/pods/p/log", True),
        (rule("get", "*/log"), "GET", "/api/v1/namespaces/x/pods/p", False),
        (rule("get", "*"), "GET", "/api/v1/namespaces/x/pods/p/log", True),
        pytest.param(
            rule("get", "pods/*"), "GET", "/api/v1/namespaces/x/pods/p/log", False, id="pods/*"
        ),
        (rule("get", "pods", names="a b"), "GET", "/api/v1/namespaces/x/pods/a", True),
        (rule("get", "pods", names="a b"), "GET", "/api/v1/namespaces/x/pods/c", False),
        (rule("list", "pods", names="a"), "GET", "/api/v1/pods", False),
        (
            rule("list", "pods", names="a"),
            "GET",
            "/api/v1/pods?fieldSelector=metadata.name%3Da",
            True,
        ),
        (
            rule("list", "pods", names="a"),
            "GET",
            "/api/v1/pods?fieldSelector=metadata.name%3Da&limit=all",
            False,
        ),
        (rule("create", "pods", names="a"), "POST", "/api/v1/namespaces/x/pods", False),
        (
            rule("deletecollection", "pods", names="a"),
            "DELETE",
            "/api/v1/namespaces/x/pods?fieldSelector=metadata.name%3Da",
            False,
        ),
        (rule("get", "namespaces", names="x"), "GET", "/api/v1/namespaces/x", True),
        (rule("get", "services/proxy"), "GET", "/api/v1/namespaces/x/services/s/proxy/a", True),
        (rule("create", "services/proxy"), "GET", "/api/v1/namespaces/x/services/s/proxy/", False),
        (rule("proxy", "services"), "GET", "/api/v1/proxy/namespaces/x/services/s/a", True),
        (rule("get", "*"), "GET", "/api/v1/proxy/namespaces/x/services/s/a", False),
        (rule("get", "pods"), "GET", "/api/v1/n%61mespaces/x/pods/p", True),
        (rule("get", "secrets"), "GET", "/api/v1/namespaces/x/pods%2Fsecrets", False),
        (rule("*", "*", ["*"]), "GET", "/healthz", False),
        (urls("get", "/healthz"), "GET", "/healthz", True),
        (urls("get", "/healthz"), "GET", "/healthz/", False),
        (urls("get", "/healthz/*"), "GET", "/healthz/etcd", True),
        (urls("get", "/healthz/*"), "GET", "/healthz", False),
        (urls("get", "/api*"), "GET", "/apis/apps/v1", True),
        (urls("get", "*"), "GET", "/", True),
        (urls("get", "*"), "GET", "/api/v1/pods", False),
        (urls("get", "/*/x"), "GET", "/a/x", False),
        (urls("get", "/healthz"), "POST", "/healthz", False),
        (urls("*", "/healthz"), "POST", "/healthz", True),
        pytest.param(urls("get", "/x"), "HEAD", "/x", False, id="head is a verb of its own here"),
    ],
)
def test_a_rule(item: dict[str, list[str]], method: str, target: str, passes: bool) -> None:
    decision = ask(rules(cluster_role(item)), method, target)
    if passes:
        allowed(decision)
    else:
        refused(decision, "allow-rules")


def test_a_role_reaches_no_further_than_its_namespace() -> None:
    mine = rules(role("mine", rule("*", "*", ["*"])))
    allowed(ask(mine, "DELETE", "/api/v1/namespaces/mine/pods/p"))
    allowed(ask(mine, "GET", "/api/v1/namespaces/mine"))
    for target in ("/api/v1/namespaces/other/pods/p", "/api/v1/pods", "/api/v1/nodes/mine"):
        refused(ask(mine, "GET", target), "allow-rules")
    refused(ask(mine, "GET", "/healthz"), "allow-rules")


def test_rules_of_several_documents_add_up() -> None:
    both = rules(cluster_role(rule("get", "nodes")), role("a", rule("list", "pods")))
    allowed(ask(both, "GET", "/api/v1/nodes/n"))
    allowed(ask(both, "GET", "/api/v1/namespaces/a/pods"))


@pytest.mark.parametrize("subresource", ["exec", "attach", "portforward"])
def test_a_connection_into_a_pod_needs_create_by_get_and_by_post(subresource: str) -> None:
    target = f"/api/v1/namespaces/x/pods/p/{subresource}"
    resource = f"pods/{subresource}"
    reader = rules(cluster_role(rule("get", resource)))
    creator = rules(cluster_role(rule("create", resource)))
    both = rules(cluster_role(rule("get create", resource)))
    assert "cannot create" in refused(ask(reader, "GET", target, *WEBSOCKET), "allow-rules").message
    assert "cannot get" in refused(ask(creator, "GET", target, *WEBSOCKET), "allow-rules").message
    allowed(ask(both, "GET", target, *WEBSOCKET))
    allowed(ask(creator, "POST", target))


@pytest.mark.parametrize(
    ("method", "target", "needed"),
    [
        ("GET", "/api/v1/namespaces/x/pods/p/exec", "create pods/exec"),
        ("GET", "/api/v1/namespaces/x/pods/p/exec/", "create pods/exec"),
        ("GET", "/api/v1/namespaces/x/pods%2Fp/e%78ec", "create pods/exec"),
        ("HEAD", "/api/v1/namespaces/x/pods/p/exec", ""),
        ("HEAD", "/api/v1/namespaces/x/pods/p/portforward", ""),
        ("PUT", "/api/v1/namespaces/x/pods/p/exec", ""),
        ("DELETE", "/api/v1/namespaces/x/pods/p/attach", ""),
        ("GET", "/api/v2/namespaces/x/pods/p/exec", ""),
        ("GET", "/api/v1/namespaces/x/pods/p/attach/status/x", ""),
        ("GET", "/api/v1/pods/p/exec", ""),
        ("GET", "/api/v1/watch/namespaces/x/pods/p/exec", ""),
        ("GET", "/apis/apps/v1/namespaces/x/pods/p/exec", ""),
        ("GET", "/api/v1/namespaces/x/services/p/exec", ""),
    ],
)
def test_create_is_required_only_where_the_api_server_would_connect(
    method: str, target: str, needed: str
) -> None:
    verbs = "get update delete watch list"
    reader = rules(cluster_role(rule(verbs, "*", ["*"])))
    decision = ask(reader, method, target)
    if needed:
        verb, _, resource = needed.partition(" ")
        message = refused(decision, "allow-rules").message
        assert f'cannot {verb} resource "{resource}"' in message
    else:
        allowed(decision)


def test_a_server_side_apply_without_a_name_creates_nothing() -> None:
    apply = ("Content-Type", "application/apply-patch+yaml")
    patcher = rules(cluster_role(rule("patch", "pods")))
    allowed(ask(patcher, "PATCH", "/api/v1/namespaces/x/pods", apply))
    refused(ask(patcher, "PATCH", "/api/v1/namespaces/x/pods/p", apply), "allow-rules")


def test_a_refusal_names_the_command_that_explains_the_rules() -> None:
    hint = refused(ask(rules(cluster_role()), "GET", "/api/v1/nodes"), "allow-rules").hint
    assert "kubelatch check --allow-rules=FILE --can-i VERB RESOURCE" in hint


@pytest.mark.parametrize(
    ("header", "item"),
    [
        (("Impersonate-User", "bob"), rule("impersonate", "users", names="bob")),
        (("impersonate-group", "dev"), rule("impersonate", "groups", names="dev")),
        (
            ("Impersonate-User", "system:serviceaccount:ns:robot"),
            rule("impersonate", "serviceaccounts", names="robot"),
        ),
        (
            ("Impersonate-Extra-Example.com%2Fscope", "view"),
            rule("impersonate", "userextras/example.com/scope", ["authentication.k8s.io"], "view"),
        ),
        (("Impersonate-Uid", "42"), rule("impersonate", "uids", ["authentication.k8s.io"], "42")),
    ],
)
def test_impersonation_must_be_allowed_too(
    header: tuple[str, str], item: dict[str, list[str]]
) -> None:
    reader = rule("get", "pods")
    target = "/api/v1/namespaces/x/pods/p"
    refusal = refused(ask(rules(cluster_role(reader)), "GET", target, header), "allow-rules")
    assert "cannot impersonate" in refusal.message
    allowed(ask(rules(cluster_role(reader, item)), "GET", target, header))
    refused(ask(rules(cluster_role(item)), "GET", target, header), "allow-rules")


def test_a_service_account_is_impersonated_in_its_namespace() -> None:
    robot = ("Impersonate-User", "system:serviceaccount:ns:robot")
    reader = cluster_role(rule("get", "pods"))
    impersonator = rule("impersonate", "serviceaccounts")
    target = "/api/v1/namespaces/x/pods/p"
    allowed(ask(rules(reader, role("ns", impersonator)), "GET", target, robot))
    refused(ask(rules(reader, role("x", impersonator)), "GET", target, robot), "allow-rules")


@pytest.mark.parametrize(
    ("method", "target", "message"),
    [
        (
            "GET",
            "/api/v1/namespaces/x/pods",
            'pods is forbidden: a client of this proxy cannot list resource "pods" in API group "" '
            'in the namespace "x": no rule of --allow-rules allows it',
        ),
        (
            "PATCH",
            "/apis/apps/v1/namespaces/x/deployments/d/scale",
            'deployments.apps "d" is forbidden: a client of this proxy cannot patch resource '
            '"deployments/scale" in API group "apps" in the namespace "x": '
            "no rule of --allow-rules allows it",
        ),
        (
            "GET",
            "/api/v1/nodes",
            'nodes is forbidden: a client of this proxy cannot list resource "nodes" in API group '
            '"" at the cluster scope: no rule of --allow-rules allows it',
        ),
        (
            "GET",
            "/metrics",
            'forbidden: a client of this proxy cannot get path "/metrics": '
            "no rule of --allow-rules allows it",
        ),
    ],
)
def test_a_refusal_is_the_api_servers_sentence(method: str, target: str, message: str) -> None:
    nothing = rules(cluster_role())
    assert refused(ask(nothing, method, target), "allow-rules").message == message


@pytest.mark.parametrize("path", ["/api", "/apis/apps/v1", "/openapi/v3", "/version"])
def test_kubectls_discovery_is_refused_with_the_rule_that_lets_it_in(path: str) -> None:
    hint = refused(ask(rules(cluster_role()), "GET", path), "allow-rules").hint
    assert "nonResourceURLs [/api," in hint
    discovery = urls("get", hint.partition("[")[2].partition("]")[0].replace(",", ""))
    allowed(ask(rules(cluster_role(discovery)), "GET", path))


def test_other_paths_get_no_hint_about_discovery() -> None:
    for target in ("/metrics", "/apix", "/"):
        assert (
            "kubectl" not in refused(ask(rules(cluster_role()), "GET", target), "allow-rules").hint
        )


# An independent reading of https://kubernetes.io/docs/reference/access-authn-authz/rbac/ and
# .../authorization/: permissions as flat sets of tuples, requests built from what they mean.

GROUPS = ["", "apps", "example.com"]
RESOURCES = ["pods", "deployments", "secrets"]
SUBRESOURCES = ["", "log", "scale", "exec"]
NAMESPACES = ["", "a", "b"]
NAMES = ["n1", "n2"]
ONE = ["get", "update", "patch", "delete"]
MANY = ["list", "watch", "create", "deletecollection"]
METHODS = {
    "get": "GET",
    "list": "GET",
    "watch": "GET",
    "create": "POST",
    "update": "PUT",
    "patch": "PATCH",
    "delete": "DELETE",
    "deletecollection": "DELETE",
}


@dataclass(frozen=True)
class Wish:
    """A request, by its meaning."""

    verb: str
    group: str
    namespace: str
    resource: str
    subresource: str
    name: str

    @property
    def target(self) -> str:
        path = f"/apis/{self.group}/v1" if self.group else "/api/v1"
        if self.namespace:
            path += f"/namespaces/{self.namespace}"
        path += f"/{self.resource}"
        if self.verb in MANY and not self.subresource:
            query = ["watch=true"] if self.verb == "watch" else []
            if self.name:
                query.append(f"fieldSelector=metadata.name%3D{self.name}")
            return path + ("?" + "&".join(query) if query else "")
        path += f"/{self.name}"
        return path + (f"/{self.subresource}" if self.subresource else "")


def wishes() -> st.SearchStrategy[Wish]:
    scope = {
        "group": st.sampled_from(GROUPS),
        "namespace": st.sampled_from(NAMESPACES),
        "resource": st.sampled_from(RESOURCES),
    }
    named = st.builds(
        Wish,
        verb=st.sampled_from([*ONE, "create"]),
        subresource=st.sampled_from(SUBRESOURCES[1:]),
        name=st.sampled_from(NAMES),
        **scope,
    )
    whole = st.builds(
        Wish,
        verb=st.sampled_from(ONE),
        subresource=st.just(""),
        name=st.sampled_from(NAMES),
        **scope,
    )
    selected = st.builds(
        Wish,
        verb=st.sampled_from(["list", "watch"]),
        subresource=st.just(""),
        name=st.sampled_from(["", *NAMES]),
        **scope,
    )
    collections = st.builds(
        Wish,
        verb=st.sampled_from(MANY),
        subresource=st.just(""),
        name=st.just(""),
        **scope,
    )
    return named | whole | selected | collections


def some(*values: str) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=3, unique=True)


def roles() -> st.SearchStrategy[dict[str, Any]]:
    resources = [
        *RESOURCES,
        *(f"{resource}/{sub}" for resource in RESOURCES for sub in SUBRESOURCES[1:]),
        "*",
        "*/log",
        "*/exec",
        "*/scale",
    ]
    items = st.fixed_dictionaries(
        {
            "verbs": some(*ONE, *MANY, "*"),
            "apiGroups": some(*GROUPS, "*"),
            "resources": some(*resources),
        },
        optional={"resourceNames": some(*NAMES)},
    )
    lists = st.lists(items, max_size=3)
    return lists.map(lambda some_items: cluster_role(*some_items)) | st.builds(
        lambda namespace, some_items: role(namespace, *some_items),
        st.sampled_from(["a", "b"]),
        lists,
    )


def permissions(manifest: dict[str, Any]) -> set[tuple[str, ...]]:
    """All a manifest permits, spelled out over the small world of these tests."""
    found: set[tuple[str, ...]] = set()
    namespace = manifest["metadata"].get("namespace")
    for item in manifest["rules"]:
        verbs = {*ONE, *MANY} if "*" in item["verbs"] else set(item["verbs"])
        groups = set(GROUPS) if "*" in item["apiGroups"] else set(item["apiGroups"])
        kinds = set()
        for resource in RESOURCES:
            for sub in SUBRESOURCES:
                spellings = {"*", f"{resource}/{sub}" if sub else resource}
                if sub:
                    spellings.add(f"*/{sub}")
                if spellings & set(item["resources"]):
                    kinds.add((resource, sub))
        for verb in verbs:
            for group in groups:
                for kind in kinds:
                    for name in item.get("resourceNames") or ["", *NAMES]:
                        for place in [namespace] if namespace else NAMESPACES:
                            found.add((verb, group, place, *kind, name))
    return found


@given(st.lists(roles(), min_size=1, max_size=3), wishes())
def test_decisions_equal_an_independent_reading_of_the_documentation(
    manifests: list[dict[str, Any]], wish: Wish
) -> None:
    permitted = set().union(*map(permissions, manifests))
    needed = [wish.verb]
    if (wish.group, wish.resource, wish.subresource) == ("", "pods", "exec"):
        needed.append("create")
    expected = all(
        (verb, wish.group, wish.namespace, wish.resource, wish.subresource, wish.name) in permitted
        for verb in needed
    )
    decision = ask(rules(*manifests), METHODS[wish.verb], wish.target)
    if expected:
        allowed(decision)
    else:
        refused(decision, "allow-rules")
