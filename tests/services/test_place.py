"""Services by name, as a client sees them: a real program behind a port-forward."""

import asyncio
import json

import pytest
from aiohttp import web

from tests.support.cluster import application
from tests.support.relay import eventually

from .conftest import HOST, Start


async def echo(request: web.BaseRequest) -> web.StreamResponse:
    """Respond with what came."""
    body = await request.read()
    fields = [[name.decode(), value.decode("latin-1")] for name, value in request.raw_headers]
    about = {"method": request.method, "target": request.raw_path, "fields": fields}
    return web.json_response(about | {"size": len(body)}, headers={"X-App": "yes"})


async def test_a_request_reaches_the_application_as_it_was_sent(start: Start) -> None:
    setting = await start("--as=somebody", user={"token": "secret"})
    async with application(echo) as port:
        setting.cluster.serve("web", port)
        answer = await setting.get(
            "//a%2Fb/../c%00?x=%2F&y", "Authorization: Bearer the-applications", "Cookie: a=b",
            "X-Forwarded-For: 10.1.1.1", "Accept: */*", method="POST", body=b"12345",
        )  # fmt: skip
    seen = json.loads(answer.body)
    assert answer.status == 200
    assert seen["method"] == "POST"
    assert seen["target"] == "//a%2Fb/../c%00?x=%2F&y"
    assert seen["size"] == 5
    assert sorted(seen["fields"]) == sorted([
        ["Host", f"{HOST}:{setting.port}"],
        ["Authorization", "Bearer the-applications"],
        ["Cookie", "a=b"],
        ["X-Forwarded-For", "10.1.1.1"],
        ["Accept", "*/*"],
        ["Content-Length", "5"],
    ])  # fmt: skip
    assert set(setting.cluster.identities) == {("Bearer secret", "somebody")}


async def test_connections_to_a_service_are_kept(start: Start) -> None:
    setting = await start()
    async with application(echo) as port:
        setting.cluster.serve("web", port)
        for _ in range(5):
            assert (await setting.get()).status == 200
    assert setting.cluster.forwards == 1


async def test_an_application_whose_pod_goes_is_found_in_the_next(start: Start) -> None:
    setting = await start()
    async with application(echo) as one, application(echo) as two:
        service = setting.cluster.serve("web", one)
        assert (await setting.get()).status == 200
        service.pods = []
        other = setting.cluster.serve("other", two, "web-1")
        service.pods = other.pods
        await setting.cluster.cut("web-0")
        assert (await setting.get()).status == 200
        assert (await setting.get("/", method="POST", body=b"x")).status == 200
    assert [line for line in setting.cluster.seen if "portforward" in line][-1].startswith(
        "GET /api/v1/namespaces/shop/pods/web-1/portforward"
    )


async def test_a_websocket_of_an_application_has_its_query(start: Start) -> None:
    async def chat(request: web.BaseRequest) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(f"{request.query_string} {message.data}")
        return socket

    setting = await start()
    async with application(chat) as port:
        setting.cluster.serve("web", port)
        from aiohttp import ClientSession

        async with (
            ClientSession() as session,
            session.ws_connect(
                f"http://{setting.app.name}/chat?room=1", headers={"Host": f"{HOST}:{setting.port}"}
            ) as socket,
        ):
            await socket.send_str("hello")
            assert (await socket.receive()).data == "room=1 hello"
            await socket.send_str("x" * 200_000)
            assert (await socket.receive()).data == "room=1 " + "x" * 200_000


async def test_a_client_that_leaves_a_websocket_is_noticed_by_the_application(
    start: Start,
) -> None:
    left = asyncio.Event()

    async def silent(request: web.BaseRequest) -> web.StreamResponse:
        socket = web.WebSocketResponse(autoclose=False)
        await socket.prepare(request)
        async for _ in socket:
            pass
        left.set()
        return socket

    setting = await start()
    async with application(silent) as port:
        setting.cluster.serve("web", port)
        async with setting.client() as client:
            await client.send(
                b"GET / HTTP/1.1\r\nHost: %b\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
                b"\r\n" % HOST.encode()
            )
            assert (await client.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
            client.writer.write_eof()
            await asyncio.wait_for(left.wait(), 10)
            assert await client.to_end() == (b"", True)


async def test_names_that_a_page_makes_up_push_no_service_out(start: Start) -> None:
    setting = await start()
    async with application(echo) as port:
        setting.cluster.serve("web", port)
        assert (await setting.get()).status == 200
        async with setting.client() as client:
            for number in range(300):
                await client.send(
                    f"GET / HTTP/1.1\r\nHost: x{number}--shop--test.localhost\r\n"
                    "Sec-Fetch-Site: cross-site\r\n\r\n".encode()
                )
                assert (await client.answer()).status == 403
        assert (await setting.get()).status == 200
    assert setting.cluster.forwards == 1
    assert setting.app.places is not None
    router = setting.app.places._services
    assert router is not None
    assert len(router._places) <= 256


async def test_idle_connections_are_not_used_after_the_machine_slept(start: Start) -> None:
    setting = await start()
    async with application(echo) as port:
        setting.cluster.serve("web", port)
        assert (await setting.get()).status == 200
        assert setting.app.places is not None
        setting.app.places.on_suspend()
        assert (await setting.get()).status == 200
    assert setting.cluster.forwards == 2


async def test_a_service_that_is_pushed_out_while_its_pod_is_looked_for_responds(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kubelatch.services.router._MAX_PLACES", 1)
    setting = await start()
    asked, goes_on = asyncio.Event(), asyncio.Event()
    respond = setting.cluster._respond

    async def slowly(request: web.BaseRequest) -> web.StreamResponse:
        if request.path.endswith("/services/slow"):
            asked.set()
            await goes_on.wait()
        return await respond(request)

    assert setting.cluster._runner is not None
    monkeypatch.setattr(setting.cluster._runner.server, "request_handler", slowly)
    async with application(echo) as port:
        setting.cluster.serve("slow", port)
        setting.cluster.serve("web", port)
        slow = asyncio.create_task(setting.get(host="slow--shop--test.localhost"))
        await asked.wait()
        assert (await setting.get()).status == 200
        goes_on.set()
        assert (await asyncio.wait_for(slow, 20)).status == 200
        await eventually(lambda: not setting.cluster.open["slow-0"])
