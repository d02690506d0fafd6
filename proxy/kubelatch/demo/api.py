"""The HTTP side: authentication, authorization, and the dispatch of each request."""

import json
import re
from dataclasses import replace

from aiohttp import web

from . import discovery, endpoints, rbac, reads, status, writes
from .accounts import Tokens
from .arrivals import Arrival
from .authentication import User, authenticate, impersonation
from .calls import Call, error_response, json_response, response_headers, text_response, warn
from .connect import Connector
from .documents import Documents
from .mains import Mains
from .negotiation import JSON, Format, check_routed, negotiate
from .options import check_timeout, version
from .paths import ApiPath, parse
from .registry import ResourceRegistry
from .resources import COMPONENT_STATUSES, ENDPOINTS, NAMESPACES, Resource
from .scale import scale_of
from .status import Object, StatusError
from .volumes import Volumes

_UNCLEAN = re.compile(r"//|/\.\.?(/|$)")
_STREAMS = frozenset({"attach", "exec", "portforward"})
_DEPRECATED = {
    ENDPOINTS: "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
    COMPONENT_STATUSES: "v1 ComponentStatus is deprecated in v1.19+",
}
_CONNECTS = _STREAMS | {"log", "proxy"}


class Api:
    """Handles requests, from a registry.

    Args:
        tokens: know whose a bearer token is.
        mains: the commands that containers run.
        server: the URL that discovery names.
    """

    def __init__(
        self,
        registry: ResourceRegistry,
        tokens: Tokens,
        mains: Mains,
        *,
        server: str,
    ) -> None:
        self._registry = registry
        self._store = registry.store
        self._tokens = tokens
        self._server = server
        self._metrics = endpoints.Metrics()
        self._documents = Documents(registry.catalog)
        self._connector = Connector(
            registry,
            Volumes(registry.store, tokens.accounts),
            mains,
            server=server,
        )

    async def handle(self, request: web.BaseRequest, arrival: Arrival) -> web.StreamResponse:
        """The response to one request."""
        target = parse(request.method, request.raw_path)
        self._metrics.inflight += 1
        try:
            response = await self._answer(request, arrival, target)
        except StatusError as error:
            response = error_response(request, error)
        finally:
            self._metrics.inflight -= 1
        self._metrics.count(
            str(response.status),
            target.group,
            target.resource if response.status != 404 else "",
            target.scope,
            target.subresource if response.status != 404 else "",
            target.verb.upper(),
            target.version,
        )
        return response

    async def _answer(
        self, request: web.BaseRequest, arrival: Arrival, target: ApiPath
    ) -> web.StreamResponse:
        check_timeout(target)
        user = self._user(request, target)
        call = Call(request=request, arrival=arrival, target=target, user=user)
        self._authorize(call)
        if not target.is_resource:
            return await self._plain(call)
        catalog = self._registry.catalog
        call.resource = catalog.find(target.group, target.version, target.resource)
        unclean = target.subresource != "proxy" and bool(_UNCLEAN.search(target.path))
        if call.resource is None or unclean or not _is_served(call.resource, target):
            if call.resource is not None and call.resource.custom and target.name:
                raise status.not_found(call.resource, target.name)
            raise self._unknown(call)
        if request.method == "HEAD":
            raise status.method_not_allowed()
        return await self._resource(call)

    def close(self) -> None:
        """End all watches."""
        self._store.close()

    def _user(self, request: web.BaseRequest, target: ApiPath) -> User:
        tls = request.get_extra_info("ssl_object")
        user = authenticate(
            request.get_extra_info("peercert"),
            tls.getpeercert(binary_form=True) if tls else None,
            request.headers.get("Authorization", ""),
            self._tokens.user,
        )
        wanted = impersonation(request.headers.items())
        if wanted is None:
            return user
        for group, resource, namespace, name in wanted.asked:
            plural, _, subresource = resource.partition("/")
            attributes = rbac.Attributes(
                verb="impersonate",
                group=group,
                resource=plural,
                subresource=subresource,
                namespace=namespace,
                name=name,
            )
            if not rbac.is_allowed(self._store, user, attributes):
                # The first check that fails is the one of constrained impersonation (KEP-5284).
                verb = f"impersonate-on:{wanted.mode}:{target.attributes.verb}"
                raise rbac.refusal(user, replace(target.attributes, verb=verb))
        return wanted.user

    def _authorize(self, call: Call) -> None:
        wanted = [call.target.attributes]
        if call.target.subresource in _STREAMS and call.target.verb == "get":
            # KEP-4006, since 1.35: opening a stream by GET needs what opening it by POST needs.
            wanted.append(replace(wanted[0], verb="create"))
        for attributes in wanted:
            if not rbac.is_allowed(self._store, call.user, attributes):
                raise rbac.refusal(call.user, attributes)

    async def _plain(self, call: Call) -> web.Response:
        """Health, version, discovery, OpenAPI and what else is no resource."""
        request, path = call.request, call.target.path
        parts = [part for part in path.split("/") if part]
        endpoint, _, check = path[1:].partition("/")
        if endpoint in endpoints.CHECKS:
            return self._health(call, endpoint, check)
        if not parts:
            form = Format(pretty=True)
            return json_response(request, endpoints.paths(self._registry.catalog), form=form)
        if request.method not in {"GET", "HEAD"}:
            raise status.method_not_allowed()
        match parts:
            case ["version"]:
                check_routed(request, JSON)
                return json_response(request, discovery.VERSION, form=Format(pretty=True))
            case ["metrics"]:
                return self._metrics_text(
                    request, self._metrics.text(self._store, self._registry.catalog)
                )
            case ["metrics", "slis"]:
                return self._metrics_text(request, self._metrics.health_text())
            case ["openapi", "v2"]:
                return await self._documents.v2(call)
            case ["openapi", "v3", *rest]:
                return await self._documents.v3(call, "/".join(rest))
            case [".well-known", "openid-configuration"]:
                return _public(request, JSON, endpoints.openid(self._server))
            case ["openid", "v1", "jwks"]:
                keys = await self._tokens.accounts.key_set()
                return _public(request, "application/jwk-set+json", keys)
            case _:
                return self._discovery(call, parts)

    def _discovery(self, call: Call, parts: list[str]) -> web.Response:
        request, catalog = call.request, self._registry.catalog
        form = negotiate(request, {discovery.AGGREGATED: ("v2",)})
        aggregated = bool(form.transformation)
        found = discovery.discover(catalog, parts, aggregated=aggregated, server=self._server)
        if found is None:
            raise self._unknown(call)
        if found["kind"] != discovery.AGGREGATED:
            return json_response(request, found, form=form)
        headers = {
            "Content-Type": "application/json;g=apidiscovery.k8s.io;v=v2;"
            f"as={discovery.AGGREGATED}",
            "Cache-Control": "public",
            "ETag": discovery.etag(found),
            "Vary": "Accept",
        }
        return json_response(request, found, headers=headers, form=form)

    def _unknown(self, call: Call) -> StatusError:
        """404: a Status below a group that is served, and plain text elsewhere."""
        if discovery.is_known(self._registry.catalog, call.target.path):
            return status.no_such_path()
        return status.no_such_page()

    def _health(self, call: Call, endpoint: str, check: str) -> web.Response:
        query = call.target.query
        if check:
            if check not in endpoints.CHECKS[endpoint]:
                raise status.no_such_page()
            return text_response(call.request, "ok", nosniff=False)
        text = endpoints.health(endpoint, query.get("exclude", []), verbose="verbose" in query)
        return text_response(call.request, text)

    def _metrics_text(self, request: web.BaseRequest, text: str) -> web.Response:
        headers = response_headers(request) | {
            "Content-Type": endpoints.METRICS_TYPE,
            "Process-Start-Time-Unix": self._metrics.started,
        }
        return web.Response(text=text, headers=headers)

    def _components(self, call: Call) -> web.Response:
        """The one component that there is beside the API server: its storage."""
        condition = {"type": "Healthy", "status": "True", "message": "ok"}
        item: Object = {"metadata": {"name": "etcd-0"}, "conditions": [condition]}
        if not call.target.name:
            found = reads.plain_list(COMPONENT_STATUSES, [item], {})
            return json_response(call.request, found)
        if call.target.name != "etcd-0":
            raise status.not_found(COMPONENT_STATUSES, call.target.name)
        kind = {"kind": "ComponentStatus", "apiVersion": "v1"}
        return json_response(call.request, kind | item)

    async def _resource(self, call: Call) -> web.StreamResponse:
        target, resource = call.target, call.kind
        if text := _DEPRECATED.get(resource):
            warn(call.request, text)
        if resource == COMPONENT_STATUSES:
            return self._components(call)
        if target.verb not in _verbs(resource, target):
            raise status.method_not_allowed()
        if target.subresource in _CONNECTS:
            return await self._connector.connect(call)
        match target.verb:
            case "get":
                version(target, self._store.revision)
                found = self._registry.get(resource, call.namespace, target.name)
                if target.subresource == "scale":
                    return json_response(call.request, scale_of(resource, found))
                return reads.get_response(call, found)
            case "list":
                return reads.list_response(self._store, call)
            case "watch":
                return await reads.watch(self._store, call)
            case "create":
                return await writes.create(self._registry, self._tokens, call)
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


def _public(request: web.BaseRequest, media_type: str, obj: status.Object) -> web.Response:
    """A document that may be cached: compact, without a newline."""
    headers = {"Content-Type": media_type, "Cache-Control": "public, max-age=3600"}
    body = json.dumps(obj, separators=(",", ":")).encode()
    return web.Response(body=body, headers=response_headers(request) | headers)


def _is_served(resource: Resource, target: ApiPath) -> bool:
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


def _verbs(resource: Resource, target: ApiPath) -> tuple[str, ...]:
    if target.subresource:
        return resource.subresources[target.subresource].verbs
    if target.name and target.method == "POST":
        return ()
    everywhere = resource.namespaced and not target.namespace
    if not target.name and (everywhere or target.method in {"PUT", "PATCH"}):
        return tuple(verb for verb in resource.verbs if verb in {"list", "watch"})
    return resource.verbs
