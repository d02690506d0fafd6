"""One call of the API: the request with all that was found out about it, and how it is answered."""

import gzip
import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from aiohttp import web

from . import protobuf, status
from .arrivals import Arrival
from .authentication import User
from .decoding import loads
from .negotiation import JSON, YAML, Format, check_routed, error_format, negotiate
from .paths import Target
from .resources import Resource
from .status import Object

_GZIP_FLOOR = 128 * 1024
"""Bytes; smaller answers are not worth compressing (apiserver ``defaultGzipThresholdBytes``)."""
_TRANSFORMATIONS = dict.fromkeys(
    ("Table", "PartialObjectMetadata", "PartialObjectMetadataList"), ("v1", "v1beta1")
)
_WARNINGS = web.RequestKey("warnings", list[str])
LONG_RUNNING = web.RequestKey("long_running", bool)
"""Set on requests that priority and fairness does not handle."""
_FLOW_SCHEMA = str(uuid.uuid4())
_PRIORITY_LEVEL = str(uuid.uuid4())


@dataclass(slots=True, kw_only=True)
class Call:
    """A request in the course of being answered."""

    request: web.BaseRequest
    arrival: Arrival
    target: Target
    user: User
    resource: Resource | None = None

    @property
    def kind(self) -> Resource:
        """The resource that is asked for."""
        if self.resource is None:
            raise status.no_such_path()
        return self.resource

    @property
    def namespace(self) -> str:
        """Where objects are looked for; a Namespace itself is in none, whatever its path says."""
        return self.target.namespace if self.kind.namespaced else ""

    @property
    def dry_run(self) -> bool:
        """Whether ``dryRun=All`` was asked for.

        Raises:
            StatusError: 400 for any other value.
        """
        values = self.target.query.get("dryRun", [])
        if any(value != "All" for value in values):
            raise status.bad_request(f"unsupported dryRun value {values}; only All is supported")
        return bool(values)

    @property
    def field_validation(self) -> str:
        """What becomes of fields that the schema does not have: Strict, Warn or Ignore."""
        return self.target.option("fieldValidation") or "Warn"

    @property
    def manager(self) -> str:
        """Whose fields a write sets: the client's name (apiserver ``managerOrUserAgent``)."""
        agent = self.request.headers.get("User-Agent", "").partition("/")[0]
        return self.target.option("fieldManager") or agent[:128] or "unknown"

    @property
    def format(self) -> Format:
        """The form that the client prefers.

        Raises:
            StatusError: 406 when it takes nothing that is served.
        """
        check_routed(self.request)
        return negotiate(self.request, _TRANSFORMATIONS)

    async def json(self) -> Any:
        """The body, decoded from JSON, YAML or protobuf.

        Raises:
            StatusError: 400, 413 or 415.
        """
        media_type = self.content_type
        if media_type == protobuf.MEDIA_TYPE:
            return protobuf.decode(await self.arrival.body())
        if media_type not in {"", JSON, YAML} and not media_type.endswith("+json"):
            raise status.unsupported_media_type(f"{JSON}, {YAML}, {protobuf.MEDIA_TYPE}")
        body = await self.arrival.body()
        try:
            return yaml.safe_load(body) if media_type == YAML else loads(body)
        except (ValueError, RecursionError, yaml.YAMLError) as error:
            raise status.bad_request(f"couldn't get version/kind; json parse error: {error}") from (
                error
            )

    async def object(self) -> Object:
        """The body as one object.

        Raises:
            StatusError: as :meth:`json`, and 400 for anything else than an object.
        """
        body = await self.json()
        if not isinstance(body, dict):
            raise status.bad_request("the body of the request is not an object")
        return body

    @property
    def content_type(self) -> str:
        """The body's media type, without parameters."""
        return self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def response_headers(request: web.BaseRequest) -> dict[str, str]:
    """What every response of the API server carries, and the warnings so far."""
    given = request.headers.get("Audit-ID", "")
    audit_id = given if re.fullmatch(r"[\w-]{1,64}", given) else str(uuid.uuid4())
    headers = {
        "Audit-Id": audit_id,
        "Cache-Control": "no-cache, private",
        "Server": "kubelatch-demo",
    }
    if warnings := request.get(_WARNINGS):
        headers["Warning"] = ", ".join(f"299 - {json.dumps(text)}" for text in warnings)
    if not request.get(LONG_RUNNING):
        headers["X-Kubernetes-PF-FlowSchema-UID"] = _FLOW_SCHEMA
        headers["X-Kubernetes-PF-PriorityLevel-UID"] = _PRIORITY_LEVEL
    return headers


def warn(request: web.BaseRequest, text: str) -> None:
    """Send ``text`` along in a ``Warning`` header (RFC 7234, section 5.5)."""
    request.setdefault(_WARNINGS, []).append(text)


def json_response(
    request: web.BaseRequest,
    obj: Object,
    code: int = 200,
    headers: Mapping[str, str] = {},
    *,
    form: Format | None = None,
) -> web.Response:
    """An object in the form that the client prefers, compressed when it is large and it takes gzip.

    Raises:
        StatusError: 406.
    """
    form = form or negotiate(request)
    body = form.encode(obj)
    out = response_headers(request) | {"Content-Type": form.media_type, **headers}
    if len(body) > _GZIP_FLOOR and takes_gzip(request):
        body = gzip.compress(body, compresslevel=1)
        out |= {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
    return web.Response(status=code, body=body, headers=out)


def text_response(
    request: web.BaseRequest, text: str, code: int = 200, *, nosniff: bool = True
) -> web.Response:
    """Plain text, as health checks and unknown paths have it."""
    headers = response_headers(request) | {"Content-Type": "text/plain; charset=utf-8"}
    if nosniff:
        headers["X-Content-Type-Options"] = "nosniff"
    return web.Response(status=code, text=text, headers=headers)


def error_response(request: web.BaseRequest, error: status.StatusError) -> web.Response:
    """The Status of a failed call; plain text where no API group is responsible."""
    if not error.reason and error.code == 404:
        return text_response(request, error.message, 404)
    if error.code == 401:
        request[LONG_RUNNING] = True
    form = error_format(request)
    return json_response(request, error.body(), error.code, error.headers, form=form)


def takes_gzip(request: web.BaseRequest) -> bool:
    """Whether ``Accept-Encoding`` names gzip, and not with a weight of nothing."""
    for clause in ",".join(request.headers.getall("Accept-Encoding", [])).split(","):
        coding, _, weight = clause.replace(" ", "").partition(";q=")
        if coding == "gzip":
            return weight not in {"0", "0.0", "0.00", "0.000"}
    return False
