"""Which process is at the other end of a local connection."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from kubelatch.system.peer_process import PeerProcess, Processes, connection_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")

_CLIENT = """
import socket, sys
kind, *where = sys.argv[1:]
if kind == "unix":
    client = socket.socket(socket.AF_UNIX); client.connect(where[0])
else:
    client = socket.create_connection((where[0], int(where[1])))
print("connected", flush=True)
sys.stdin.read()
"""


def found(
    server: socket.socket, *arguments: str
) -> tuple[int, PeerProcess | None, PeerProcess | None]:
    """The pid of a client, and what is told of it while it lives and after."""
    process = subprocess.Popen(
        [sys.executable, "-c", _CLIENT, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"connected\n"
        accepted, _ = server.accept()
        with accepted:
            connection = connection_of(accepted)
            assert connection is not None
            alive = Processes().find(connection)
            assert Processes().find(connection) == alive
            process.communicate()
            return process.pid, alive, Processes().find(connection)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_the_process_of_a_tcp_connection_is_found(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        server = socket.create_server((host, 0), family=family)
    except OSError:
        pytest.skip(f"no {host} here")
    with server:
        pid, alive, after = found(server, "tcp", host, str(server.getsockname()[1]))
    assert alive is not None
    assert alive.pid == pid
    assert alive.name.startswith("python")
    assert after is None


def test_the_process_of_a_unix_socket_is_found(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        pid, alive, after = found(server, "unix", path)
    assert alive is not None
    assert alive.pid == pid
    assert after is None


def test_a_connection_of_this_process_is_its_own() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        accepted, _ = server.accept()
        with client, accepted:
            connection = connection_of(accepted)
            assert connection is not None
            process = Processes().find(connection)
    assert process is not None
    assert process.pid == os.getpid()
    assert connection_of(accepted) is None
