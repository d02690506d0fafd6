"""The start page, and names that are hashes."""

import json
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from kubelatch.services import directory, start_page
from kubelatch.services.hosts import ServiceName, is_hashed, label_of
from tests.support.client import Answer
from tests.support.cluster import Service, application

from .conftest import Setting, Start

HTML = "Accept: text/html,application/xhtml+xml"


async def hello(request: web.BaseRequest) -> web.StreamResponse:
    return web.Response(text="hello")


async def page(setting: Setting, *fields: str, target: str = "/") -> Answer:
    return await setting.get(target, HTML, *fields, host="apps.localhost")


def links(answer: Answer) -> list[str]:
    return re.findall(r'href="([^"]+)"', answer.body.decode())


async def test_services_are_listed_with_their_addresses(start: Start) -> None:
    setting = await start()
    setting.cluster.serve("web", 1)
    setting.cluster.services += [
        Service("api", {80: ("http", 80), 8443: ("tls", 8443)}),
        Service("outside", {}, spec={"type": "ExternalName", "externalName": "a.example"}),
        Service("dns", {}, spec={"ports": [{"port": 53, "protocol": "UDP"}]}),
        Service("a--b", {80: ("", 80)}, namespace="<i>"),
        Service("c--d", {80: ("", 80)}, namespace="other"),
    ]
    answer = await page(setting)
    assert answer.status == 200
    port = setting.port
    assert links(answer) == [
        f"//{label_of(ServiceName('c--d', 'other', 'test'))}.localhost:{port}/",
        f"//80--api--shop--test.localhost:{port}/",
        f"//https--8443--api--shop--test.localhost:{port}/",
        f"//web--shop--test.localhost:{port}/",
    ]
    assert setting.cluster.seen == ["GET /api/v1/services"]
    assert answer.values("referrer-policy") == ["strict-origin"]
    assert "default-src 'none'" in answer.values("content-security-policy")[0]


async def test_links_have_no_port_where_the_pages_address_has_none(start: Start) -> None:
    setting = await start()
    setting.cluster.serve("web", 1)
    async with setting.client() as client:
        await client.send(f"GET / HTTP/1.1\r\nHost: apps.localhost\r\n{HTML}\r\n\r\n".encode())
        answer = await client.answer()
    assert links(answer) == ["//web--shop--test.localhost/"]


@pytest.mark.parametrize(
    ("flags", "count", "note"),
    [
        (("--read-only",), 0, b"2 more are there, and this proxy's policy refuses them"),
        (("--read-only", "--service-hosts=shop/web"), 1, b"1 more are there"),
        (("--reject-paths=^/api/v1/namespaces/other/",), 1, b"1 more are there"),
        (("--reject-paths=^/api/v1/services",), 0, b"cannot be listed: the path"),
    ],
)
async def test_what_the_policy_refuses_is_not_listed(
    start: Start, flags: tuple[str, ...], count: int, note: bytes
) -> None:
    setting = await start(*flags)
    setting.cluster.serve("web", 1)
    setting.cluster.serve("web", 1, namespace="other")
    answer = await page(setting)
    assert len(links(answer)) == count
    assert note in answer.body


async def test_a_list_that_is_forbidden_is_said_to_be(start: Start) -> None:
    setting = await start()
    setting.cluster.forbidden.add("list services")
    async with application(hello) as port:
        setting.cluster.serve("web", port)
        answer = await page(setting)
        assert answer.status == 200
        assert b"list services in all namespaces" in answer.body
        assert b"SERVICE--NAMESPACE--test.localhost" in answer.body
        assert (await setting.get()).status == 200


async def test_api_clients_and_pages_of_others_get_no_list(start: Start) -> None:
    setting = await start()
    assert (await setting.get("/", "Accept: */*", host="apps.localhost")).status == 404
    assert (await page(setting, target="/api/v1/services")).status == 404
    assert (await page(setting, "Sec-Fetch-Site: cross-site")).status == 403
    assert (await page(setting, "Origin: http://evil.localhost")).status == 403
    assert (await page(setting, target="/?context=other")).status == 404
    assert setting.cluster.seen == []


async def test_a_hash_leads_to_its_service_though_it_was_not_listed(start: Start) -> None:
    host = f"{label_of(ServiceName('a--b', 'shop', 'test'))}.localhost"
    setting = await start()
    async with application(hello) as port:
        assert (await setting.get(host=host)).status == 404
        setting.cluster.serve("a--b", port)
        assert (await setting.get(host=host)).body == b"hello"
        assert (await setting.get(host=host)).body == b"hello"
    assert setting.cluster.seen.count("GET /api/v1/services") == 2
    setting.cluster.forbidden.add("list services")
    assert (await setting.get(host=f"s-{'a' * 32}.localhost")).status == 403


async def test_requests_to_services_are_logged_by_their_service(
    start: Start, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    setting = await start(f"--log-requests={log}", "--log-format=json")
    async with application(hello) as port:
        setting.cluster.serve("web", port)
        await setting.get("/api/v1/namespaces/kube-system/secrets")
        await setting.get("/x", "Sec-Fetch-Site: cross-site")
    await setting.end()
    first, second = map(json.loads, log.read_text().splitlines())
    expected = {
        "verb": "create",
        "resource": "services",
        "subresource": "portforward",
        "namespace": "shop",
        "name": "web",
        "context": "test",
    }
    assert expected.items() <= first.items()
    assert expected.items() <= second.items()
    assert (first["target"], second["rule"]) == (
        "/api/v1/namespaces/kube-system/secrets",
        "fetch-site",
    )


async def test_the_greeting_says_where_services_are_found(start: Start) -> None:
    setting = await start("--service-hosts=shop/web")
    line = next(each for each in setting.app.greeting().splitlines() if "apps.localhost" in each)
    assert "shop/web" in line


async def test_a_list_of_thousands_does_not_hold_other_requests_up(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = set()

    def noting(function: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*arguments: Any) -> Any:
            threads.add(threading.current_thread())
            return function(*arguments)

        return noted

    for place in (directory, start_page):
        monkeypatch.setattr(place, "is_hashed", noting(is_hashed))
    monkeypatch.setattr(directory, "_names", noting(directory._names))
    setting = await start()
    setting.cluster.serve("web", 1)
    assert len(links(await page(setting))) == 1
    assert threads
    assert threading.main_thread() not in threads
