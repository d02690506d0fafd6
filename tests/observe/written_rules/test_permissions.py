"""What a rule can name without allowing more, and without showing a secret."""

import pytest

from kubelatch.gate.request_info import RequestInfo, request_info
from kubelatch.observe.written_rules.permissions import Permission, permission_of

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abcdefghijklmnop"


def needed(method: str, path: str, *, with_name: bool = True) -> Permission | None:
    return permission_of(request_info(method, path), with_name=with_name)


@pytest.mark.parametrize(
    ("method", "path", "permission"),
    [
        ("GET", "/api/v1/namespaces/s/pods/p", Permission("s", "", "pods", "get", "p")),
        ("GET", "/api/v1/namespaces/s/pods/p/log", Permission("s", "", "pods/log", "get", "p")),
        ("GET", "/api/v1/namespaces/s", Permission("s", "", "namespaces", "get", "s")),
        ("POST", "/apis/apps/v1/namespaces/s/deployments",
         Permission("s", "apps", "deployments", "create")),
        ("DELETE", "/api/v1/nodes", Permission("", "", "nodes", "deletecollection")),
        ("GET", "/healthz", Permission("", "", "", "get", path="/healthz")),
        ("OPTIONS", "/healthz", Permission("", "", "", "options", path="/healthz")),
    ],
)  # fmt: skip
def test_a_permission(method: str, path: str, permission: Permission) -> None:
    assert needed(method, path) == permission
    assert needed(method, path, with_name=False) == permission._replace(name="")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("OPTIONS", "/api/v1/pods"),  # no verb
        ("*", "/version"),  # any verb
        ("X-Y", "/version"),
        ("GET", "/version*"),
        ("GET", "/a*b"),
        ("GET", "/" + "x" * 1024),
        ("GET", "/x\u202ey"),
        ("GET", "/x\udcff"),
        ("GET", f"/{JWT}"),
        ("GET", "/x;token=abcdef"),
        ("GET", "/api/v1/*"),
        ("GET", "/apis/*/v1/pods"),
        ("GET", "/api/v1/namespaces/s/pods/p/*"),
        ("GET", "/api/v1/pods x"),
        ("GET", f"/api/v1/{'x' * 254}"),
        ("GET", f"/api/v1/{JWT}"),
        ("GET", "/api/v1/watch"),
    ],
)
def test_what_no_rule_can_name(method: str, path: str) -> None:
    assert needed(method, path) is None
    assert needed(method, path, with_name=False) is None


@pytest.mark.parametrize("name", [JWT, "x" * 254, "a\udcff", "a\nb", "a%3Btoken=abcdef"])
def test_what_may_be_a_secret_is_no_name(name: str) -> None:
    info = RequestInfo(True, "get", "/", namespace="s", resource="pods", name=name)
    assert permission_of(info, with_name=True) is None
    assert permission_of(info, with_name=False) == Permission("s", "", "pods", "get")


def test_what_allows_more() -> None:
    named = Permission("s", "", "pods", "get", "p")
    assert list(named.wider()) == [
        Permission("", "", "pods", "get"),
        Permission("", "", "pods", "get", "p"),
        Permission("s", "", "pods", "get"),
    ]
    assert list(Permission("", "", "pods", "get").wider()) == []
