"""``--tls``: the certificate that clients see, from files or made at the start."""

import contextlib
import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..config.addresses import parse_ip
from ..config.flag_values import parse_tls
from ..config.settings import Settings
from ..credentials.tls.serving import (
    ServerCertificate,
    ServerContext,
    is_own_authority,
    make_certificate,
    server_context,
    trusted_by_clients,
)
from ..errors import ConfigError
from ..gate import split_patterns
from ..kubeconfig import DISK, FileReader
from ..kubeconfig.files import explain_os_error
from ..secret import Secret
from ..system.peer import own_uid

_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
# A pattern of --accept-hosts that matches one name: letters, digits, dashes and escaped dots.
_LITERAL: Final = re.compile(r"\^((?:[A-Za-z0-9-]|\\\.)+|\\\[[0-9A-Fa-f:.]+\\\])\$")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientTls:
    """TLS with clients.

    Attributes:
        certificate: what they are shown, and have to trust.
        context: made of it.
    """

    certificate: ServerCertificate
    context: ServerContext


def client_tls(
    settings: Settings, addresses: Sequence[str], files: FileReader, before: ClientTls | None
) -> tuple[ClientTls | None, tuple[str, ...]]:
    """What ``--tls`` describes now, None without the flag; and the files that were read. Blocks.

    Args:
        settings: the flags.
        addresses: the IP addresses of sockets that were handed over.
        files: reads certificate and key.
        before: what was in use so far; that of ``auto`` stays, and so does an unchanged one.

    Raises:
        ConfigError: a file cannot be used.
    """
    pair = parse_tls(settings.tls)
    if not settings.tls or (pair is None and before is not None):
        return before, ()
    paths: tuple[str, ...] = ()
    if pair is None:
        certificate = make_certificate(certificate_names(settings, addresses))
    else:
        certificate = _read_certificate(pair, settings.tls_ca_file, files)
        paths = tuple(filter(None, (*pair, settings.tls_ca_file)))
    if before is not None and before.certificate == certificate:
        return before, paths
    return ClientTls(certificate=certificate, context=server_context(certificate)), paths


def certificate_names(settings: Settings, addresses: Sequence[str] = ()) -> list[str]:
    """Names and addresses under which clients may reach the proxy: of loopback, of ``--address``,
    and those that ``--accept-hosts`` names literally."""
    literal = map(_LITERAL.fullmatch, split_patterns(settings.accept_hosts))
    hosts = [match[1].replace("\\", "").strip("[]").lower() for match in literal if match]
    names = [*_LOOPBACK, settings.address.strip("[]"), *addresses, *hosts]
    known = {str(parse_ip(name) or name): None for name in names if _is_name(name)}
    return [name for name in known if name not in {"0.0.0.0", "::"}]  # noqa: S104 -- left out


def _is_name(name: str) -> bool:
    """An IP address, or what DNS calls a name (RFC 1123 section 2.1)."""
    label = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
    return parse_ip(name) is not None or bool(re.fullmatch(rf"{label}(?:\.{label})*", name))


def _read_certificate(pair: tuple[str, str], ca_file: str, files: FileReader) -> ServerCertificate:
    chain = _read(pair[0], files)
    key = Secret(_read(pair[1], files).decode("latin-1"))
    ca = _read(ca_file, files) if ca_file else trusted_by_clients(chain)
    return ServerCertificate(chain=chain, key=key, ca=ca)


def _read(path: str, files: FileReader) -> bytes:
    try:
        return files.read(path)
    except OSError as error:
        problem = explain_os_error(error, path, "tls")
        msg = f"the certificate of --tls cannot be read: {problem}"
        raise ConfigError(msg, hint="look at --tls=CERT,KEY and --tls-ca-file") from None


def warn_of_key(settings: Settings) -> Iterator[str]:
    """A warning about a key that every user can read."""
    pair = parse_tls(settings.tls)
    if pair is None:
        return
    with contextlib.suppress(OSError):
        if os.stat(pair[1]).st_mode & stat.S_IROTH:
            yield f"{pair[1]}, the key of --tls, can be read by every user of this machine"


def published_authority(settings: Settings) -> bytes:
    """What clients of a proxy with these flags, which another process is, have to trust, in PEM;
    empty if the system's CAs. Blocks.

    Raises:
        ConfigError: it is not known here.
    """
    pair = parse_tls(settings.tls)
    if pair is not None and not settings.tls_ca_file:
        return trusted_by_clients(_read(pair[0], DISK))
    if not settings.tls_ca_file:
        raise ConfigError(
            "the authority of --tls=auto is known to the running proxy only",
            hint="say --tls-ca-file=FILE there and here: the proxy writes it",
        )
    path = settings.tls_ca_file
    try:
        found = os.stat(path)
        pem = DISK.read(path)
    except OSError as error:
        raise ConfigError(
            f"the authority of --tls cannot be read: {explain_os_error(error, path)}",
            hint="the proxy writes it when it starts with --tls=auto: does it run?"
            if pair is None
            else "look at --tls-ca-file",
        ) from None
    if found.st_uid not in {0, own_uid()} or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigError(
            f"{path}, the authority of --tls, may have been written by another user: it is user "
            f"id {found.st_uid}'s, with mode {stat.S_IMODE(found.st_mode):04o}",
            hint="keep it where you alone can write: clients send their token to its owner",
        )
    return pem


def publish(settings: Settings, tls: ClientTls | None) -> None:
    """Write the authority of ``--tls=auto`` to ``--tls-ca-file``. Blocks.

    Raises:
        ConfigError: the file cannot be written, or is another's.
    """
    if tls is not None and settings.tls == "auto" and settings.tls_ca_file:
        path, ca = Path(settings.tls_ca_file), tls.certificate.ca
        write_whole(path, ca, 0o644, "--tls-ca-file", is_own_authority)


def retract(settings: Settings, tls: ClientTls | None) -> None:
    """Remove what :func:`publish` has written, unless a later proxy has written its own. May be
    repeated."""
    if tls is not None and settings.tls == "auto" and settings.tls_ca_file:
        path = Path(settings.tls_ca_file)
        with contextlib.suppress(OSError):
            if path.read_bytes() == tls.certificate.ca:
                path.unlink()


def write_whole(
    path: Path, content: bytes, mode: int, flag: str, is_ours: Callable[[bytes], bool]
) -> None:
    """Write a file that readers find old or new and never in part; it has its mode before it has
    its content. Links are not followed, and nothing is replaced but what *is_ours*.

    Raises:
        ConfigError: it cannot be written.
    """
    import tempfile  # noqa: PLC0415 -- with --tls only

    hint = "choose a file in a directory of yours"
    try:
        found = path.lstat() if path.is_symlink() or path.exists() else None
        if found is not None and not stat.S_ISREG(found.st_mode):
            raise ConfigError(f"{flag}={path} cannot be written: it is no regular file", hint=hint)
        if found is not None and not is_ours(path.read_bytes()):
            msg = f"{flag}={path} is not written: the file is there, and another's"
            raise ConfigError(msg, hint="remove it, or choose another name")
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            os.fchmod(descriptor, mode)
            with open(descriptor, "wb") as file:
                file.write(content)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        msg = f"{flag}={path} cannot be written: {(error.strerror or str(error)).lower()}"
        raise ConfigError(msg, hint=hint) from None
