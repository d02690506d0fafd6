"""Responses for ``--www``, as Go's ``http.FileServer`` makes them.

All file operations run in threads; nothing here blocks the event loop. The gate decides which
requests may be served.
"""

import asyncio
import errno
import html
import os
import re
import stat
from collections.abc import Mapping
from email.utils import formatdate, parsedate_to_datetime
from functools import partial
from pathlib import Path
from typing import Final

from ..redact import sanitize
from ..relay import local
from ..relay.client import ClientProtocol
from ..relay.exchange import Exchange
from ..relay.record import Record
from ..relay.registry import Registry
from ..relay.request import ClientRequest
from .files import File, Files, Listing, Redirect, relative

_CHUNK: Final = 256 * 1024
# One range: RFC 9110 section 14.1.2. Of several the whole file is sent, as section 14.2 allows.
_RANGE: Final = re.compile(r"bytes=(?:([0-9]{1,18})-([0-9]{0,18})|-([0-9]{1,18}))", re.IGNORECASE)
# An entity tag: RFC 9110 section 8.8.3.
_TAG: Final = re.compile(r'(W/)?("[^"]*")')
# ELOOP is the error of a symbolic link that may not be followed.
_NOT_FOUND: Final = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG}


class StaticFiles:
    """Serves one directory.

    Args:
        directory: its path, resolved again for each request.
        prefix: of the URL paths, for messages only.
        follow_symlinks: also follow symbolic links out of the directory.

    Attributes:
        files: finds the files.
        warnings: about the directory, with kubectl's messages.
    """

    def __init__(self, directory: str, prefix: str, *, follow_symlinks: bool = False) -> None:
        self.files = Files(directory, follow_symlinks=follow_symlinks)
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
        return f"<StaticFiles {self.files.directory} at {self._prefix}>"

    def begin(
        self,
        client: ClientProtocol,
        request: ClientRequest,
        record: Record,
        registry: Registry,
        path: str,
    ) -> None:
        """Begin to respond to a request for a file.

        Args:
            client: gets it.
            request: its method and conditional fields count, its path does not.
            record: is filled in.
            registry: holds the exchange.
            path: percent-decoded, below the prefix, without a leading slash.
        """
        exchange = FileExchange(client, request, record, registry)
        exchange.begin(self.files, path)


class FileExchange(Exchange):
    """The exchange of a request for a static file."""

    __slots__ = ()

    def begin(self, files: Files, path: str) -> None:
        """Respond with *path* of *files*."""
        self._wait(partial(self._respond, files, path), lambda _: self._finish())

    async def _respond(self, files: Files, path: str) -> None:
        request = self.request
        if request.method not in ("GET", "HEAD"):
            self._send_text(405, "405 method not allowed", ("Allow", "GET, HEAD"))
            return
        try:
            found = await files.find(path)
        except PermissionError:
            self._send_text(403, "403 Forbidden")
        except OSError as error:
            if error.errno in _NOT_FOUND:
                self._send_text(404, "404 page not found")
            else:
                self._send_text(500, "500 Internal Server Error")
        else:
            if isinstance(found, Redirect):
                query = request.message.path.partition("?")[2]
                location = f"{found.location}?{query}" if query else found.location
                self._send_text(301, "", ("Location", location))
            elif isinstance(found, Listing):
                self._send(200, _list(found.names), content_type="text/html; charset=utf-8")
            else:
                try:
                    await self._send_file(found)
                finally:
                    os.close(found.descriptor)

    def _send_text(self, code: int, text: str, *fields: tuple[str, str]) -> None:
        content = f"{text}\n".encode() if text else b""
        content_type = "text/plain; charset=utf-8" if content else ""
        self._send(code, content, fields, content_type=content_type)

    def _send(
        self,
        code: int,
        content: bytes,
        fields: tuple[tuple[str, str], ...] = (),
        *,
        content_type: str,
        length: int | None = None,
    ) -> None:
        self.keep_alive = local.send(
            self.client,
            self.request,
            code,
            content,
            self.record,
            content_type=content_type,
            length=length,
            fields=fields,
            last=self.registry.draining,
        )

    async def _send_file(self, file: File) -> None:
        fields: tuple[tuple[str, str], ...] = (
            ("Accept-Ranges", "bytes"),
            ("ETag", file.etag),
            ("Last-Modified", formatdate(file.modified, usegmt=True)),
        )
        headers = self.request.message.headers
        failed = _precondition(headers, file)
        if failed:
            self._send(failed, b"", fields, content_type="")
            return
        start, end, status = 0, file.size, 200
        requested = _requested_range(headers, file) if self.request.method == "GET" else None
        if requested is not None:
            start, end = requested
            if start >= end:
                total = ("Content-Range", f"bytes */{file.size}")
                self._send_text(416, "416 range not satisfiable", total)
                return
            status = 206
            fields += (("Content-Range", f"bytes {start}-{end - 1}/{file.size}"),)
        self._send(status, b"", fields, content_type=file.content_type, length=end - start)
        if self.request.method == "GET":
            self.record.sent = end - start
            await self._send_range(file, start, end)

    async def _send_range(self, file: File, start: int, end: int) -> None:
        loop = asyncio.get_running_loop()
        while start < end:
            size = min(_CHUNK, end - start)
            chunk = await loop.run_in_executor(None, os.pread, file.descriptor, size, start)
            transport = self.client.transport
            if not chunk or transport is None:
                # The file has shrunk: reset the connection, so that the client notices.
                self.keep_alive = False
                self.client.cut(reset=True)
                return
            transport.write(chunk)
            start += len(chunk)
            await self.drained()


def _precondition(headers: Mapping[str, str], file: File) -> int | None:
    """The status to send instead of the file, if a precondition fails; None if none does.

    In the order of RFC 9110 section 13.2.2.
    """
    tags = headers.get("If-Match")
    if tags is not None:
        if not _names(tags, file.etag, weak=False):
            return 412
    elif _is_after(file.modified, headers.get("If-Unmodified-Since")):
        return 412
    tags = headers.get("If-None-Match")
    if tags is not None:
        if _names(tags, file.etag, weak=True):
            return 304
    elif _is_after(file.modified, headers.get("If-Modified-Since")) is False:
        return 304
    return None


def _names(tags: str, etag: str, *, weak: bool) -> bool:
    """Whether a list of entity tags contains *etag* (RFC 9110 section 8.8.3.2)."""
    if tags.strip() == "*":
        return True
    return any(tag == etag and (weak or not mark) for mark, tag in _TAG.findall(tags))


def _is_after(modified: int, date: str | None) -> bool | None:
    """Whether *modified*, in seconds since the epoch, is after an HTTP date; None if that is
    invalid."""
    if date is None:
        return None
    try:
        return modified > parsedate_to_datetime(date).timestamp()
    except ValueError:
        return None


def _requested_range(headers: Mapping[str, str], file: File) -> tuple[int, int] | None:
    """The single requested range, end excluded; empty if it is outside the file; None without
    one."""
    match = _RANGE.fullmatch(headers.get("Range", ""))
    if match is None:
        return None
    validator = headers.get("If-Range")
    if validator not in (None, file.etag, formatdate(file.modified, usegmt=True)):
        return None
    first, last, suffix = match.groups()
    if suffix is not None:
        return max(0, file.size - int(suffix)), file.size
    if last and int(last) < int(first):
        return None
    return int(first), min(int(last) + 1, file.size) if last else file.size


def _list(names: list[str]) -> bytes:
    """A directory's listing, byte for byte as Go's ``dirList``."""
    lines = ["<!doctype html>", '<meta name="viewport" content="width=device-width">', "<pre>"]
    for name in names:
        shown = html.escape(name).replace("&quot;", "&#34;").replace("&#x27;", "&#39;")
        lines.append(f'<a href="{relative(name)}">{shown}</a>')
    return os.fsencode("\n".join([*lines, "</pre>", ""]))
