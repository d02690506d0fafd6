"""The interface by which requests that wait are seen and answered."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestPayloadError

from ...errors import KubelatchError
from ...system.supervision import where
from ..admin_exchange import Response, text_response
from ..secret_pages import JSON, InterfaceCall, Routes, json_response
from .body import ReadBody, redacted
from .compare import TooLongError, difference
from .describe import body_as_json
from .dry_run import (
    DryRun,
    NoDryRunError,
    ObjectChange,
    ask_for_change,
    current_version,
    dry_run_of,
)
from .queue import UNKNOWN, ApprovalQueue, ChangedRequestError, UnknownRequestError, WaitingRequest
from .risks import risks_of_body

log = logging.getLogger(__name__)

# Of a request's body, in bytes; and how long it may take to come, in seconds.
_MAX_BODY: Final = 64 * 1024
_BODY_SECONDS: Final = 10.0
# Requests that are answered at once.
_MOST: Final = 256
COMMAND_AGENT: Final = "kubelatch-command/"
"""How the ``User-Agent`` of our own commands begins."""


class AnswerError(Exception):
    """An answer that cannot be used.

    Args:
        status: of the response.
        message: why.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class ApprovalRoutes:
    """See the module.

    Args:
        queue: has the requests.

    Attributes:
        routes: of the interface.
    """

    def __init__(self, queue: ApprovalQueue) -> None:
        self._queue = queue
        self.routes: Routes = {
            "pending": {"GET": self._list},
            "pending/ID": {"GET": self._detail},
            "pending/approve": {"POST": _answering(self._approve_several)},
            "pending/ID/diff": {"POST": _answering(self._diff)},
            "pending/ID/approve": {"POST": _answering(self._approve)},
            "pending/ID/deny": {"POST": _answering(self._deny)},
        }

    def summaries(self) -> list[dict[str, Any]]:
        """What is listed, the oldest first."""
        return [self._summary(request) for request in self._queue.waiting()]

    def _summary(self, request: WaitingRequest) -> dict[str, Any]:
        shown = {name: value for name, value in request.description.items() if name != "body"}
        timeout = self._queue.timeout
        return {
            "id": request.ident,
            "digest": request.digest,
            "asked": round(request.asked, 3),
            "expires": round(request.asked + timeout, 3) if timeout else None,
            "body_size": request.description.get("body", {}).get("size", 0),
            **shown,
        }

    async def _list(self, call: InterfaceCall) -> Response:
        return json_response({"pending": self.summaries()})

    async def _detail(self, call: InterfaceCall) -> Response:
        try:
            request = self._queue.find(call.ident)
        except UnknownRequestError:
            return text_response(_UNKNOWN, 404)
        shown = json.dumps(self._summary(request))
        try:
            body = await self._queue.in_thread(partial(body_as_json, request.exchange))
        except Exception as error:  # noqa: BLE001 -- it can still be answered
            log.error("internal error in a description (%s)", where(error))
            body = json.dumps({"size": request.size, "not_shown": UNKNOWN})
        return Response(f'{shown[:-1]}, "body": {body}}}'.encode(), 200, JSON)

    async def _approve(self, call: InterfaceCall) -> Response:
        given = await _read(call.body)
        return json_response(await self._approve_one(call.ident, given, _way(call)))

    async def _approve_several(self, call: InterfaceCall) -> Response:
        given = (await _read(call.body)).get("requests")
        if not isinstance(given, list) or len(given) > _MOST:
            raise AnswerError(400, f"requests must be a list of at most {_MOST}")
        results = []
        for each in given:
            entry = each if isinstance(each, dict) else {}
            ident = entry.get("id")
            try:
                if not isinstance(ident, str):
                    raise AnswerError(400, "id must be a text")
                results.append(await self._approve_one(ident, entry, _way(call)))
            except AnswerError as error:
                results.append({"id": ident, "error": error.message})
        return json_response({"results": results})

    async def _approve_one(self, ident: str, given: dict[str, Any], by: str) -> dict[str, Any]:
        digest = given.get("digest")
        if not isinstance(digest, str):
            raise AnswerError(400, "digest must be that of the request that was shown")
        version = given.get("resourceVersion")
        if version is not None and not isinstance(version, str):
            raise AnswerError(400, "resourceVersion must be a text")
        try:
            request = self._queue.find(ident)
            if version is not None:
                await self._check_version(request, version)
            self._queue.approve(request, digest, by)
        except UnknownRequestError:
            raise AnswerError(404, _UNKNOWN) from None
        except ChangedRequestError:
            raise AnswerError(409, _CHANGED) from None
        return {"id": ident, "answer": "approved"}

    async def _check_version(self, request: WaitingRequest, shown: str) -> None:
        """Refuse an answer to an object that is another one now."""
        exchange = request.exchange
        try:
            run = await self._queue.in_thread(partial(dry_run_of, exchange))
            version = await current_version(exchange.generation, run)
        except NoDryRunError as error:
            raise AnswerError(409, f"the object cannot be looked at again: {error}") from None
        except KubelatchError as error:
            raise AnswerError(502, f"the object cannot be looked at again: {error}") from None
        if version != shown:
            raise AnswerError(409, "the object is not the one that was shown: look at it again")

    async def _diff(self, call: InterfaceCall) -> Response:
        try:
            request = self._queue.find(call.ident)
        except UnknownRequestError:
            raise AnswerError(404, _UNKNOWN) from None
        exchange, digest = request.exchange, request.digest
        shown: dict[str, Any] = {"id": request.ident, "digest": digest}
        try:
            run: DryRun = await self._queue.in_thread(partial(dry_run_of, exchange))
            log.info("a dry run of what waits as %s is asked for", request.ident)
            change = await ask_for_change(exchange.generation, run)
            shown["resourceVersion"] = change.version
            if change.refused:
                shown["refused"] = change.refused
            else:
                shown |= await self._queue.in_thread(partial(_describe_change, run, change))
        except NoDryRunError as error:
            raise AnswerError(409, f"no difference can be shown: {error}") from None
        except TooLongError:
            raise AnswerError(409, "no difference can be shown: the object is too long") from None
        except KubelatchError as error:
            raise AnswerError(502, str(error)) from None
        return json_response(shown)

    async def _deny(self, call: InterfaceCall) -> Response:
        given = await _read(call.body)
        reason = given.get("reason", "")
        if not isinstance(reason, str):
            raise AnswerError(400, "reason must be a text")
        try:
            self._queue.deny(self._queue.find(call.ident), _way(call), reason)
        except UnknownRequestError:
            raise AnswerError(404, _UNKNOWN) from None
        return json_response({"id": call.ident, "answer": "denied"})


def _describe_change(run: DryRun, change: ObjectChange) -> dict[str, Any]:
    """In the thread: the difference, and what is risky about the object as it would be, of which
    the request's own body need not tell."""
    lines, left = difference(change.before, change.after, run.info)
    shown: dict[str, Any] = {"diff": "\n".join(lines), "lines_left": left}
    if change.after is not None:
        body = ReadBody(size=0, shown=redacted(change.after, run.info))
        risks, risks_left = risks_of_body(body)
        shown["risks"] = [{"field": risk.field, "value": risk.value} for risk in risks]
        shown["risks_left"] = risks_left
    return shown


_UNKNOWN: Final = "no such request waits: it has been answered, is gone, or has changed"
_CHANGED: Final = "the request is not the one that was shown: look at it again"


def _answering(
    respond: Callable[[InterfaceCall], Awaitable[Response]],
) -> Callable[[InterfaceCall], Awaitable[Response]]:
    async def responding(call: InterfaceCall) -> Response:
        try:
            return await respond(call)
        except AnswerError as error:
            return text_response(error.message, error.status)

    return responding


async def _read(body: StreamReader) -> dict[str, Any]:
    """A request's body, which is a JSON object or empty."""
    data = bytearray()
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            while piece := await body.readany():
                data += piece
                if len(data) > _MAX_BODY:
                    raise AnswerError(413, f"the body is over {_MAX_BODY} bytes")
    except TimeoutError:
        raise AnswerError(408, "the body did not come in time") from None
    except RequestPayloadError:
        raise AnswerError(400, "the body cannot be read") from None
    try:
        value = json.loads(data) if data else {}
    except (ValueError, RecursionError):
        raise AnswerError(400, "the body is not JSON") from None
    if not isinstance(value, dict):
        raise AnswerError(400, "the body must be an object")
    return value


def _way(call: InterfaceCall) -> str:
    """By which way an answer came, as its client claims."""
    headers = call.message.headers
    if headers.get("User-Agent", "").startswith(COMMAND_AGENT):
        return "command"
    return "page" if "Sec-Fetch-Site" in headers else "interface"
