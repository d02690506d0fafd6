"""The difference that is shown is what happens; only what is known to have a dry run gets one."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from kubelatch.gate.request_info import RequestInfo, request_info
from kubelatch.observe.approvals.compare import difference
from tests.support.certificates import Authority
from tests.support.client import Answer
from tests.support.kubeconfig import kubeconfig
from tests.support.proxies import proxy_in_loop
from tests.support.upstream import Connection, Request, Script, ScriptedUpstream, ok

from .support import PODS, Asking, asking, demo_asking, flags, sending

NAME = "/api/v1/namespaces/shop/configmaps/greeting"
MAPS = "/api/v1/namespaces/shop/configmaps"
JSON = "Content-Type: application/json"
MERGE = "Content-Type: application/merge-patch+json"


def config(text: str, **more: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "greeting"},
        "data": {"text": text, **more},
    }


async def shown(proxy: Asking, ident: str) -> dict[str, Any]:
    answer = await proxy.post(f"pending/{ident}/diff")
    assert answer.status == 200, answer.body
    found: dict[str, Any] = json.loads(answer.body)
    return found


async def deny(proxy: Asking, waiting: dict[str, Any], sent: "asyncio.Task[Answer]") -> None:
    assert (await proxy.post(f"pending/{waiting['id']}/deny")).status == 200
    assert (await sent).status == 403


async def current(proxy: Asking, target: str) -> dict[str, Any] | None:
    answer = await proxy.send(target)
    return json.loads(answer.body) if answer.status == 200 else None


async def test_what_is_created_is_what_was_shown(tmp_path: Path) -> None:
    async with demo_asking(tmp_path) as proxy:
        body = json.dumps(config("hello\nworld\n", other="\u202e\x1b")).encode()
        sent = sending(proxy, "POST", MAPS, body, JSON)
        (waiting,) = await proxy.waiting()
        change = await shown(proxy, waiting["id"])
        assert change["resourceVersion"] is None
        assert "+    hello" in change["diff"]
        assert change["diff"].isascii()
        assert await current(proxy, NAME) is None
        assert (await proxy.approve(waiting)).status == 200
        assert (await sent).status == 201
        after = await current(proxy, NAME)
        assert change["diff"].splitlines() == difference(None, after, info_of(waiting))[0]


@pytest.mark.parametrize(
    ("method", "query", "field", "body"),
    [
        pytest.param("PATCH", "", MERGE, {"data": {"text": "b", "new": "c"}}, id="patch"),
        pytest.param("PUT", "", JSON, config("c"), id="replace"),
        pytest.param("DELETE", "", JSON, {"propagationPolicy": "Background"}, id="delete"),
        pytest.param("DELETE", "?gracePeriodSeconds=0", "", None, id="delete without a body"),
    ],
)
async def test_what_is_changed_is_what_was_shown(
    tmp_path: Path, method: str, query: str, field: str, body: dict[str, Any] | None
) -> None:
    async with demo_asking(tmp_path) as proxy:
        first = sending(proxy, "POST", MAPS, json.dumps(config("a")).encode(), JSON)
        (waiting,) = await proxy.waiting()
        assert (await proxy.approve(waiting)).status == 200
        assert (await first).status == 201
        before = await current(proxy, NAME)
        data = b"" if body is None else json.dumps(body).encode()
        sent = sending(proxy, method, f"{NAME}{query}", data, *filter(None, [field]))
        (waiting,) = await proxy.waiting()
        change = await shown(proxy, waiting["id"])
        assert await current(proxy, NAME) == before
        assert before is not None
        assert change["resourceVersion"] == before["metadata"]["resourceVersion"]
        answer = await proxy.approve(waiting, resourceVersion=change["resourceVersion"])
        assert answer.status == 200
        assert (await sent).status == 200
        after = await current(proxy, NAME)
        assert (after is None) is (method == "DELETE")
        assert change["diff"].splitlines() == difference(before, after, info_of(waiting))[0]
        assert change["diff"]


async def test_an_object_that_has_changed_is_looked_at_again(tmp_path: Path) -> None:
    async with demo_asking(tmp_path) as proxy:
        web = "/apis/apps/v1/namespaces/shop/deployments/web"
        first = sending(proxy, "PATCH", web, b'{"metadata":{"labels":{"a":"1"}}}', MERGE)
        (waiting,) = await proxy.waiting()
        change = await shown(proxy, waiting["id"])
        second = sending(proxy, "PATCH", web, b'{"metadata":{"labels":{"b":"1"}}}', MERGE)
        other = next(each for each in await proxy.waiting(2) if each["id"] != waiting["id"])
        assert (await proxy.approve(other)).status == 200
        assert (await second).status == 200
        answer = await proxy.approve(waiting, resourceVersion=change["resourceVersion"])
        assert (answer.status, b"look at it again" in answer.body) == (409, True)
        assert not first.done()
        change = await shown(proxy, waiting["id"])
        answer = await proxy.approve(waiting, resourceVersion=change["resourceVersion"])
        assert answer.status == 200
        assert (await first).status == 200


async def test_a_refusal_of_the_api_server_is_shown_and_can_be_approved(tmp_path: Path) -> None:
    async with demo_asking(tmp_path) as proxy:
        bad = json.dumps({**config("a"), "data": {"a b": "c"}}).encode()
        sent = sending(proxy, "POST", MAPS, bad, JSON)
        (waiting,) = await proxy.waiting()
        change = await shown(proxy, waiting["id"])
        assert "diff" not in change
        assert change["refused"].startswith("422: ConfigMap")
        assert (await proxy.approve(waiting)).status == 200
        assert (await sent).status == 422


async def test_values_of_secrets_are_numbers(tmp_path: Path) -> None:
    async with demo_asking(tmp_path) as proxy:
        secret = {
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"},
            "stringData": {"a": "hunter2", "b": "hunter2", "c": "other"},
        }  # fmt: skip
        sent = sending(
            proxy, "POST", "/api/v1/namespaces/shop/secrets", json.dumps(secret).encode(), JSON
        )
        (waiting,) = await proxy.waiting()
        text = (await shown(proxy, waiting["id"]))["diff"]
        assert "aHVudGVyMg" not in text
        numbers = [line.split("(")[1] for line in text.splitlines() if "***" in line]
        assert numbers[0] == numbers[1] != numbers[2]
        await deny(proxy, waiting, sent)


def upstream_with(group: dict[str, Any] | None) -> Script:
    """An API server in front of other servers; writes that reach it are its end."""

    async def script(connection: Connection) -> None:
        while True:
            request: Request = await connection.request()
            method, target, _ = request.line.split()
            if "apiservices" in target and group is not None:
                await connection.send(ok(json.dumps(group).encode(), JSON))
            elif method == "GET":
                await connection.send(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}")
            else:
                await connection.send(ok(json.dumps(config("x")).encode(), JSON))

    return script


@pytest.mark.parametrize(
    ("target", "group", "why"),
    [
        pytest.param(
            "/apis/metrics.k8s.io/v1/things", {"spec": {"service": {"name": "m"}}},
            "another server", id="aggregated",
        ),
        pytest.param("/apis/other.example/v1/things", None, "not known", id="unknown"),
        pytest.param("/apis/other.example/v1/things", {}, "another server", id="unreadable"),
        pytest.param("/apis/apps/v1/deployments", {"spec": {"service": {}}}, "another server",
                     id="a built-in group of another server"),
        pytest.param("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews/x", {}, "nothing",
                     id="a review"),
        pytest.param(f"{PODS}/p/eviction", {}, "no dry run", id="a subresource"),
        pytest.param(f"{PODS}?dryRun=None", {}, "says itself", id="a dry run already"),
        pytest.param(f"{PODS}?a=b&dry%52un=None", {}, "says itself", id="the same, encoded"),
    ],
)  # fmt: skip
async def test_what_need_not_honour_a_dry_run_gets_none(
    tmp_path: Path, authority: Authority, target: str, group: dict[str, Any] | None, why: str
) -> None:
    async with asking(tmp_path, authority, upstream_with(group)) as (proxy, upstream):
        sent = sending(proxy, "POST", target, b"{}", JSON)
        (waiting,) = await proxy.waiting()
        answer = await proxy.post(f"pending/{waiting['id']}/diff")
        assert (answer.status, why in answer.body.decode()) == (409, True), answer.body
        assert [each.line for each in upstream.requests if not each.line.startswith("GET")] == []
        await deny(proxy, waiting, sent)


@pytest.mark.parametrize("field", ["Authorization: Bearer own", "Impersonate-User: root"])
async def test_what_is_sent_as_another_gets_none(
    tmp_path: Path, authority: Authority, field: str
) -> None:
    async with asking(tmp_path, authority, upstream_with(None)) as (proxy, upstream):
        sent = sending(proxy, "POST", PODS, b"{}", JSON, field)
        (waiting,) = await proxy.waiting()
        assert waiting["risks"][0]["field"] in {"Authorization", "Impersonate-User"}
        assert (await proxy.post(f"pending/{waiting['id']}/diff")).status == 409
        assert upstream.requests == []
        await deny(proxy, waiting, sent)


async def test_a_dry_run_is_one_whatever_the_query_says(
    tmp_path: Path, authority: Authority
) -> None:
    async with asking(tmp_path, authority, upstream_with({"spec": {}})) as (proxy, upstream):
        query = "a=%zz&b;c&fieldManager=%26dryRun"
        sent = sending(proxy, "POST", f"/apis/crd.example/v1/things?{query}", b"{}", JSON)
        (waiting,) = await proxy.waiting()
        await shown(proxy, waiting["id"])
        lines = [each.line for each in upstream.requests]
        assert lines == [
            "GET /apis/apiregistration.k8s.io/v1/apiservices/v1.crd.example HTTP/1.1",
            f"POST /apis/crd.example/v1/things?dryRun=All&{query} HTTP/1.1",
        ]
        assert (await proxy.approve(waiting)).status == 200
        assert (await sent).status == 200
        assert upstream.requests[-1].line == f"POST /apis/crd.example/v1/things?{query} HTTP/1.1"


async def test_whose_a_group_is_says_the_api_server_that_would_be_written_to(
    tmp_path: Path, authority: Authority
) -> None:
    """Its URL may have the path of another one's API in it, which passes requests on."""
    prefix = "/apis/cluster.example/v1/clusters/member/proxy"
    async with ScriptedUpstream(upstream_with({"spec": {}}), authority) as upstream:
        file = kubeconfig(upstream.url + prefix, authority, user={"token": "t"})
        async with proxy_in_loop(tmp_path, file, *flags(tmp_path), "--read-only") as app:
            proxy = Asking(app)
            sent = sending(proxy, "POST", "/apis/crd.example/v1/things", b"{}", JSON)
            (waiting,) = await proxy.waiting()
            await shown(proxy, waiting["id"])
            assert [each.line.split()[1].removeprefix(prefix) for each in upstream.requests] == [
                "/apis/apiregistration.k8s.io/v1/apiservices/v1.crd.example",
                "/apis/crd.example/v1/things?dryRun=All",
            ]
            await deny(proxy, waiting, sent)


async def test_the_options_of_a_delete_say_that_it_is_a_dry_run(
    tmp_path: Path, authority: Authority
) -> None:
    async with asking(tmp_path, authority, upstream_with(None)) as (proxy, upstream):
        sent = sending(proxy, "DELETE", f"{PODS}/p", b'{"gracePeriodSeconds": 0}', JSON)
        (waiting,) = await proxy.waiting()
        await shown(proxy, waiting["id"])
        dry = upstream.requests[-1]
        assert json.loads(dry.body) == {"gracePeriodSeconds": 0, "dryRun": ["All"]}
        await deny(proxy, waiting, sent)
        for body in (b"k8s\0", b'{"dryRun":[]}', b" "):
            sent = sending(proxy, "DELETE", f"{PODS}/p", body, JSON)
            (waiting,) = await proxy.waiting()
            count = len(upstream.requests)
            assert (await proxy.post(f"pending/{waiting['id']}/diff")).status == 409
            assert len(upstream.requests) == count
            await deny(proxy, waiting, sent)


def info_of(waiting: dict[str, Any]) -> RequestInfo:
    return request_info(waiting["method"], waiting["target"].partition("?")[0])
