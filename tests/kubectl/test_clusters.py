"""The real kubectl with ``server: http://…/clusters/ALIAS``: each context as its own user, and
those beside the chosen one are only read."""

import json

import pytest

from .conftest import Kubectl, Latch

WEB = "-n shop deploy/web"


@pytest.fixture(scope="module")
def address(latch: Latch) -> str:
    """A proxy for all of the demo's contexts, of which one may be changed."""
    flags = ("--contexts=all,reader=demo-anonymous", "--write-contexts=demo-token")
    return latch(*flags, "--reject-paths=").address


@pytest.mark.parametrize(
    ("alias", "user"),
    [("demo", "admin"), ("demo-token", "admin"), ("demo-viewer", "viewer")],
)
def test_each_context_is_its_own_user(
    kubectl: Kubectl, address: str, alias: str, user: str
) -> None:
    result = kubectl.at(f"{address}/clusters/{alias}")("auth whoami -o json")
    assert result.code == 0, result.err
    assert json.loads(result.out)["status"]["userInfo"]["username"] == user


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("get pods -n shop", "Running"),
        ("get deploy web -n shop -o yaml", "name: web"),
        ("get pods -A --chunk-size=2 -o name", "pod/web-"),
        ("api-resources", "deployments"),
        ("explain deployment.spec.replicas", "replicas <integer>"),
        ("get --raw /version", "gitVersion"),
        (f"logs {WEB} --tail=1", "web: "),
        (f"exec {WEB} -- echo hello", "hello"),
        ("annotate deploy web -n shop below=yes --overwrite", "annotated"),
        ("rollout status deploy/web -n shop", "successfully rolled out"),
        ("wait pods -n shop --all --for=condition=Ready", "condition met"),
    ],
)
def test_kubectl_works_below_a_prefix(
    kubectl: Kubectl, address: str, command: str, expected: str
) -> None:
    result = kubectl.at(f"{address}/clusters/demo-token")(command)
    assert (result.code, expected in result.out) == (0, True), result


@pytest.mark.parametrize(
    ("alias", "command", "text"),
    [
        ("demo-viewer", "delete deploy web -n shop", "--write-contexts=demo-viewer"),
        ("demo-viewer", "get secrets -n shop", "Secrets cannot be read"),
        ("demo-viewer", f"exec {WEB} -- echo hello", "--write-contexts=demo-viewer"),
        ("reader", "get --raw /api/v1/namespaces/shop/pods", 'User "system:anonymous" cannot'),
        ("nosuch", "get pods", "no context is served under the alias"),
        ("nosuch", "get --raw /api", 'no context is served under the alias "nosuch"'),
    ],
)
def test_kubectl_is_told_why_not(
    kubectl: Kubectl, address: str, alias: str, command: str, text: str
) -> None:
    result = kubectl.at(f"{address}/clusters/{alias}")(command)
    assert result.code == 1
    assert text in result.err
