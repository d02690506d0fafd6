"""The context is chosen at the start; what others do to the kubeconfig changes nothing here."""

import logging
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.credentials.support import Plugin
from tests.support.certificates import Authority
from tests.support.kubeconfig import kubeconfig, write
from tests.support.proxies import client_of, proxy_in_loop, proxy_process
from tests.support.upstream import ScriptedUpstream, answering, ok

from .waiting import messages, until


def two_contexts(
    one: str, two: str, authority: Authority, current: str = "staging", **user: Any
) -> dict[str, Any]:
    config = kubeconfig(one, authority, user=user or {"token": "secret-token"})
    other = kubeconfig(two, authority)["clusters"][0]
    config["clusters"].append({**other, "name": "prod"})
    config["contexts"] = [
        {"name": "staging", "context": {"cluster": "test", "user": "test"}},
        {"name": "prod", "context": {"cluster": "prod", "user": "test"}},
    ]
    return {**config, "current-context": current}


async def test_a_switched_context_moves_no_request_to_another_cluster(
    tmp_path: Path, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "kubelatch.context.reload")
    switched = 'current-context is now "prod"; this proxy stays with "staging"'
    async with (
        ScriptedUpstream(answering(ok(b"staging")), authority) as staging,
        ScriptedUpstream(answering(ok(b"prod")), authority) as prod,
    ):
        config = two_contexts(staging.url, prod.url, authority)
        async with proxy_in_loop(tmp_path, config) as app, client_of(app) as client:
            assert (await client.get("/api")).body == b"staging"
            for count, current in enumerate(("prod", "prod", "staging", "prod"), start=1):
                config["current-context"] = current
                config["preferences"] = {"edit": count}
                write(tmp_path / "kubeconfig", config)
                await until(lambda count=count: app.reloads == count)  # type: ignore[misc]
                assert (await client.get("/api", method="DELETE")).body == b"staging"
        assert prod.requests == []
    # Once for each switch away.
    assert messages(caplog) == [switched, switched]


async def test_a_switch_is_seen_on_standard_error(tmp_path: Path, authority: Authority) -> None:
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        config = two_contexts(upstream.url, upstream.url, authority)
        path = write(tmp_path / "kubeconfig", config)
        async with proxy_process(f"--kubeconfig={path}", "--port=0") as proxy:
            config["current-context"] = "prod"
            config["users"][0]["user"]["token"] = "another-token"
            write(path, config)
            assert proxy.process.stderr is not None
            lines = [await proxy.process.stderr.readline() for _ in range(2)]
    assert lines == [
        b"INFO: configuration reloaded: the token\n",
        b'WARNING: current-context is now "prod"; this proxy stays with "staging"\n',
    ]


async def test_a_context_that_vanished_is_reported_and_goes_on_as_it_was(
    tmp_path: Path, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "kubelatch.context.reload")
    async with ScriptedUpstream(answering(ok(b"staging")), authority) as upstream:
        config = two_contexts(upstream.url, upstream.url, authority)
        async with proxy_in_loop(tmp_path, config) as app, client_of(app) as client:
            less = {**config, "contexts": config["contexts"][1:], "current-context": "prod"}
            write(tmp_path / "kubeconfig", less)
            await until(lambda: 'context "staging" does not exist' in app.status)
            assert (await client.get("/api")).body == b"staging"
            write(tmp_path / "kubeconfig", config)
            await until(lambda: "is not used" not in app.status)
    assert len(messages(caplog)) == 2
    assert messages(caplog)[1] == "the configuration can be used again, and is the one in use"


async def test_an_edit_that_changes_nothing_here_logs_in_no_second_time(
    tmp_path: Path, authority: Authority
) -> None:
    plugin = Plugin(tmp_path)
    plugin.answers('{"token": "t"}')
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        config = two_contexts(upstream.url, "https://prod.test", authority, **plugin.user())
        async with proxy_in_loop(tmp_path, config) as app, client_of(app) as client:
            await client.get("/api")
            config["contexts"][0]["context"]["namespace"] = "other"
            config["contexts"][1]["context"]["user"] = "nobody"
            config["clusters"][1]["cluster"]["server"] = "https://elsewhere.test"
            config["current-context"] = "prod"
            write(tmp_path / "kubeconfig", config)
            await until(lambda: app.reloads == 1)
            await app.reload()
            assert (await client.get("/api")).status == 200
            assert app.chosen is not None
            assert app.chosen.namespace == "other"
        assert len(upstream.connections) == 1
    assert plugin.runs == 1


async def test_a_touched_file_is_not_parsed_again(tmp_path: Path, authority: Authority) -> None:
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        config = two_contexts(upstream.url, upstream.url, authority)
        async with proxy_in_loop(tmp_path, config) as app:
            os.utime(tmp_path / "kubeconfig")
            assert app._reloader is not None
            await app._reloader.check_now()
            assert app.reloads == 0


async def test_sighup_reads_all_of_it_and_keeps_what_is_the_same(
    tmp_path: Path, authority: Authority
) -> None:
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        config = two_contexts(upstream.url, upstream.url, authority)
        path = write(tmp_path / "kubeconfig", config)
        async with proxy_process(f"--kubeconfig={path}", "--port=0") as proxy:
            proxy.signal(signal.SIGHUP)
            assert proxy.process.stderr is not None
            line = await proxy.process.stderr.readline()
    assert line == b"INFO: configuration reloaded: nothing has changed\n"
