"""The table of differences, proven: starting, stopping, files and sockets."""

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from tests.support.certificates import Authority
from tests.support.http2_server import Alpn
from tests.support.kubeconfig import kubeconfig, write
from tests.support.leaks import checkout
from tests.support.upstream import server_context

from .conftest import TOKEN
from .differences import proves
from .loop_thread import LoopThread
from .pairs import KUBECTL, KUBELATCH, ROOT, Running
from .upstream import OK, Peer, Received, RecordingUpstream, says
from .wire import Reply, ask, connect, read_reply, send

Start: TypeAlias = Callable[..., Running]
COMMANDS = {"kubectl": (KUBECTL, "proxy"), "kubelatch": KUBELATCH}


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts one of both, by name; stopped at the test's end."""
    running: list[Running] = []

    def run(name: str, *flags: str, **environ: str) -> Running:
        home = tmp_path / f"{name}{len(running)}"
        running.append(Running(COMMANDS[name], flags, home, **environ))
        return running[-1]

    yield run
    for proxy in running:
        proxy.stop()


def fails(name: str, *flags: str, home: Path) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a start that comes to nothing."""
    done = subprocess.run(
        [*COMMANDS[name], *flags],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env={"HOME": str(home), **checkout()},
        cwd=ROOT,
        timeout=30,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def config(tmp_path: Path, authority: Authority, upstream: RecordingUpstream) -> Path:
    """A kubeconfig of the recording API server, which answers as usual."""
    upstream.script = says(OK)
    return write(tmp_path / "config", kubeconfig(upstream.url, authority, user={"token": TOKEN}))


class Interrupted:
    """A request that is in flight while its proxy gets a signal."""

    def __init__(self, upstream: RecordingUpstream) -> None:
        self.arrived = threading.Event()
        self.go_on = threading.Event()
        upstream.script = self._script

    def _script(self, peer: Peer, _: Received) -> bool:
        self.arrived.set()
        self.go_on.wait(20)
        peer.send(OK)
        return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@proves("signals")
def test_signals(
    start: Start, config: Path, upstream: RecordingUpstream, number: signal.Signals
) -> None:
    ends: dict[str, tuple[int, Reply | None]] = {}
    for name in COMMANDS:
        flight = Interrupted(upstream)
        proxy = start(name, f"--kubeconfig={config}", "--port=0")
        with connect(proxy.address) as client, client.makefile("rb") as stream:
            client.sendall(ask("GET", "/api").data)
            flight.arrived.wait(20)
            proxy.process.send_signal(number)
            if name == "kubectl":
                proxy.wait()
            else:
                wait_until_refused(proxy.address)
            flight.go_on.set()
            reply = read_reply(stream)
        ends[name] = proxy.wait(), reply
    assert ends["kubectl"] == (-number, None)
    code, reply = ends["kubelatch"]
    assert code == 0
    assert reply is not None
    assert (reply.status, reply.body) == (200, b"{}")


def wait_until_refused(address: str) -> None:
    """Until nobody listens there any more: the signal has been heard."""
    try:
        while True:
            connect(address).close()
    except ConnectionError:
        return


@proves("hangup")
def test_hangup(start: Start, config: Path) -> None:
    """Of a service; at a terminal see tests/observe."""
    flags = (f"--kubeconfig={config}", "--port=0")
    kubectl, kubelatch = start("kubectl", *flags), start("kubelatch", *flags)
    for proxy in (kubectl, kubelatch):
        assert proxy.address
        proxy.process.send_signal(signal.SIGHUP)
    assert kubectl.wait() == -signal.SIGHUP
    assert send(kubelatch.address, ask("GET", "/api"))


@proves("handshake-cut")
def test_handshake_cut(
    start: Start, tmp_path: Path, authority: Authority, upstream: RecordingUpstream
) -> None:
    statuses = {}
    for name in COMMANDS:
        with balancer(upstream, cut=1) as port:
            content = kubeconfig(f"https://127.0.0.1:{port}", authority, user={"token": TOKEN})
            path = write(tmp_path / "balanced", content)
            proxy = start(name, f"--kubeconfig={path}", "--port=0")
            reply = send(proxy.address, ask("POST", "/api"))
            statuses[name] = reply and reply.status
            proxy.stop()
    assert statuses == {"kubectl": 500, "kubelatch": 200}


@contextlib.contextmanager
def balancer(upstream: RecordingUpstream, *, cut: int) -> Iterator[int]:
    """What leads to the API server but for its first connections, which it cuts."""
    to = int(upstream.url.rpartition(":")[2])
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def pump(source: socket.socket, sink: socket.socket) -> None:
            with contextlib.suppress(OSError):
                while data := source.recv(65536):
                    sink.sendall(data)
            with contextlib.suppress(OSError):
                sink.shutdown(socket.SHUT_WR)

        def serve() -> None:
            left = cut
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    if left:
                        left -= 1
                        client.recv(1)
                        client.close()
                        continue
                    threads.append(threading.Thread(target=lead, args=(client,)))
                    threads[-1].start()

        def lead(client: socket.socket) -> None:
            with client, socket.create_connection(("127.0.0.1", to)) as server:
                back = threading.Thread(target=pump, args=(server, client))
                back.start()
                pump(client, server)
                back.join()

        threads = [threading.Thread(target=serve)]
        threads[0].start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()


@proves("silent-connection")
def test_silent_connection(start: Start, config: Path, upstream: RecordingUpstream) -> None:
    """In less time than the fifteen seconds, of which tests/relay has more to tell."""
    over, asked = threading.Event(), 0

    def script(peer: Peer, received: Received) -> bool:
        nonlocal asked
        asked += received.target == "/silent"
        if received.target == "/silent" and asked == 1:
            over.wait(20)
            return False
        peer.send(OK)
        return True

    upstream.script = script
    quick = (
        "import kubelatch.relay.timeouts as p; p.SILENCE = 0.2; "
        "from kubelatch.cli.main import main; main()"
    )
    for name, flags in COMMANDS.items():
        asked = 0
        command = (sys.executable, "-c", quick) if name == "kubelatch" else flags
        proxy = Running(command, (f"--kubeconfig={config}", "--port=0"), config.parent / name)
        try:
            assert send(proxy.address, ask("GET", "/api"))
            with connect(proxy.address) as client:
                client.sendall(ask("GET", "/silent").data)
                client.settimeout(2)
                if name == "kubelatch":
                    assert client.recv(12) == b"HTTP/1.1 200"
                else:
                    with pytest.raises(TimeoutError):
                        client.recv(1)
        finally:
            proxy.stop()
    over.set()


@proves("protocol")
def test_protocol(start: Start, tmp_path: Path, authority: Authority, thread: LoopThread) -> None:
    context = server_context(authority)
    context.set_alpn_protocols(["h2", "http/1.1"])

    async def serve(server: Alpn) -> None:
        while True:
            exchange = await server.exchanges.get()
            await exchange.head((b"content-type", b"application/json"))
            if b"watch" in dict(exchange.fields)[b":path"]:
                await exchange.send(b"{}\n")
            else:
                await exchange.end()

    async def begin() -> tuple[Any, Alpn, asyncio.Task[None]]:
        serving = Alpn().serving(context)
        server = await serving.__aenter__()
        return serving, server, asyncio.ensure_future(serve(server))

    for name in COMMANDS:
        serving, server, task = thread.run(begin())
        content = kubeconfig(f"https://127.0.0.1:{server.port}", authority, user={"token": TOKEN})
        path = write(tmp_path / "shared", content)
        proxy = start(name, f"--kubeconfig={path}", "--port=0")
        assert send(proxy.address, ask("GET", "/api"))
        with connect(proxy.address) as one, connect(proxy.address) as two:
            for client in (one, two):
                client.sendall(ask("GET", "/api/v1/pods?watch=1").data)
                while b"{}\n" not in client.recv(65536, socket.MSG_PEEK):
                    pass
            assert (len(server.connections), server.plain) == (1, int(name == "kubelatch"))
        proxy.stop()
        task.cancel()
        thread.run(serving.__aexit__(None, None, None))


@proves("unknown-word")
def test_unknown_word(start: Start, config: Path, tmp_path: Path) -> None:
    flags = (f"--kubeconfig={config}", "--port=0")
    assert start("kubectl", "chekc", *flags).address
    assert start("kubelatch", *flags, "--disable-filter", "true").address
    code, out, err = fails("kubelatch", "chekc", *flags, home=tmp_path)
    assert (code, out) == (2, "")
    assert err.startswith('error: unknown command "chekc"')


@proves("watch-at-stop")
def test_watch_at_stop(start: Start, config: Path, upstream: RecordingUpstream) -> None:
    event = b'{"type":"ADDED","object":{}}\n'
    begun = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n"
    over = threading.Event()

    def script(peer: Peer, _: Received) -> bool:
        peer.send(begun + b"\r\n%x\r\n%b\r\n" % (len(event), event))
        over.wait(20)
        return False

    upstream.script = script
    replies = {}
    for name in COMMANDS:
        proxy = start(name, f"--kubeconfig={config}", "--port=0")
        with connect(proxy.address) as client, client.makefile("rb") as stream:
            client.sendall(ask("GET", "/api/v1/pods?watch=1").data)
            while event not in client.recv(65536, socket.MSG_PEEK):
                pass
            proxy.process.send_signal(signal.SIGTERM)
            replies[name] = read_reply(stream)
        proxy.wait()
    over.set()
    assert {name: reply and reply.body for name, reply in replies.items()} == {
        "kubectl": event,
        "kubelatch": event,
    }
    assert {name: reply and reply.whole for name, reply in replies.items()} == {
        "kubectl": False,
        "kubelatch": True,
    }


@proves("silent-client")
def test_silent_client(start: Start, config: Path, upstream: RecordingUpstream) -> None:
    flags = (f"--kubeconfig={config}", "--port=0")
    kubectl = start("kubectl", *flags)
    kubelatch = start("kubelatch", *flags, "--head-timeout=200ms", "--body-timeout=200ms")
    head = b"POST /api HTTP/1.1\r\nHost: localhost\r\n"
    for sent, response in (
        (b"", b""),
        (head, b"HTTP/1.1 408"),
        (head + b"Content-Length: 5\r\n\r\nab", b"HTTP/1.1 408"),
    ):
        with connect(kubectl.address) as waiting, connect(kubelatch.address) as client:
            waiting.sendall(sent)
            client.sendall(sent)
            assert client.recv(12) == response
            waiting.settimeout(0.5)
            with pytest.raises(TimeoutError):
                waiting.recv(1)


@proves("silent-server")
def test_silent_server(start: Start, config: Path, upstream: RecordingUpstream) -> None:
    flags = (f"--kubeconfig={config}", "--port=0")
    kubectl, kubelatch = (
        start("kubectl", *flags),
        start("kubelatch", *flags, "--response-timeout=200ms"),
    )
    over = threading.Event()

    def script(peer: Peer, _: Received) -> bool:
        over.wait(20)
        return False

    upstream.script = script
    with connect(kubectl.address) as waiting:
        waiting.sendall(ask("GET", "/api").data)
        reply = send(kubelatch.address, ask("GET", "/api"))
        assert reply is not None
        assert reply.status == 504
        waiting.settimeout(1)
        with pytest.raises(TimeoutError):
            waiting.recv(1)
    over.set()


@proves("kubeconfig-edited")
def test_kubeconfig_edited(
    start: Start, config: Path, authority: Authority, upstream: RecordingUpstream
) -> None:
    flags = (f"--kubeconfig={config}", "--port=0")
    kubectl, kubelatch = start("kubectl", *flags), start("kubelatch", *flags)
    for proxy in (kubectl, kubelatch):
        assert proxy.address
    write(config, kubeconfig(upstream.url, authority, user={"token": "another"}))

    def token(proxy: Running) -> list[str]:
        upstream.received.clear()
        assert send(proxy.address, ask("GET", "/api"))
        return upstream.received[0].values("authorization")

    # The test's own time limit ends this.
    while token(kubelatch) != ["Bearer another"]:
        time.sleep(0.05)
    assert token(kubectl) == [f"Bearer {TOKEN}"]


@proves("kubeconfig-missing")
def test_kubeconfig_missing(start: Start, tmp_path: Path) -> None:
    kubectl = start("kubectl", "--port=0")
    reply = send(kubectl.address, ask("GET", "/api"))
    assert reply is not None
    assert reply.status in {500, 404}
    code, out, err = fails("kubelatch", "--port=0", home=tmp_path)
    assert (code, out) == (2, "")
    assert err.startswith("error: no cluster configured")


@proves("no-credentials")
def test_no_credentials(
    start: Start, tmp_path: Path, authority: Authority, upstream: RecordingUpstream
) -> None:
    flags = (f"--kubeconfig={write(tmp_path / 'c', kubeconfig(upstream.url, authority))}",)
    code, out, err = fails("kubectl", "--port=0", *flags, home=tmp_path)
    assert (code, out) == (1, "Please enter Username: ")
    assert "EOF" in err
    kubelatch = start("kubelatch", "--port=0", *flags)
    upstream.received.clear()
    assert send(kubelatch.address, ask("GET", "/api"))
    assert upstream.received[0].values("authorization") == []
    kubelatch.end()
    assert "anonymous" in kubelatch.stderr.lower()


def exec_config(
    directory: Path, authority: Authority, upstream: RecordingUpstream, script: str
) -> Path:
    """A kubeconfig whose plugin is a script that does this and prints a token."""
    upstream.script = says(OK)
    answer = (
        '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential",'
        '"status":{"token":"t"}}'
    )
    user = {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": "/bin/sh",
            "args": ["-c", f"{script}; echo '{answer}'"],
            "interactiveMode": "Never",
        }
    }
    return write(directory / "exec", kubeconfig(upstream.url, authority, user=user))


@proves("plugin-stderr")
def test_stderr_of_a_plugin(
    start: Start, tmp_path: Path, authority: Authority, upstream: RecordingUpstream
) -> None:
    script = "printf 'token=hunter2 \\033[2J\\n' >&2"
    path = exec_config(tmp_path, authority, upstream, script)
    shown = []
    for name in COMMANDS:
        proxy = start(name, "--port=0", f"--kubeconfig={path}")
        assert send(proxy.address, ask("GET", "/api"))
        proxy.end()
        shown.append(proxy.stderr)
    assert "token=hunter2 \x1b[2J\n" in shown[0]
    assert shown[1] == "WARNING: sh: token=*** \\x1b[2J\n"


@proves("plugin-browser")
def test_a_browser_that_outlives_its_plugin(
    start: Start, tmp_path: Path, authority: Authority, upstream: RecordingUpstream
) -> None:
    pids = tmp_path / "browsers"
    script = f"sleep 300 & echo $! >> {pids}"
    flags = ("--port=0", f"--kubeconfig={exec_config(tmp_path, authority, upstream, script)}")
    kubectl, kubelatch = start("kubectl", *flags), start("kubelatch", *flags)
    try:
        with connect(kubectl.address) as waiting:
            waiting.sendall(ask("GET", "/api").data)
            reply = send(kubelatch.address, ask("GET", "/api"))
            assert reply is not None
            assert reply.status == 200
            waiting.settimeout(1)
            with pytest.raises(TimeoutError):
                waiting.recv(1)
    finally:
        for pid in pids.read_text().split():
            os.kill(int(pid), signal.SIGKILL)


@proves("oidc-http")
def test_oidc_over_plain_http(
    start: Start, tmp_path: Path, authority: Authority, upstream: RecordingUpstream
) -> None:
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"

        def issuer() -> None:
            document = f'{{"issuer":"{address}","token_endpoint":"{address}/token"}}'
            answer = f"HTTP/1.1 200 OK\r\nContent-Length: {len(document)}\r\n\r\n{document}"
            with contextlib.suppress(OSError):  # closed below
                while True:
                    peer, _ = listening.accept()
                    with peer:
                        heard.append(peer.recv(65536))
                        peer.sendall(
                            answer.replace("\r\n", "\r\nConnection: close\r\n", 1).encode()
                        )

        threading.Thread(target=issuer, daemon=True).start()
        config = {"idp-issuer-url": address, "client-id": "c", "refresh-token": "hunter2"}
        user = {"auth-provider": {"name": "oidc", "config": config}}
        path = write(tmp_path / "oidc", kubeconfig(upstream.url, authority, user=user))
        for name, asked in (("kubelatch", False), ("kubectl", True)):
            proxy = start(name, "--port=0", f"--kubeconfig={path}")
            assert send(proxy.address, ask("GET", "/api"))
            assert any(b"refresh_token=hunter2" in request for request in heard) is asked
            assert bool(heard) is asked


@pytest.mark.parametrize(
    "flag", ["--accept-paths=(", "--reject-paths=(?!a)", "--accept-hosts=[", "--reject-methods=*"]
)
@proves("bad-pattern")
def test_bad_pattern(config: Path, tmp_path: Path, flag: str) -> None:
    flags = (f"--kubeconfig={config}", "--port=0", flag)
    code, _, err = fails("kubectl", *flags, home=tmp_path)
    assert code == 255
    assert re.search(r"^F\d{4} .*error parsing regexp", err)
    code, out, err = fails("kubelatch", *flags, home=tmp_path)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert flag.partition("=")[0] in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("flag", ["--www-prefix=/", "--api-prefix=/static/"])
@proves("bad-prefix")
def test_bad_prefix(config: Path, tmp_path: Path, flag: str) -> None:
    flags = (f"--kubeconfig={config}", "--port=0", f"--www={tmp_path}", flag)
    code, _, err = fails("kubectl", *flags, home=tmp_path)
    assert code == 2
    assert "panic: " in err
    code, out, err = fails("kubelatch", *flags, home=tmp_path)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1


@proves("socket-taken", "socket-left")
def test_unix_socket(start: Start, config: Path, tmp_path: Path) -> None:
    path = tmp_path / "s"
    flags = (f"--kubeconfig={config}", f"--unix-socket={path}")
    first = start("kubectl", *flags)
    assert send(first.address, ask("GET", "/api"))
    assert start("kubectl", *flags).address == first.address == str(path)
    first.end()
    code, _, err = fails("kubelatch", *flags, home=tmp_path)
    assert code == 1
    assert "address already in use" in err
    for _ in range(2):
        # One after the other: kubectl removes and binds in two steps.
        proxy = start("kubectl", *flags)
        assert proxy.address
        proxy.end()
        assert path.exists()
    for_us = tmp_path / "t"
    ours = start("kubelatch", f"--kubeconfig={config}", f"--unix-socket={for_us}")
    assert send(ours.address, ask("GET", "/api"))
    ours.end()
    assert not for_us.exists()


@proves("abstract-socket")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_another_user_at_an_abstract_socket(start: Start, config: Path) -> None:
    for name in ("kubectl", "kubelatch"):
        address = f"@{name}-{os.getpid()}"
        proxy = start(name, f"--kubeconfig={config}", f"--unix-socket={address}")
        assert proxy.address == address
        command = (
            "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}",
            "--abstract-unix-socket", address[1:], "http://localhost/api",
        )  # fmt: skip
        ours = subprocess.run(command, check=False, stdout=subprocess.PIPE).stdout
        theirs = subprocess.run(
            command, check=False, stdout=subprocess.PIPE, user=65534, cwd="/"
        ).stdout
        refused, unreachable = b"403", b"000"
        assert ours not in {refused, unreachable}
        assert (theirs == refused) is (name == "kubelatch")
        assert theirs != unreachable
        proxy.end()


@proves("exit-codes")
def test_exit_codes(config: Path, tmp_path: Path) -> None:
    for flags, ours in ((("--nosuch",), 2), (("--context=nosuch",), 2), (("--port=99999",), 2)):
        given = (f"--kubeconfig={config}", *flags)
        assert fails("kubectl", *given, home=tmp_path)[0] == 1
        assert fails("kubelatch", *given, home=tmp_path)[0] == ours


@proves("address-v6")
def test_address_of_version_6(start: Start, config: Path, tmp_path: Path) -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    flags = (f"--kubeconfig={config}", "--port=0", "--address=::1")
    code, _, err = fails("kubectl", *flags, home=tmp_path)
    assert code == 1
    assert "too many colons" in err
    ours = start("kubelatch", *flags)
    assert ours.address.startswith("[::1]:")
    assert send(ours.address, ask("GET", "/api"))


@proves("requests-logged")
def test_a_refused_request_is_logged(start: Start, config: Path) -> None:
    flags = (f"--kubeconfig={config}", "--port=0")
    path = "/api/v1/namespaces/a/pods/b/exec"
    for name, lines in (("kubectl", 0), ("kubelatch", 1)):
        proxy = start(name, *flags)
        send(proxy.address, ask("GET", path))
        proxy.end()
        assert proxy.stderr.count(path) == lines


@proves("service-hosts")
def test_services_by_host_name(start: Start, tmp_path: Path) -> None:
    code, _, err = fails("kubectl", "--port=0", "--service-hosts", home=tmp_path)
    assert code == 1
    assert "unknown flag: --service-hosts" in err
    address = start("kubelatch", "--demo", "--port=0", "--service-hosts").address
    host = {"Host": f"web--shop--demo.localhost:{address.rpartition(':')[2]}"}
    request = urllib.request.Request(f"http://{address}/hello", headers=host)
    with urllib.request.urlopen(request, timeout=20) as response:
        assert b"GET /hello" in response.read()


@proves("client-tls")
def test_https_for_clients(start: Start, config: Path, tmp_path: Path) -> None:
    ca = tmp_path / "ca.crt"
    flags = (f"--kubeconfig={config}", "--port=0", "--tls=auto", f"--tls-ca-file={ca}")
    code, _, err = fails("kubectl", *flags, home=tmp_path)
    assert code == 1
    assert "unknown flag: --tls" in err
    url = f"https://{start('kubelatch', *flags).address}/api"
    context = ssl.create_default_context(cafile=str(ca))
    with urllib.request.urlopen(url, context=context, timeout=20) as response:
        assert response.status == 200


@proves("contexts")
def test_more_than_one_context(start: Start, config: Path, tmp_path: Path) -> None:
    flags = (f"--kubeconfig={config}", "--port=0", "--contexts=all")
    code, _, err = fails("kubectl", *flags, home=tmp_path)
    assert code == 1
    assert "unknown flag: --contexts" in err
    proxy = start("kubelatch", *flags)
    reply = send(proxy.address, ask("GET", "/clusters/"))
    assert reply is not None
    [listed] = json.loads(reply.body)["clusters"]
    reply = send(proxy.address, ask("GET", f"{listed['path']}api"))
    assert reply is not None
    assert reply.status == 200
