"""Warnings about certificates and tokens that have expired, or will soon."""

from datetime import UTC, datetime
from typing import Final

from .tls import CertificateInfo
from .values import SourceStatus

_SOON: Final = 7 * 24 * 3600.0


def expiry_warnings(
    status: SourceStatus, *, now: float, ca: CertificateInfo | None = None
) -> tuple[str, ...]:
    """Warnings about what has expired, or expires within a week and is not renewed automatically.

    Args:
        status: of the credential.
        now: seconds since the epoch.
        ca: the cluster's certificate authority.
    """
    warnings = []
    for what, info in (("client certificate", status.certificate), ("cluster's CA", ca)):
        if info is not None and info.not_before > now:
            warnings.append(f"the {what} is not valid before {_date(info.not_before)}")
        if info is not None and info.not_after < now + _SOON:
            warnings.append(_expiry(what, info.not_after, now))
    renewed = status.kind in {"exec", "oidc", "token-file"}
    if status.expires_at is not None and status.expires_at < now + (0 if renewed else _SOON):
        warnings.append(_expiry("token", status.expires_at, now))
    return tuple(warnings)


def _expiry(what: str, when: float, now: float) -> str:
    verb = "expired" if when < now else "expires"
    return f"the {what} {verb} at {_date(when)}"


def _date(when: float) -> str:
    return datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
