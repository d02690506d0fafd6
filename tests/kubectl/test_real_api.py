"""A real API's answers are the same through both proxies, real kubectl's requests included."""

import json

import pytest

from kubelatch.demo import DemoAccess

from .conftest import Kubectl, Pairs
from .pairs import Pair
from .wire import Ask, ask

# Of one answer only: what the API server makes anew for each.
_FRESH = frozenset({"audit-id"})
# The one field that is added: differences.py, "unbuffered".
_OURS = frozenset({"x-accel-buffering"})
_TABLE = "Accept: application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
_PODS = "/api/v1/namespaces/shop/pods"

READS = {
    "root": ask("GET", "/"),
    "version": ask("GET", "/version"),
    "health": ask("GET", "/healthz"),
    "readiness": ask("GET", "/readyz?verbose"),
    "legacy groups": ask("GET", "/api"),
    "groups": ask("GET", "/apis"),
    "core resources": ask("GET", "/api/v1"),
    "aggregated discovery": ask(
        "GET",
        "/apis",
        "Accept: application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
    ),
    "openapi": ask("GET", "/openapi/v3"),
    "list": ask("GET", _PODS),
    "list gzipped": ask("GET", _PODS, "Accept-Encoding: gzip"),
    "list as table": ask("GET", _PODS, _TABLE),
    "list as yaml": ask("GET", _PODS, "Accept: application/yaml"),
    "list by label": ask("GET", f"{_PODS}?labelSelector=app%3Dweb"),
    "list by field": ask("GET", f"{_PODS}?fieldSelector=status.phase%3DRunning"),
    "one": ask("GET", "/apis/apps/v1/namespaces/shop/deployments/web"),
    "HEAD": ask("HEAD", "/apis/apps/v1/namespaces/shop/deployments/web"),
    "not found": ask("GET", f"{_PODS}/none"),
    "no such resource": ask("GET", "/api/v1/nonsense"),
    "not allowed": ask("DELETE", "/version"),
    "not acceptable": ask("GET", _PODS, "Accept: image/png"),
    "bad selector": ask("GET", f"{_PODS}?labelSelector=%3D%3D%3D"),
    "bad body": ask(
        "POST", "/api/v1/namespaces/shop/configmaps", "Content-Type: application/json", body=b"{"
    ),
    "dry run": ask(
        "PATCH",
        "/apis/apps/v1/namespaces/shop/deployments/web?dryRun=All&fieldManager=a",
        "Content-Type: application/merge-patch+json",
        # Or the API server would name the manager of the fields by the proxy's (managedFields).
        "User-Agent: curl/8",
        body=b'{"metadata":{"labels":{"a":"b"}}}',
    ),
    "server-side apply": ask(
        "PATCH",
        "/api/v1/namespaces/shop/configmaps/settings?fieldManager=a&dryRun=All",
        "Content-Type: application/apply-patch+yaml",
        body=b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\n",
    ),
    "watch that ends": ask("GET", f"{_PODS}?watch=true&timeoutSeconds=1&labelSelector=app=web"),
    "impersonated": ask("GET", _PODS, "Impersonate-User: jane"),
}


@pytest.fixture(scope="session")
def pair(pairs: Pairs, demo: DemoAccess) -> Pair:
    """Both proxies before the demo API server."""
    return pairs("--reject-paths=", config=demo.kubeconfig())


@pytest.mark.parametrize("request_", READS.values(), ids=READS)
def test_answers_are_the_same(pair: Pair, request_: Ask) -> None:
    theirs, ours = pair.both(request_)
    assert theirs.reply is not None
    assert ours.reply is not None
    assert (ours.status, ours.reply.whole) == (theirs.status, True)
    assert _lasting(ours.reply.meaning) == _lasting(theirs.reply.meaning)
    assert _lines(ours.body) == _lines(theirs.body)


def _lasting(fields: tuple[tuple[str, str], ...]) -> list[tuple[str, str]]:
    return [field for field in fields if field[0] not in _FRESH | _OURS]


def _lines(body: bytes) -> list[str]:
    """Lines without what tells one answer from the next."""
    try:
        document = json.loads(body)
    except ValueError:
        return body.decode("latin-1").splitlines()
    lines = json.dumps(document, indent=1, default=str).splitlines()
    return [line for line in lines if '"time": ' not in line]


@pytest.mark.parametrize(
    "command",
    [
        "get pods -n shop",
        "get pods -A -o wide",
        "get deploy,svc -n shop -o json",
        "get nodes -o yaml",
        "describe deploy web -n shop",
        "api-resources",
        "api-versions",
        "auth whoami",
        "auth can-i --list",
        "explain pods.spec",
        "get pods none -n shop",
        "get nonsense",
        "top pods",
        "rollout status deploy/web -n shop",
    ],
)
def test_kubectl_says_the_same(pair: Pair, kubectl: Kubectl, command: str) -> None:
    ours = kubectl.at(pair.kubelatch.address)(command)
    theirs = kubectl.at(pair.kubectl.address)(command)
    assert ours == theirs
