"""Servers' certificates of all kinds, and what Go makes of them: how they are written down.

What is ``ODD`` in them makes OpenSSL refuse any of them, so that our own verification has to judge
the rest.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from cryptography import x509

from tests.support.pki import (
    Ca,
    Key,
    altered,
    names,
    new_key,
)  # fmt: skip

HERE = names("localhost", "127.0.0.1")


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One server: what it sends, what is trusted, and what it is called.

    Attributes:
        go: whether kubectl connects.
        ours: whether we do.
    """

    title: str
    trusted: tuple[x509.Certificate | bytes, ...]
    chain: tuple[x509.Certificate | bytes, ...]
    key: Key
    server: str = "localhost"
    go: bool = True
    ours: bool = True


KINDS: list[Kind] = []


@cache
def common_ca() -> Ca:
    return Ca()


@cache
def shared_key(kind: str = "p256") -> Any:
    """A key of a kind, made once: those of RSA take their time."""
    return new_key(kind)


def good(title: str, *extensions: Any, **options: Any) -> None:
    """A server that Go accepts: its certificate has these extensions."""
    _add(title, extensions, go=True, ours=True, **options)


def bad(title: str, *extensions: Any, **options: Any) -> None:
    """One that Go refuses."""
    _add(title, extensions, go=False, ours=False, **options)


def stricter(title: str, *extensions: Any, **options: Any) -> None:
    """One that Go accepts and we do not."""
    _add(title, extensions, go=True, ours=False, **options)


def _add(
    title: str,
    extensions: tuple[Any, ...],
    *,
    go: bool,
    ours: bool,
    ca: Ca | None = None,
    key: Key = None,
    trusted: tuple[x509.Certificate | bytes, ...] | None = None,
    between: tuple[x509.Certificate | bytes, ...] = (),
    server: str = "localhost",
    change: Callable[[bytes], bytes] | None = None,
    subject: str = "kube-apiserver",
    **options: Any,
) -> None:
    ca, key = ca or common_ca(), key or shared_key()
    leaf: x509.Certificate | bytes = ca.sign(subject, key, *(extensions or (HERE,)), **options)
    if change is not None:
        assert isinstance(leaf, x509.Certificate)
        leaf = altered(leaf, ca.key, change)
    KINDS.append(
        Kind(
            title=title,
            trusted=(ca.certificate,) if trusted is None else trusted,
            chain=(leaf, *between),
            key=key,
            server=server,
            go=go,
            ours=ours,
        )
    )


def negative_serial(tbs: bytes) -> bytes:
    """The serial number 2**126, made negative."""
    serial = (1 << 126).to_bytes(16)
    return tbs.replace(serial, b"\xc0" + serial[1:])
