"""Where the rules go: known from the start, replaced as a whole at the end."""

import os
import stat
from pathlib import Path

import pytest

from kubelatch.errors import UsageError
from kubelatch.observe.written_rules.file import RulesFile


def test_a_new_file_follows_the_umask(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    file = RulesFile(str(path), ())
    assert list(tmp_path.iterdir()) == []
    before = os.umask(0o027)
    try:
        file.replace("é\n")
    finally:
        os.umask(before)
    assert path.read_text(encoding="utf-8") == "é\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert file.name == "rules"


def test_a_file_that_is_there_is_replaced_at_the_end_and_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text("before")
    path.chmod(0o604)
    file = RulesFile(str(path), ())
    with path.open() as reader:
        file.replace("after")
        # Who has it open sees what it was, as a whole.
        assert reader.read() == "before"
    assert path.read_text() == "after"
    assert stat.S_IMODE(path.stat().st_mode) == 0o604
    assert list(tmp_path.iterdir()) == [path]


def test_a_symbolic_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    target, link = tmp_path / "elsewhere/rules.yaml", tmp_path / "link.yaml"
    link.symlink_to(target)
    RulesFile(str(link), ()).replace("text")
    assert link.is_symlink()
    assert target.read_text() == "text"


def test_a_directory_that_has_gone_leaves_nothing_behind(tmp_path: Path) -> None:
    directory = tmp_path / "gone"
    directory.mkdir()
    file = RulesFile(str(directory / "rules.yaml"), ())
    directory.rmdir()
    with pytest.raises(FileNotFoundError):
        file.replace("text")


def test_places_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text("")
    os.mkfifo(tmp_path / "pipe")
    places = {
        str(tmp_path): "no regular file",
        str(tmp_path / "pipe"): "no regular file",
        "/dev/null": "no regular file",
        str(tmp_path / "none/rules.yaml"): "No such file or directory",
        str(tmp_path / "rules.yaml/x"): "Not a directory",
        "/proc/rules.yaml": "No such file or directory",
        str(tmp_path / ("x" * 255)): "File name too long",
    }
    for place, why in places.items():
        with pytest.raises(UsageError, match=why) as raised:
            RulesFile(place, ())
        assert raised.value.exit_code == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pipe", "rules.yaml"]


def test_the_rules_in_force_are_not_replaced_by_what_they_let_through(tmp_path: Path) -> None:
    path, other = tmp_path / "rules.yaml", tmp_path / "other.yaml"
    path.write_text("")
    other.symlink_to(path)
    with pytest.raises(UsageError, match="the same file"):
        RulesFile(str(path), (str(tmp_path / "none"), str(other)))


def test_what_another_user_keeps_in_a_directory_for_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be written to, and not replaced."""
    path = tmp_path / "rules.yaml"
    path.write_text("")
    tmp_path.chmod(0o1777)
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    with pytest.raises(UsageError, match="not permitted"):
        RulesFile(str(path), ())


def test_a_file_that_may_only_be_read_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text("")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(UsageError, match="Permission denied"):
        RulesFile(str(path), ())
