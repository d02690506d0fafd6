"""Connections to services: TLS, refused credentials, pods that are gone, ports that refuse."""

import json
import socket
from pathlib import Path

import pytest
from aiohttp import web

from tests.support.certificates import Authority
from tests.support.cluster import Pod, application
from tests.support.upstream import server_context

from .conftest import HOST, Setting, Start

TLS_HOST = "https--80--web--shop--test.localhost"


async def hello(request: web.BaseRequest) -> web.StreamResponse:
    return web.Response(text=f"hello {request.headers['Host']} {request.secure}")


async def message(setting: Setting, host: str = HOST) -> tuple[int, str]:
    answer = await setting.get(host=host)
    return answer.status, json.loads(answer.body)["message"] if answer.status > 200 else ""


async def test_a_service_of_tls_is_reached_though_its_certificate_is_for_another_name(
    start: Start,
) -> None:
    setting = await start()
    context = server_context(Authority(), Authority().server("else.example"))
    async with application(hello, context) as port:
        setting.cluster.serve("web", port)
        answer = await setting.get(host=TLS_HOST)
        assert answer.body.decode() == f"hello {TLS_HOST}:{setting.port} True"
        assert (await setting.get(host=TLS_HOST)).status == 200
    assert setting.cluster.forwards == 1


async def test_tls_with_a_port_of_plain_http_is_said_to_fail(start: Start) -> None:
    setting = await start()
    async with application(hello) as port:
        setting.cluster.serve("web", port)
        status, said = await message(setting, TLS_HOST)
    assert status == 502
    assert "TLS" in said
    assert "https--" in said


async def test_a_port_that_refuses_is_reported_with_the_nodes_reason(start: Start) -> None:
    setting = await start()
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    service = setting.cluster.serve("web", port)
    status, said = await message(setting)
    assert status == 502
    assert "the pod's port 8080 cannot be reached" in said
    assert "connection refused" in said
    # The next request looks for another pod.
    async with application(hello) as running:
        service.pods.append(Pod("web-1", {8080: running}))
        assert (await setting.get()).status == 200


async def test_a_pod_that_is_gone_before_it_is_dialled_is_looked_up_again(start: Start) -> None:
    setting = await start()
    async with application(hello) as port:
        service = setting.cluster.serve("web", port)
        gone = Pod("gone-0", {8080: port})
        service.pods.insert(0, gone)
        # Still in the EndpointSlice, and no longer there.
        gone.namespace = "elsewhere"
        manifest = service.slice

        def stale() -> dict[str, object]:
            found = manifest()
            for endpoint in found["endpoints"]:
                endpoint["targetRef"]["namespace"] = "shop"
            return found

        service.slice = stale  # type: ignore[method-assign]
        assert (await setting.get()).status == 200
        service.pods.pop()
        await setting.cluster.cut("web-0")
        status, said = await message(setting)
    assert status == 503
    assert "is gone" in said


async def test_a_renewed_token_is_tried_once(start: Start, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("old")
    setting = await start(user={"tokenFile": str(token)})
    async with application(hello) as port:
        setting.cluster.serve("web", port)
        setting.cluster.token = "old"
        assert (await setting.get()).status == 200
        await setting.cluster.cut("web-0")
        setting.cluster.token = "new"
        token.write_text("new")
        setting.cluster.seen.clear()
        assert (await setting.get()).status == 200
        setting.cluster.token = "another"
        await setting.cluster.cut("web-0")
        status, said = await message(setting)
    assert status == 503
    assert "does not accept this proxy's credential" in said


async def test_a_port_forward_that_rbac_forbids_is_named_with_its_role(start: Start) -> None:
    setting = await start()
    async with application(hello) as port:
        setting.cluster.serve("web", port)
        setting.cluster.forbidden.add("create pods/portforward")
        answer = await setting.get()
    assert answer.status == 403
    said = json.loads(answer.body)["message"]
    assert "create pods/portforward in the namespace shop" in said
    role = json.loads(said[said.index("{") : said.rindex("}") + 1])
    assert role["metadata"]["namespace"] == "shop"
    assert {"get", "create"} == set(role["rules"][2]["verbs"])


@pytest.mark.parametrize("fault", ["refused", "reset"])
async def test_an_api_server_that_is_gone_is_reported(start: Start, fault: str) -> None:
    setting = await start()
    setting.cluster.serve("web", 1)
    await setting.cluster.stop()
    status, said = await message(setting)
    assert status == 502
    assert str(setting.cluster.port) in said
