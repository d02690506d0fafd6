"""Serves the OpenAPI documents: built in a thread when first asked for, and kept."""

import asyncio
import datetime as dt
import email.utils
import gzip
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web
from multidict import CIMultiDict

from . import gnostic, openapi, status
from .calls import Call, response_headers, takes_gzip
from .resources import Catalog

_JSON = "application/json"
_FOREVER = dt.timedelta(days=365)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Document:
    body: bytes
    zipped: bytes
    media_type: str
    etag: str


class Documents:
    """The documents of a catalog, as it is now."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._built: dict[tuple[int, str], asyncio.Future[_Document | None]] = {}
        self._since = dt.datetime.now(dt.UTC)

    async def v2(self, call: Call) -> web.Response:
        """``/openapi/v2``: JSON, or protobuf if it is asked for."""
        accept = call.request.headers.get("Accept", "")
        if gnostic.ACCEPTED in accept:
            found = await self._get("v2 protobuf", self._build_v2_protobuf)
        else:
            found = await self._get("v2", self._build_v2)
        return self._response(call, found, {"Vary": "Accept"}, ("Accept-Encoding",))

    async def v3(self, call: Call, name: str) -> web.Response:
        """``/openapi/v3``, or the document of a group version below it."""
        index = openapi.v3_index(self._catalog)
        if not name:
            body = json.dumps(index, separators=(",", ":")).encode()
            plain = "text/plain; charset=utf-8"
            found = _Document(body=body, zipped=b"", media_type=plain, etag="")
            return self._response(call, found, {})
        listed = index["paths"].get(name)
        if listed is None:
            return web.Response(status=404, headers=response_headers(call.request))
        document = await self._get(f"v3 {name}", lambda catalog: _json(openapi.v3(catalog, name)))
        headers = {"Vary": "Accept"}
        if digest := call.target.option("hash"):
            url = str(listed["serverRelativeURL"])
            if not url.endswith(digest):
                return web.Response(
                    status=301, headers=response_headers(call.request) | {"Location": url}
                )
            expires = email.utils.format_datetime(dt.datetime.now(dt.UTC) + _FOREVER, usegmt=True)
            headers |= {"Cache-Control": "public, immutable", "Expires": expires}
        return self._response(call, document, headers)

    async def _get(
        self, name: str, build: Callable[[Catalog], tuple[bytes, str] | None]
    ) -> _Document | None:
        """A document; everybody who asks meanwhile waits for the same building of it."""
        key = (self._catalog.revision, name)
        if key not in self._built:
            self._built = {k: v for k, v in self._built.items() if k[0] == key[0]}
            task = asyncio.create_task(asyncio.to_thread(_built, self._catalog, build))
            self._built[key] = task
        return await asyncio.shield(self._built[key])

    def _build_v2(self, catalog: Catalog) -> tuple[bytes, str] | None:
        return _json(openapi.v2(catalog))

    def _build_v2_protobuf(self, catalog: Catalog) -> tuple[bytes, str] | None:
        return gnostic.encode(openapi.v2(catalog)), gnostic.MEDIA_TYPE

    def _response(
        self,
        call: Call,
        document: _Document | None,
        headers: dict[str, str],
        vary: tuple[str, ...] = (),
    ) -> web.Response:
        if document is None:
            raise status.no_such_page()
        since = email.utils.format_datetime(self._since, usegmt=True)
        out = CIMultiDict(response_headers(call.request))
        for name in vary:
            out.add("Vary", name)
        out.extend({"Accept-Ranges": "bytes", "Content-Type": document.media_type})
        out.add("Last-Modified", since)
        if document.etag:
            out.add("ETag", document.etag)
        for name, value in headers.items():
            if name != "Vary":
                out.popall(name, None)
            out.add(name, value)
        if document.etag and document.etag in call.request.headers.get("If-None-Match", ""):
            return web.Response(status=304, headers=out)
        body = document.body
        if document.zipped and takes_gzip(call.request):
            body = document.zipped
            out["Content-Encoding"] = "gzip"
        return web.Response(body=body, headers=out)


def _json(document: openapi.Document | None) -> tuple[bytes, str] | None:
    if document is None:
        return None
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode(), _JSON


def _built(
    catalog: Catalog, build: Callable[[Catalog], tuple[bytes, str] | None]
) -> _Document | None:
    """Runs in a thread."""
    found = build(catalog)
    if found is None:
        return None
    body, media_type = found
    return _Document(
        body=body,
        zipped=gzip.compress(body, compresslevel=1),
        media_type=media_type,
        etag=f'"{hashlib.sha512(body).hexdigest().upper()}"',
    )
