"""The gate beside the real ``kubectl proxy``: the same verdict on the same request.

Where the two differ on purpose the difference is written down here, so that one which nobody
intended cannot hide.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kubelatch.gate import (
    Allowed,
    Decision,
    Gate,
    GateSettings,
    LocalResponse,
    Refusal,
    split_patterns,
)

from .kubectl_proxy import KUBECTL, KubectlProxy, Reply, kubectl_proxy

pytestmark = pytest.mark.skipif(KUBECTL is None, reason="kubectl is not installed")

FLAGS = {
    "defaults": (),
    "lists": ("--accept-paths=^/api$,/v1,secrets", "--reject-paths=dev,^/apis/.*x$"),
    "methods": ("--reject-methods=POST,^PUT$",),
    "nothing": ("--accept-paths=",),
    "hosts": (r"--accept-hosts=^example\.com$,\.local$",),
    "cut": ("--accept-paths=^/a{1,3}$",),
    "prefix": ("--api-prefix=/custom",),
    "unstripped": ("--api-prefix=/api",),
}


@dataclass(frozen=True)
class Both:
    """kubectl and the gate with the same flags."""

    kubectl: KubectlProxy
    gate: Gate
    host: str
    prefix: str


@pytest.fixture(scope="module", params=FLAGS)
def both(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Both]:
    flags = dict(flag.removeprefix("--").split("=", 1) for flag in FLAGS[request.param])
    prefix = flags.pop("api-prefix", "/")
    settings: dict[str, Any] = {
        name.replace("-", "_"): split_patterns(value) for name, value in flags.items()
    }
    gate = Gate(GateSettings(**settings, api_prefix=prefix))
    host = "a.local" if "accept_hosts" in settings else "localhost"
    with kubectl_proxy(tmp_path_factory.mktemp("kubectl"), *FLAGS[request.param]) as kubectl:
        yield Both(kubectl, gate, host, prefix.rstrip("/"))


def outcome_of_kubectl(reply: Reply) -> str:
    if reply.status == 200:
        return f"upstream gets {reply.body.decode('latin-1')}"
    if reply.status in (301, 307, 308):
        return f"moved to {reply.headers['location']}"
    return str(reply.status)


def outcome_of_ours(decision: Decision) -> str:
    if isinstance(decision, Allowed):
        return f"upstream gets {decision.target.raw}"
    if isinstance(decision, LocalResponse):
        return f"moved to {dict(decision.headers)['Location']}"
    assert isinstance(decision, Refusal)
    return str(decision.status)


def compare(both: Both, target: str, host: str) -> None:
    reply = both.kubectl.ask("GET", target, {"Host": host})
    decision = both.gate.decide("GET", target, [(b"Host", host.encode())])
    assert outcome_of_ours(decision) == outcome_of_kubectl(reply)


@pytest.mark.parametrize(
    "target",
    [
        "/api",
        "/api/",
        "/api?x=/a&y=%zz;z",
        "/api/v1/namespaces/dev/pods",
        "/api/v1/namespaces/d/pods/p/exec?command=ls",
        "/api/v1/namespaces/d/pods/p/%65xec",
        "/api/v1/namespaces/d/pods/p%2Fattach",
        "/api/v1/namespaces/d/pods/p/portforward",
        "/api/v1/namespaces/%ff/pods/p/exec",
        "/api/v1/namespaces/pods/services/x/executor",
        "/apis/x/pods/p/exec",
        "/apis/apps/x",
        "/foo/api",
        "/api/v1/s%65crets",
        "/a",
        "/aaa",
        "/x3%7d",
        "//api//v1",
        "/api/../version",
        "/./version",
        "/version/.",
        "/api/v1/../",
        "/customer",
        "/custom",
        "/custom/",
        "/custom//api",
        "/custom/api/v1/namespaces/d/pods/p/exec",
        "/apis",
    ],
)
def test_same_verdict_on_a_path(both: Both, target: str) -> None:
    # kubectl redirects before it looks at the host, so this must be one that both accept.
    compare(both, target, both.host)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
def test_same_verdict_on_a_method(both: Both, method: str) -> None:
    target = f"{both.prefix}/v1"
    reply = both.kubectl.ask(method, target, {"Host": both.host, "Content-Length": "0"})
    headers = [(b"Host", both.host.encode()), (b"Content-Length", b"0")]
    decision = both.gate.decide(method, target, headers)
    assert isinstance(decision, Allowed) == (reply.status == 200)


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:1",
        "127.0.0.1:8001",
        "[::1]",
        "127x0x0x1",
        "evil.example",
        "localhost.evil.example",
        "example.com:80",
        "a.local",
        "a.local.evil.example",
    ],
)
def test_same_verdict_on_a_host(both: Both, host: str) -> None:
    # Outside its prefix kubectl says 404 before it looks at the host.
    compare(both, f"{both.prefix}/v1", host)


@pytest.fixture(scope="module")
def kubectl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubectlProxy]:
    with kubectl_proxy(tmp_path_factory.mktemp("kubectl")) as running:
        yield running


@pytest.mark.parametrize(
    ("method", "target", "headers", "theirs", "ours"),
    [
        pytest.param("GET", "/api", {"Host": "[::1]:8001"}, "403", "upstream gets /api", id="IPv6"),
        pytest.param("GET", "/api", {"Host": "LOCALHOST"}, "403", "upstream gets /api", id="case"),
        pytest.param("GET", "/api", {"Host": "localhost."}, "403", "upstream gets /api", id="dot"),
        pytest.param(
            "GET", "/api", {"Host": "localhost:x"}, "upstream gets /api", "400", id="port"
        ),
        pytest.param("GET", "/a%2Fb//c", {}, "moved to /a%252Fb/c", "moved to /a%2Fb/c", id="%2F"),
        pytest.param("GET", "/%2e%2e/x", {}, "upstream gets /%2e%2e/x", "400", id="dots"),
        pytest.param("GET", "/a%00b", {}, "upstream gets /a%00b", "400", id="NUL"),
        pytest.param(
            "GET",
            "/api/v1/namespaces/d%0aev/pods/p/exec",
            {},
            "upstream gets /api/v1/namespaces/d%0aev/pods/p/exec",
            "400",
            id="a newline hides exec from kubectl",
        ),
        pytest.param(
            "GET",
            "/api/v1/namespaces/x/services/s/proxy//a",
            {},
            "moved to /api/v1/namespaces/x/services/s/proxy/a",
            "upstream gets /api/v1/namespaces/x/services/s/proxy//a",
            id="behind proxy",
        ),
        pytest.param(
            "GET", "/api", {"Origin": "http://evil.example"}, "upstream gets /api", "403", id="page"
        ),
        pytest.param("GET", "/x|y", {}, "upstream gets /x%7Cy", "upstream gets /x|y", id="raw"),
    ],
)
def test_where_the_two_differ_on_purpose(
    kubectl: KubectlProxy, method: str, target: str, headers: dict[str, str], theirs: str, ours: str
) -> None:
    sent = {"Host": "localhost", **headers}
    assert outcome_of_kubectl(kubectl.ask(method, target, sent)) == theirs
    raw = [(name.encode(), value.encode()) for name, value in sent.items()]
    assert outcome_of_ours(Gate(GateSettings()).decide(method, target, raw)) == ours


def test_the_root_path_is_a_path(tmp_path: Path) -> None:
    with kubectl_proxy(tmp_path, "--accept-paths=^/.*") as running:
        assert running.ask("GET", "/", {"Host": "localhost"}).status == 403
    gate = Gate(GateSettings(accept_paths=("^/.*",)))
    assert isinstance(gate.decide("GET", "/", [(b"Host", b"localhost")]), Allowed)
