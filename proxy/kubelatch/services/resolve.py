"""From a service to a ready pod and its port, as kube-proxy would find it.

The service's port is found by number or name in its spec, the pod and the pod's own port in its
EndpointSlices. What was found is kept for some seconds, and the pod for as long as it is ready:
applications with sessions in memory stay themselves, as with ``kubectl port-forward``.
"""

import asyncio
import re
import time
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from ..errors import UpstreamError
from ..upstream.fetch import FetchedResponse
from .api import Api, mapping, mappings, message_of, parsed, port_number, read
from .errors import (
    LostCredentialError,
    MissingPermissionError,
    NoPodError,
    NoSuchServiceError,
    UnsuitableServiceError,
)
from .hosts import ServiceName, host_of

# Seconds. A pod that goes is noticed by its connections; one that comes can wait.
_KEPT: Final = 10.0
# RFC 1123 subdomains, as names of pods (apimachinery, NameIsDNSSubdomain).
_POD_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?")
Object = dict[str, Any]


class PodPort(NamedTuple):
    """A port of a pod."""

    namespace: str
    pod: str
    port: int

    @property
    def path(self) -> str:
        """The path of its port-forward."""
        pod = quote(self.pod, safe="")
        return f"/api/v1/namespaces/{quote(self.namespace, safe='')}/pods/{pod}/portforward"


class Resolver:
    """Finds the endpoint of one service.

    Args:
        api: the API server.
        name: the service and its port.
    """

    def __init__(self, api: Api, name: ServiceName) -> None:
        self._api = api
        self._name = name
        self._found: PodPort | None = None
        self._until = 0.0
        self._avoided: PodPort | None = None
        self._task: asyncio.Task[PodPort] | None = None

    async def endpoint(self) -> PodPort:
        """The endpoint to connect to now.

        Raises:
            KubelatchError: there is none, or the API server does not say.
        """
        if self._found is not None and time.monotonic() < self._until:
            return self._found
        if self._task is None:
            loop = asyncio.get_running_loop()
            self._task = loop.create_task(self._look_up(), name="kubelatch service")
            self._task.add_done_callback(self._end)
        # Others may wait for it, too.
        return await asyncio.shield(self._task)

    def forget(self, endpoint: PodPort) -> None:
        """Look again: *endpoint* could not be reached. Another is preferred for once."""
        if endpoint == self._found:
            self._found = None
            self._avoided = endpoint

    async def looked_up(self) -> None:
        """Wait until nothing runs."""
        if self._task is not None:
            await asyncio.wait([self._task])

    def close(self) -> None:
        """Cancel what runs."""
        if self._task is not None:
            self._task.cancel()

    def _end(self, task: asyncio.Task[PodPort]) -> None:
        self._task = None
        if not task.cancelled():
            # Retrieved: all who waited may be gone.
            task.exception()

    async def _look_up(self) -> PodPort:
        name, before = self._name, self._found
        service = await self._get(
            "services", "get", f"/api/v1/namespaces/{name.namespace}/services/{name.service}"
        )
        port_name = _port_name(name, service)
        slices = await self._get(
            "endpointslices",
            "list",
            f"/apis/discovery.k8s.io/v1/namespaces/{name.namespace}/endpointslices"
            f"?labelSelector=kubernetes.io%2Fservice-name%3D{name.service}",
        )
        ready = _ready(name, port_name, slices)
        found = before if before in ready else ready[0]
        if found == self._avoided:
            found = next((other for other in ready if other != found), found)
        self._avoided = None
        self._found, self._until = found, time.monotonic() + _KEPT
        return found

    async def _get(self, resource: str, verb: str, target: str) -> Object:
        response = await read(self._api, target)
        if response.status == 200:
            return await parsed(response)
        raise _refusal(self._name, resource, verb, response)


def _refusal(name: ServiceName, resource: str, verb: str, response: FetchedResponse) -> Exception:
    message = message_of(response.body)
    if response.status == 403:
        return MissingPermissionError(verb, resource, name.namespace, message)
    if response.status == 401:
        return lost_credential()
    if response.status == 404 and resource == "services":
        return NoSuchServiceError(
            f"there is no service {name.service} in the namespace {name.namespace} of the "
            f"context {name.context}"
        )
    msg = f"the API server responded with status {response.status} to {verb} {resource}"
    return UpstreamError(f"{msg}: {message}" if message else msg)


def lost_credential() -> LostCredentialError:
    """The error for a 401 of the API server."""
    return LostCredentialError("the API server does not accept this proxy's credential")


def _port_name(name: ServiceName, service: Object) -> str | int:
    """The name of a service's port in its EndpointSlices; for a headless one without ports the
    pod's port itself.

    Raises:
        UnsuitableServiceError: none can be reached, or it is not clear which is meant.
        NoSuchServiceError: it has no such port.
    """
    spec = mapping(service.get("spec"))
    if spec.get("type") == "ExternalName":
        raise UnsuitableServiceError(
            f"the service {name} is of type ExternalName: it leads to "
            f"{spec.get('externalName')}, where port-forward does not",
            hint="open that name instead",
        )
    rows = mappings(spec.get("ports"))
    if not rows and name.port.isdigit():
        return int(name.port)
    ports = [row for row in rows if row.get("protocol", "TCP") == "TCP"]
    if not ports:
        raise UnsuitableServiceError(f"the service {name} has no TCP port")
    if name.port:
        ports = [row for row in ports if name.port in {str(row.get("port")), row.get("name")}]
        if not ports:
            raise NoSuchServiceError(
                f"the service {name} has no such port", hint=_choices(name, rows)
            )
    elif len(ports) > 1:
        raise UnsuitableServiceError(
            f"the service {name} has several ports", hint=_choices(name, rows)
        )
    return str(ports[0].get("name") or "")


def _choices(name: ServiceName, rows: list[Object]) -> str:
    hosts = [host_of(name._replace(port=str(row.get("port")))) for row in rows[:20]]
    return f"its ports are at {', '.join(hosts)}"


def _ready(name: ServiceName, port: str | int, slices: Object) -> list[PodPort]:
    """The endpoints that are ready.

    Raises:
        NoPodError: none is.
    """
    ready: list[PodPort] = []
    others = strangers = 0
    for row in mappings(slices.get("items")):
        number = port_number(port) if isinstance(port, int) else _number(port, row)
        if number is None:
            continue
        for endpoint in mappings(row.get("endpoints")):
            target = mapping(endpoint.get("targetRef"))
            # Those who may write EndpointSlices must not lead into another namespace.
            here = target.get("namespace", name.namespace) == name.namespace
            pod = target.get("name") if target.get("kind") == "Pod" else None
            if not isinstance(pod, str) or not _POD_NAME.fullmatch(pod) or not here:
                strangers += 1
            # None means ready (discovery/v1 EndpointConditions).
            elif mapping(endpoint.get("conditions")).get("ready") is False:
                others += 1
            else:
                ready.append(PodPort(name.namespace, pod, number))
    if ready:
        return ready
    if strangers:
        raise NoPodError(
            f"the endpoints of the service {name} are no pods of its namespace, and port-forward "
            "leads to pods only"
        )
    why = f"{others} not ready" if others else "it has none"
    raise NoPodError(
        f"no pod of the service {name} is ready: {why}",
        hint=f"kubectl get pods -n {name.namespace} shows why",
    )


def _number(name: str, row: Object) -> int | None:
    for port in mappings(row.get("ports")):
        number = port_number(port.get("port"))
        if (port.get("name") or "") == name and number is not None:
            return number if port.get("protocol", "TCP") == "TCP" else None
    return None
