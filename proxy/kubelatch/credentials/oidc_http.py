"""The two HTTP requests of an OIDC refresh, over aiohttp."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from ..errors import ConfigError, CredentialError
from ..kubeconfig import TlsConfig, environment_proxy
from ..secret import Secret
from ..tls import client_context

_TIME_LIMIT = 30.0
_SIZE_LIMIT = 1024 * 1024


class IssuerHttp:
    """Asks one issuer, through the proxy that the environment names."""

    __slots__ = ("_environ", "_tls")

    def __init__(self, tls: TlsConfig, environ: Mapping[str, str]) -> None:
        self._tls = tls
        self._environ = environ

    async def get(self, url: str) -> tuple[int, Any]:
        """Fetch a document. Raises CredentialError."""
        return await self._request("GET", url, None, {})

    async def post(
        self, url: str, form: Mapping[str, str], authorization: Secret | None
    ) -> tuple[int, Any]:
        """Send a form. Raises CredentialError."""
        headers = {"Authorization": authorization.reveal()} if authorization else {}
        return await self._request("POST", url, form, headers)

    async def _request(
        self, method: str, url: str, form: Mapping[str, str] | None, headers: Mapping[str, str]
    ) -> tuple[int, Any]:
        import aiohttp  # noqa: PLC0415  # costs a quarter of a second, for few users

        try:
            # In a thread, for it reads the issuer's CA.
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
                    allow_redirects=form is None,
                ) as response,
            ):
                body = await response.content.read(_SIZE_LIMIT)
                return response.status, _json(body)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise CredentialError(
                f"oidc: {url} cannot be reached: {type(error).__name__}",
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


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None
