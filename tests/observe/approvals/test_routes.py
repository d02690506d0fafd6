"""The interface by which requests that wait are answered."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from kubelatch.observe.approvals.queue import MAX_PER_CLIENT
from tests.observe.inspector.support import SECRET
from tests.support.certificates import Authority
from tests.support.client import Answer
from tests.support.upstream import answering, ok

from .support import PODS, Asking, asking

WAYS = ("pending", "pending/1-00000000")
ANSWERS = ("pending/approve", "pending/1-00000000/approve", "pending/1-00000000/deny")


def start(proxy: Asking, name: str = "p", body: bytes = b"") -> "asyncio.Task[Answer]":
    """A request that a policy stops."""
    return asyncio.create_task(
        proxy.send(f"{PODS}/{name}", "Content-Type: application/json", method="DELETE", body=body)
    )


async def test_nothing_is_shown_or_answered_without_the_secret(
    tmp_path: Path, authority: Authority
) -> None:
    async with asking(tmp_path, authority, answering(ok())) as (proxy, upstream):
        sent = start(proxy)
        (shown,) = await proxy.waiting()
        for secret in ("", "wrong", SECRET[:-1]):
            for path in (*WAYS, f"pending/{shown['id']}"):
                assert (await proxy.ask(path, secret=secret)).status == 401
            for path in (*ANSWERS, f"pending/{shown['id']}/approve"):
                value = {"digest": shown["digest"]}
                assert (await proxy.post(path, value, secret=secret)).status == 401
        assert upstream.requests == []
        assert (await proxy.approve(shown)).status == 200
        assert (await sent).status == 200
        assert len(upstream.requests) == 1


@pytest.mark.parametrize("field", ["Sec-Fetch-Site: cross-site", "Origin: http://localhost:9"])
async def test_pages_of_other_origins_answer_nothing(
    tmp_path: Path, authority: Authority, field: str
) -> None:
    async with asking(tmp_path, authority, answering(ok())) as (proxy, upstream):
        sent = start(proxy)
        (shown,) = await proxy.waiting()
        answer = await proxy.ask(f"pending/{shown['id']}/deny", field, method="POST")
        assert answer.status == 403
        assert (await proxy.waiting())[0]["id"] == shown["id"]
        assert (await proxy.post(f"pending/{shown['id']}/deny")).status == 200
        assert (await sent).status == 403
        assert upstream.requests == []


async def test_a_request_is_described(tmp_path: Path, authority: Authority) -> None:
    async with asking(tmp_path, authority, answering(ok())) as (proxy, _):
        body = b'{"spec":{"containers":[{"image":"evil:1","securityContext":{"privileged":true}}]}}'
        sent = start(proxy, "web", body)
        (shown,) = await proxy.waiting()
        assert shown["summary"] == 'delete pods "web" in namespace "shop"'
        assert shown["rule"] == "read-only"
        assert (shown["method"], shown["target"]) == ("DELETE", f"{PODS}/web")
        assert (shown["verb"], shown["resource"], shown["name"]) == ("delete", "pods", "web")
        assert shown["body_size"] == len(body)
        assert shown["expires"] - shown["asked"] == pytest.approx(60, abs=0.01)
        assert {(risk["field"], risk["value"]) for risk in shown["risks"]} == {
            ("spec.containers[0].image", "evil:1"),
            ("spec.containers[0].securityContext.privileged", "true"),
        }
        assert "body" not in shown
        whole = await proxy.json(f"pending/{shown['id']}")
        assert whole["body"]["value"] == json.loads(body)
        assert (await proxy.post(f"pending/{shown['id']}/deny", {"reason": "no"})).status == 200
        assert b"denied: no" in (await sent).body


async def test_the_second_of_two_answers_finds_nothing(
    tmp_path: Path, authority: Authority
) -> None:
    async with asking(tmp_path, authority, answering(ok())) as (proxy, upstream):
        for _ in range(5):
            before = len(upstream.requests)
            sent = start(proxy)
            (shown,) = await proxy.waiting()
            answers = await asyncio.gather(
                proxy.approve(shown),
                proxy.approve(shown),
                proxy.post(f"pending/{shown['id']}/deny", {"reason": "no"}),
                proxy.post(
                    "pending/approve",
                    {"requests": [{"id": shown["id"], "digest": shown["digest"]}]},
                ),
            )
            taken = [each for each in answers if each.status == 200 and b'"error"' not in each.body]
            assert len(taken) == 1
            approved = b"approved" in taken[0].body
            assert (await sent).status == (200 if approved else 403)
            assert len(upstream.requests) - before == approved


async def test_several_are_answered_at_once(tmp_path: Path, authority: Authority) -> None:
    async with asking(tmp_path, authority, answering(ok())) as (proxy, upstream):
        sent = [start(proxy, name) for name in ("a", "b", "c")]
        shown = await proxy.waiting(3)
        given: list[dict[str, Any]] = [
            {"id": each["id"], "digest": each["digest"]} for each in shown[:2]
        ]
        given += [{"id": "9-ffffffff", "digest": "x"}, {"id": 7}]
        answer = await proxy.post("pending/approve", {"requests": given})
        results = json.loads(answer.body)["results"]
        assert [("error" in each) for each in results] == [False, False, True, True]
        (left,) = await proxy.waiting(1)
        assert left["id"] == shown[2]["id"]
        assert len(upstream.requests) == 2
        await proxy.post(f"pending/{left['id']}/deny")
        assert sorted([(await each).status for each in sent]) == [200, 200, 403]


async def test_an_answer_to_another_request_than_was_shown_is_none(
    tmp_path: Path, authority: Authority
) -> None:
    async with asking(tmp_path, authority, answering(ok())) as (proxy, upstream):
        sent = start(proxy)
        (shown,) = await proxy.waiting()
        other = await proxy.post(f"pending/{shown['id']}/approve", {"digest": "0" * 64})
        assert other.status == 409
        for value in (None, {}, {"digest": 1}):
            assert (await proxy.post(f"pending/{shown['id']}/approve", value)).status == 400
        assert (await proxy.post("pending/approve", {"requests": 1})).status == 400
        assert (await proxy.post(f"pending/{shown['id']}/deny", {"reason": 1})).status == 400
        assert (await proxy.post(f"pending/{shown['id']}/deny", [1])).status == 400
        assert (await proxy.ask(f"pending/{shown['id']}/approve")).status == 405
        assert (await proxy.ask("pending/1-00000000")).status == 404
        assert upstream.requests == []
        sent.cancel()


async def test_the_ninth_request_of_a_client_is_not_held(
    tmp_path: Path, authority: Authority
) -> None:
    async with asking(tmp_path, authority, answering(ok())) as (proxy, upstream):
        sent = [start(proxy, f"p{number}") for number in range(MAX_PER_CLIENT)]
        shown = await proxy.waiting(MAX_PER_CLIENT)
        refused = await start(proxy, "one-more")
        assert refused.status == 429
        assert refused.values("retry-after") == ["1"]
        await proxy.post(f"pending/{shown[0]['id']}/deny")
        more = start(proxy, "one-more")
        await proxy.waiting(MAX_PER_CLIENT)
        for task in (*sent, more):
            task.cancel()
        await proxy.waiting(0)
        assert upstream.requests == []


async def test_changed_rules_decide_what_waits(tmp_path: Path, authority: Authority) -> None:
    rules = tmp_path / "rules.yaml"

    def allow(*verbs: str) -> None:
        rules.write_text(
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: r}\n"
            f"rules: [{{apiGroups: [''], resources: [pods], verbs: [{', '.join(verbs)}]}}]\n"
        )

    allow("get")
    flag = f"--allow-rules={rules}"
    async with asking(tmp_path, authority, answering(ok()), flag) as (proxy, upstream):
        sent = start(proxy)
        (shown,) = await proxy.waiting()
        assert shown["rule"] == "allow-rules"
        allow("get", "list")
        await proxy.app.reload()
        (again,) = await proxy.waiting()
        assert again["id"] == shown["id"]
        allow("get", "delete")
        await proxy.app.reload()
        assert (await sent).status == 200
        assert len(upstream.requests) == 1
        assert (await proxy.approve(shown)).status == 404


async def test_a_drain_does_not_wait_for_answers(tmp_path: Path, authority: Authority) -> None:
    async with asking(tmp_path, authority, answering(ok())) as (proxy, upstream):
        sent = start(proxy)
        (shown,) = await proxy.waiting()
        async with asyncio.timeout(5):
            await proxy.app.drain()
        assert (await sent).status == 503
        assert (await proxy.approve(shown)).status == 404
        assert upstream.requests == []


async def test_the_proxys_own_user_may_answer_for_clients_of_another(
    tmp_path: Path, authority: Authority
) -> None:
    flag = "--clients=65533"
    async with asking(tmp_path, authority, answering(ok()), flag) as (proxy, _):
        assert (await start(proxy)).status == 403
        assert await proxy.waiting(0) == []


@pytest.mark.parametrize("answer", ["approve", "deny"])
async def test_a_replay_that_is_held_ends_with_its_answer(
    tmp_path: Path, authority: Authority, answer: str
) -> None:
    secret = "/api/v1/namespaces/shop/secrets/s"
    async with asking(tmp_path, authority, answering(ok()), "--inspect") as (proxy, upstream):
        sent = asyncio.create_task(proxy.send(secret))
        (shown,) = await proxy.waiting()
        assert (await proxy.approve(shown)).status == 200
        assert (await sent).status == 200
        (kept,) = await proxy.requests()
        replay = asyncio.create_task(proxy.ask(f"requests/{kept['id']}/replay", method="POST"))
        (shown,) = await proxy.waiting()
        value = {"digest": shown["digest"]}
        assert (await proxy.post(f"pending/{shown['id']}/{answer}", value)).status == 200
        async with asyncio.timeout(10):
            result = json.loads((await replay).body)
        assert result["status"] == (200 if answer == "approve" else 403)
        assert len(upstream.requests) == (2 if answer == "approve" else 1)
        detail = await proxy.detail(replayed=kept["id"])
        assert (detail["id"], detail["asked"]) == (result["id"], "read-only")
