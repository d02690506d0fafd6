"""Symbolic links below --www: those of ConfigMap volumes and git-sync, and none that lead out."""

import itertools
import os
from pathlib import Path
from typing import Any

import pytest

from kubelatch.static_files.tree import Tree

from .test_serving import serving


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """A ConfigMap volume as kubelet's atomic writer makes it (pkg/volume/util/atomic_writer.go)."""
    www = tmp_path / "www"
    dated = www / "..2026_11_26_10_00_00.123456789"
    (dated / "sub").mkdir(parents=True)
    (dated / "index.html").write_text("<h1>hello</h1>")
    (dated / "app.js").write_text("x=1")
    (dated / "sub" / "deep.txt").write_text("deep")
    (www / "..data").symlink_to(dated.name)
    for name in ("index.html", "app.js", "sub"):
        (www / name).symlink_to(f"..data/{name}")
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "www2").mkdir()
    (tmp_path / "www2" / "x").write_text("secret")
    return www


@pytest.mark.parametrize(
    ("target", "status", "body"),
    [
        ("/static/", 200, b"<h1>hello</h1>"),
        ("/static/app.js", 200, b"x=1"),
        ("/static/sub/deep.txt", 200, b"deep"),
        ("/static/..data/app.js", 200, b"x=1"),
        ("/static/sub", 301, None),
        ("/static/app.js/", 301, None),
        ("/static/sub/missing", 404, None),
    ],
)
async def test_a_configmap_volume_is_served(
    volume: Path, target: str, status: int, body: bytes | None
) -> None:
    async with serving(volume) as client:
        answer = await client.get(target)
        assert answer.status == status
        assert body is None or answer.body == body
        listing = (await client.get("/static/sub/")).body
        assert b'<a href="deep.txt">' in listing


async def test_a_new_version_of_the_volume_is_served_at_once(volume: Path) -> None:
    async with serving(volume) as client:
        assert (await client.get("/static/app.js")).body == b"x=1"
        (volume / "..new").mkdir()
        (volume / "..new" / "app.js").write_text("x=2")
        (volume / "..data_tmp").symlink_to("..new")
        (volume / "..data_tmp").rename(volume / "..data")
        assert (await client.get("/static/app.js")).body == b"x=2"


async def test_git_sync_is_served(tmp_path: Path) -> None:
    """Its link is the directory that is served, or one in it (kubernetes/git-sync)."""
    worktree = tmp_path / "git" / ".worktrees" / "0a1b2c"
    worktree.mkdir(parents=True)
    (worktree / "index.html").write_text("site")
    (tmp_path / "git" / "current").symlink_to(".worktrees/0a1b2c")
    async with serving(tmp_path / "git") as client:
        assert (await client.get("/static/current/")).body == b"site"
        assert (await client.get("/static/current")).values("location") == ["current/"]
    async with serving(tmp_path / "git" / "current") as client:
        assert (await client.get("/static/")).body == b"site"


LINKS = [
    # target of the link "l", what GET /static/l says.
    ("app.js", b"x=1"),
    ("./app.js", b"x=1"),
    pytest.param("sub/../app.js", b"x=1", id="what .. is of a link"),
    ("..data/../app.js", b"x=1"),
    ("..data/sub/../app.js", b"x=1"),
    (".//..data//app.js", b"x=1"),
    ("{www}/app.js", b"x=1"),
    ("{www}/..data/sub/deep.txt", b"deep"),
    ("../www/app.js", None),
    ("../secret", None),
    ("..data/../../secret", None),
    ("..data/../../www/app.js", None),
    ("{www}/../secret", None),
    ("{www}2/x", None),
    ("{tmp}/secret", None),
    ("/etc/passwd", None),
    ("/", None),
    ("/proc/self/root/etc/passwd", None),
    ("{www}/l", None),
    ("l", None),
    ("l/l", None),
    ("app.js/app.js", None),
    ("missing", None),
    ("\udcff", None),
]


@pytest.mark.parametrize(("link", "body"), LINKS)
async def test_a_link_is_followed_if_all_of_its_way_lies_inside(
    volume: Path, link: str, body: bytes | None
) -> None:
    (volume / "l").symlink_to(link.format(www=volume, tmp=volume.parent))
    async with serving(volume) as client:
        answer = await client.get("/static/l")
        if body is None:
            assert answer.status == 404
            assert b"secret" not in answer.body
        else:
            assert (answer.status, answer.body) == (200, body)


@pytest.mark.parametrize(
    ("link", "status"), [("..", 404), (".", 301), ("../..", 404), ("{www}", 301), ("{tmp}", 404)]
)
async def test_a_link_to_a_directory(volume: Path, link: str, status: int) -> None:
    (volume / "sub2").mkdir()
    (volume / "sub2" / "l").symlink_to(link.format(www=volume, tmp=volume.parent))
    async with serving(volume) as client:
        answer = await client.get("/static/sub2/l")
        if link == "..":
            # The directory that is served, itself.
            assert (await client.get("/static/sub2/l/app.js")).body == b"x=1"
        else:
            assert answer.status == status


async def test_forty_links_are_followed_and_no_more(volume: Path) -> None:
    (volume / "chain0").symlink_to("app.js")
    for index in range(1, 40):
        (volume / f"chain{index}").symlink_to(f"chain{index - 1}")
    async with serving(volume) as client:
        # app.js is two links itself.
        assert (await client.get("/static/chain37")).status == 200
        assert (await client.get("/static/chain38")).status == 404


@pytest.mark.parametrize("moment", range(12))
@pytest.mark.parametrize("path", ["d/secret", "l/secret", "l2", "d/l"])
def test_a_tree_that_changes_at_any_moment_lets_nothing_out(
    volume: Path, monkeypatch: pytest.MonkeyPatch, path: str, moment: int
) -> None:
    """Before one system call of the walk, the directory becomes a link out of the tree."""
    (volume / "d").mkdir()
    (volume / "d" / "secret").write_text("inside")
    (volume / "d" / "l").symlink_to("../d/secret")
    (volume / "l").symlink_to("d")
    (volume / "l2").symlink_to("l/secret")
    (volume.parent / "l").symlink_to("secret")
    calls = itertools.count()

    def exchanging(call: Any) -> Any:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            if next(calls) == moment:
                (volume / "d").rename(volume / "e")
                (volume / "d").symlink_to(volume.parent)
            return call(*args, **kwargs)

        return wrapper

    for name in ("open", "stat", "readlink"):
        monkeypatch.setattr(os, name, exchanging(getattr(os, name)))
    *parents, last = path.split("/")
    try:
        with Tree(str(volume)).walk() as walk:
            for parent in parents:
                walk.enter(parent)
            descriptor, _ = walk.open_file(last)
    except OSError:
        return
    monkeypatch.undo()
    with os.fdopen(descriptor) as file:
        assert file.read() == "inside"


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_no_walk_leaves_a_descriptor_open(volume: Path) -> None:
    (volume / "out").symlink_to("../secret")
    (volume / "loop").symlink_to("loop")
    before = os.listdir("/proc/self/fd")
    for name in ("app.js", "sub", "out", "loop", "missing", "..data"):
        for _ in range(3):
            try:
                with Tree(str(volume)).walk() as walk:
                    walk.resolve(name)
                    walk.names()
                    walk.enter(name)
                    walk.names()
            except OSError:
                pass
    assert os.listdir("/proc/self/fd") == before
