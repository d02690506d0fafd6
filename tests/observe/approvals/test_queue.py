"""The bounds of what is held."""

import asyncio
import gc
from pathlib import Path

import pytest

from kubelatch.observe.approvals import queue
from kubelatch.observe.approvals.queue import ApprovalQueue
from tests.support.certificates import Authority
from tests.support.client import Client
from tests.support.relay import eventually
from tests.support.upstream import answering, ok

from .support import PODS, asking


async def test_all_held_bodies_together_are_bounded(
    tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "MAX_BYTES", 100)
    async with asking(tmp_path, authority, answering(ok())) as (proxy, upstream):
        first = asyncio.create_task(proxy.send(PODS, method="POST", body=b"x" * 90))
        (shown,) = await proxy.waiting()
        assert (await proxy.send(PODS, method="POST", body=b"x" * 20)).status == 429
        assert len(await proxy.waiting()) == 1
        # What is held no longer leaves room again, also if it never came whole.
        await proxy.post(f"pending/{shown['id']}/deny")
        assert (await first).status == 403
        async with await Client.connect(proxy.app.name) as client:
            head = f"POST {PODS} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n"
            await client.send(head.encode() + b"x" * 90)
            records = proxy.app._registry
            await eventually(lambda: [each.received for each in records.records] == [90])
            assert await proxy.waiting(0) == []
            assert (await proxy.send(PODS, method="POST", body=b"x" * 20)).status == 429
        await eventually(lambda: not len(proxy.app._registry))
        again = asyncio.create_task(proxy.send(PODS, method="POST", body=b"x" * 90))
        await proxy.waiting()
        again.cancel()
        await proxy.waiting(0)
        assert upstream.requests == []


async def test_all_held_requests_together_are_bounded(
    tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "MAX_WAITING", 1)
    async with asking(tmp_path, authority, answering(ok())) as (proxy, _):
        first = asyncio.create_task(proxy.send(PODS, method="POST", body=b"{}"))
        await proxy.waiting()
        assert (await proxy.send(PODS, method="POST", body=b"{}")).status == 429
        first.cancel()


async def test_a_description_that_fails_leaves_a_request_to_be_answered(
    tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("kubelatch.observe.approvals.describe.read_body", fail)
    async with asking(tmp_path, authority, answering(ok())) as (proxy, upstream):
        sent = asyncio.create_task(proxy.send(PODS, method="POST", body=b"{}"))
        (shown,) = await proxy.waiting()
        assert shown["summary"] == 'create pods in namespace "shop"'
        assert "body" in shown["risks"][0]["field"]
        assert (await proxy.approve(shown)).status == 200
        assert (await sent).status == 200
        assert len(upstream.requests) == 1


async def test_what_is_kept_of_a_body_is_no_larger_than_it(
    tmp_path: Path, authority: Authority
) -> None:
    """Parsed, a mebibyte of empty lists would take thirty."""
    body = b"[" + b"[]," * 100_000 + b"[]]"
    async with asking(tmp_path, authority, answering(ok())) as (proxy, _):
        sent = asyncio.create_task(
            proxy.send(PODS, "Content-Type: application/json", method="POST", body=body)
        )
        (shown,) = await proxy.waiting()
        whole = await proxy.json(f"pending/{shown['id']}")
        assert len(whole["body"]["value"]) == 100_001
        gc.collect()
        lists = [each for each in gc.get_objects() if isinstance(each, ApprovalQueue)]
        (queued,) = [each for queue_ in lists for each in queue_.waiting()]
        assert len(repr(queued.description)) < 4096
        await proxy.post(f"pending/{shown['id']}/deny")
        assert (await sent).status == 403
