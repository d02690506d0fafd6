"""Clients that would pass for somebody else: sockets of others on a client's address and port."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubelatch.system import peer
from tests.support.certificates import Authority
from tests.support.client import Client
from tests.support.kubeconfig import kubeconfig, write
from tests.support.proxies import proxy_process
from tests.support.upstream import ScriptedUpstream, answering, ok

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sock_diag is Linux's")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")

NOBODY = 65534
US = os.geteuid()
RESET = struct.pack("ii", 1, 0)

# The proxy's family and address, the client's, and that of sockets of others at its port.
FAMILIES = [
    pytest.param(("127.0.0.1", "127.0.0.1", "127.0.0.1"), id="IPv4"),
    pytest.param(("127.0.0.1", "127.0.0.2", "127.0.0.2"), id="another loopback address"),
    pytest.param(("127.0.0.1", "127.0.0.1", "0.0.0.0"), id="all of IPv4"),
    pytest.param(("::1", "::1", "::1"), id="IPv6"),
    pytest.param(("::1", "::1", "::"), id="all of IPv6"),
    pytest.param(("::", "127.0.0.1", "127.0.0.1"), id="IPv4 on a socket for both"),
    pytest.param(("127.0.0.1", "::ffff:127.0.0.1", "127.0.0.1"), id="IPv4 from an IPv6 socket"),
    pytest.param(("::", "127.0.0.1", "::"), id="a listener for both"),
]


def make(address: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    if ":" in address:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    # Both sides of a port may have it while neither listens: who comes first cannot refuse.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    return sock


class Stage:
    """A client's connection to a listener, and room for others at the client's port."""

    def __init__(
        self, places: tuple[str, str, str], stack: contextlib.ExitStack, device: bytes = b""
    ) -> None:
        at, self.client_address, self.other_address = places
        self._stack = stack
        server = stack.enter_context(make(at))
        server.bind((at, 0))
        server.listen()
        self.port = server.getsockname()[1]
        self._server = server
        self.client = self._at_a_free_port()
        if device:
            self.client.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device)
        self.client_port = self.client.getsockname()[1]
        self.accepted = self.connect(self.client)

    @property
    def target(self) -> str:
        loopback = "::1" if ":" in self.client_address else "127.0.0.1"
        return "::ffff:127.0.0.1" if "ffff" in self.client_address else loopback

    def bound(self, address: str, port: int) -> socket.socket:
        sock = self._stack.enter_context(make(address))
        sock.bind((address, port))
        return sock

    def _at_a_free_port(self) -> socket.socket:
        """A client's socket at a port that nobody has at the addresses of the others."""
        while True:
            sock = self.bound(self.client_address, 0)
            with contextlib.suppress(OSError), make(self.other_address) as other:
                other.bind((self.other_address, sock.getsockname()[1]))
                return sock

    def at_clients_port(self) -> socket.socket:
        """A socket of somebody else."""
        sock = self.bound(self.other_address, self.client_port)
        if US == 0:
            os.fchown(sock.fileno(), NOBODY, -1)
        return sock

    def connect(self, sock: socket.socket) -> socket.socket:
        sock.connect((self.target, self.port))
        accepted = self._server.accept()[0]
        return self._stack.enter_context(accepted)

    def reset(self) -> None:
        """The client sends a request and resets the connection, which leaves it readable."""
        self.client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.client.close()


def staged(places: tuple[str, str, str], device: bytes = b"") -> Iterator[Stage]:
    if ":" in "".join(places) and not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6 here")
    with contextlib.ExitStack() as stack:
        yield Stage(places, stack, device)


@pytest.fixture(params=FAMILIES)
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    yield from staged(request.param)


@pytest.fixture(params=FAMILIES)
def bound_stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    yield from staged(request.param, b"lo\0")


def test_a_client_is_known_whoever_listens_on_its_port(stage: Stage) -> None:
    stage.at_clients_port().listen()
    assert peer.uid_of(stage.accepted) == US


@pytest.mark.skipif(not hasattr(socket, "SO_BINDTODEVICE"), reason="Linux has it")
def test_a_client_bound_to_an_interface_does_not_pass_for_who_listens_on_its_port(
    bound_stage: Stage,
) -> None:
    """A look-up that names no interface does not find it, and finds the listener."""
    bound_stage.at_clients_port().listen()
    assert peer.uid_of(bound_stage.accepted) == US


def test_a_reset_client_does_not_pass_for_who_listens_on_its_port(stage: Stage) -> None:
    listener = stage.at_clients_port()
    stage.reset()
    listener.listen()
    assert peer.uid_of(stage.accepted) is None
    assert stage.accepted.recv(1000).startswith(b"GET")


def test_a_closed_client_does_not_pass_for_who_listens_on_its_port(stage: Stage) -> None:
    listener = stage.at_clients_port()
    stage.client.close()
    listener.listen()
    assert peer.uid_of(stage.accepted) is None


def test_several_listeners_on_its_port_vouch_for_nobody(stage: Stage) -> None:
    listeners = [stage.at_clients_port(), stage.at_clients_port()]
    stage.reset()
    for listener in listeners:
        listener.listen()
    assert peer.uid_of(stage.accepted) is None


def test_a_bound_socket_on_its_port_vouches_for_nobody(stage: Stage) -> None:
    stage.at_clients_port()
    stage.reset()
    assert peer.uid_of(stage.accepted) is None


def test_a_connection_from_its_port_to_elsewhere_vouches_for_nobody(stage: Stage) -> None:
    other = stage.bound(stage.client_address, stage.client_port)
    elsewhere = stage.bound(stage.target, 0)
    elsewhere.listen()
    stage.reset()
    other.connect(elsewhere.getsockname()[:2])
    assert peer.uid_of(stage.accepted) is None


def test_the_next_connection_from_its_port_vouches_for_itself_alone(stage: Stage) -> None:
    second = stage.bound(stage.client_address, stage.client_port)
    stage.reset()
    accepted = stage.connect(second)
    assert peer.uid_of(stage.accepted) is None
    assert peer.uid_of(accepted) == US


def test_a_client_that_has_ended_its_side_alone_is_known(stage: Stage) -> None:
    """As ``nc -N``: it still waits for the response."""
    stage.client.shutdown(socket.SHUT_WR)
    assert peer.uid_of(stage.accepted) == US


@pytest.mark.parametrize("half", [False, True], ids=["at once", "one side after the other"])
def test_a_client_that_has_closed_is_not_known(stage: Stage, half: bool) -> None:
    if half:
        stage.client.shutdown(socket.SHUT_WR)
    stage.client.close()
    assert peer.uid_of(stage.accepted) is None


def test_a_client_that_we_have_hung_up_on_is_not_known(stage: Stage) -> None:
    stage.accepted.shutdown(socket.SHUT_RDWR)
    assert peer.uid_of(stage.accepted) is None


@needs_root
@pytest.mark.skipif(not shutil.which("unshare"), reason="unshare is not installed")
def test_a_connection_of_another_network_namespace_is_not_taken_for_one_of_ours() -> None:
    """Both have the same addresses and ports; the service manager may hand over such sockets."""
    if shutil.which("ip") is None:
        pytest.skip("iproute2 is not installed")
    with contextlib.ExitStack() as stack:
        ours, theirs = socket.socketpair()
        stack.enter_context(ours)
        here = Stage(("127.0.0.1", "127.0.0.1", "127.0.0.1"), stack)
        code = (
            "import socket, subprocess, sys\n"
            "subprocess.run(['ip', 'link', 'set', 'lo', 'up'], check=True)\n"
            f"server = socket.create_server(('127.0.0.1', {here.port}))\n"
            f"client = socket.create_connection(('127.0.0.1', {here.port}), 5,"
            f" ('127.0.0.1', {here.client_port}))\n"
            "accepted, _ = server.accept()\n"
            "channel = socket.socket(fileno=int(sys.argv[1]))\n"
            "socket.send_fds(channel, [b'x'], [accepted.fileno()])\n"
            "channel.recv(1)\n"
        )
        child = subprocess.Popen(
            ["unshare", "--net", sys.executable, "-c", code, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stderr=subprocess.PIPE,
        )
        theirs.close()
        try:
            _, fds, _, _ = socket.recv_fds(ours, 1, 1)
            if not fds:
                pytest.skip(f"no network namespace here: {child.communicate()[1].decode()}")
            foreign = stack.enter_context(socket.socket(fileno=fds[0]))
            assert foreign.getpeername() == here.accepted.getpeername()
            assert peer.uid_of(here.accepted) == US
            assert peer.uid_of(foreign) is None
        finally:
            ours.close()
            child.communicate()


def user_namespace(monkeypatch: pytest.MonkeyPatch, uid_map: str) -> None:
    texts = {"/proc/self/uid_map": uid_map, "/proc/sys/kernel/overflowuid": f"{NOBODY}\n"}
    monkeypatch.setattr(Path, "read_text", lambda path: texts[str(path)])
    peer._unmapped_uid.cache_clear()


@pytest.mark.parametrize(
    ("uid_map", "known"),
    [
        pytest.param("         0          0 4294967295\n", True, id="the machine's own"),
        pytest.param("         0     100000      65536\n", False, id="a container's"),
        pytest.param(
            "         0          0       1000\n      1000       1000  1\n", False, id="two"
        ),
    ],
)
def test_a_user_who_has_no_id_here_is_nobody_in_particular(
    monkeypatch: pytest.MonkeyPatch, uid_map: str, known: bool
) -> None:
    """They all go by one id in a user namespace, which may be the proxy's own."""
    user_namespace(monkeypatch, uid_map)
    monkeypatch.setattr(peer, "_unix_uid", lambda _: NOBODY)
    try:
        with socket.socket(socket.AF_UNIX) as sock:
            assert peer.uid_of(sock) == (NOBODY if known else None)
    finally:
        peer._unmapped_uid.cache_clear()


ATTACK = """
import socket, struct, sys
port, own, how = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
client = socket.socket()
client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
if how == "interface":
    client.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo\\0")
client.bind(("127.0.0.1", own))
print("bound", flush=True)
input()
client.connect(("127.0.0.1", port))
client.sendall(b"DELETE /api/v1/namespaces/shop HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n")
if how == "reset":
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
print("sent", flush=True)
input()
"""


@needs_root
@pytest.mark.parametrize("how", ["interface", "reset"])
async def test_another_user_does_not_pass_for_us(
    tmp_path: Path, authority: Authority, how: str
) -> None:
    """The client's port is one on which a server of ours listens."""
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        config = write(
            tmp_path / "config", kubeconfig(upstream.url, authority, user={"token": "t"})
        )
        flags = (f"--kubeconfig={config}", "--port=0", "--clients=same-user", "--log-requests=-")
        async with proxy_process(*flags) as proxy:
            port = proxy.address.rpartition(":")[2]
            with socket.socket() as ours:
                ours.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                ours.bind(("127.0.0.1", 0))
                attacker = await asyncio.create_subprocess_exec(
                    shutil.which("python3", path="/usr/bin:/usr/local/bin") or sys.executable,
                    "-c", ATTACK, port, str(ours.getsockname()[1]), how,
                    user=NOBODY, cwd="/", stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                )  # fmt: skip
                assert attacker.stdout is not None
                assert attacker.stdin is not None
                assert await attacker.stdout.readline() == b"bound\n"
                # It judges when all is done.
                proxy.signal(signal.SIGSTOP)
                attacker.stdin.write(b"\n")
                assert await attacker.stdout.readline() == b"sent\n"
                ours.listen()
                proxy.signal(signal.SIGCONT)
                # The proxy reads the first request before it answers a second.
                async with await Client.connect(proxy.address) as honest:
                    assert (await honest.get("/ours")).status == 200
                await attacker.communicate(b"\n")
            proxy.process.terminate()
            assert await proxy.finish() == 0
    assert [request.line for request in upstream.requests] == ["GET /ours HTTP/1.1"]
    (refused,) = [line for line in proxy.stderr.decode().splitlines() if "DELETE" in line]
    assert " 403 " in refused
    assert "rule=clients" in refused
