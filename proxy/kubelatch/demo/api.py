"""The HTTP side: who asks, may they, what do they want, and who answers it."""

from collections.abc import Sequence
from dataclasses import replace

from aiohttp import web

from ..secret import Secret
from . import discovery, rbac, reads, status, writes
from .arrivals import Arrival
from .authentication import User, authenticate, impersonation
from .calls import Call, error_response, json_response, response_headers, text_response
from .connect import Connector
from .paths import Target, parse
from .registry import Registry
from .resources import NAMESPACES, Resource, find
from .status import StatusError

_PROTOBUF_V2 = "application/com.github.proto-openapi.spec.v2"
_STREAMS = frozenset({"attach", "exec", "portforward"})
_CONNECTS = _STREAMS | {"log", "proxy"}
_HEALTH = frozenset({"healthz", "livez", "readyz"})


class Api:
    """Answers requests from a registry.

    Args:
        tokens: bearer tokens and whose they are.
        server: the URL that discovery names.
        log_interval: seconds between two lines of a container's log.
    """

    def __init__(
        self,
        registry: Registry,
        tokens: Sequence[tuple[Secret, User]],
        *,
        server: str,
        log_interval: float,
    ) -> None:
        self._registry = registry
        self._store = registry.store
        self._tokens = tokens
        self._server = server
        self._connector = Connector(registry, log_interval=log_interval)

    async def handle(self, request: web.BaseRequest, arrival: Arrival) -> web.StreamResponse:
        """Answer one request."""
        try:
            return await self._answer(request, arrival)
        except StatusError as error:
            return error_response(request, error)

    async def _answer(self, request: web.BaseRequest, arrival: Arrival) -> web.StreamResponse:
        target = parse(request.method, request.raw_path)
        user = self._user(request)
        call = Call(request=request, arrival=arrival, target=target, user=user)
        self._authorize(call)
        if not target.is_resource:
            return self._plain(call)
        call.resource = find(target.group, target.version, target.resource)
        if call.resource is None or not _is_served(call.resource, target):
            return text_response(request, "404 page not found\n", 404)
        if request.method == "HEAD":
            headers = response_headers(request) | {"Allow": "GET"}
            return web.Response(status=405, headers=headers)
        return await self._resource(call)

    def close(self) -> None:
        """End all watches."""
        self._store.close()

    def _user(self, request: web.BaseRequest) -> User:
        certificate = request.get_extra_info("peercert")
        user = authenticate(certificate, request.headers.get("Authorization", ""), self._tokens)
        wanted = impersonation(request.headers.items())
        if wanted is None:
            return user
        for group, resource, name in wanted.asked:
            plural, _, subresource = resource.partition("/")
            attributes = rbac.Attributes(
                verb="impersonate",
                group=group,
                resource=plural,
                subresource=subresource,
                name=name,
            )
            if not rbac.is_allowed(self._store, user, attributes):
                raise rbac.refusal(user, attributes)
        return wanted.user

    def _authorize(self, call: Call) -> None:
        wanted = [call.target.attributes]
        if call.target.subresource in _STREAMS and call.target.verb == "get":
            # KEP-4006, since 1.35: opening a stream by GET needs what opening it by POST needs.
            wanted.append(replace(wanted[0], verb="create"))
        for attributes in wanted:
            if not rbac.is_allowed(self._store, call.user, attributes):
                raise rbac.refusal(call.user, attributes)

    def _plain(self, call: Call) -> web.Response:
        """Health, version, discovery and OpenAPI."""
        request = call.request
        parts = [part for part in call.target.path.split("/") if part]
        if parts and parts[0] in _HEALTH and len(parts) == 1:
            return text_response(request, "ok")
        if request.method not in {"GET", "HEAD"}:
            raise status.method_not_allowed()
        if parts == ["version"]:
            return json_response(request, discovery.VERSION)
        if parts == ["openapi", "v2"]:
            if _PROTOBUF_V2 in request.headers.get("Accept", ""):
                headers = response_headers(request) | {"Content-Type": "application/octet-stream"}
                return web.Response(body=discovery.openapi_v2_protobuf(), headers=headers)
            return json_response(request, discovery.OPENAPI_V2)
        if parts == ["openapi", "v3"]:
            return json_response(request, discovery.OPENAPI_V3)
        if not parts:
            return json_response(request, discovery.paths())
        aggregated = call.representation == discovery.AGGREGATED
        found = discovery.discover(parts, aggregated=aggregated, server=self._server)
        if found is None:
            return text_response(request, "404 page not found\n", 404)
        headers = {"Vary": "Accept"}
        if found["kind"] == discovery.AGGREGATED:
            kind = f"application/json;g=apidiscovery.k8s.io;v=v2;as={discovery.AGGREGATED}"
            headers["Content-Type"] = kind
        return json_response(request, found, headers=headers)

    async def _resource(self, call: Call) -> web.StreamResponse:
        target, resource = call.target, call.kind
        if target.verb not in _verbs(resource, target):
            raise status.method_not_allowed()
        if target.subresource in _CONNECTS:
            return await self._connector.connect(call)
        match target.verb:
            case "get":
                found = self._registry.get(resource, call.namespace, target.name)
                if target.subresource == "scale":
                    return json_response(call.request, writes.scale_of(found))
                return reads.get_response(call, found)
            case "list":
                return reads.list_response(self._store, call)
            case "watch":
                return await reads.watch(self._store, call)
            case "create":
                return await writes.create(self._registry, call)
            case "update":
                return await writes.update(self._registry, call)
            case "patch":
                return await writes.patch(self._registry, call)
            case "delete":
                return await writes.delete(self._registry, call)
            case "deletecollection":
                return await writes.delete_collection(self._registry, call)
            case _:
                raise status.method_not_allowed()


def _is_served(resource: Resource, target: Target) -> bool:
    """Whether the path has a shape that the API server routes."""
    if target.subresource and target.subresource not in resource.subresources:
        return False
    if target.rest and target.subresource != "proxy":
        return False
    if resource == NAMESPACES:
        return True
    if resource.namespaced:
        return bool(target.namespace) or not target.name
    return not target.namespace


def _verbs(resource: Resource, target: Target) -> tuple[str, ...]:
    if target.subresource:
        return resource.subresources[target.subresource].verbs
    if not target.name and target.method in {"PUT", "PATCH"}:
        return ()
    return resource.verbs
