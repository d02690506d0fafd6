"""Kubeconfig: from files, environment and flags to one cluster and one user.

Pure: no event loop, no sockets, no TLS. Files are read through a reader that can be replaced.
The result is a validated :class:`ClientConfig` with absolute paths and wrapped secrets; the
credentials package makes the current credential from it.
"""

from ..config.overrides import Overrides
from .files import DISK, DiskFiles, FileReader, FileSignature, MemoryFiles, TrackedFiles, signatures
from .load import load, load_mapping
from .proxies import ProxyAddress, environment_proxy, proxy_for
from .values import (
    AuthProvider,
    Choice,
    ClientConfig,
    ExecConfig,
    ExecRule,
    Impersonation,
    ServerAddress,
    TlsConfig,
    UserConfig,
)

__all__ = [
    "DISK",
    "AuthProvider",
    "Choice",
    "ClientConfig",
    "DiskFiles",
    "ExecConfig",
    "ExecRule",
    "FileReader",
    "FileSignature",
    "Impersonation",
    "MemoryFiles",
    "Overrides",
    "ProxyAddress",
    "ServerAddress",
    "TlsConfig",
    "TrackedFiles",
    "UserConfig",
    "environment_proxy",
    "load",
    "load_mapping",
    "proxy_for",
    "signatures",
]
