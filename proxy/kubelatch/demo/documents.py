"""Serves the OpenAPI documents: built in a thread when first asked for, and kept."""

import asyncio
import datetime as dt
import email.utils
import gzip
import hashlib
import json
from collections.abc import Callable

from aiohttp import web
from multidict import CIMultiDict

from . import openapi
from .calls import Call, response_headers, takes_gzip
from .resources import Catalog

_Built = tuple[bytes, bytes, str]
"""A body, the same compressed, and its entity tag."""


class Documents:
    """The documents of a catalog, as it is now."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._built: dict[tuple[int, str], asyncio.Task[_Built]] = {}
        self._since = email.utils.format_datetime(dt.datetime.now(dt.UTC), usegmt=True)

    async def v2(self, call: Call) -> web.Response:
        """``/openapi/v2``: JSON, or protobuf if it is asked for."""
        headers = [("Vary", "Accept-Encoding"), ("Vary", "Accept")]
        if openapi.PROTOBUF_V2 in call.request.headers.get("Accept", ""):
            built = _packed(openapi.v2_protobuf())
            return self._response(call, built, openapi.PROTOBUF_V2.replace("@", "."), headers)
        built = await self._get("v2", openapi.v2)
        return self._response(call, built, "application/json", headers)

    async def v3(self, call: Call, name: str) -> web.Response:
        """``/openapi/v3``, or the document of a group version below it."""
        index = openapi.v3_index(self._catalog)
        if not name:
            body = json.dumps(index, separators=(",", ":")).encode()
            return self._response(call, (body, b"", ""), "text/plain; charset=utf-8", [])
        if name not in index["paths"]:
            return web.Response(status=404, headers=response_headers(call.request))
        built = await self._get(name, lambda catalog: openapi.v3(catalog, name))
        headers = [("Vary", "Accept")]
        if call.target.option("hash") and index["paths"][name]["serverRelativeURL"].endswith(
            call.target.option("hash")
        ):
            headers.append(("Cache-Control", "public, immutable, max-age=31536000"))
        return self._response(call, built, "application/json", headers)

    async def _get(self, name: str, build: Callable[[Catalog], openapi.Document]) -> _Built:
        """A document; everybody who asks meanwhile waits for the same building of it."""
        key = (self._catalog.revision, name)
        if key not in self._built:
            self._built = {k: v for k, v in self._built.items() if k[0] == key[0]}
            work = asyncio.to_thread(lambda: _packed(_json(build(self._catalog))))
            self._built[key] = asyncio.create_task(work)
        return await asyncio.shield(self._built[key])

    def _response(
        self, call: Call, built: _Built, media_type: str, headers: list[tuple[str, str]]
    ) -> web.Response:
        body, zipped, etag = built
        out = CIMultiDict(response_headers(call.request))
        out.extend({"Accept-Ranges": "bytes", "Content-Type": media_type})
        out.extend({"Last-Modified": self._since} | ({"ETag": etag} if etag else {}))
        if any(name == "Cache-Control" for name, _ in headers):
            out.popall("Cache-Control")
        out.extend(headers)
        if etag and etag in call.request.headers.get("If-None-Match", ""):
            return web.Response(status=304, headers=out)
        if zipped and takes_gzip(call.request):
            out["Content-Encoding"] = "gzip"
            body = zipped
        return web.Response(body=body, headers=out)


def _json(document: openapi.Document) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def _packed(body: bytes) -> _Built:
    tag = f'"{hashlib.sha512(body).hexdigest().upper()}"'
    return body, gzip.compress(body, compresslevel=1), tag
