"""Static files: what is served, in which words, and that nothing else is."""

import asyncio
import os
import socket
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import StreamReader
from aiohttp.http import RawRequestMessage

from kubelatch.errors import KubelatchError
from kubelatch.gate import Gate, GateSettings, Static
from kubelatch.relay import local
from kubelatch.relay.client import ClientProtocol
from kubelatch.relay.record import Record
from kubelatch.relay.registry import Registry
from kubelatch.relay.request import ClientRequest
from kubelatch.relay.server import ClientServer
from kubelatch.static_files import StaticFiles
from tests.gate.kubectl_proxy import KUBECTL, kubectl_proxy
from tests.support.client import Answer, Client

PREFIX = "/static/"
GATE = Gate(GateSettings(www_prefix=PREFIX))


@asynccontextmanager
async def serving(directory: Path, *, follow_symlinks: bool = False) -> AsyncIterator[Client]:
    """A client of a server that asks the gate, then serves files."""
    files = StaticFiles(str(directory), PREFIX, follow_symlinks=follow_symlinks)

    async with _server(files) as client:
        yield client


class _Files:
    """A handler that asks the gate, and serves files and nothing else.

    Args:
        files: serves them.
        path: instead of what the gate makes of the target.
    """

    def __init__(self, files: StaticFiles, path: str | None) -> None:
        self._files = files
        self._path = path
        self._registry = Registry()

    def handle(
        self, client: ClientProtocol, message: RawRequestMessage, body: StreamReader
    ) -> None:
        request = ClientRequest(message, body)
        record = Record(message.method, message.path, "", 0.0)
        path = self._path
        if path is None:
            decision = GATE.decide(message.method, message.path, message.raw_headers)
            if not isinstance(decision, Static):
                code = getattr(decision, "status", 200)
                keep_alive = local.send(client, request, code, b"not static", record, last=False)
                client.end_exchange(keep_alive=keep_alive)
                return
            path = decision.path
        self._files.begin(client, request, record, self._registry, path)

    def unreadable(self, client: ClientProtocol, error: KubelatchError, sent: int) -> None:
        raise AssertionError


@asynccontextmanager
async def _server(files: StaticFiles, path: str | None = None) -> AsyncIterator[Client]:
    http = ClientServer(_Files(files, path))
    server = await asyncio.get_running_loop().create_server(http, "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        async with await Client.connect(f"127.0.0.1:{port}") as client:
            yield client
    finally:
        server.close()
        await http.shutdown()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "www"
    (root / "sub" / "deep").mkdir(parents=True)
    (root / "site").mkdir()
    (root / "empty").mkdir()
    for name, text in {
        "a.txt": "hello\n",
        "app.js": "1;\n",
        "page.html": "<p>\n",
        "data.json": "{}\n",
        "archive.tar.gz": "gz",
        "noext": "?",
        "with space & <sign>'\".txt": "odd",
        "q?mark#hash.txt": "odd",
        "co:lon.txt": "odd",
        "data:text,x": "odd",
        "caf\u00e9.txt": "odd",
        "100%.txt": "odd",
        "sub/b.txt": "in sub",
        "sub/deep/c.txt": "deep",
        "site/index.html": "<h1>site</h1>\n",
    }.items():
        (root / name).write_text(text)
    (tmp_path / "secret.txt").write_text("secret")
    return root


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("a.txt", "text/plain; charset=utf-8"),
        ("app.js", "text/javascript; charset=utf-8"),
        ("page.html", "text/html; charset=utf-8"),
        ("data.json", "application/json"),
        ("archive.tar.gz", "application/gzip"),
        ("noext", "text/plain; charset=utf-8"),
        ("data:text,x", "text/plain; charset=utf-8"),
    ],
)
async def test_a_file_is_served_as_what_it_is(tree: Path, name: str, content_type: str) -> None:
    async with serving(tree) as client:
        answer = await client.get(f"/static/{name}", "Accept-Encoding: gzip, br")
    assert (answer.status, answer.body) == (200, (tree / name).read_bytes())
    assert answer.values("content-type") == [content_type]
    assert answer.values("x-content-type-options") == ["nosniff"]
    assert not answer.values("content-encoding")
    assert not answer.values("access-control-allow-origin")


async def test_a_packed_sidecar_is_not_taken_for_the_file(tree: Path) -> None:
    (tree / "a.txt.gz").write_bytes(b"not gzip at all")
    async with serving(tree) as client:
        answer = await client.get("/static/a.txt", "Accept-Encoding: gzip")
    assert answer.body == b"hello\n"


async def test_head_has_a_length_and_no_body(tree: Path) -> None:
    async with serving(tree) as client:
        answer = await client.get("/static/a.txt", method="HEAD")
        assert answer.values("content-length") == ["6"]
        assert (await client.get("/static/a.txt")).body == b"hello\n", "the connection is in step"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
async def test_only_get_and_head(tree: Path, method: str) -> None:
    async with serving(tree) as client:
        answer = await client.get("/static/a.txt", "Content-Length: 0", method=method)
    assert answer.status == 405
    assert answer.values("allow") == ["GET, HEAD"]


async def test_a_large_file_arrives_whole(tree: Path) -> None:
    content = os.urandom(3_000_000)
    (tree / "large.bin").write_bytes(content)
    async with serving(tree) as client:
        assert (await client.get("/static/large.bin")).body == content


async def test_a_file_that_shrinks_is_cut_not_ended(tree: Path) -> None:
    path = tree / "large.bin"
    with path.open("wb") as file:
        file.truncate(512 * 1024 * 1024)
    async with serving(tree) as client:
        await client.send(b"GET /static/large.bin HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await client.reader.readexactly(1000)
        os.truncate(path, 1000)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await client.reader.readexactly(512 * 1024 * 1024)


@pytest.mark.parametrize(
    ("value", "status", "body", "content_range"),
    [
        ("bytes=1-3", 206, b"ell", "bytes 1-3/6"),
        ("bytes=2-", 206, b"llo\n", "bytes 2-5/6"),
        ("bytes=-2", 206, b"o\n", "bytes 4-5/6"),
        ("bytes=-99", 206, b"hello\n", "bytes 0-5/6"),
        ("bytes=0-99", 206, b"hello\n", "bytes 0-5/6"),
        ("bytes=6-", 416, None, "bytes */6"),
        ("bytes=-0", 416, None, "bytes */6"),
        ("bytes=3-1", 200, b"hello\n", None),
        ("bytes=0-0,2-2", 200, b"hello\n", None),
        ("bytes=x", 200, b"hello\n", None),
        ("lines=1-2", 200, b"hello\n", None),
        ("bytes=" + "9" * 40 + "-", 200, b"hello\n", None),
    ],
)
async def test_ranges(
    tree: Path, value: str, status: int, body: bytes | None, content_range: str | None
) -> None:
    async with serving(tree) as client:
        answer = await client.get("/static/a.txt", f"Range: {value}")
    assert answer.status == status
    assert body is None or answer.body == body
    assert answer.values("content-range") == ([content_range] if content_range else [])


async def test_conditions(tree: Path) -> None:
    old = "Mon, 01 Jan 2001 00:00:00 GMT"
    async with serving(tree) as client:

        async def ask(*fields: str) -> Answer:
            return await client.get("/static/a.txt", *fields)

        first = await ask()
        [etag], [modified] = first.values("etag"), first.values("last-modified")
        for fields, status in [
            ((f"If-None-Match: {etag}",), 304),
            ((f"If-None-Match: W/{etag}",), 304),
            (("If-None-Match: *",), 304),
            (('If-None-Match: "x"',), 200),
            ((f"If-Modified-Since: {modified}",), 304),
            ((f"If-Modified-Since: {old}",), 200),
            (("If-Modified-Since: nonsense",), 200),
            (('If-None-Match: "x"', f"If-Modified-Since: {modified}"), 200),
            ((f"If-Match: {etag}",), 200),
            (('If-Match: "x"',), 412),
            ((f"If-Unmodified-Since: {old}",), 412),
            ((f"If-Unmodified-Since: {modified}",), 200),
            (("Range: bytes=0-1", f"If-Range: {etag}"), 206),
            (("Range: bytes=0-1", f"If-Range: {modified}"), 206),
            (("Range: bytes=0-1", f"If-Range: W/{etag}"), 200),
            (("Range: bytes=0-1", 'If-Range: "x"'), 200),
            (("Range: bytes=0-1", f"If-Range: {old}"), 200),
        ]:
            assert (await ask(*fields)).status == status, fields


@pytest.mark.parametrize(
    ("target", "location"),
    [
        ("/static/sub", "sub/"),
        ("/static/sub?x=1", "sub/?x=1"),
        ("/static/sub/deep", "deep/"),
        ("/static/site/index.html", "./"),
        ("/static/nowhere/index.html", "./"),
        ("/static/a.txt/", "../a.txt"),
        ("/static/co%3Alon.txt/", "../co:lon.txt"),
    ],
)
async def test_each_thing_has_one_name(tree: Path, target: str, location: str) -> None:
    async with serving(tree) as client:
        answer = await client.get(target)
    assert (answer.status, answer.values("location")) == (301, [location])


@pytest.mark.skipif(KUBECTL is None, reason="kubectl is not installed")
async def test_the_same_as_kubectl(tree: Path, tmp_path: Path) -> None:
    targets = [
        "/static/",
        "/static/sub/",
        "/static/sub",
        "/static/empty/",
        "/static/site/",
        "/static/site/index.html",
        "/static/a.txt",
        "/static/a.txt/",
        "/static/missing",
        "/static/missing/",
        "/static/a.txt/b",
        "/static/sub/deep/c.txt?x=y",
        "/static/with%20space%20&%20%3Csign%3E'%22.txt",
        "/static/100%25.txt",
    ]
    interesting = ("location", "content-length")
    with kubectl_proxy(tmp_path, f"--www={tree}") as kubectl:
        async with serving(tree) as client:
            for target in targets:
                theirs = kubectl.ask("GET", target, {"Host": "localhost"})
                ours = await client.get(target)
                assert (ours.status, ours.body) == (theirs.status, theirs.body), target
                for name in interesting:
                    expected = [theirs.headers[name]] if name in theirs.headers else []
                    assert ours.values(name) == expected, (target, name)


@pytest.mark.parametrize(
    "target",
    [
        "/static/..%2fsecret.txt",
        "/static/%2e%2e/secret.txt",
        "/static/sub/..%2f..%2fsecret.txt",
        "/static/..;/secret.txt",
        "/static/%2fetc/passwd",
        "/static/sub%00",
        "/static/..%5csecret.txt",
    ],
)
async def test_the_gate_lets_no_way_out_pass(tree: Path, target: str) -> None:
    async with serving(tree) as client:
        assert (await client.get(target)).status == 400


@pytest.mark.parametrize(
    "path",
    [
        "../secret.txt",
        "sub/../../secret.txt",
        "..",
        "../",
        "/etc/passwd",
        "//etc/passwd",
        "sub/..",
        "./a.txt",
        "sub//b.txt",
        "a.txt\0",
        "\0",
        "sub\0/b.txt",
        "x" * 5000,
        "a.txt/b",
        "\udcff",
    ],
)
async def test_a_path_that_leaves_the_tree_is_not_found_even_without_the_gate(
    tree: Path, path: str
) -> None:
    files = StaticFiles(str(tree), PREFIX)

    async with _server(files, path) as client:
        answer = await client.get("/")
    assert answer.status == 404
    assert b"secret" not in answer.body


@pytest.fixture
def linked(tree: Path) -> Path:
    (tree / "link.txt").symlink_to("a.txt")
    (tree / "out.txt").symlink_to("../secret.txt")
    (tree / "outdir").symlink_to("..")
    (tree / "indir").symlink_to("sub")
    (tree / "loop").symlink_to("loop")
    (tree / "gone").symlink_to("nothing")
    (tree / "linkindex").mkdir()
    (tree / "linkindex" / "index.html").symlink_to("../../secret.txt")
    return tree


INSIDE = {
    "/static/link.txt": b"hello\n",
    "/static/indir/b.txt": b"in sub",
}
OUTSIDE = {
    "/static/out.txt": b"secret",
    "/static/outdir/secret.txt": b"secret",
    "/static/outdir/www/a.txt": b"hello\n",
    "/static/linkindex/": b"secret",
}


@pytest.mark.parametrize("target", OUTSIDE)
async def test_links_out_of_the_tree_are_followed_only_when_asked_for(
    linked: Path, target: str
) -> None:
    async with serving(linked) as client:
        answer = await client.get(target)
        assert answer.status == (200 if target.endswith("/") else 404)
        assert answer.body != OUTSIDE[target]
    async with serving(linked, follow_symlinks=True) as client:
        assert (await client.get(target)).body == OUTSIDE[target]


@pytest.mark.parametrize("follow", [False, True])
@pytest.mark.parametrize("target", INSIDE)
async def test_links_inside_the_tree_are_followed(linked: Path, target: str, follow: bool) -> None:
    async with serving(linked, follow_symlinks=follow) as client:
        assert (await client.get(target)).body == INSIDE[target]


@pytest.mark.parametrize("follow", [False, True])
async def test_links_that_lead_nowhere_are_not_found(linked: Path, follow: bool) -> None:
    async with serving(linked, follow_symlinks=follow) as client:
        for target in ("/static/loop", "/static/gone", "/static/loop/x"):
            assert (await client.get(target)).status == 404


async def test_a_listing_shows_only_what_can_be_had(linked: Path) -> None:
    async with serving(linked) as client:
        body = (await client.get("/static/")).body.decode()
    assert "a.txt" in body
    for name in ("out.txt", "outdir", "loop", "gone"):
        assert name not in body
    for shown in ('"link.txt">', '"indir/">'):
        assert shown in body
    async with serving(linked, follow_symlinks=True) as client:
        body = (await client.get("/static/")).body.decode()
    assert "outdir/" in body
    assert "link.txt" in body


async def test_the_served_directory_may_itself_be_a_link(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to(tree)
    async with serving(tmp_path / "current") as client:
        assert (await client.get("/static/a.txt")).body == b"hello\n"


async def test_pipes_sockets_and_devices_are_neither_opened_nor_listed(tree: Path) -> None:
    os.mkfifo(tree / "pipe")
    listener = socket.socket(socket.AF_UNIX)
    old = Path.cwd()
    os.chdir(tree)
    try:
        listener.bind("sock")
    finally:
        os.chdir(old)
    with listener:
        async with serving(tree) as client:
            for name in ("pipe", "sock"):
                answer = await asyncio.wait_for(client.get(f"/static/{name}"), 5)
                assert answer.status == 404
            body = (await client.get("/static/")).body
    assert b"pipe" not in body
    assert b"sock" not in body
    async with serving(Path("/dev")) as client:
        assert (await client.get("/static/null")).status == 404


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
async def test_an_unreadable_file_is_forbidden(tree: Path) -> None:
    (tree / "a.txt").chmod(0)
    async with serving(tree) as client:
        assert (await client.get("/static/a.txt")).status == 403


async def test_names_that_are_not_utf_8(tree: Path) -> None:
    (Path(os.fsdecode(os.fsencode(tree) + b"/\xff.txt"))).write_text("bytes")
    async with serving(tree) as client:
        listing = await client.get("/static/")
        assert b'<a href="%FF.txt">\xff.txt</a>' in listing.body
        assert (await client.get("/static/%FF.txt")).body == b"bytes"


async def test_no_descriptor_is_left_open(tree: Path) -> None:
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    async with serving(tree) as client:
        inside = len(os.listdir("/proc/self/fd")) if before else 0
        for name in ("a.txt", "missing", "sub", "sub/", "a.txt/", "sub/missing/x", "a.txt/x"):
            for _ in range(5):
                await client.get(f"/static/{name}")
        assert not before or len(os.listdir("/proc/self/fd")) <= inside


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
async def test_a_client_that_leaves_early_leaves_no_descriptor_open(tree: Path) -> None:
    loop = asyncio.get_running_loop()
    free = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        loop.set_default_executor(pool)
        blocker = loop.run_in_executor(None, free.wait)
        files = StaticFiles(str(tree), PREFIX)
        before = os.listdir("/proc/self/fd")
        answer = asyncio.create_task(files.files.find("a.txt"))
        await asyncio.sleep(0)
        answer.cancel()
        with pytest.raises(asyncio.CancelledError):
            await answer
        free.set()
        await blocker
        # One thread works in order: when this is done, so is the search for the file.
        await loop.run_in_executor(None, int)
        assert os.listdir("/proc/self/fd") == before


def test_warnings_are_kubectls(tree: Path, tmp_path: Path) -> None:
    assert StaticFiles(str(tree), PREFIX).warnings == ()
    missing = tmp_path / "nope"
    assert StaticFiles(str(missing), PREFIX).warnings == (
        f"Failed to stat static file directory {missing}: "
        f"stat {missing}: no such file or directory",
    )
    file = tree / "a.txt"
    assert StaticFiles(str(file), PREFIX).warnings == (
        f"Static file directory {file} is not a directory",
    )


async def test_a_directory_that_is_missing_may_appear_later(tmp_path: Path) -> None:
    async with serving(tmp_path / "later") as client:
        assert (await client.get("/static/x")).status == 404
        (tmp_path / "later").mkdir()
        (tmp_path / "later" / "x").write_text("now")
        assert (await client.get("/static/x")).body == b"now"
