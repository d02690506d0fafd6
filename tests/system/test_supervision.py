"""Whatever goes on in the background fails loudly, and goes on."""

import asyncio
import logging
import socket
import threading
from pathlib import Path

import pytest

from kubelatch.context.assembly import Assembler
from kubelatch.observe.access_log import LogWriter
from kubelatch.system.acceptor import Acceptor
from kubelatch.system.supervision import Supervisor
from kubelatch.system.threads import DaemonExecutor
from tests.context.waiting import messages, until
from tests.support.certificates import Authority
from tests.support.kubeconfig import kubeconfig, write
from tests.support.proxies import client_of, proxy_in_loop
from tests.support.upstream import ScriptedUpstream, answering, ok


async def test_a_part_that_fails_is_reported_once_and_called_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    supervisor, calls, ended = Supervisor(), 0, asyncio.Event()
    problems = []

    def turn() -> None:
        nonlocal calls
        calls += 1
        problems.append(supervisor.problem)
        if calls == 4:
            ended.set()
        if calls < 3:
            raise ValueError("hunter2")

    supervisor.every("something", 0, turn)
    await ended.wait()
    await asyncio.sleep(0)
    assert supervisor.problem == ""
    await supervisor.stop()
    assert [bool(problem) for problem in problems[:4]] == [False, True, True, False]
    assert problems[1].startswith("something: internal error (ValueError, test_supervision.py:")
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "hunter2" not in caplog.text


async def test_whatever_a_reload_meets_is_reported_counted_and_survived(
    tmp_path: Path,
    authority: Authority,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "kubeconfig"
    async with ScriptedUpstream(answering(ok(b"good")), authority) as upstream:
        config = kubeconfig(upstream.url, authority, user={"token": "one"})
        async with proxy_in_loop(tmp_path, config) as app, client_of(app) as client:
            reloader = app._reloader
            assert reloader is not None
            for count, error in enumerate(
                (ValueError("hunter2"), RecursionError(), MemoryError(), OverflowError()), start=1
            ):

                def fail(*_: object, error: Exception = error) -> None:
                    raise error

                with monkeypatch.context() as patched:
                    patched.setattr(Assembler, "__call__", fail)
                    path.write_text(f"# {count}\n")
                    await until(lambda count=count: reloader.failures == count)  # type: ignore[misc]
                assert type(error).__name__ in app.status
                assert (await client.get("/api")).body == b"good"
            write(path, kubeconfig(upstream.url, authority, user={"token": "two"}))
            await until(lambda: app.reloads == 1)
            assert (await client.get("/api")).body == b"good"
    assert upstream.requests[-1].values("authorization") == ["Bearer two"]
    assert len(messages(caplog, logging.ERROR)) == 4
    assert "hunter2" not in caplog.text


async def test_what_could_not_be_used_is_tried_again_without_a_change(
    tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kubelatch.context.reload._TRY_AGAIN", 1)
    async with ScriptedUpstream(answering(ok(b"good")), authority) as upstream:
        config = kubeconfig(upstream.url, authority, user={"token": "one"})
        async with proxy_in_loop(tmp_path, config) as app:
            with monkeypatch.context() as patched:
                patched.setattr(Assembler, "__call__", lambda *_: 1 / 0)
                (tmp_path / "kubeconfig").write_text("# changed\n" + str(config))
                await until(lambda: "is not used" in app.status)
            await until(lambda: "is not used" not in app.status)


async def test_a_listening_socket_that_was_shut_down_ends_the_proxy() -> None:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    acceptor = Acceptor(sock, asyncio.Protocol, ended.set_result, backlog=1)
    sock.shutdown(socket.SHUT_RDWR)
    assert await asyncio.wait_for(ended, 5) == "Invalid argument"
    acceptor.close()


def test_the_log_goes_on_after_a_fault_of_its_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported: list[str] = []
    failed = threading.Event()
    sink = LogWriter(str(tmp_path / "log"), report=reported.append)
    with monkeypatch.context() as patched:

        def fail(_: bytes) -> None:
            failed.set()
            raise MemoryError

        patched.setattr(sink, "_write_all", fail)
        sink.write(b"lost\n")
        assert failed.wait(5)
    sink.write(b"written\n")
    sink.close()
    assert (tmp_path / "log").read_bytes() == b"written\n"
    assert "internal error (MemoryError" in reported[0]


def test_threads_run_as_many_calls_as_they_are_and_keep_nobody_waiting() -> None:
    executor, go, running = DaemonExecutor(2), threading.Event(), threading.Semaphore(0)

    def call(value: int) -> int:
        running.release()
        go.wait()
        if value == 2:
            raise ValueError(value)
        return value

    futures = [executor.submit(call, value) for value in range(3)]
    for _ in range(2):
        assert running.acquire(timeout=5)
    assert not running.acquire(blocking=False)
    executor.shutdown()  # with two that run and one that waits
    go.set()
    assert [futures[0].result(5), futures[1].result(5)] == [0, 1]
    with pytest.raises(ValueError, match="2"):
        futures[2].result(5)
    with pytest.raises(RuntimeError, match="shut down"):
        executor.submit(call, 1)
