"""Credentials from the kubeconfig itself, or from files that are replaced now and then.

``reload`` compares files by stat and reads those that have changed. It is never called while a
request waits, as a file system may hang. If a new file cannot be used, that is logged and the old
content stays in use, for certificate and token separately.
"""

import logging
from collections.abc import Callable
from typing import Generic, TypeVar

from ..errors import ConfigError
from ..kubeconfig import DISK, FileReader, UserConfig, signatures
from ..kubeconfig.files import explain_os_error
from ..secret import Secret
from ..system.supervision import where
from .tls import ClientCertificate, certificate_info, check_certificate
from .tokens import basic, bearer, jwt_expiry
from .values import Credential, Kind, SourceStatus

_log = logging.getLogger(__name__)

Content = TypeVar("Content")


class FileBacked(Generic[Content]):
    """A value read from files, and read again when they change.

    The constructor raises what ``read`` raises. Later errors are stored in ``error``; the old value
    stays, and the files are read again at every :meth:`reload`.

    Args:
        what: the value's name in the log.
        paths: the files.
        read: returns the value; raises ConfigError.
        files: detects changes.
    """

    def __init__(
        self,
        what: str,
        paths: tuple[str, ...],
        read: Callable[[], Content],
        files: FileReader,
    ) -> None:
        self.paths = paths
        self.error: ConfigError | None = None
        self._what = what
        self._read = read
        self._files = files
        # Before reading, so that the next reload detects a change in between.
        self._seen = signatures(paths, files)
        self.value = read()

    def reload(self) -> None:
        """Read the value again if a file has changed, or if the last reading failed."""
        now = signatures(self.paths, self._files)
        if now == self._seen and self.error is None:
            return
        try:
            value = self._read()
        except ConfigError as error:
            self._fail(error)
            return
        except Exception as error:  # noqa: BLE001 -- whatever the content, the old value stays
            self._fail(
                ConfigError(f"the {self._what} cannot be read: internal error ({where(error)})")
            )
            return
        if self.error is not None:
            _log.warning("the %s can be read again: %s", self._what, ", ".join(self.paths))
        self._seen, self.error = now, None
        if value != self.value:
            _log.info("the %s has changed: %s", self._what, ", ".join(self.paths))
            self.value = value

    def _fail(self, error: ConfigError) -> None:
        if self.error is None or self.error.message != error.message:
            _log.warning("%s; what was read before stays in use", error.message)
        self.error = error


class StaticSource:
    """The certificate, token or password of a kubeconfig user, from data or files."""

    def __init__(self, user: UserConfig, *, files: FileReader = DISK) -> None:
        """Read everything once. Blocks. Raises ConfigError."""
        self._kind = _kind(user)
        self._certificate = FileBacked(
            "client certificate",
            _present(user.certificate_file, user.key_file),
            lambda: read_certificate(user, files),
            files,
        )
        self._authorization = FileBacked(
            "token", _present(user.token_file), lambda: _read_authorization(user, files), files
        )
        self._paths = self._certificate.paths + self._authorization.paths
        self._credential = self._assemble()

    def cached(self) -> Credential:
        """The credential as of the last reload."""
        return self._credential

    async def get(self) -> Credential:
        """The same as :meth:`cached`."""
        return self._credential

    async def invalidate(self, credential: Credential) -> Credential | None:
        """Another credential, if a reload has found one since."""
        return None if self._credential.same_as(credential) else self._credential

    def reload(self) -> Credential:
        """Read the files that have changed."""
        if self._paths:
            self._certificate.reload()
            self._authorization.reload()
            fresh = self._assemble()
            if fresh != self._credential:
                self._credential = fresh
        return self._credential

    async def close(self) -> None:
        """Do nothing: nothing runs."""

    def describe(self) -> SourceStatus:
        """Kind, expiry if certificate or token has one, and the last error of a file."""
        certificate = self._credential.certificate
        errors = (self._certificate.error, self._authorization.error)
        return SourceStatus(
            kind=self._kind,
            expires_at=jwt_expiry(self._credential.authorization),
            certificate=certificate_info(certificate.chain) if certificate else None,
            files=self._paths,
            last_error="; ".join(error.message for error in errors if error),
        )

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
    """The user's client certificate and matching key. Raises ConfigError."""
    if not user.has_certificate:
        return None
    chain = user.certificate_data or _read(user.certificate_file, files, "client-certificate")
    key = user.key_data or Secret(_read(user.key_file, files, "client-key").decode("latin-1"))
    certificate = ClientCertificate(chain=chain, key=key)
    check_certificate(certificate)
    return certificate


def _read_authorization(user: UserConfig, files: FileReader) -> Secret | None:
    """In Go's order: the token file, the token if the file has none, the password."""
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
