"""When the rules are written: at the end, however it comes, and only if there was a beginning."""

import asyncio
import signal
import sys
from pathlib import Path

import pytest
import yaml
from aiohttp import web

from kubelatch.config import settings
from kubelatch.demo import DemoServer
from kubelatch.errors import UsageError
from tests.observe.approvals.support import Asking
from tests.observe.approvals.support import flags as ask_flags
from tests.support.certificates import Authority
from tests.support.client import Client
from tests.support.cluster import application
from tests.support.cluster import cluster as service_cluster
from tests.support.clusters import cluster, contexts
from tests.support.kubeconfig import kubeconfig, write
from tests.support.proxies import client_of, proxy_in_loop, proxy_process, serving
from tests.support.upstream import ScriptedUpstream, answering, ok

from .support import manifests, uncommented

PODS = "/api/v1/namespaces/shop/pods"


def learned(path: Path) -> dict[str, list[str]]:
    """The verbs of each resource, and of each path."""
    return {
        what: rule["verbs"]
        for document in manifests(path.read_text())
        for rule in document["rules"] or []
        for what in rule.get("resources", []) + rule.get("nonResourceURLs", [])
    }


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
async def test_rules_are_written_after_a_signal(tmp_path: Path, stop: signal.Signals) -> None:
    path = tmp_path / "agent.yaml"
    async with proxy_process("--demo", "--port=0", f"--write-rules={path}") as process:
        async with await Client.connect(process.address) as client:
            assert (await client.get(PODS)).status == 200
        assert not path.exists()
        process.signal(stop)
        assert await process.finish() == 0
        assert process.stderr == b""
    assert learned(path) == {"pods": ["list"]}
    [role] = manifests(path.read_text())
    assert role["metadata"] == {"name": "agent", "namespace": "shop"}
    assert path.read_text().startswith(
        "# Rules for what passed through kubelatch in the context demo: 1 request.\n"
    )


async def test_rules_are_written_when_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    """A watch and a request that hangs are under way."""
    path = tmp_path / "rules.yaml"
    flags = ("--demo", "--port=0", f"--write-rules={path}", "--reject-paths=")
    async with (
        proxy_process(*flags) as process,
        await Client.connect(process.address) as watch,
        await Client.connect(process.address) as log,
    ):
        await watch.send(b"GET /api/v1/nodes?watch=1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b" 200 " in await watch.reader.readuntil(b"\r\n\r\n")
        pods = yaml.safe_load((await log.get(PODS)).body)["items"]
        name = next(pod["metadata"]["name"] for pod in pods
                    if pod["metadata"]["name"].startswith("web-"))  # fmt: skip
        target = f"{PODS}/{name}/log?follow=true"
        await log.send(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert b" 200 " in await log.reader.readuntil(b"\r\n\r\n")
        process.signal(signal.SIGTERM)
        # New connections are refused once it drains.
        async with asyncio.timeout(10):
            while True:
                try:
                    (await Client.connect(process.address)).close()
                except OSError:
                    break
                await asyncio.sleep(0.01)
        process.signal(signal.SIGTERM)
        assert await process.finish() == 0
    [cluster, role] = manifests(path.read_text())
    assert cluster["rules"] is None
    assert "#  resources: [nodes]\n  #  verbs: [watch]" in path.read_text()
    assert [(rule["resources"], rule["verbs"]) for rule in role["rules"]] == [
        (["pods"], ["list"]),
        (["pods/log"], ["get"]),
    ]


async def test_what_run_let_through_is_written(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "kubelatch", "run", "--demo", f"--write-rules={path}", "--"),
        *("sh", "-c", "kubectl get configmaps -n shop -o name; exit 3"),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    assert (process.returncode, err) == (3, b"")
    assert b"configmap/" in out
    assert learned(path)["configmaps"] == ["list"]
    assert learned(path)["/api"] == ["get"]


@pytest.mark.parametrize("flags", [(), ("--inspect", "--admin-address=127.0.0.1:0")])
async def test_what_the_api_server_refuses_is_told_from_what_is_not_there(
    tmp_path: Path, flags: tuple[str, ...]
) -> None:
    path = tmp_path / "rules.yaml"
    upgrade = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
               "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==")  # fmt: skip
    async with DemoServer() as access:
        config = write(tmp_path / "config", access.kubeconfig())
        flags = (f"--kubeconfig={config}", "--context=demo-viewer", "--reject-paths=", *flags)
        async with (
            serving(*flags, "--port=0", f"--write-rules={path}") as app,
            await Client.connect(app.name) as client,
        ):
            for target, status in (
                (f"{PODS}/none", 404),
                ("/apis/apps/v1/namespaces/shop/nonsense", 403),
                ("/api/v1/namespaces/shop/secrets", 403),
                ("/api/v1/nodes", 403),
                ("/nonsense", 403),
                ("/api/none", 404),
                ("/readyz", 200),
            ):
                assert (await client.get(target)).status == status, target
            assert (await client.get(f"{PODS}/none/exec?command=a", *upgrade)).status == 403
    assert learned(path) == {"pods": ["get"], "/readyz": ["get"]}
    assert "# - 5 requests that the API server refused" in path.read_text()
    assert "# - 1 request for a resource, path or name" in path.read_text()


async def test_a_tunnel_into_what_is_not_there_counts(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    upgrade = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
               "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==")  # fmt: skip
    flags = ("--demo", "--port=0", "--reject-paths=", f"--write-rules={path}")
    async with serving(*flags) as app, await Client.connect(app.name) as client:
        answer = await client.get(f"{PODS}/none/exec?command=a", *upgrade)
        assert answer.status == 404, answer
    assert "#  resources: [pods/exec]\n  #  verbs: [create, get]\n" in path.read_text()


async def test_of_several_contexts_the_chosen_one_is_written(
    tmp_path: Path, authority: Authority
) -> None:
    path = tmp_path / "rules.yaml"
    async with (
        ScriptedUpstream(answering(*[ok()] * 9), authority) as here,
        ScriptedUpstream(answering(*[ok()] * 9), authority) as there,
    ):
        config = contexts({"here": cluster(here, authority), "there": cluster(there, authority)})
        flags = ("--contexts=all", f"--write-rules={path}")
        async with proxy_in_loop(tmp_path, config, *flags) as app, client_of(app) as client:
            for target in (
                "/api/v1/namespaces/shop/pods",
                "/clusters/here/api/v1/namespaces/shop/services",
                "/clusters/there/api/v1/namespaces/shop/configmaps",
                "/clusters/",
            ):
                assert (await client.get(target)).status == 200
    assert learned(path) == {"pods": ["list"], "services": ["list"]}
    assert "# - 1 request to other contexts\n" in path.read_text()


async def test_what_an_application_is_asked_for_is_not_what_the_api_is_asked_for(
    tmp_path: Path, authority: Authority
) -> None:
    """A path of the API, asked of a service that has a host name, needs what leads there."""
    path = tmp_path / "rules.yaml"
    flags = ("--service-hosts", f"--write-rules={path}", "--write-rules-names")

    async def respond(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=404)

    async with service_cluster(authority) as there, application(respond) as local:
        there.serve("web", local)
        config = kubeconfig(there.url, authority)
        async with proxy_in_loop(tmp_path, config, *flags) as app:
            port = app.name.rpartition(":")[2]
            async with await Client.connect(app.name) as client:
                host = f"web--shop--test.localhost:{port}"
                await client.send(f"GET {PODS} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
                assert (await client.answer()).status == 404
    assert learned(path) == {}
    [role] = manifests(uncommented(path.read_text()))
    assert role["metadata"]["namespace"] == "shop"
    assert role["rules"] == [
        {"apiGroups": [""], "resources": ["pods/portforward"], "verbs": ["create"]}
    ]


async def test_what_a_person_lets_through_counts(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    flags = ("--demo", "--port=0", "--read-only", f"--write-rules={path}", *ask_flags(tmp_path))
    async with serving(*flags) as app:
        proxy = Asking(app)
        for kind, status in (("configmaps", 404), ("services", 403)):
            async with await Client.connect(app.name) as client:
                target = f"/api/v1/namespaces/shop/{kind}/none"
                line = f"DELETE {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"
                await client.send(line.encode())
                [shown] = await proxy.waiting()
                if kind == "configmaps":
                    await proxy.approve(shown)
                else:
                    await proxy.post(f"pending/{shown['id']}/deny", {"reason": "no"})
                assert (await client.answer()).status == status
    assert learned(path) == {"configmaps": ["delete"]}
    assert "1 request.\n" in path.read_text()
    assert "# - 1 request refused by kubelatch" in path.read_text()


async def test_a_place_that_cannot_be_written_to_is_said_before_anything_begins(
    tmp_path: Path,
) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "kubelatch", "run", "--demo"),
        *(f"--write-rules={tmp_path}/none/rules.yaml", "--", "touch", f"{tmp_path}/begun"),
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await process.communicate()
    assert process.returncode == 2
    assert b"--write-rules " in err
    assert b"No such file or directory" in err
    assert list(tmp_path.iterdir()) == []


async def test_a_start_that_fails_leaves_an_earlier_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text("earlier")
    async with await asyncio.start_server(lambda *_: None, "127.0.0.1", 0) as taken:
        port = taken.sockets[0].getsockname()[1]
        flags = ("--demo", "--port=0", f"--write-rules={path}", f"--admin-address=127.0.0.1:{port}")
        with pytest.raises(Exception, match="address already in use"):
            async with serving(*flags):
                pass
    assert path.read_text() == "earlier"


async def test_a_file_that_can_no_longer_be_written_is_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = tmp_path / "gone"
    directory.mkdir()
    async with serving("--demo", "--port=0", f"--write-rules={directory}/rules.yaml"):
        directory.rmdir()
    assert "No such file or directory: the rules are lost" in caplog.text


async def test_names_without_a_file_are_a_usage_error() -> None:
    with pytest.raises(UsageError, match="--write-rules-names has no effect without"):
        settings.from_values(settings.parse(["--write-rules-names"], {}))


async def test_a_name_that_no_role_can_have_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "My rules.yaml"
    async with serving("--demo", "--port=0", f"--write-rules={path}"):
        pass
    [role] = manifests(path.read_text())
    assert role["metadata"]["name"] == "kubelatch"


async def test_nothing_is_kept_of_responses_without_the_flag() -> None:
    async with serving("--demo", "--port=0") as app:
        assert not app._registry.keeps_errors
