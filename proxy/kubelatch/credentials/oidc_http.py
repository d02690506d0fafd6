"""The two HTTP requests of an OIDC refresh, over aiohttp.

They carry the refresh token and the client's secret, and the first response names the URL of the
second request: both use TLS only (RFC 6749 section 3.2, OpenID Connect Discovery 1.0 section 7.1).
"""

import asyncio
import contextlib
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit

from ..errors import ConfigError, CredentialError
from ..kubeconfig import TlsConfig, environment_proxy
from ..secret import Secret
from .tls import client_context

_TIME_LIMIT = 30.0
_SIZE_LIMIT = 1024 * 1024
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS = 5


class IssuerHttp:
    """Sends requests to one issuer, through the proxy that the environment names."""

    def __init__(self, tls: TlsConfig, environ: Mapping[str, str]) -> None:
        self._tls = tls
        self._environ = environ

    async def get(self, url: str) -> tuple[int, Any]:
        """Fetch a document, following redirects. Raises CredentialError."""
        status, location, document = await self._request("GET", url, None, {})
        for _ in range(_MAX_REDIRECTS):
            if status not in _REDIRECTS or not location:
                break
            with contextlib.suppress(ValueError):
                url = urljoin(url, location)
            status, location, document = await self._request("GET", url, None, {})
        return status, document

    async def post(
        self, url: str, form: Mapping[str, str], authorization: Secret | None
    ) -> tuple[int, Any]:
        """Send a form. Raises CredentialError."""
        headers = {"Authorization": authorization.reveal()} if authorization else {}
        status, _, document = await self._request("POST", url, form, headers)
        return status, document

    async def _request(
        self, method: str, url: str, form: Mapping[str, str] | None, headers: Mapping[str, str]
    ) -> tuple[int, str, Any]:
        """Status, ``Location`` and decoded JSON."""
        _check_url(url)
        await asyncio.to_thread(_import_client)
        import aiohttp  # noqa: PLC0415 -- few users need it

        try:
            # Reading the issuer's CA blocks.
            context = await asyncio.to_thread(client_context, self._tls)
            connector = aiohttp.TCPConnector(ssl=context)
            async with (
                aiohttp.ClientSession(
                    connector=connector, timeout=aiohttp.ClientTimeout(total=_TIME_LIMIT)
                ) as session,
                session.request(
                    method,
                    url,
                    data=form,
                    headers=headers,
                    proxy=self._proxy(url),
                    allow_redirects=False,
                ) as response,
            ):
                body = await response.content.read(_SIZE_LIMIT)
                return response.status, response.headers.get("Location", ""), _json(body)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise CredentialError(
                f"oidc: {_origin(url)} cannot be reached: {type(error).__name__}",
                hint="Look at idp-issuer-url, its CA, and the network.",
                cause="oidc",
            ) from None
        except ConfigError as error:
            raise CredentialError(error.message, hint=error.hint, cause="oidc") from None

    def _proxy(self, url: str) -> str | None:
        proxy = environment_proxy(url, self._environ)
        if proxy is None:
            return None
        if proxy.scheme == "socks5":
            raise ConfigError(
                "oidc: the issuer cannot be reached through a socks5 proxy",
                hint="Name the issuer in NO_PROXY, or use an http proxy for it.",
            )
        return proxy.url()


def _import_client() -> None:
    """Import aiohttp's client. Takes too long for the event loop."""
    from aiohttp import ClientSession  # noqa: F401, PLC0415


def _check_url(url: str) -> None:
    """Check that the URL is one of https. Raises CredentialError."""
    try:
        parts = urlsplit(url)
        safe = parts.scheme == "https" and bool(parts.hostname)
    except ValueError:
        safe = False
    if not safe:
        raise CredentialError(
            f"oidc: {_origin(url)} is not asked: its URL is not one of https",
            hint="The refresh token and the client's secret would go there in the clear. Let "
            "idp-issuer-url, and the token_endpoint that the issuer names, begin with https://.",
            cause="oidc",
        )


def _origin(url: str) -> str:
    """Scheme and host of a URL, for messages: the rest may hold secrets."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "the issuer"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.netloc else "the issuer"


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None
