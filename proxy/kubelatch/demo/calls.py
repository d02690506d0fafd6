"""One call of the API: the request, what was found out about it, and its response."""

import gzip
import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

import yaml
from aiohttp import web

from . import goerrors, protobuf, status
from .arrivals import Arrival
from .authentication import User
from .decoding import loads
from .negotiation import JSON, YAML, Format, check_routed, error_format, negotiate
from .paths import ApiPath
from .resources import Resource
from .status import Object

_GZIP_FLOOR = 128 * 1024
"""Bytes; smaller responses are not worth compressing (apiserver ``defaultGzipThresholdBytes``)."""
_TRANSFORMATIONS = dict.fromkeys(
    ("Table", "PartialObjectMetadata", "PartialObjectMetadataList"), ("v1", "v1beta1")
)
_UNREADABLE = "couldn't get version/kind; json parse error"
_TYPE_META = (
    'Go value of type struct { APIVersion string "json:\\"apiVersion,omitempty\\""; '
    'Kind string "json:\\"kind,omitempty\\"" }'
)
_SUMMARY = 30
"""Bytes of a body that cannot be read which the message quotes."""
SERVER = "kubelatch-demo"
_WARNINGS = web.RequestKey("warnings", list[str])
LONG_RUNNING = web.RequestKey("long_running", bool)
"""Set on requests that priority and fairness does not handle."""
_FLOW_SCHEMA = str(uuid.uuid4())
_PRIORITY_LEVEL = str(uuid.uuid4())


@dataclass(slots=True, kw_only=True)
class Call:
    """A request that is being handled."""

    request: web.BaseRequest
    arrival: Arrival
    target: ApiPath
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
        """Where objects are looked for; a Namespace itself is in none, whatever its path is."""
        return self.target.namespace if self.kind.namespaced else ""

    @property
    def dry_run(self) -> bool:
        """Whether ``dryRun`` was asked for; its values are checked elsewhere."""
        return bool(self.target.query.get("dryRun"))

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

    async def object(self) -> Object:
        """The body as one object of the kind that is asked for.

        Raises:
            StatusError: 400, 413 or 415.
        """
        body = await self.arrival.body()
        sub = self.kind.subresources.get(self.target.subresource)
        kind = sub.kind if sub else self.kind.kind
        try:
            obj = self._decoded(body)
            if self.kind.custom is not None and kind == self.kind.kind:
                for key in ("kind", "apiVersion"):
                    if not obj.get(key):
                        name = "Kind" if key == "kind" else key
                        text = body.decode(errors="replace")
                        raise ValueError(f"Object '{name}' is missing in '{text}'")
            return obj
        except ValueError as error:
            message = f"the object provided is unrecognized (must be of type {kind}): {error}"
            raise status.bad_request(f"{message} ({_summary(body)})") from None

    async def options_object(self, kind: str) -> Object:
        """The body as options of that kind; empty without one.

        Raises:
            StatusError: 400, 413 or 415.
        """
        body = await self.arrival.body()
        if not body:
            return {}
        try:
            options = self._decoded(body)
        except ValueError as error:
            raise status.bad_request(str(error)) from None
        found, version = options.get("kind") or kind, options.get("apiVersion") or "v1"
        if found != kind:
            raise status.bad_request(
                f'no kind "{found}" is registered for version "{version}" in scheme '
                '"k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme/register.go:27"'
            )
        return options

    def _decoded(self, body: bytes) -> Object:
        """The body as an object, from JSON, YAML or protobuf.

        Raises:
            StatusError: 400 or 415.
            ValueError: its text is the decoder's message.
        """
        media_type = self.content_type
        if media_type == protobuf.MEDIA_TYPE:
            return protobuf.decode(body)
        if media_type not in {"", JSON, YAML}:
            raise status.unsupported_media_type(f"{JSON}, {YAML}, {protobuf.MEDIA_TYPE}")
        try:
            decoded = yaml.safe_load(body) if media_type == YAML else loads(body)
        except yaml.YAMLError as error:
            raise ValueError(goerrors.yaml_syntax(error)) from error
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{_UNREADABLE}: {goerrors.json_syntax(body)}") from error
        if not isinstance(decoded, dict):
            found = goerrors.json_type(decoded)
            raise ValueError(f"{_UNREADABLE}: json: cannot unmarshal {found} into {_TYPE_META}")
        for key in ("apiVersion", "kind"):
            if not isinstance(decoded.get(key) or "", str):
                found = goerrors.json_type(decoded[key])
                where = f"Go struct field .{key} of type string"
                raise ValueError(f"{_UNREADABLE}: json: cannot unmarshal {found} into {where}")
        return decoded

    @property
    def content_type(self) -> str:
        """The body's media type, without parameters."""
        return self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def _summary(body: bytes) -> str:
    """What a message quotes of a body (apiserver ``handlers.summarizeData``)."""
    if not body:
        return "<empty>"
    more = " ..." if len(body) > _SUMMARY else ""
    if body.startswith(b"{"):
        return body[:_SUMMARY].decode(errors="replace") + more
    return body[:_SUMMARY].hex() + more


def response_headers(request: web.BaseRequest) -> dict[str, str]:
    """What every response of the API server carries, and the warnings so far."""
    given = request.headers.get("Audit-ID", "")
    audit_id = given if re.fullmatch(r"[\w-]{1,64}", given) else str(uuid.uuid4())
    headers = {
        "Audit-Id": audit_id,
        "Cache-Control": "no-cache, private",
        "Server": SERVER,
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
    try:
        body = form.encode(obj)
    except protobuf.EncodeError:
        form = negotiate(request, served=(JSON, YAML))
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
