"""The kernel's word on who is connected."""

import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from kubelatch.system import peer

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sock_diag is Linux's")

NOBODY = 65534


@pytest.mark.parametrize(
    ("family", "address"),
    [
        pytest.param(socket.AF_INET, "127.0.0.1", id="IPv4"),
        pytest.param(socket.AF_INET6, "::1", id="IPv6"),
    ],
)
def test_a_loopback_client_is_known_by_its_uid(family: int, address: str) -> None:
    with (
        socket.create_server((address, 0), family=family) as server,
        socket.create_connection(server.getsockname()[:2]),
        server.accept()[0] as accepted,
    ):
        assert peer.uid_of(accepted) == os.geteuid()


def test_a_mapped_address_on_a_dual_stack_socket_is_known() -> None:
    with (
        socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as server,
        socket.create_connection(("127.0.0.1", server.getsockname()[1])),
        server.accept()[0] as accepted,
    ):
        assert peer.uid_of(accepted) == os.geteuid()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX])
def test_another_user_is_told_from_us(family: socket.AddressFamily) -> None:
    with tempfile.TemporaryDirectory() as directory, socket.socket(family) as server:
        Path(directory).chmod(0o755)
        path = Path(directory) / "socket"
        server.bind(str(path) if family == socket.AF_UNIX else ("127.0.0.1", 0))
        if family == socket.AF_UNIX:
            path.chmod(0o777)
        server.listen()
        code = (
            f"import socket; s = socket.socket({int(family)});"
            f"s.connect({server.getsockname()!r}); input()"
        )
        with subprocess.Popen(
            ["/usr/bin/env", "python3", "-c", code], stdin=subprocess.PIPE, user=NOBODY, cwd="/"
        ) as process:
            with server.accept()[0] as accepted:
                assert peer.uid_of(accepted) == NOBODY
            process.communicate(b"\n")


def test_a_client_that_sent_and_closed_does_not_pass_for_root() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        accepted, _ = server.accept()
        with accepted:
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            client.close()
            accepted.recv(1000)
            assert peer.uid_of(accepted) is None
