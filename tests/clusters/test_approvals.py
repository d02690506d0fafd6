"""What is asked about goes to the cluster that was shown, or nowhere."""

import asyncio
from pathlib import Path

import pytest

from tests.observe.approvals.support import Asking, flags, sending
from tests.support.certificates import Authority
from tests.support.clusters import Cluster, cluster, contexts
from tests.support.kubeconfig import write
from tests.support.proxies import proxy_in_loop
from tests.support.upstream import ScriptedUpstream, answering, ok

POD = "/clusters/left/api/v1/namespaces/shop/pods/p"
ROOT = Cluster("http://127.0.0.1:1")


@pytest.mark.parametrize("change", ["swapped", "removed"])
async def test_a_context_that_changes_takes_its_held_requests_nowhere(
    tmp_path: Path, authority: Authority, change: str
) -> None:
    async with (
        ScriptedUpstream(answering(ok(b"one")), authority) as one,
        ScriptedUpstream(answering(ok(b"two")), authority) as two,
    ):
        first = cluster(one, authority, user={"token": "one"})
        second = cluster(two, authority, user={"token": "two"})
        config = contexts({"root": ROOT, "left": first, "right": second})
        more = ("--contexts=all", "--read-only")
        async with proxy_in_loop(tmp_path, config, *flags(tmp_path), *more) as app:
            proxy = Asking(app)
            sent = sending(proxy, "DELETE", POD, b"")
            (shown,) = await proxy.waiting()
            assert (shown["context"], shown["server"]) == ("left", f"127.0.0.1:{one.port}")
            after = {"root": ROOT, "right": first}
            if change == "swapped":
                after["left"] = second
            write(tmp_path / "kubeconfig", contexts(after))
            await app.reload()
            async with asyncio.timeout(10):
                while (answer := await proxy.approve({**shown, "digest": "x"})).status == 409:
                    pass
            assert answer.status == 404
            assert (await proxy.approve(shown)).status == 404
            assert one.requests + two.requests == []
            if change == "removed":
                assert (await sent).status == 502
                return
            (again,) = await proxy.waiting()
            assert again["server"] == f"127.0.0.1:{two.port}"
            assert (await proxy.approve(again)).status == 200
            assert (await sent).body == b"two"
            assert (one.requests, len(two.requests)) == ([], 1)
