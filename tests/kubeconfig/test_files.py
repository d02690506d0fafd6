"""What may be read as a file, and when a file has changed."""

import errno
import os
import socket
import threading
from pathlib import Path

import pytest

from kubelatch.kubeconfig import DiskFiles, TrackedFiles
from kubelatch.kubeconfig import files as module


def written(path: Path, *parts: bytes) -> threading.Thread:
    """Write into a named pipe, from a thread, as its first reader opens it."""

    def write() -> None:
        with path.open("wb", buffering=0) as pipe:
            for part in parts:
                pipe.write(part)

    thread = threading.Thread(target=write)
    thread.start()
    return thread


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


def test_a_pipe_is_read_once_and_its_content_kept(pipe: Path) -> None:
    files = DiskFiles()
    writer = written(pipe, b"one", b"two")
    assert files.read(str(pipe)) == b"onetwo"
    writer.join()
    seen = files.signature(str(pipe))
    files.settle()
    assert files.read(str(pipe)) == b"onetwo"
    os.utime(pipe)
    assert files.signature(str(pipe)) == seen
    # A program that removes its pipe has done its part.
    pipe.unlink()
    assert files.signature(str(pipe)) == seen
    assert files.read(str(pipe)) == b"onetwo"


def test_a_file_in_the_place_of_a_pipe_is_read(pipe: Path) -> None:
    files = DiskFiles()
    writer = written(pipe, b"old")
    files.read(str(pipe))
    writer.join()
    seen = files.signature(str(pipe))
    pipe.unlink()
    pipe.write_text("new")
    assert files.signature(str(pipe)) != seen
    assert files.read(str(pipe)) == b"new"


def test_a_pipe_of_a_shell_is_read_by_its_number() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"content")
    os.close(writer)
    assert DiskFiles().read(f"/dev/fd/{reader}") == b"content"
    os.close(reader)


def test_a_pipe_without_a_writer_is_an_error_in_time(pipe: Path) -> None:
    with pytest.raises(OSError, match="nothing came out of this pipe"):
        DiskFiles(pipe_seconds=0.05).read(str(pipe))


def test_a_pipe_without_an_end_is_an_error_in_time(pipe: Path) -> None:
    descriptor = os.open(pipe, os.O_RDWR)
    os.write(descriptor, b"begun")
    with pytest.raises(OSError, match="no end"):
        DiskFiles(pipe_seconds=0.05).read(str(pipe))
    os.close(descriptor)


def test_after_the_start_only_files_are_read(pipe: Path) -> None:
    files = DiskFiles()
    files.settle()
    with pytest.raises(OSError, match="only regular files are read again"):
        files.read(str(pipe))
    with pytest.raises(OSError, match="only regular files are read again"):
        files.read("/dev/zero")


def test_the_null_device_is_an_empty_file() -> None:
    files = DiskFiles()
    assert files.read("/dev/null") == b""
    files.settle()
    assert files.read("/dev/null") == b""


def test_what_has_no_end_is_too_large(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "SIZE_LIMIT", 2 << 20)
    (tmp_path / "large").write_bytes(b"x" * (2 << 20) + b"x")
    for path in ("/dev/zero", str(tmp_path / "large")):
        with pytest.raises(OSError, match="over 2 MiB") as caught:
            DiskFiles().read(path)
        assert caught.value.errno == errno.EFBIG


@pytest.mark.parametrize("path", ["a\0b", "\ud800", "x" * 5000])
def test_a_path_that_can_be_none_is_an_error_of_the_system(path: str) -> None:
    files = DiskFiles()
    assert files.signature(path) is None
    with pytest.raises(OSError, match=r"."):
        files.read(path)


def test_a_directory_and_a_socket_are_no_files(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        DiskFiles().read(str(tmp_path))
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "socket"))
        with pytest.raises(OSError, match="No such device"):
            DiskFiles().read(str(tmp_path / "socket"))


def test_a_file_that_was_touched_or_copied_has_not_changed(tmp_path: Path) -> None:
    path, other = tmp_path / "file", tmp_path / "other"
    path.write_text("content")
    files = TrackedFiles(DiskFiles())
    files.read(str(path))
    os.utime(path)
    assert not files.changed()
    other.write_text("content")
    other.replace(path)
    assert not files.changed()
    path.write_text("another")
    assert files.changed()


def test_a_file_that_can_be_read_again_has_changed(tmp_path: Path) -> None:
    """chmod leaves the time of the content alone."""
    path = tmp_path / "file"
    path.write_text("content")
    disk = DiskFiles()
    seen = disk.signature(str(path))
    path.chmod(0o400)
    assert disk.signature(str(path)) != seen


def test_a_file_that_appears_or_disappears_has_changed(tmp_path: Path) -> None:
    files = TrackedFiles(DiskFiles())
    path = tmp_path / "file"
    with pytest.raises(FileNotFoundError):
        files.read(str(path))
    assert not files.changed()
    path.write_text("content")
    assert files.changed()
