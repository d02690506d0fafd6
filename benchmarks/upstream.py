"""The upstream that stands for the API server: fast, mTLS, HTTP/2 and HTTP/1.1.

nginx answers what does not change and speaks TLS; :mod:`.streams` behind it does the rest. With
it come the certificates, and a kubeconfig for clients.
"""

import base64
import contextlib
import json
import os
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import trustme

from . import nginx, payloads
from .processes import Program, free_port


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """A running upstream.

    Attributes:
        directory: where it keeps its files; others may put theirs there.
        port: on the loopback address.
        client: who may ask.
        kubeconfig: says all this.
        streams: the socket of the streams' server, for control.
    """

    directory: Path
    port: int
    client: nginx.Identity
    kubeconfig: Path
    streams: Path

    def send_events(self, rate: int, seconds: int) -> None:
        """Send events to the watches that are open; return when they are sent."""
        with socket.socket(socket.AF_UNIX) as control:
            control.connect(str(self.streams))
            control.sendall(
                f"POST /control/events?rate={rate}&seconds={seconds} HTTP/1.1\r\n"
                "Host: streams\r\nContent-Length: 0\r\n\r\n".encode()
            )
            if not control.recv(4096).startswith(b"HTTP/1.1 200"):
                msg = "the streams' server did not send events"
                raise RuntimeError(msg)

    def forget_logs(self) -> None:
        """Make the logs in the directory empty; who writes them appends."""
        for log in self.directory.glob("*.log"):
            os.truncate(log, 0)


@contextlib.contextmanager
def serving(directory: Path, megabytes: set[int]) -> Iterator[Upstream]:
    """Run an upstream.

    Args:
        directory: an empty one.
        megabytes: the sizes of lists to serve.
    """
    authority = trustme.CA()
    server = _identity(
        directory, "server", authority, authority.issue_cert("127.0.0.1", "localhost")
    )
    client = _identity(
        directory,
        "client",
        authority,
        authority.issue_cert("admin@example.test", common_name="admin"),
    )
    for size in megabytes:
        payloads.write_list(directory / f"{size}m.json", size * payloads.MEGABYTE)
    port, streams = free_port(), directory / "streams"
    config = nginx.upstream_config(directory, port, server, streams, payloads.small_object())
    behind = Program(
        command=[sys.executable, "-m", "benchmarks.streams", str(streams)],
        words=directory / "streams.out",
        environment={"PYTHONPATH": str(Path(__file__).parents[1])},
    )
    before = Program(command=[nginx.BINARY, "-c", str(config)], words=directory / "upstream.out")
    with behind.listening(streams), before.listening(port):
        yield Upstream(
            directory=directory,
            port=port,
            client=client,
            kubeconfig=_kubeconfig(directory, port, client),
            streams=streams,
        )


def _identity(
    directory: Path, name: str, authority: trustme.CA, leaf: trustme.LeafCert
) -> nginx.Identity:
    identity = nginx.Identity(
        authority=directory / "ca.crt",
        certificate=directory / f"{name}.crt",
        key=directory / f"{name}.key",
    )
    authority.cert_pem.write_to_path(str(identity.authority))
    leaf.cert_chain_pems[0].write_to_path(str(identity.certificate))
    leaf.private_key_pem.write_to_path(str(identity.key))
    return identity


def _kubeconfig(directory: Path, port: int, client: nginx.Identity) -> Path:
    def data(path: Path) -> str:
        return base64.b64encode(path.read_bytes()).decode()

    name = "bench"
    cluster = {
        "server": f"https://127.0.0.1:{port}",
        "certificate-authority-data": data(client.authority),
    }
    user = {
        "client-certificate-data": data(client.certificate),
        "client-key-data": data(client.key),
    }
    path = directory / "kubeconfig"
    # JSON is YAML.
    path.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": name,
                "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
                "clusters": [{"name": name, "cluster": cluster}],
                "users": [{"name": name, "user": user}],
            }
        )
    )
    return path
