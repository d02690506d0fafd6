"""Reads from the API server what services by host name need, on pooled connections.

A 401 renews the credential once, as for clients' requests.
"""

import asyncio
import json
from collections.abc import Callable
from typing import Any, Final

from ..credentials import Credential
from ..errors import UpstreamError, UpstreamTimeoutError
from ..upstream.fetch import Collector, FetchedResponse, own_request
from ..upstream.generation import Generation
from ..upstream.transport import Stream

Api = Callable[[], Generation]
"""Returns the current generation of the API server."""

_SECONDS: Final = 15.0
# A thousand services are below 2 MiB.
_MAX_BODY: Final = 16 * 1024 * 1024
# A larger body is parsed in a thread: 1 MiB takes some 10 ms.
_LARGE: Final = 128 * 1024


async def read(api: Api, target: str) -> FetchedResponse:
    """The response to a GET, whatever its status.

    Raises:
        CredentialError: there is no credential.
        UpstreamError: there is no complete response.
    """
    try:
        async with asyncio.timeout(_SECONDS):
            generation = api()
            credential = await generation.credential()
            response = await _get(generation, credential, target)
            if response.status == 401:
                renewed = await generation.renewed(credential)
                if renewed is not None:
                    response = await _get(renewed.generation, renewed.credential, target)
            return response
    except TimeoutError as exc:
        msg = f"no response to GET {target} within {_SECONDS:g} s"
        raise UpstreamTimeoutError(msg) from exc


async def parsed(response: FetchedResponse) -> dict[str, Any]:
    """A body of JSON.

    Raises:
        UpstreamError: it is none.
    """
    try:
        if len(response.body) > _LARGE:
            value = await asyncio.to_thread(json.loads, response.body)
        else:
            value = json.loads(response.body)
    except (ValueError, RecursionError) as exc:
        msg = "the API server's response is not JSON"
        raise UpstreamError(msg, cause="bad-answer") from exc
    if not isinstance(value, dict):
        msg = "the API server's response is not an object"
        raise UpstreamError(msg, cause="bad-answer")
    return value


def mapping(value: Any) -> dict[str, Any]:
    """The object at a place where Kubernetes has one; empty for everything else."""
    return value if isinstance(value, dict) else {}


def mappings(value: Any) -> list[dict[str, Any]]:
    """The objects of a list; empty for everything else."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def port_number(value: Any) -> int | None:
    """A TCP port's number; None for everything else."""
    return value if type(value) is int and 0 < value < 2**16 else None


def message_of(body: bytes) -> str:
    """The message of a ``Status``; empty if there is none."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    message = value.get("message") if isinstance(value, dict) else None
    return message[:500] if isinstance(message, str) else ""


async def _get(generation: Generation, credential: Credential, target: str) -> FetchedResponse:
    transport = generation.transport(credential)
    pooled = transport.take()
    if pooled is not None:
        receiver = Collector(_MAX_BODY)
        try:
            return await _on(pooled, receiver, generation, credential, target)
        except UpstreamError:
            if not receiver.stale:
                raise
            transport.drop_idle()
    stream = await transport.open()
    return await _on(stream, Collector(_MAX_BODY), generation, credential, target)


async def _on(
    stream: Stream,
    receiver: Collector,
    generation: Generation,
    credential: Credential,
    target: str,
) -> FetchedResponse:
    request = own_request(generation, "GET", target, path_prefix=generation.upstream.api_path)
    stream.start(request, generation.authorization(credential), receiver, b"")
    try:
        response = await receiver.response
    except BaseException:
        stream.abort()
        raise
    stream.release()
    return response
