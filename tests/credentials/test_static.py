"""Tokens, passwords and certificates from data and from files that are replaced."""

import base64
import logging
from pathlib import Path

import pytest

from kubelatch.credentials import Credential, source_for
from kubelatch.errors import ConfigError
from tests.support.certificates import Authority, Identity

from .support import config_for


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def write(directory: Path, identity: Identity) -> dict[str, str]:
    """Put certificate and key into files, and give the user that names them."""
    paths = directory / "tls.crt", directory / "tls.key"
    paths[0].write_text(identity.certificate)
    paths[1].write_text(identity.key)
    return {"client-certificate": str(paths[0]), "client-key": str(paths[1])}


def revealed(credential: Credential | None) -> str:
    assert credential is not None
    return credential.authorization.reveal() if credential.authorization else ""


def test_cached_returns_the_same_object_every_time(authority: Authority) -> None:
    alice = authority.client("alice")
    data = {
        "client-certificate-data": encoded(alice.certificate),
        "client-key-data": encoded(alice.key),
        "token": "abc",
    }
    source = source_for(config_for(data))

    credential = source.cached()

    assert credential is not None
    assert credential is source.cached()
    assert credential.certificate is not None
    assert revealed(credential) == "Bearer abc"


async def test_no_credential_is_a_credential_too() -> None:
    source = source_for(config_for({}))
    assert source.cached() == await source.get() == Credential(kind="anonymous")
    assert await source.invalidate(Credential(kind="anonymous")) is None


async def test_a_rejected_token_is_not_tried_again() -> None:
    source = source_for(config_for({"token": "abc"}))
    assert await source.invalidate(await source.get()) is None


class TestTokenFile:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        path = tmp_path / "token"
        path.write_text("one\n")
        return path

    def test_a_new_token_is_used_after_the_next_look(self, path: Path) -> None:
        source = source_for(config_for({"tokenFile": str(path)}))
        path.write_text("two\n")
        assert revealed(source.cached()) == "Bearer one"
        source.reload()
        assert revealed(source.cached()) == "Bearer two"

    def test_an_unchanged_file_is_not_read_again(self, path: Path) -> None:
        source = source_for(config_for({"tokenFile": str(path)}))
        before = source.cached()
        assert source.reload() is before

    @pytest.mark.parametrize("content", ["", " \n", "a\nb", None])
    def test_a_broken_file_leaves_the_old_token(
        self, path: Path, content: str | None, caplog: pytest.LogCaptureFixture
    ) -> None:
        source = source_for(config_for({"tokenFile": str(path)}))
        before = source.cached()
        path.unlink()
        if content is not None:
            path.write_text(content)
        for _ in range(3):
            source.reload()
            assert source.cached() is before
        assert str(path) in source.describe().last_error
        assert [record.levelno for record in caplog.records] == [logging.WARNING]

        path.write_text("three")
        source.reload()
        assert revealed(source.cached()) == "Bearer three"
        assert source.describe().last_error == ""

    async def test_after_a_401_a_new_one_is_another_try(self, path: Path) -> None:
        source = source_for(config_for({"tokenFile": str(path)}))
        rejected = await source.get()
        source.reload()
        assert await source.invalidate(rejected) is None
        path.write_text("two")
        source.reload()

        fresh = await source.invalidate(rejected)

        assert fresh is not None
        assert revealed(fresh) == "Bearer two"
        assert source.cached() is fresh
        assert await source.invalidate(fresh) is None

    def test_the_inline_token_serves_until_the_file_is_there(self, path: Path) -> None:
        path.unlink()
        user = {"tokenFile": str(path), "token": "inline"}
        source = source_for(config_for(user))
        assert revealed(source.cached()) == "Bearer inline"
        path.write_text("from-file")
        source.reload()
        assert revealed(source.cached()) == "Bearer from-file"

    def test_a_projected_volume_is_followed(self, tmp_path: Path) -> None:
        for name in ("v1", "v2"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "projected").write_text(name)
        data = tmp_path / "..data"
        data.symlink_to("v1")
        (tmp_path / "projected").symlink_to("..data/projected")
        user = {"tokenFile": str(tmp_path / "projected")}
        source = source_for(config_for(user))

        fresh = tmp_path / "..tmp"
        fresh.symlink_to("v2")
        fresh.replace(data)
        source.reload()

        assert revealed(source.cached()) == "Bearer v2"

    def test_the_expiry_of_a_jwt_is_described(self, path: Path) -> None:
        claims = base64.urlsafe_b64encode(b'{"exp": 1700000000}').decode().rstrip("=")
        path.write_text(f"e30.{claims}.sig")
        source = source_for(config_for({"tokenFile": str(path)}))
        assert source.describe().expires_at == 1_700_000_000


class TestCertificateFiles:
    def test_a_new_pair_is_a_new_certificate(self, tmp_path: Path, authority: Authority) -> None:
        user = write(tmp_path, authority.client("alice"))
        source = source_for(config_for(user))
        before = source.cached()
        write(tmp_path, authority.client("bob"))
        assert source.cached() is before
        source.reload()

        after = source.cached()

        assert before is not None
        assert after is not None
        assert after.certificate is not before.certificate
        status = source.describe()
        assert status.certificate is not None
        assert status.certificate.common_name == "bob"

    def test_between_the_two_files_the_old_pair_stays(
        self, tmp_path: Path, authority: Authority
    ) -> None:
        user = write(tmp_path, authority.client("alice"))
        source = source_for(config_for(user))
        before, bob = source.cached(), authority.client("bob")
        (tmp_path / "tls.crt").write_text(bob.certificate)
        source.reload()
        assert source.cached() is before
        assert "does not match" in source.describe().last_error
        (tmp_path / "tls.key").write_text(bob.key)
        source.reload()
        assert source.cached() is not before
        assert source.describe().last_error == ""

    def test_a_broken_certificate_does_not_hold_back_the_token(
        self, tmp_path: Path, authority: Authority
    ) -> None:
        token = tmp_path / "token"
        token.write_text("one")
        user = {**write(tmp_path, authority.client("alice")), "tokenFile": str(token)}
        source = source_for(config_for(user))
        before = source.cached()
        (tmp_path / "tls.crt").write_text("broken")
        token.write_text("two")
        source.reload()

        after = source.cached()

        assert before is not None
        assert after is not None
        assert revealed(after) == "Bearer two"
        assert after.certificate is before.certificate

    def test_a_new_token_keeps_the_certificate_object(
        self, tmp_path: Path, authority: Authority
    ) -> None:
        token = tmp_path / "token"
        token.write_text("one")
        user = {**write(tmp_path, authority.client("alice")), "tokenFile": str(token)}
        source = source_for(config_for(user))
        before = source.cached()
        token.write_text("two")
        source.reload()
        after = source.cached()
        assert before is not None
        assert after is not None
        assert before.certificate is after.certificate

    def test_a_pair_that_does_not_belong_together_is_an_error_at_start(
        self, tmp_path: Path, authority: Authority
    ) -> None:
        user = write(tmp_path, authority.client("alice"))
        (tmp_path / "tls.key").write_text(authority.client("bob").key)
        with pytest.raises(ConfigError, match="private key does not match public key"):
            source_for(config_for(user))


def test_no_secret_shows() -> None:
    source = source_for(config_for({"token": "hunter2"}))
    assert "hunter2" not in f"{source.cached()!r}{source.describe()!r}"
    assert revealed(source.cached()) == "Bearer hunter2"
