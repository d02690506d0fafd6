"""How long a drain takes, as its clock goes; what becomes of each kind is in tests/process."""

import asyncio
from pathlib import Path

import pytest

from kubelatch.relay import drain
from tests.support.clock import ManualClock
from tests.support.kubeconfig import kubeconfig
from tests.support.proxies import client_of, proxy_in_loop
from tests.support.relay import eventually
from tests.support.upstream import ScriptedUpstream

from .warm_connection import GET, mute


@pytest.mark.parametrize("seconds", [0, 3, 3600])
async def test_a_drain_lasts_as_long_as_the_drain_timeout_and_no_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    clock = ManualClock()
    monkeypatch.setattr(drain, "asyncio", clock.asyncio())
    # One look in each second of that hour is enough.
    monkeypatch.setattr(drain, "_INTERVAL", 1.0)
    async with ScriptedUpstream(mute) as upstream:
        config, flag = kubeconfig(upstream.url), f"--drain-timeout={seconds}s"
        async with proxy_in_loop(tmp_path, config, flag) as app, client_of(app) as client:
            await client.send(GET)
            await eventually(lambda: upstream.requests)
            answer = asyncio.create_task(client.answer())
            await app.drain()
            assert sum(clock.slept) == seconds
            assert (await answer).status == 504
