"""The legacy ``auth-provider: oidc``: an ID token, and a refresh token to renew it.

Follows client-go's ``plugin/pkg/client/auth/oidc``, with three differences: neither a kubeconfig
that cannot be written nor a stale lock file is an error, and a 401 causes one refresh.
"""

import asyncio
import logging
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol
from urllib.parse import quote_plus

from ..errors import ConfigError, CredentialError
from ..kubeconfig import AuthProvider, TlsConfig, UserConfig
from ..kubeconfig.decode import decode_base64
from ..redact import sanitize
from ..secret import Secret
from .oidc_file import save_tokens
from .tls import ClientCertificate
from .tokens import basic, bearer, jwt_expiry
from .values import Credential

LEEWAY = 10.0
"""An ID token is not used in the last seconds before its expiry, as in client-go."""

_log = logging.getLogger(__name__)

# RFC 6749 section 5.2, and extensions of it.
_CODE = re.compile("[a-z]{1,20}(_[a-z]{1,20}){1,3}")


class Http(Protocol):
    """The requests of a refresh; each returns the status and the decoded JSON."""

    async def get(self, url: str) -> tuple[int, Any]:
        """Fetch a document. Raises CredentialError."""
        ...

    async def post(
        self, url: str, form: Mapping[str, str], authorization: Secret | None
    ) -> tuple[int, Any]:
        """Send a form. Raises CredentialError."""
        ...


def issuer_tls(provider: AuthProvider) -> TlsConfig:
    """How to verify the issuer: by its own CA, or the system's. Raises ConfigError."""
    data = provider.get("idp-certificate-authority-data")
    try:
        ca = decode_base64(data) if data else None
    except ValueError as error:
        raise ConfigError(f"auth-provider idp-certificate-authority-data: {error}") from None
    return TlsConfig(ca_data=ca, ca_file=provider.get("idp-certificate-authority"))


class OidcProvider:
    """Holds the tokens of one user; calling it refreshes the ID token."""

    def __init__(
        self,
        user: UserConfig,
        provider: AuthProvider,
        http: Http,
        *,
        save_to: str = "",
        certificate: Callable[[], ClientCertificate | None] = lambda: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Take the tokens from the kubeconfig.

        Args:
            user: the kubeconfig's user.
            provider: the user's ``auth-provider`` of the name ``oidc``.
            http: sends requests to the issuer.
            save_to: the kubeconfig that new tokens are written to; empty for none.
            certificate: reads the user's client certificate, if any.
            clock: seconds since the epoch.

        Raises:
            ConfigError: issuer or client id is missing.
        """
        for key in ("idp-issuer-url", "client-id"):
            if not provider.get(key):
                raise ConfigError(
                    f"Must provide {key}",
                    hint=f'The auth-provider of user "{user.name}" lacks it.',
                )
        self._user = user.name
        self._provider = provider
        self._http = http
        self._save_to = save_to
        self._certificate = certificate
        self._clock = clock
        self._id_token = provider.get("id-token")
        self._refresh_token = provider.get("refresh-token")

    def initial(self) -> Credential | None:
        """The ID token of the kubeconfig, while it is valid."""
        expires_at = jwt_expiry(Secret(self._id_token))
        if expires_at is None or self._clock() + LEEWAY >= expires_at:
            return None
        return self._credential(self._id_token)

    async def __call__(self) -> Credential:
        """Refresh the ID token. Raises CredentialError."""
        if not self._refresh_token:
            raise _failed(
                "No valid id-token, and cannot refresh without refresh-token",
                hint="Log in again, or use an exec plugin such as kubelogin oidc-login.",
            )
        response = await self._redeem(await self._discover())
        id_token = response.get("id_token")
        if not (isinstance(id_token, str) and id_token):
            raise _failed("token response did not contain an id_token")
        # It may read a certificate, which blocks.
        credential = await asyncio.to_thread(self._credential, id_token)
        rotated = response.get("refresh_token")
        self._id_token = id_token
        self._refresh_token = (
            rotated if isinstance(rotated, str) and rotated else (self._refresh_token)
        )
        await self._save()
        return credential

    async def _discover(self) -> str:
        issuer = self._provider.get("idp-issuer-url").removesuffix("/")
        status, document = await self._http.get(f"{issuer}/.well-known/openid-configuration")
        endpoint = document.get("token_endpoint") if isinstance(document, dict) else None
        if status != 200 or not (isinstance(endpoint, str) and endpoint):
            raise _failed(f"the issuer {issuer} responded {status} and names no token_endpoint")
        return endpoint

    async def _redeem(self, endpoint: str) -> dict[str, Any]:
        """Send the refresh token, with client id and secret in the header, else in the form.

        RFC 6749 section 2.3.1 recommends the header, which not every issuer supports.
        """
        form = {"grant_type": "refresh_token", "refresh_token": self._refresh_token}
        client_id, secret = self._provider.get("client-id"), self._provider.get("client-secret")
        header = basic(quote_plus(client_id), quote_plus(secret))
        status, document = await self._http.post(endpoint, form, header)
        if status != 200:
            form["client_id"] = client_id
            if secret:
                form["client_secret"] = secret
            status, document = await self._http.post(endpoint, form, None)
        if status == 200 and isinstance(document, dict):
            return document
        problem = document.get("error") if isinstance(document, dict) else None
        raise _failed(
            f"failed to refresh token: the issuer responded {status}"
            + (f" {problem}" if isinstance(problem, str) and _CODE.fullmatch(problem) else ""),
            hint="The refresh token may have expired or been used: log in again.",
        )

    async def _save(self) -> None:
        if not self._save_to:
            return
        values = {"id-token": self._id_token, "refresh-token": self._refresh_token}
        try:
            await asyncio.to_thread(save_tokens, self._save_to, self._user, values)
        except (OSError, ValueError) as error:
            _log.warning(
                "the new tokens of user %s stay in memory only, %s cannot be written: %s; other "
                "programs may have to log in again",
                sanitize(self._user),
                sanitize(self._save_to),
                (error.strerror or "").lower()
                if isinstance(error, OSError)
                else sanitize(str(error)),
            )

    def _credential(self, id_token: str) -> Credential:
        expires_at = jwt_expiry(Secret(id_token))
        if expires_at is None:
            raise _failed("ID Token is not a valid JWT")
        try:
            return Credential(
                kind="oidc",
                authorization=bearer(id_token, "the issuer"),
                certificate=self._certificate(),
                expires_at=expires_at - LEEWAY,
            )
        except ConfigError as error:
            raise _failed(error.message) from None


def _failed(message: str, *, hint: str = "") -> CredentialError:
    return CredentialError(f"oidc: {message}", hint=hint, cause="oidc")
