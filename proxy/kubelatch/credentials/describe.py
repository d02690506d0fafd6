"""What ``kubelatch check`` can tell before it asks the network: which files, whom, and how.

Plain values without secrets. Times are seconds since the epoch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from ..errors import ConfigError
from ..kubeconfig import DISK, ClientConfig, FileReader, Impersonation, proxy_for
from .tls import CertificateInfo, certificate_info
from .values import CredentialSource, SourceStatus

SOON = 7 * 24 * 3600.0
"""An expiry within this many seconds is worth a warning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """A chosen cluster and user. ``files`` tells of each file whether it is there."""

    source: str
    files: tuple[tuple[str, bool], ...]
    context: str
    cluster: str
    user: str
    namespace: str
    server: str
    trust: str
    ca: CertificateInfo | None
    proxy: str
    impersonation: Impersonation | None
    authentication: SourceStatus
    warnings: tuple[str, ...]


def describe(
    config: ClientConfig,
    source: CredentialSource,
    *,
    environ: Mapping[str, str],
    now: float,
    files: FileReader = DISK,
) -> Description:
    """Describe the choice and the state of its credential; nothing is run or asked."""
    status = source.describe()
    ca = certificate_info(config.tls.ca_data) if config.tls.ca_data else None
    warnings = (*config.warnings, *expiry_warnings(status, now=now, ca=ca))
    return Description(
        source=config.source,
        files=tuple((path, files.signature(path) is not None) for path in config.files),
        context=config.context,
        cluster=config.cluster_name,
        user=config.user_name,
        namespace=config.namespace,
        server=config.server.url,
        trust=_trust(config),
        ca=ca,
        proxy=_proxy(config, environ),
        impersonation=config.impersonation,
        authentication=status,
        warnings=warnings,
    )


def expiry_warnings(
    status: SourceStatus, *, now: float, ca: CertificateInfo | None = None
) -> tuple[str, ...]:
    """What has expired, or will within a week and is not renewed by itself."""
    warnings = []
    for what, info in (("client certificate", status.certificate), ("cluster's CA", ca)):
        if info is not None and info.not_before > now:
            warnings.append(f"the {what} is not valid before {_date(info.not_before)}")
        if info is not None and info.not_after < now + SOON:
            warnings.append(_expiry(what, info.not_after, now))
    renewed = status.kind in {"exec", "oidc", "token-file"}
    if status.expires_at is not None and status.expires_at < now + (0 if renewed else SOON):
        warnings.append(_expiry("token", status.expires_at, now))
    return tuple(warnings)


def _expiry(what: str, when: float, now: float) -> str:
    verb = "expired" if when < now else "expires"
    return f"the {what} {verb} at {_date(when)}"


def _date(when: float) -> str:
    return datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _trust(config: ClientConfig) -> str:
    if config.server.scheme == "http":
        return "none: plain http"
    if config.tls.insecure:
        return "anyone: the server is not verified"
    if config.tls.ca_file:
        return f"the CA in {config.tls.ca_file}"
    return "the CA in the kubeconfig" if config.tls.ca_data else "the system's CAs"


def _proxy(config: ClientConfig, environ: Mapping[str, str]) -> str:
    try:
        proxy = proxy_for(config.server.url, config, environ)
    except ConfigError as error:
        return error.message
    return f"{proxy.scheme}://{proxy.host}:{proxy.port}" if proxy else ""
