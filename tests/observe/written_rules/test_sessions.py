"""Real work by real clients: the API server's own RBAC lets it through by the rules that were
written for it, and refuses it by any less."""

import asyncio
import importlib.util
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from kubelatch.demo import DemoAccess, DemoServer
from kubelatch.demo.arrivals import Arrival
from kubelatch.observe.written_rules.permissions import Permission
from kubelatch.relay.record import Record
from tests.demo.support import Http, Kubectl, client_context
from tests.support.client import Client
from tests.support.kubeconfig import write
from tests.support.kubectl import SHORT_LIVED
from tests.support.proxies import serving

from . import sessions
from .support import Manifest, collect, gate, manifests, passes, request, uncommented

_PYTHON = (sys.executable, "-c")
_RBAC = "/apis/rbac.authorization.k8s.io/v1"
_ROBOT = {"kind": "ServiceAccount", "name": "robot", "namespace": "shop"}
# Of what a session does, that which nobody may do, or nobody can.
_EXPECTED = (
    "kubectl get pods none",
    "kubectl get pods Foo_Bar",
    "kubectl get nonsense",
    "kubectl get nodes --as=viewer",
    "kubectl get --raw /none",
    "read_namespaced_pod",
    "get",
)


@dataclass
class Cluster:
    """A demo, and what has reached it."""

    access: DemoAccess
    http: Http
    arrived: list[tuple[Record, bytes]] = field(default_factory=list)


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    arrived: list[tuple[Record, bytes]] = []

    async def note(arrival: Arrival) -> None:
        record = request(arrival.method, arrival.target.decode())
        # The proxy has let pages of its own origin in, and this is another one.
        record.headers = [pair for pair in arrival.headers if pair[0].lower() != b"origin"]
        arrived.append((record, await arrival.body()))

    demo = DemoServer(on_request=note, log_interval=0.05, start_delay=0.01, seed=1)
    async with demo as access, Http.open(access) as http:
        yield Cluster(access, http, arrived)


@asynccontextmanager
async def learning(
    cluster: Cluster, directory: Path, *flags: str
) -> AsyncIterator[tuple[dict[str, Any], Path]]:
    """A proxy that learns: a kubeconfig that leads to it, and the file of rules."""
    path, rules = write(directory / "config", cluster.access.kubeconfig()), directory / "rules.yaml"
    flags = (f"--kubeconfig={path}", "--port=0", "--reject-paths=", *flags)
    async with serving(*flags, f"--write-rules={rules}") as app:
        yield kubeconfig({"server": f"http://{app.name}"}, {}), rules


def kubeconfig(server: Mapping[str, Any], user: Mapping[str, str]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": server}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "c",
    }


async def work(directory: Path, config: Mapping[str, Any], *command: str) -> list[str]:
    """Run a session, and return how its steps ended."""
    directory.mkdir()
    path = write(directory / "kubeconfig", dict(config))
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "HOME": str(directory), "KUBECONFIG": str(path),
             **SHORT_LIVED},
    )  # fmt: skip
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode().splitlines()


async def bind(http: Http, directory: Path, text: str) -> str:
    """Make a service account with the roles of a file and none of the API server's own; its
    token."""
    applied = await Kubectl(http.access, directory).ok("apply", "-f", "-", stdin=text.encode())
    documents = manifests(text)
    assert applied.count(" created\n") == len(documents)
    for name in ("basic-user", "discovery", "public-info-viewer"):
        await http("DELETE", f"{_RBAC}/clusterrolebindings/system:{name}")
    await http("POST", "/api/v1/namespaces/shop/serviceaccounts", {"metadata": {"name": "robot"}})
    for document in documents:
        kind, name = document["kind"], document["metadata"]["name"]
        binding = {
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name},
            "subjects": [_ROBOT],
        }
        assert (await http("POST", _place(document, "bindings"), binding)).status == 201
    path = "/api/v1/namespaces/shop/serviceaccounts/robot/token"
    token: str = (await http("POST", path, {"spec": {}})).json["status"]["token"]
    return token


def _place(document: Manifest, kind: str = "s") -> str:
    namespace = document["metadata"].get("namespace")
    if namespace:
        return f"{_RBAC}/namespaces/{namespace}/role{kind}"
    return f"{_RBAC}/clusterrole{kind}"


async def denial(cluster: Cluster, record: Record, body: bytes, token: str) -> str:
    """What the API server's authorization says against a request; empty if nothing."""
    host, _, port = cluster.access.server.removeprefix("https://").partition(":")
    streams = await asyncio.open_connection(host, int(port), ssl=client_context(cluster.access))
    fields = [(name, value) for name, value in record.headers
              if name.lower() not in {b"authorization", b"accept-encoding"}]  # fmt: skip
    head = b"".join(b"%b: %b\r\n" % pair for pair in fields)
    async with Client(*streams) as client:
        line = f"{record.method} {record.target} HTTP/1.1\r\nAuthorization: Bearer {token}\r\n"
        await client.send(line.encode() + head + b"\r\n" + body)
        status = int((await client.reader.readuntil(b"\r\n\r\n")).split(b" ", 2)[1])
        if status != 403:
            return ""
        message = (await client.reader.read(4096)).decode(errors="replace")
        return message if "system:serviceaccount:shop:robot" in message else ""


async def check_each_verb(
    cluster: Cluster, documents: list[Manifest], token: str, *, names: bool = False
) -> int:
    """Take out each verb, and see that what needed it is refused; how many there were."""
    needing: dict[Permission, tuple[Record, bytes]] = {}
    for record, body in cluster.arrived:
        for permission in collect([record], names=names).counts:
            # A server-side apply needs to create only what is not there.
            if permission not in needing or needing[permission][0].method == "PATCH":
                needing[permission] = record, body
    checked = 0
    for document in documents:
        place = f"{_place(document)}/{document['metadata']['name']}"
        for number, rule in enumerate(document["rules"] or []):
            for verb in rule["verbs"]:
                record, body = next(
                    found for permission, found in needing.items()
                    if _is_of(permission, document, rule, verb)
                )  # fmt: skip
                assert await denial(cluster, record, body, token) == ""
                left = [each for each in rule["verbs"] if each != verb]
                rules = list(document["rules"])
                rules[number : number + 1] = [{**rule, "verbs": left}] if left else []
                changed = await cluster.http("PUT", place, {**document, "rules": rules})
                assert changed.status == 200, changed
                assert f"cannot {verb}" in (await denial(cluster, record, body, token)), rule
                await cluster.http("PUT", place, document)
                checked += 1
    return checked


def _is_of(permission: Permission, document: Manifest, rule: Manifest, verb: str) -> bool:
    return (
        permission.verb == verb
        and permission.namespace in (document["metadata"].get("namespace", ""), "")
        and (
            permission.path in rule.get("nonResourceURLs", ())
            or (
                permission.group in rule.get("apiGroups", ())
                and permission.resource in rule.get("resources", ())
                and permission.name in rule.get("resourceNames", [permission.name])
            )
        )
    )


@pytest.mark.parametrize(
    ("module", "command", "names"),
    [
        pytest.param("", ("bash", "-c", sessions.KUBECTL), False, id="kubectl"),
        pytest.param("kubernetes", (*_PYTHON, sessions.OFFICIAL), False, id="kubernetes"),
        pytest.param("lightkube", (*_PYTHON, sessions.LIGHTKUBE), False, id="lightkube"),
        pytest.param("lightkube", (*_PYTHON, sessions.LIGHTKUBE), True, id="lightkube, by name"),
    ],
)
async def test_the_api_servers_own_rbac_agrees(
    module: str, command: tuple[str, ...], names: bool, cluster: Cluster, tmp_path: Path
) -> None:
    if module and importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed: pip install '.[examples]'")
    async with learning(cluster, tmp_path, f"--write-rules-names={names}") as (config, path):
        before = await work(tmp_path / "before", config, *command)
    traffic = list(cluster.arrived)
    text = uncommented(path.read_text())
    documents = manifests(text)
    token = await bind(cluster.http, tmp_path, text)
    [entry] = cluster.access.kubeconfig()["clusters"]
    direct = kubeconfig(entry["cluster"], {"token": token})
    assert await work(tmp_path / "after", direct, *command) == before

    failed = {line.partition(" ")[2] for line in before if not line.startswith("0 ")}
    assert {line for line in failed if not line.startswith(_EXPECTED)} == set()
    assert await check_each_verb(cluster, documents, token, names=names) >= 8
    # And here, by --allow-rules.
    judge = gate(documents)
    collector = collect(record for record, _ in traffic if not passes(judge, record))
    assert [each for each in collector.counts if not _is_nothing(each)] == []


def _is_nothing(permission: Permission) -> bool:
    """Whether it is for what does not exist, or was refused."""
    nothing = {"nonsense", "none", "nodes"}
    return permission.resource in nothing or permission.path.rpartition("/")[2] in nothing
