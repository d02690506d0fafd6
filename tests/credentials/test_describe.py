"""What can be told of a configuration without asking the network, and never a secret."""

import base64
from dataclasses import asdict
from pathlib import Path

import pytest

from kubelatch.credentials import (
    SourceStatus,
    describe,
    expiry_warnings,
    impersonation_headers,
    source_for,
)
from kubelatch.credentials.tls import CertificateInfo
from kubelatch.kubeconfig import Impersonation, Overrides, load
from tests.support.certificates import Authority

NOW = 1_800_000_000.0
DAY = 86400.0


def test_files_names_authentication_and_validity(tmp_path: Path, authority: Authority) -> None:
    alice = authority.client("alice")
    (tmp_path / "ca.crt").write_text(authority.pem)
    encoded = [base64.b64encode(t.encode()).decode() for t in (alice.certificate, alice.key)]
    config = tmp_path / "config"
    config.write_text(
        'clusters: [{name: c, cluster: {server: "https://api.example.test/", '
        'certificate-authority: ca.crt, proxy-url: "http://me:hunter2@p:3128"}}]\n'
        f"users: [{{name: u, user: {{client-certificate-data: {encoded[0]}, client-key-data: "
        f"{encoded[1]}, token: hunter2, as: bob}}}}]\n"
        "contexts: [{name: x, context: {cluster: c, user: u, namespace: ns}}]\n"
        "current-context: x\n"
    )
    environ = {"KUBECONFIG": f"{tmp_path}/nowhere:{config}"}
    chosen = load(Overrides(), environ=environ)

    told = describe(chosen, source_for(chosen), environ=environ, now=NOW)

    assert told.files == (
        (f"{tmp_path}/nowhere", False),
        (str(config), True),
        (f"{tmp_path}/ca.crt", True),
    )
    assert (told.context, told.cluster, told.user, told.namespace) == ("x", "c", "u", "ns")
    assert told.server == "https://api.example.test/"
    assert told.proxy == "http://p:3128"
    assert told.trust == f"the CA in {tmp_path}/ca.crt"
    assert told.impersonation == Impersonation(user="bob")
    assert told.authentication.kind == "token"
    assert told.authentication.certificate is not None
    assert told.authentication.certificate.common_name == "alice"
    assert told.ca is not None
    text = f"{told!r}{asdict(told)!r}"
    assert "hunter2" not in text
    assert alice.key not in text


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
def test_an_expiry_is_told_in_time(status: SourceStatus, warnings: int) -> None:
    assert len(expiry_warnings(status, now=NOW)) == warnings


def test_the_warning_says_when() -> None:
    info = CertificateInfo(not_before=0, not_after=NOW - DAY)
    status = SourceStatus(kind="client-certificate", certificate=info)
    assert expiry_warnings(status, now=NOW) == (
        "the client certificate expired at 2027-01-14 08:00:00 UTC",
    )
    assert expiry_warnings(SourceStatus(kind="anonymous"), now=NOW, ca=info) == (
        "the cluster's CA expired at 2027-01-14 08:00:00 UTC",
    )


def test_no_impersonation_no_headers() -> None:
    assert impersonation_headers(None) == ()
    assert impersonation_headers(Impersonation()) == ()


def test_each_group_and_value_has_a_line_of_its_own() -> None:
    wanted = Impersonation(
        user="bob", uid="u1", groups=("g1", "g2"), extra=(("acme.com/x y", ("a", "b")),)
    )
    assert impersonation_headers(wanted) == (
        (b"Impersonate-User", b"bob"),
        (b"Impersonate-Uid", b"u1"),
        (b"Impersonate-Group", b"g1"),
        (b"Impersonate-Group", b"g2"),
        (b"Impersonate-Extra-acme.com%2Fx%20y", b"a"),
        (b"Impersonate-Extra-acme.com%2Fx%20y", b"b"),
    )
