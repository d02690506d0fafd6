"""Warnings about expiry."""

import pytest

from kubelatch.credentials import SourceStatus, expiry_warnings
from kubelatch.credentials.tls import CertificateInfo

NOW = 1_800_000_000.0
DAY = 86400.0


@pytest.mark.parametrize(
    ("status", "warnings"),
    [
        (SourceStatus(kind="token", expires_at=NOW + 8 * DAY), 0),
        (SourceStatus(kind="token", expires_at=NOW + 6 * DAY), 1),
        (SourceStatus(kind="token", expires_at=NOW - 1), 1),
        (SourceStatus(kind="exec", expires_at=NOW + 60), 0),
        (SourceStatus(kind="token-file", expires_at=NOW + 60), 0),
        (SourceStatus(kind="exec", expires_at=NOW - 60), 1),
        (
            SourceStatus(
                kind="client-certificate",
                certificate=CertificateInfo(not_before=NOW - DAY, not_after=NOW + 8 * DAY),
            ),
            0,
        ),
        (
            SourceStatus(
                kind="client-certificate",
                certificate=CertificateInfo(not_before=NOW - DAY, not_after=NOW + 6 * DAY),
            ),
            1,
        ),
        (
            SourceStatus(
                kind="client-certificate",
                certificate=CertificateInfo(not_before=NOW + DAY, not_after=NOW + 80 * DAY),
            ),
            1,
        ),
    ],
)
def test_an_expiry_is_reported_in_time(status: SourceStatus, warnings: int) -> None:
    assert len(expiry_warnings(status, now=NOW)) == warnings


def test_the_warning_has_the_date() -> None:
    info = CertificateInfo(not_before=0, not_after=NOW - DAY)
    status = SourceStatus(kind="client-certificate", certificate=info)
    assert expiry_warnings(status, now=NOW) == (
        "the client certificate expired at 2027-01-14 08:00:00 UTC",
    )
    assert expiry_warnings(SourceStatus(kind="anonymous"), now=NOW, ca=info) == (
        "the cluster's CA expired at 2027-01-14 08:00:00 UTC",
    )
