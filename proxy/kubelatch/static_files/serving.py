"""``--www``: files from a directory, as Go's ``http.FileServer`` serves them.

Only regular files and directories below the given one are served, see ``tree``. All file work is
done in threads; nothing here may block the event loop. Who may ask is the gate's to decide.
"""

import asyncio
import errno
import html
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import quote

from aiohttp import web

from ..redact import sanitize
from .content_type import SNIFFED, by_content, by_name
from .tree import Tree, Walk

_CHUNK: Final = 256 * 1024
# One range: RFC 9110 section 14.1.2. Of several the whole file is sent, as section 14.2 allows.
_RANGE: Final = re.compile(r"bytes=(?:([0-9]{1,18})-([0-9]{0,18})|-([0-9]{1,18}))", re.IGNORECASE)
# A link that may not be followed is ELOOP.
_ABSENT: Final = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG}


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """An open regular file; who holds it closes it."""

    descriptor: int
    content_type: str
    size: int
    modified_ns: int

    @property
    def etag(self) -> str:
        return f'"{self.modified_ns:x}-{self.size:x}"'

    @property
    def modified(self) -> int:
        """Seconds: no header can say it more finely."""
        return self.modified_ns // 1_000_000_000


@dataclass(frozen=True, slots=True)
class _Listing:
    """The names in a directory; those of directories end with a slash."""

    names: list[str]


@dataclass(frozen=True, slots=True)
class _Elsewhere:
    """The same thing under its proper name, relative to the path asked for."""

    location: str


_Found: TypeAlias = _File | _Listing | _Elsewhere


class StaticFiles:
    """Serves one directory.

    Args:
        directory: looked up anew for each request, so it may appear later.
        prefix: where it is mounted, for messages only.
        follow_symlinks: also serve what symbolic links in it point to, wherever that is.

    Attributes:
        warnings: what to tell the user at start, in kubectl's words.
    """

    def __init__(self, directory: str, prefix: str, *, follow_symlinks: bool = False) -> None:
        self._tree = Tree(directory, follow_symlinks=follow_symlinks)
        self._prefix = prefix
        self.warnings: tuple[str, ...] = ()
        shown = sanitize(directory)
        try:
            status = Path(directory).stat()
        except OSError as error:
            problem = (error.strerror or "unknown error").lower()
            self.warnings = (
                f"Failed to stat static file directory {shown}: stat {shown}: {problem}",
            )
        else:
            if not stat.S_ISDIR(status.st_mode):
                self.warnings = (f"Static file directory {shown} is not a directory",)

    def __repr__(self) -> str:
        return f"<StaticFiles {self._tree.directory} at {self._prefix}>"

    async def respond(self, request: web.BaseRequest, path: str) -> web.StreamResponse:
        """Answer a request for a file.

        Args:
            request: its method and conditional headers count, its path does not.
            path: percent-decoded, below the prefix, without a leading slash.
        """
        if request.method not in ("GET", "HEAD"):
            return _text(405, "405 method not allowed", {"Allow": "GET, HEAD"})
        try:
            found = await self._find_in_thread(path)
        except PermissionError:
            return _text(403, "403 Forbidden")
        except OSError as error:
            if error.errno in _ABSENT:
                return _text(404, "404 page not found")
            return _text(500, "500 Internal Server Error")
        if isinstance(found, _Elsewhere):
            query = request.raw_path.partition("?")[2]
            location = f"{found.location}?{query}" if query else found.location
            return _text(301, "", {"Location": location})
        if isinstance(found, _Listing):
            return web.Response(
                body=_list(found.names),
                headers={"X-Content-Type-Options": "nosniff"},
                content_type="text/html",
                charset="utf-8",
            )
        try:
            return await _send(request, found)
        finally:
            os.close(found.descriptor)

    async def _find_in_thread(self, path: str) -> _Found:
        future = asyncio.get_running_loop().run_in_executor(None, self._find, path)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            # The thread goes on; what it opens is closed when it is done.
            future.add_done_callback(_discard)
            raise

    def _find(self, path: str) -> _Found:
        """What is at *path*, by the rules of Go's ``serveFile`` (net/http/fs.go).

        Raises:
            OSError: nothing that may be served.
        """
        *parents, last = path.split("/")
        if last == "index.html":
            return _Elsewhere("./")
        # A trailing slash belongs to a directory; on a file's name it is a mistake to mend.
        entry = last or (parents.pop() if parents else "")
        with self._tree.walk() as walk:
            for name in parents:
                walk.enter(name)
            if entry:
                proper, status = walk.resolve(entry)
                is_directory = stat.S_ISDIR(status.st_mode)
                if is_directory != (not last):
                    return _Elsewhere(
                        _relative(entry + "/") if is_directory else f"../{_quoted(entry)}"
                    )
                if not is_directory:
                    return _open(walk, proper, entry)
                if proper:
                    walk.enter(proper)
            try:
                return _open(walk, "index.html", "index.html")
            except OSError:
                return _Listing(walk.names())


def _open(walk: Walk, name: str, shown: str) -> _File:
    """Open a file.

    Args:
        walk: in its directory.
        name: what it is called there.
        shown: what the client calls it, whose extension says what it is.
    """
    descriptor, status = walk.open_file(name)
    try:
        content_type = by_name(shown) or by_content(os.pread(descriptor, SNIFFED, 0))
    except BaseException:
        os.close(descriptor)
        raise
    return _File(
        descriptor=descriptor,
        content_type=content_type,
        size=status.st_size,
        modified_ns=status.st_mtime_ns,
    )


def _discard(future: asyncio.Future[_Found]) -> None:
    if not future.cancelled() and future.exception() is None:
        found = future.result()
        if isinstance(found, _File):
            os.close(found.descriptor)


async def _send(request: web.BaseRequest, file: _File) -> web.StreamResponse:
    headers = {
        "Accept-Ranges": "bytes",
        "Content-Type": file.content_type,
        "ETag": file.etag,
        "Last-Modified": formatdate(file.modified, usegmt=True),
        "X-Content-Type-Options": "nosniff",
    }
    failed = _precondition(request, file)
    if failed:
        del headers["Content-Type"]
        return web.Response(status=failed, headers=headers)
    start, end = 0, file.size
    status = 200
    wanted = _wanted_range(request, file)
    if wanted is not None:
        start, end = wanted
        if start >= end:
            return _text(
                416, "416 range not satisfiable", {"Content-Range": f"bytes */{file.size}"}
            )
        status = 206
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{file.size}"

    response = web.StreamResponse(status=status, headers=headers)
    response.content_length = end - start
    await response.prepare(request)
    loop = asyncio.get_running_loop()
    while request.method == "GET" and start < end:
        chunk = await loop.run_in_executor(
            None, os.pread, file.descriptor, min(_CHUNK, end - start), start
        )
        if not chunk:
            # The file has shrunk. A cut connection says so; a short body would say it is whole.
            if request.transport is not None:
                request.transport.abort()
            break
        await response.write(chunk)
        start += len(chunk)
    return response


def _precondition(request: web.BaseRequest, file: _File) -> int | None:
    """The status that the conditional headers demand instead of the file.

    RFC 9110 section 13.2.2, in its order.
    """
    tags = request.if_match
    if tags is not None:
        if not any(tag.value in ("*", file.etag.strip('"')) and not tag.is_weak for tag in tags):
            return 412
    elif request.if_unmodified_since and file.modified > request.if_unmodified_since.timestamp():
        return 412
    tags = request.if_none_match
    if tags is not None:
        if any(tag.value in ("*", file.etag.strip('"')) for tag in tags):
            return 304
    elif request.if_modified_since and file.modified <= request.if_modified_since.timestamp():
        return 304
    return None


def _wanted_range(request: web.BaseRequest, file: _File) -> tuple[int, int] | None:
    """The one range asked for, end excluded; empty if there is nothing of it in the file."""
    match = _RANGE.fullmatch(request.headers.get("Range", ""))
    if match is None or request.method != "GET":
        return None
    validator = request.headers.get("If-Range")
    if validator not in (None, file.etag, formatdate(file.modified, usegmt=True)):
        return None
    first, last, suffix = match.groups()
    if suffix is not None:
        return max(0, file.size - int(suffix)), file.size
    if last and int(last) < int(first):
        return None
    return int(first), min(int(last) + 1, file.size) if last else file.size


def _quoted(name: str) -> str:
    """A name in a URL's path, with the characters that Go leaves alone (net/url, encodePath)."""
    return quote(os.fsencode(name), safe="$&+,/:;=@")


def _relative(name: str) -> str:
    """A name as a relative URL, as Go writes ``url.URL{Path: name}``: `a:b` would be a scheme."""
    quoted = _quoted(name)
    return f"./{quoted}" if ":" in quoted else quoted


def _list(names: list[str]) -> bytes:
    """A directory's listing, byte for byte Go's ``dirList``."""
    lines = ["<!doctype html>", '<meta name="viewport" content="width=device-width">', "<pre>"]
    for name in names:
        shown = html.escape(name).replace("&quot;", "&#34;").replace("&#x27;", "&#39;")
        lines.append(f'<a href="{_relative(name)}">{shown}</a>')
    return os.fsencode("\n".join([*lines, "</pre>", ""]))


def _text(status: int, text: str, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(
        status=status,
        text=f"{text}\n" if text else "",
        headers={"X-Content-Type-Options": "nosniff", **(headers or {})},
    )
