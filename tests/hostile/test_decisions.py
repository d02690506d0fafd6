"""--allow-rules beside the API server's RBAC, decision by decision.

Each line is what ``plugin/pkg/auth/authorizer/rbac`` decides, after
``apiserver/pkg/endpoints/request/requestinfo.go`` has read the request, for a user who is bound to
the one role; the last tables are what handlers behind the authorizer ask for as well.
"""

import json
from dataclasses import replace

import pytest

from kubelatch.gate import Allowed, Decision, Gate, GateSettings, Refusal
from kubelatch.gate.manifests import parse_rules
from kubelatch.gate.rules import RuleSet

HOST = (b"Host", b"localhost")
WEBSOCKET = ((b"Connection", b"Upgrade"), (b"Upgrade", b"websocket"))

NS = "/api/v1/namespaces/x"
APPS = "/apis/apps/v1/namespaces/x"
RBAC = "/apis/rbac.authorization.k8s.io/v1"

# A rule in one line: verbs, groups, resources, and names if any; or verbs and URLs. "core" is the
# group with the empty name.
YES, NO = True, False


def role(*lines: str, namespace: str = "") -> RuleSet:
    """A ClusterRole, or a Role with *namespace*, of rules in one line each."""
    manifest = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role" if namespace else "ClusterRole",
        "metadata": {"name": "r", **({"namespace": namespace} if namespace else {})},
        "rules": [_rule(line) for line in lines],
    }
    return RuleSet(tuple(parse_rules(json.dumps(manifest), "role.yaml")))


def _rule(line: str) -> dict[str, list[str]]:
    verbs, *rest = line.split(" | ")
    if len(rest) == 1:
        return {"verbs": verbs.split(), "nonResourceURLs": rest[0].split()}
    rule = {
        "verbs": verbs.split(),
        "apiGroups": ["" if group == "core" else group for group in rest[0].split()],
        "resources": rest[1].split(),
    }
    return {**rule, "resourceNames": rest[2].split()} if len(rest) > 2 else rule


def decide(rules: RuleSet, request: str, *fields: tuple[bytes, bytes]) -> Decision:
    """What the gate says of a request, given as ``METHOD target``."""
    method, target = request.split(" ", 1)
    settings = GateSettings(allow_rules=rules, reject_paths=())
    decision = Gate(settings).decide(method, target, [HOST, *fields])
    below = Gate(replace(settings, api_prefix="/clusters/x/", shares_origin=True))
    assert _kind(below.decide(method, f"/clusters/x{target}", [HOST, *fields])) == _kind(decision)
    return decision


def _kind(decision: Decision) -> tuple[object, ...]:
    """What a decision is about, whatever prefix there is."""
    if isinstance(decision, Refusal):
        return Refusal, decision.rule, decision.status, decision.message
    if isinstance(decision, Allowed):
        return Allowed, decision.target, decision.upgrade, decision.info
    return (type(decision),)


def check(decision: Decision, *, allowed: bool) -> None:
    if allowed:
        assert isinstance(decision, Allowed), decision
    else:
        assert isinstance(decision, Refusal), decision
        assert (decision.rule, decision.status) == ("allow-rules", 403)


# requestinfo.go: verbs. rbac.go, VerbMatches.
VERBS = [
    ("get | core | pods", f"GET {NS}/pods/p", YES),
    ("get | core | pods", f"HEAD {NS}/pods/p", YES),
    ("get | core | pods", f"GET {NS}/pods/p/", YES),
    ("get | core | pods", f"GET {NS}/pods", NO),
    ("get | core | pods", f"HEAD {NS}/pods", NO),
    ("get | core | pods", f"GET {NS}/pods?watch=1", NO),
    ("get | core | pods", f"OPTIONS {NS}/pods/p", NO),
    ("get | core | pods", f"QUERY {NS}/pods/p", NO),
    ("get | core | pods", f"get {NS}/pods/p", NO),
    ("list | core | pods", f"GET {NS}/pods", YES),
    ("list | core | pods", f"GET {NS}/pods/", YES),
    ("list | core | pods", f"HEAD {NS}/pods", YES),
    ("list | core | pods", f"GET {NS}/pods?watch=false", YES),
    ("list | core | pods", f"GET {NS}/pods?watch=0", YES),
    ("list | core | pods", f"GET {NS}/pods?watch", NO),
    ("list | core | pods", f"GET {NS}/pods?watch=", NO),
    ("list | core | pods", f"GET {NS}/pods?watch=yes", NO),
    ("list | core | pods", f"GET {NS}/pods?Watch=true", YES),
    ("list | core | pods", f"GET {NS}/pods?watch=0&watch=1", YES),
    ("list | core | pods", f"GET {NS}/pods?watch=1&watch=0", NO),
    ("list | core | pods", f"GET {NS}/pods/p", NO),
    ("watch | core | pods", f"GET {NS}/pods?watch=true", YES),
    ("watch | core | pods", f"GET {NS}/pods?w%61tch=1", YES),
    ("watch | core | pods", f"GET {NS}/pods?watch=1;", NO),
    ("watch | core | pods", f"GET {NS}/pods?watch=%zz", NO),
    ("watch | core | pods", f"GET {NS}/pods", NO),
    ("watch | core | pods", f"GET {NS}/pods/p?watch=1", NO),
    ("get | core | pods", f"GET {NS}/pods/p?watch=1", YES),
    ("create | core | pods", f"POST {NS}/pods", YES),
    ("create | core | pods", "POST /api/v1/pods", YES),
    ("create | core | pods", f"PUT {NS}/pods/p", NO),
    ("update | core | pods", f"PUT {NS}/pods/p", YES),
    ("update | core | pods", f"PATCH {NS}/pods/p", NO),
    ("patch | core | pods", f"PATCH {NS}/pods/p", YES),
    ("patch | core | pods", f"PUT {NS}/pods/p", NO),
    ("delete | core | pods", f"DELETE {NS}/pods/p", YES),
    ("delete | core | pods", f"DELETE {NS}/pods", NO),
    ("delete | core | pods", "DELETE /api/v1/pods", NO),
    ("deletecollection | core | pods", f"DELETE {NS}/pods", YES),
    ("deletecollection | core | pods", f"DELETE {NS}/pods/p", NO),
    ("* | core | pods", f"DELETE {NS}/pods", YES),
    ("* | core | pods", f"OPTIONS {NS}/pods", YES),
    ("* | core | pods", f"PURGE {NS}/pods", YES),
    ("GET LIST | core | pods", f"GET {NS}/pods/p", NO),
    ("post | core | pods", f"POST {NS}/pods", NO),
    ("g* | core | pods", f"GET {NS}/pods/p", NO),
]
# rbac.go, RuleAllows; evaluation_helpers.go, APIGroupMatches and ResourceMatches.
RESOURCES = [
    ("get | apps | deployments", f"GET {APPS}/deployments/d", YES),
    ("get | core | deployments", f"GET {APPS}/deployments/d", NO),
    ("get | apps | pods", f"GET {NS}/pods/p", NO),
    ("get | * | pods", f"GET {NS}/pods/p", YES),
    ("get | * | pods", "GET /apis/metrics.k8s.io/v1beta1/namespaces/x/pods/p", YES),
    ("get | core | pods", "GET /apis/metrics.k8s.io/v1beta1/namespaces/x/pods/p", NO),
    ("get | apps/v1 | deployments", f"GET {APPS}/deployments/d", NO),
    ("get | app* | deployments", f"GET {APPS}/deployments/d", NO),
    ("get | apps | deployments", "GET /apis/apps/v1beta2/namespaces/x/deployments/d", YES),
    ("get | apps | deployments", "GET /apis/Apps/v1/namespaces/x/deployments/d", NO),
    ("get | core | *", f"GET {NS}/secrets/s", YES),
    ("get | core | *", f"GET {NS}/pods/p/log", YES),
    ("get | core | *", f"GET {APPS}/deployments/d", NO),
    ("get | core | pods", f"GET {NS}/pods/p/log", NO),
    ("get | core | pods/log", f"GET {NS}/pods/p/log", YES),
    ("get | core | pods/log", f"GET {NS}/pods/p/log/more", YES),
    ("get | core | pods/log", f"GET {NS}/pods/p", NO),
    ("get | core | pods/log", f"GET {NS}/pods/p/status", NO),
    ("get | core | */log", f"GET {NS}/pods/p/log", YES),
    ("get | core | */log", f"GET {NS}/pods/p/xlog", NO),
    ("get | core | */log", f"GET {NS}/pods/p", NO),
    ("get | core | */xlog", f"GET {NS}/pods/p/log", NO),
    ("get | core | pods/*", f"GET {NS}/pods/p/log", NO),
    ("get | core | pods/*", f"GET {NS}/pods/p", NO),
    ("get | core | */*", f"GET {NS}/pods/p/log", NO),
    ("get | core | po*", f"GET {NS}/pods/p", NO),
    ("get | core | Pods", f"GET {NS}/pods/p", NO),
    ("get | core | pods", f"GET {NS}/Pods/p", NO),
    ("get | core | pod", f"GET {NS}/pods/p", NO),
    ("get | core | pods", f"GET {NS}/p%6fds/p", YES),
    ("get | core | pods", f"GET {NS}/pods%2Fp", YES),
    ("get | core | pods", f"GET {NS}/pods%2Fp%2Flog", NO),
    ("update | apps | deployments/scale", f"PUT {APPS}/deployments/d/scale", YES),
    ("update | apps | */scale", f"PUT {APPS}/statefulsets/s/scale", YES),
    ("update | apps | */scale", f"PUT {APPS}/statefulsets/s/status", NO),
    ("create | core | serviceaccounts/token", f"POST {NS}/serviceaccounts/s/token", YES),
    ("create | core | serviceaccounts", f"POST {NS}/serviceaccounts/s/token", NO),
    ("create | core | pods/eviction", f"POST {NS}/pods/p/eviction", YES),
    ("delete | core | pods", f"POST {NS}/pods/p/eviction", NO),
    ("create | authorization.k8s.io | selfsubjectaccessreviews",
     "POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews", YES),
    ("get | core | nodes/proxy", "GET /api/v1/nodes/n/proxy/metrics", YES),
    ("get | core | nodes", "GET /api/v1/nodes/n/proxy/metrics", NO),
    ("create | core | services/proxy", f"POST {NS}/services/https:s:443/proxy/a/b", YES),
    ("get | core | services/proxy", f"POST {NS}/services/s/proxy/", NO),
]  # fmt: skip
# requestinfo.go: names. evaluation_helpers.go, ResourceNameMatches.
NAMES = [
    ("get | core | pods | a b", f"GET {NS}/pods/a", YES),
    ("get | core | pods | a b", f"GET {NS}/pods/b", YES),
    ("get | core | pods | a", f"GET {NS}/pods/ab", NO),
    ("get | core | pods | a", f"GET {NS}/pods/A", NO),
    ("get | core | pods | *", f"GET {NS}/pods/a", NO),
    ("get | core | pods | a", f"GET {NS}/pods/%61", YES),
    ("get | core | pods/log | a", f"GET {NS}/pods/a/log", YES),
    ("get | core | pods/log | a", f"GET {NS}/pods/b/log", NO),
    ("list | core | pods | a", f"GET {NS}/pods", NO),
    ("list | core | pods | a", f"GET {NS}/pods?fieldSelector=metadata.name%3Da", YES),
    ("list | core | pods | a", f"GET {NS}/pods?fieldSelector=metadata.name=a", YES),
    ("list | core | pods | a", f"GET {NS}/pods?fieldSelector=metadata.name==a", YES),
    ("list | core | pods | a", f"GET {NS}/pods?fieldSelector=metadata.name!=a", NO),
    ("list | core | pods | a", f"GET {NS}/pods?fieldSelector=metadata.name=b", NO),
    ("list | core | pods | a", f"GET {NS}/pods?fieldSelector=metadata.name=a,spec.nodeName=n", YES),
    ("list | core | pods | a", f"GET {NS}/pods?fieldSelector=spec.nodeName=a", NO),
    ("list | core | pods | a", f"GET {NS}/pods?fieldSelector=metadata.name%20=a", NO),
    ("list | core | pods | a", f"GET {NS}/pods?fieldSelector=metadata.name=%20a", NO),
    ("list | core | pods | a", f"GET {NS}/pods?fieldSelector=metadata.name=a,bad", NO),
    ("list | core | pods | a",
     f"GET {NS}/pods?fieldSelector=metadata.name=b&fieldSelector=metadata.name=a", NO),
    ("list | core | pods | a", f"GET {NS}/pods?fieldselector=metadata.name=a", NO),
    ("list | core | pods | a", f"GET {NS}/pods?fieldSelector=metadata.name=a;x", NO),
    ("list | core | pods | a", f"GET {NS}/pods?fieldSelector=metadata.name=a&limit=x", NO),
    ("list | core | pods | a", f"GET {NS}/pods?fieldSelector=metadata.name=a&limit=1", YES),
    ("list | core | pods | a", f"GET {NS}/pods?name=a", NO),
    ("watch | core | pods | a", f"GET {NS}/pods?watch=1&fieldSelector=metadata.name=a", YES),
    ("list | core | pods | a", f"GET {NS}/pods?watch=1&fieldSelector=metadata.name=a", NO),
    ("watch | core | pods | a", f"GET {NS}/pods?watch=1", NO),
    ("create | core | pods | a", f"POST {NS}/pods", NO),
    ("create | core | pods/binding | a", f"POST {NS}/pods/a/binding", YES),
    ("deletecollection | core | pods | a", f"DELETE {NS}/pods", NO),
    ("deletecollection | core | pods | a",
     f"DELETE {NS}/pods?fieldSelector=metadata.name=a", NO),
    ("delete | core | pods | a", f"DELETE {NS}/pods/a", YES),
    ("patch | core | pods | a", f"PATCH {NS}/pods/a", YES),
    ("list | core | namespaces | x", "GET /api/v1/namespaces?fieldSelector=metadata.name=x", YES),
]  # fmt: skip
# requestinfo.go: a namespace object is in the namespace of its own name.
NAMESPACES = [
    ("", "get | core | namespaces", "GET /api/v1/namespaces/x", YES),
    ("", "list | core | namespaces", "GET /api/v1/namespaces", YES),
    ("", "list | core | namespaces", "GET /api/v1/namespaces/", YES),
    ("", "get | core | namespaces | x", "GET /api/v1/namespaces/x", YES),
    ("", "get | core | namespaces | x", "GET /api/v1/namespaces/y", NO),
    ("", "update | core | namespaces/finalize", f"PUT {NS}/finalize", YES),
    ("", "update | core | namespaces", f"PUT {NS}/finalize", NO),
    ("", "get | core | namespaces/status", f"GET {NS}/status", YES),
    ("", "list | core | status", f"GET {NS}/status", NO),
    ("", "list | core | exec", f"GET {NS}/exec", YES),
    ("", "get | core | namespaces", f"GET {NS}/pods/p", NO),
    ("", "delete | core | namespaces", "DELETE /api/v1/namespaces/x", YES),
    ("", "deletecollection | core | namespaces", "DELETE /api/v1/namespaces", YES),
    ("x", "* | * | *", "GET /api/v1/namespaces/x", YES),
    ("x", "* | * | *", "DELETE /api/v1/namespaces/x", YES),
    ("x", "* | * | *", f"GET {NS}/pods", YES),
    ("x", "* | * | *", f"PUT {NS}/finalize", YES),
    ("x", "* | * | *", f"GET {APPS}/deployments", YES),
    ("x", "* | * | *", "GET /api/v1/namespaces/y/pods", NO),
    ("x", "* | * | *", "GET /api/v1/namespaces/X/pods", NO),
    ("x", "* | * | *", "GET /api/v1/namespaces/y", NO),
    ("x", "* | * | *", "GET /api/v1/namespaces", NO),
    ("x", "* | * | *", "GET /api/v1/namespaces?fieldSelector=metadata.name=x", NO),
    ("x", "* | * | *", "GET /api/v1/pods", NO),
    ("x", "* | * | *", "GET /api/v1/pods?fieldSelector=metadata.namespace=x", NO),
    ("x", "* | * | *", "GET /api/v1/nodes", NO),
    ("x", "* | * | *", "GET /api/v1/nodes/x", NO),
    ("x", "* | * | *", "POST /api/v1/pods", NO),
    ("x", "* | * | *", "GET /api/v1/persistentvolumes/x", NO),
    ("x", "* | * | *", "GET /api/v1/watch/namespaces/x/pods", YES),
    ("x", "* | * | *", "GET /api/v1/watch/pods", NO),
    ("x", "* | * | *", "GET /api/v1/proxy/namespaces/x/pods/p", YES),
    ("x", "* | * | *", "GET /version", NO),
    ("x", "* | * | *", "GET /api", NO),
    ("x", "* | * | *", "GET /apis/apps/v1", NO),
    ("x", "* | * | *", "GET /apis/example.com/v1/namespaces/x/things/t", YES),
    ("x", "* | * | *", "GET /apis/example.com/v1/things/x", NO),
]
# requestinfo.go: specialVerbs, and what is too short to be about a resource.
OLD_VERBS = [
    ("watch | core | pods", "GET /api/v1/watch/pods", YES),
    ("watch | core | pods", "GET /api/v1/watch/namespaces/x/pods", YES),
    ("watch | core | pods | p", "GET /api/v1/watch/namespaces/x/pods/p", YES),
    ("watch | core | pods | p", "GET /api/v1/watch/namespaces/x/pods/q", NO),
    ("watch | core | pods | p", "GET /api/v1/watch/pods?fieldSelector=metadata.name=p", NO),
    ("list get | core | pods", "GET /api/v1/watch/pods", NO),
    ("watch | apps | deployments", "GET /apis/apps/v1/watch/deployments", YES),
    ("watch | core | namespaces", "GET /api/v1/watch/namespaces/x", YES),
    ("watch | core | pods", "DELETE /api/v1/watch/pods", YES),
    ("delete | core | pods", "DELETE /api/v1/watch/namespaces/x/pods/p", NO),
    ("watch | core | watch", "GET /api/v1/watch", NO),
    ("get | core | watch", "GET /api/v1/watch", NO),
    ("proxy | core | services", "GET /api/v1/proxy/namespaces/x/services/s/a", YES),
    ("proxy | core | nodes | n", "GET /api/v1/proxy/nodes/n/metrics", YES),
    ("get | core | services/proxy", "GET /api/v1/proxy/namespaces/x/services/s/a", NO),
    ("proxy | core | services/proxy", "GET /api/v1/proxy/namespaces/x/services/s/a", NO),
    ("get | core | *", "GET /api/v1/proxy/namespaces/x/services/s/a", NO),
    ("proxy | core | services", f"GET {NS}/services/s/proxy/a", NO),
]
# requestinfo.go: non-resource requests. evaluation_helpers.go, NonResourceURLMatches.
URLS = [
    ("get | /healthz", "GET /healthz", YES),
    ("get | /healthz", "GET /healthz/", NO),
    ("get | /healthz", "GET /healthz/etcd", NO),
    ("get | /healthz", "GET /healthz?verbose", YES),
    ("get | /healthz", "GET /h%65althz", YES),
    ("get | /healthz", "GET /Healthz", NO),
    ("get | /healthz", "HEAD /healthz", NO),
    ("head | /healthz", "HEAD /healthz", YES),
    ("post | /healthz", "POST /healthz", YES),
    ("create | /healthz", "POST /healthz", NO),
    ("list watch | /healthz", "GET /healthz?watch=1", NO),
    ("* | /healthz", "DELETE /healthz", YES),
    ("get | /healthz/*", "GET /healthz/etcd", YES),
    ("get | /healthz/*", "GET /healthz/", YES),
    ("get | /healthz/*", "GET /healthz", NO),
    ("get | /healthz*", "GET /healthzz", YES),
    ("get | /health**", "GET /healthz", YES),
    ("get | /*/etcd", "GET /healthz/etcd", NO),
    ("get | *", "GET /", YES),
    ("get | *", "GET /metrics", YES),
    ("get | *", f"GET {NS}/pods", NO),
    ("get | *", "GET /api/v1/pods", NO),
    ("get | /api/*", "GET /api/v1/pods", NO),
    ("get | /api /api/*", "GET /api", YES),
    ("get | /api /api/*", "GET /api/v1", YES),
    ("get | /api /api/*", "GET /api/v1/", YES),
    ("get | /apis/*", "GET /apis/apps", YES),
    ("get | /apis/*", "GET /apis/apps/v1", YES),
    ("get | /apis/*", "GET /apis/apps/v1/deployments", NO),
    ("get | /apis/*", "GET /apis", NO),
    ("* | * | *", "GET /apis/apps/v1", NO),
    ("* | * | *", "GET /metrics", NO),
    ("get | core | pods", "GET /pods", NO),
    ("* | *", "PURGE /x", YES),
    ("get | /openapi/v3/*", "GET /openapi/v3/apis/apps/v1", YES),
    ("get | /logs/*", "GET /logs/a%2Fb", YES),
    ("get | /.well-known/*", "GET /.well-known/openid-configuration", YES),
]
# Verbs that no request has, but that other checks ask for: they open nothing here.
OTHER_VERBS = [
    ("escalate bind | rbac.authorization.k8s.io | roles", f"GET {RBAC}/namespaces/x/roles/r", NO),
    ("escalate | rbac.authorization.k8s.io | roles", f"POST {RBAC}/namespaces/x/roles", NO),
    ("bind | rbac.authorization.k8s.io | clusterroles", f"POST {RBAC}/clusterrolebindings", NO),
    ("impersonate | core | users", f"GET {NS}/pods", NO),
    ("use | policy | podsecuritypolicies", "GET /apis/policy/v1/podsecuritypolicies/p", NO),
    ("approve | certificates.k8s.io | signers",
     "PUT /apis/certificates.k8s.io/v1/certificatesigningrequests/c/approval", NO),
    ("exec | core | pods", f"POST {NS}/pods/p/exec", NO),
    ("connect | core | pods/exec", f"POST {NS}/pods/p/exec", NO),
]  # fmt: skip
# kubernetes/pkg/registry/core/pod/rest, ensureAuthorizedForVerb, since 1.35.
CONNECTS = [
    (("get | core | pods/exec",), f"GET {NS}/pods/p/exec", NO),
    (("create | core | pods/exec",), f"GET {NS}/pods/p/exec", NO),
    (("create | core | pods/exec",), f"POST {NS}/pods/p/exec", YES),
    (("get create | core | pods/exec",), f"GET {NS}/pods/p/exec", YES),
    (("get | core | pods/exec", "create | core | pods/exec"), f"GET {NS}/pods/p/exec", YES),
    (("get | core | pods/exec", "create | core | pods"), f"GET {NS}/pods/p/exec", NO),
    (("get | core | pods/exec", "create | core | pods/exec | q"), f"GET {NS}/pods/p/exec", NO),
    (("get | core | pods/exec", "create | core | pods/exec | p"), f"GET {NS}/pods/p/exec", YES),
    (("get | core | *",), f"GET {NS}/pods/p/exec", NO),
    (("* | core | *",), f"GET {NS}/pods/p/exec", YES),
    (("get | core | pods/attach",), f"GET {NS}/pods/p/attach", NO),
    (("get create | core | */attach",), f"GET {NS}/pods/p/attach", YES),
    (("get | core | pods/portforward",), f"GET {NS}/pods/p/portforward", NO),
    (("get | core | pods/log",), f"GET {NS}/pods/p/log", YES),
    (("get | core | pods/proxy",), f"GET {NS}/pods/p/proxy/x", YES),
    (("get | core | services/proxy",), f"GET {NS}/services/s/proxy/x", YES),
    (("get | core | nodes/proxy",), "GET /api/v1/nodes/n/proxy/exec/x/p/c", YES),
]


@pytest.mark.parametrize(
    ("rule", "request_line", "allowed"),
    [*VERBS, *RESOURCES, *NAMES, *OLD_VERBS, *URLS, *OTHER_VERBS],
)
def test_a_cluster_role_decides_as_rbac_does(rule: str, request_line: str, allowed: bool) -> None:
    check(decide(role(rule), request_line), allowed=allowed)


@pytest.mark.parametrize(("namespace", "rule", "request_line", "allowed"), NAMESPACES)
def test_a_namespace_is_a_place_and_an_object(
    namespace: str, rule: str, request_line: str, allowed: bool
) -> None:
    check(decide(role(rule, namespace=namespace), request_line), allowed=allowed)


@pytest.mark.parametrize(("rules", "request_line", "allowed"), CONNECTS)
def test_a_connection_into_a_pod_needs_create(
    rules: tuple[str, ...], request_line: str, allowed: bool
) -> None:
    fields = WEBSOCKET if request_line.startswith("GET") else ()
    check(decide(role(*rules), request_line, *fields), allowed=allowed)
    check(decide(role(*rules), request_line), allowed=allowed)


# apiserver/pkg/endpoints/handlers/patch.go, createAuthorizerAttributes.
@pytest.mark.parametrize(
    ("rules", "target", "kind", "allowed"),
    [
        (("patch | apps | deployments",), f"{APPS}/deployments/d",
         "strategic-merge-patch+json", YES),
        (("patch | apps | deployments",), f"{APPS}/deployments/d", "merge-patch+json", YES),
        (("patch | apps | deployments",), f"{APPS}/deployments/d", "json-patch+json", YES),
        (("patch | apps | deployments",), f"{APPS}/deployments/d", "apply-patch+yaml", NO),
        (("patch | apps | deployments",), f"{APPS}/deployments/d", "apply-patch+cbor", NO),
        (("patch | apps | deployments",), f"{APPS}/deployments/d", "Apply-Patch+YAML;x=y", NO),
        (("create | apps | deployments",), f"{APPS}/deployments/d", "apply-patch+yaml", NO),
        (("patch create | apps | deployments",), f"{APPS}/deployments/d", "apply-patch+yaml", YES),
        (("patch create | apps | deployments | d",), f"{APPS}/deployments/d", "apply-patch+yaml",
         YES),
        (("patch | apps | deployments", "create | apps | deployments | e"),
         f"{APPS}/deployments/d", "apply-patch+yaml", NO),
        (("patch | apps | deployments/status",), f"{APPS}/deployments/d/status",
         "apply-patch+yaml", YES),
    ],
)  # fmt: skip
def test_an_apply_can_create_and_so_needs_create(
    rules: tuple[str, ...], target: str, kind: str, allowed: bool
) -> None:
    content_type = (b"Content-Type", f"application/{kind}".encode())
    check(decide(role(*rules), f"PATCH {target}", content_type), allowed=allowed)


@pytest.mark.parametrize("value", [b"\xc2\xa0", b"bob\xc2\xa0", b"\xe3\x80\x80bob", b"bob\xc2\x85"])
def test_a_name_that_only_looks_like_the_permitted_one_is_another(value: bytes) -> None:
    """Go trims spaces and tabs from a header's value, Python all that Unicode calls a space."""
    rules = role("get | core | pods", "impersonate | core | users | bob")
    user = b"Impersonate-User"
    check(decide(rules, f"GET {NS}/pods/p", (user, value)), allowed=False)
    check(decide(rules, f"GET {NS}/pods/p", (user, b"bob \t")), allowed=True)
