"""The file with the inspector's secret."""

import stat
from pathlib import Path

import pytest

from kubelatch.errors import ConfigError
from kubelatch.observe.secret_file import make_secret, read_secret


def test_a_file_that_does_not_exist_is_made_for_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    secret = read_secret(str(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text() == f"{secret.reveal()}\n"
    assert read_secret(str(path)) == secret
    assert make_secret() != make_secret()


@pytest.mark.parametrize(
    "content", ["", "short", "has a space in its middle", "é" * 20, "a\nb" * 9]
)
def test_what_is_no_secret_is_refused_and_not_shown(tmp_path: Path, content: str) -> None:
    path = tmp_path / "secret"
    path.write_text(content)
    with pytest.raises(ConfigError, match="is none: it needs 16") as caught:
        read_secret(str(path))
    assert not content or content not in str(caught.value)


def test_a_file_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot use the inspector's secret"):
        read_secret(str(tmp_path / "no" / "secret"))
    with pytest.raises(ConfigError, match="cannot use the inspector's secret"):
        read_secret(str(tmp_path))
