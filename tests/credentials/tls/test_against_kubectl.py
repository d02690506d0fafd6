"""Servers of all kinds: kubectl connects, and so do we; kubectl does not, and no more do we."""

import asyncio
import base64
import os
import ssl
from pathlib import Path

import pytest

from kubelatch.credentials.tls import client_context, explain
from kubelatch.errors import UpstreamError
from kubelatch.kubeconfig import TlsConfig
from kubelatch.upstream.dial import Address, Dialer
from tests.support.kubeconfig import kubeconfig, write
from tests.support.kubectl import SHORT_LIVED
from tests.support.pki import key_pem, pem

from . import kinds_names, kinds_paths, kinds_purposes  # noqa: F401
from .kinds import KINDS, Kind


def presenting(kind: Kind, path: Path) -> ssl.SSLContext:
    """A server's settings, for certificates that OpenSSL finds too weak as well."""
    path.write_text(pem(*kind.chain) + key_pem(kind.key))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.load_cert_chain(path)
    return context


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Whatever is asked: an empty object."""
    try:
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
            )
    except (OSError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def kubectl(port: int, kind: Kind, directory: Path) -> tuple[bool, str]:
    """Whether it gets an answer, and what it says if not."""
    cluster = {
        "certificate-authority-data": base64.b64encode(pem(*kind.trusted).encode()).decode(),
        "tls-server-name": kind.server,
    }
    config = kubeconfig(f"https://127.0.0.1:{port}", user={"token": "t"}, cluster=cluster)
    path = write(directory / "config", config)
    process = await asyncio.create_subprocess_exec(
        *("kubectl", f"--kubeconfig={path}", "get", "--raw=/api"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **SHORT_LIVED},
    )
    out, err = await process.communicate()
    return out.strip() == b"{}", err.decode()


async def ours(port: int, kind: Kind) -> tuple[bool, str]:
    """Whether we get a connection, and what we say if not."""
    context = client_context(TlsConfig(ca_data=pem(*kind.trusted).encode()))
    address = Address(host="127.0.0.1", port=port, context=context, server_name=kind.server)
    dialer = Dialer(address, explain_tls=lambda error, name: explain(error, server_name=name))
    try:
        connection = await dialer.dial()
    except UpstreamError as error:
        return False, f"{error.cause}: {error}"
    connection.close()
    return True, ""


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.title)
async def test_a_server_is_accepted_where_kubectl_accepts_it(kind: Kind, tmp_path: Path) -> None:
    server = await asyncio.start_server(
        answer, "127.0.0.1", 0, ssl=presenting(kind, tmp_path / "server.pem")
    )
    port = server.sockets[0].getsockname()[1]
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    theirs, mine = await asyncio.gather(kubectl(port, kind, tmp_path), ours(port, kind))
    server.close()
    assert theirs[0] == kind.go, theirs[1]
    assert mine[0] == kind.ours, mine[1]
