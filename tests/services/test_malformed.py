"""Services and EndpointSlices that are not as Kubernetes makes them, as of an API server that is
none, or that somebody stands in for."""

from typing import Any

import pytest
from aiohttp import web

from tests.support.cluster import Service, application

from .conftest import Start

GOOD: dict[str, Any] = {
    "endpoints": [{"targetRef": {"kind": "Pod", "name": "web-0"}}],
    "ports": [{"name": "http", "port": 8080}],
}
PORT = {"port": 80, "name": "http"}


async def hello(_: web.BaseRequest) -> web.Response:
    return web.Response(text="hello")


@pytest.mark.parametrize(
    ("manifest", "slices"),
    [
        ({"spec": []}, GOOD),
        ({"spec": "x"}, GOOD),
        ({"spec": {"ports": {"port": 80}}}, GOOD),
        ({"spec": {"ports": [80]}}, GOOD),
        ({"spec": {"ports": [{"port": 80, "name": 7}]}}, GOOD),
        ({"spec": {"ports": [{"port": 80, "name": []}]}}, GOOD),
        ({"spec": {"ports": [PORT]}}, "x"),
        ({"spec": {"ports": [PORT]}}, {"a": 1}),
        ({"spec": {"ports": [PORT]}}, GOOD | {"ports": ["http"]}),
        ({"spec": {"ports": [PORT]}}, GOOD | {"endpoints": ["web-0"]}),
        ({"spec": {"ports": [PORT]}}, GOOD | {"endpoints": [{"targetRef": "web-0"}]}),
        *(
            ({"spec": {"ports": [PORT]}}, GOOD | {"endpoints": [{"targetRef": target}]})
            for target in (
                {"kind": "Pod", "name": 7},
                {"kind": "Pod", "name": ["web-0"]},
                {"kind": "Pod", "name": ".."},
                {"kind": "Pod", "name": "../../secrets/x"},
                {"kind": "Pod", "name": "web-0/exec?x="},
                {"kind": "Pod", "name": "web\n0"},
                {"kind": "Pod", "name": "\ud800"},
            )
        ),
        *(
            ({"spec": {"ports": [PORT]}}, GOOD | {"ports": [{"name": "http", "port": port}]})
            for port in (0, -1, 65536, 10**30, True)
        ),
    ],
)
async def test_a_malformed_service_is_reported_and_leads_nowhere(
    start: Start, caplog: pytest.LogCaptureFixture, manifest: Any, slices: Any
) -> None:
    setting = await start()

    class Malformed(Service):
        def manifest(self) -> Any:
            return manifest

        def slice(self) -> Any:
            return slices

    async with application(hello) as port:
        service = setting.cluster.serve("web", port)
        malformed = Malformed(service.name, service.ports, service.pods)
        setting.cluster.services[:] = [malformed]
        answer = await setting.get()
    assert answer.status in {400, 404, 503}, answer.body
    assert not setting.cluster.forwards
    assert "internal error" not in caplog.text


async def test_a_malformed_service_is_left_out_of_the_start_page(start: Start) -> None:
    setting = await start()

    class Malformed(Service):
        def manifest(self) -> Any:
            return {"metadata": {"name": "web", "namespace": "shop"}, "spec": self.spec["it"]}

    specs: list[Any] = [[], "x", {"ports": 80}, {"ports": [80]}, {"ports": [{"port": True}]}]
    specs += [{"ports": [{"port": 10**30}]}, {"ports": [{"port": 81, "name": ["https"]}]}]
    setting.cluster.services += [Malformed("web", {}, spec={"it": spec}) for spec in specs]
    setting.cluster.serve("good", 1)
    answer = await setting.get("/", "Accept: text/html", host="apps.localhost")
    assert answer.status == 200
    assert b"//good--shop--test.localhost:" in answer.body
