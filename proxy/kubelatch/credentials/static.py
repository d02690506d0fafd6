"""Credentials that are given once, or live in files that are replaced now and then.

Files are watched by stat, at most once a second, when a request asks. A new file that cannot be
used is reported and the old content goes on, certificate and token each for itself.
"""

import logging
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from ..errors import ConfigError
from ..kubeconfig import DISK, FileReader, UserConfig, signatures
from ..kubeconfig.files import explain_os_error
from ..secret import Secret
from ..tls import ClientCertificate, certificate_info, check_certificate
from .tokens import basic, bearer, jwt_expiry
from .values import Credential, Kind, SourceStatus

_log = logging.getLogger(__name__)

LOOK_INTERVAL = 1.0
"""Seconds between two looks at the same files."""

Content = TypeVar("Content")


class Watched(Generic[Content]):
    """A value made from files, and made again when they change.

    The first reading raises whatever ``read`` raises. Later failures are kept in ``error`` while
    the old value stands, and the files are read again at every look.
    """

    __slots__ = ("_files", "_read", "_seen", "error", "paths", "value")

    def __init__(
        self, paths: tuple[str, ...], read: Callable[[], Content], files: FileReader
    ) -> None:
        self.paths = paths
        self.error: ConfigError | None = None
        self._read = read
        self._files = files
        # Taken before reading: what is replaced in between is noticed by the next look.
        self._seen = signatures(paths, files)
        self.value = read()

    def look(self, *, again: bool = False) -> None:
        """Read again if a file changed, if the last reading failed, or if told to."""
        now = signatures(self.paths, self._files)
        if now == self._seen and self.error is None and not again:
            return
        try:
            value = self._read()
        except ConfigError as error:
            if self.error is None or self.error.message != error.message:
                _log.warning("%s; what was read before stays in use", error.message)
            self.error = error
            return
        self._seen, self.error = now, None
        if value != self.value:
            self.value = value


class StaticSource:
    """The certificate, token or password of a kubeconfig user, from data or files."""

    __slots__ = (
        "_authorization",
        "_certificate",
        "_credential",
        "_kind",
        "_look_at",
        "_monotonic",
        "_paths",
    )

    def __init__(
        self,
        user: UserConfig,
        *,
        files: FileReader = DISK,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read everything once. Raises ConfigError."""
        self._kind = _kind(user)
        self._certificate = Watched(
            _present(user.certificate_file, user.key_file),
            lambda: read_certificate(user, files),
            files,
        )
        self._authorization = Watched(
            _present(user.token_file), lambda: _read_authorization(user, files), files
        )
        self._paths = self._certificate.paths + self._authorization.paths
        self._monotonic = monotonic
        self._look_at = monotonic() + LOOK_INTERVAL
        self._credential = self._assemble()

    def peek(self) -> Credential:
        """The credential as the files have it, looked at no more than once a second."""
        if self._paths and self._monotonic() >= self._look_at:
            self._look()
        return self._credential

    async def obtain(self) -> Credential:
        """The same as :meth:`peek`: nothing here needs waiting."""
        return self.peek()

    async def reject(self, credential: Credential) -> Credential | None:
        """Read the files again; another credential if they hold one by now."""
        if self._paths:
            self._look(again=True)
        return None if self._credential.same_as(credential) else self._credential

    async def close(self) -> None:
        """Nothing is ever under way."""

    def describe(self) -> SourceStatus:
        """Kind, validity as far as certificate or token tell it, last failure of a file."""
        certificate = self._credential.certificate
        errors = (self._certificate.error, self._authorization.error)
        return SourceStatus(
            kind=self._kind,
            expires_at=jwt_expiry(self._credential.authorization),
            certificate=certificate_info(certificate.chain) if certificate else None,
            files=self._paths,
            last_error="; ".join(error.message for error in errors if error),
        )

    def _look(self, *, again: bool = False) -> None:
        self._look_at = self._monotonic() + LOOK_INTERVAL
        self._certificate.look(again=again)
        self._authorization.look(again=again)
        fresh = self._assemble()
        if fresh != self._credential:
            self._credential = fresh

    def _assemble(self) -> Credential:
        return Credential(
            kind=self._kind,
            authorization=self._authorization.value,
            certificate=self._certificate.value,
        )


def _present(*paths: str) -> tuple[str, ...]:
    return tuple(path for path in paths if path)


def _kind(user: UserConfig) -> Kind:
    if user.token_file:
        return "token-file"
    if user.token:
        return "token"
    if user.username:
        return "basic"
    return "client-certificate" if user.has_certificate else "anonymous"


def read_certificate(user: UserConfig, files: FileReader) -> ClientCertificate | None:
    """The user's client certificate and key, seen to belong together. Raises ConfigError."""
    if not user.has_certificate:
        return None
    chain = user.certificate_data or _read(user.certificate_file, files, "client-certificate")
    key = user.key_data or Secret(_read(user.key_file, files, "client-key").decode("latin-1"))
    certificate = ClientCertificate(chain=chain, key=key)
    check_certificate(certificate)
    return certificate


def _read_authorization(user: UserConfig, files: FileReader) -> Secret | None:
    """Go's order: the file, the token if the file gives none, then the password."""
    if user.token_file:
        try:
            content = _read(user.token_file, files, "tokenFile").decode("utf-8", "replace")
            return bearer(content, f'file "{user.token_file}"')
        except ConfigError:
            if not user.token:
                raise
    if user.token:
        return bearer(user.token.reveal(), f'user "{user.name}"')
    if user.username:
        return basic(user.username, user.password.reveal() if user.password else "")
    return None


def _read(path: str, files: FileReader, field: str) -> bytes:
    try:
        return files.read(path)
    except OSError as error:
        raise ConfigError(explain_os_error(error, path, field)) from None
