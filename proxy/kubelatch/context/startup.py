"""Problems that a person should know of when the proxy starts.

Looked up in the background, since none of them ends the start: a certificate may be renewed and a
server come back while the proxy serves. No request is sent to the API server, and no plugin is run.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from typing import Final

from ..credentials import CLIENT_SUPPLIED, expiry_warnings
from ..credentials.exec_policy import look_up
from ..credentials.tls import CertificateInfo, certificate_info
from ..errors import KubelatchError
from ..kubeconfig import ClientConfig
from ..upstream.generation import Generation

# How a server refuses a connection without a client certificate; some just close it.
_WITHOUT_CERTIFICATE: Final = frozenset({"tls-client-cert", "tls-closed"})


async def startup_problems(
    config: ClientConfig, generation: Generation, environ: Mapping[str, str]
) -> AsyncIterator[str]:
    """The problems, each as soon as it is known; the server's comes last.

    Args:
        config: the chosen cluster and user.
        generation: made of it.
        environ: the environment of plugins.
    """
    plugin = config.user.plugin
    if plugin is not None:
        path = environ.get("PATH")
        if await asyncio.to_thread(look_up, plugin.command, path) is None:
            yield f"the exec plugin {plugin.command} is not on PATH: nothing can be authenticated"
    # Reading certificates imports a library that takes a while.
    ca = await asyncio.to_thread(_authority, config)
    for warning in expiry_warnings(generation.credentials.describe(), now=time.time(), ca=ca):
        yield warning
    if problem := await _connection_problem(generation):
        yield problem


def _authority(config: ClientConfig) -> CertificateInfo | None:
    return certificate_info(config.tls.ca_data) if config.tls.ca_data else None


async def _connection_problem(generation: Generation) -> str:
    """Why no connection to the API server can be opened; empty if one could be."""
    credential = generation.credentials.cached()
    try:
        transport = generation.transport(credential or CLIENT_SUPPLIED)
        (await transport.open()).close()
    except KubelatchError as error:
        # A credential that is still to be fetched may bring the client certificate.
        return "" if credential is None and error.cause in _WITHOUT_CERTIFICATE else str(error)
    return ""
