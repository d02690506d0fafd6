"""The subresources that lead into a pod: log, exec, attach, portforward, proxy."""

from aiohttp import web

from . import logs, pages, status
from .calls import LONG_RUNNING, Call, response_headers
from .mains import Main, Mains
from .registry import ResourceRegistry
from .resources import NODES, PODS, SERVICES
from .selectors import matches_labels
from .status import Object
from .streams import channels, portforward, spdy_sessions
from .streams.files import FileSystem
from .streams.process import Container
from .streams.sessions import attach_session, exec_session
from .volumes import Volumes

_OS_RELEASE = 'NAME="Demo Linux"\nID=demo\nPRETTY_NAME="Demo Linux"\n'


class Connector:
    """Connects calls to pods.

    Args:
        volumes: has what containers see of the cluster.
        mains: the commands that containers run.
        server: the URL at which the API server can be reached from here.
    """

    def __init__(
        self,
        registry: ResourceRegistry,
        volumes: Volumes,
        mains: Mains,
        *,
        server: str,
    ) -> None:
        self._registry = registry
        self._mains = mains
        mains.build = self._container
        self._volumes = volumes
        self._server = server
        self._files: dict[tuple[str, str], FileSystem] = {}

    async def connect(self, call: Call) -> web.StreamResponse:
        """The response to one call.

        Raises:
            StatusError: 400, 403, 404 or 503.
        """
        call.request[LONG_RUNNING] = True
        if call.target.subresource == "proxy":
            return self._proxy(call)
        pod = self._registry.get(PODS, call.namespace, call.target.name)
        try:
            return await self._stream(call, pod)
        except channels.HandshakeError:
            response = web.Response(status=403)
            response.force_close()
            return response

    async def _stream(self, call: Call, pod: Object) -> web.StreamResponse:
        match call.target.subresource:
            case "log":
                return await self._log(call, pod)
            case "portforward":
                return await self._port_forward(call, pod)
            case _:
                return await self._session(call, pod)

    def _main(self, call: Call, pod: Object) -> tuple[Object, Main]:
        """The container that is meant, and what it runs.

        Raises:
            StatusError: 400 for an unknown, ambiguous or not yet running container.
        """
        container = logs.container_of(pod, call.target.option("container"))
        if (main := self._mains.find(pod, container["name"])) is None:
            raise status.bad_request(
                f'container "{container["name"]}" in pod "{pod["metadata"]["name"]}" is waiting '
                "to start: ContainerCreating"
            )
        return container, main

    async def _log(self, call: Call, pod: Object) -> web.StreamResponse:
        container, main = self._main(call, pod)
        logs.check(call.target, pod, container["name"])
        response = web.StreamResponse(
            headers=response_headers(call.request) | {"Content-Type": "text/plain"}
        )
        response.enable_chunked_encoding()
        await response.prepare(call.request)
        async for line in logs.read(main, call.target):
            await response.write(line)
        return response

    async def _session(self, call: Call, pod: Object) -> web.StreamResponse:
        """Exec and attach."""
        target = call.target
        container, main = self._main(call, pod)
        upgrade = _upgrade(call)
        terminal = target.flag("tty")
        wanted = {name for name in ("stdin", "stdout", "stderr") if target.flag(name)}
        if not wanted:
            raise status.bad_request("you must specify at least 1 of stdin, stdout, stderr")
        if terminal:
            wanted.discard("stderr")
        if target.subresource == "attach":
            session = attach_session(main, once=bool(container.get("stdinOnce")))
        else:
            arguments = target.query.get("command", [])
            if not arguments or not arguments[0]:
                raise status.bad_request("you must specify at least 1 command for the container")
            inside = await self._container(pod, container)
            session = exec_session(inside, arguments, terminal=terminal)
        if upgrade == "websocket":
            return await channels.serve(call.request, session, stdin="stdin" in wanted)
        if terminal:
            wanted.add("resize")
        headers = response_headers(call.request)
        return await spdy_sessions.serve(call.request, headers, session, wanted)

    async def _port_forward(self, call: Call, pod: Object) -> web.StreamResponse:
        upgrade = _upgrade(call)
        if upgrade == "websocket":
            ports = call.target.query.get("ports", [])
            return await portforward.serve_websocket(call.request, pod, ports)
        return await portforward.serve_spdy(call.request, response_headers(call.request), pod)

    async def _container(self, pod: Object, spec: Object) -> Container:
        metadata = pod["metadata"]
        environment = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOSTNAME": metadata["name"],
            "HOME": "/root",
            "PWD": "/",
        }
        environment |= self._volumes.environment(pod, spec)
        return Container(
            hostname=metadata["name"],
            environment=environment,
            files=await self._file_system(pod, spec),
            server=self._server,
        )

    async def _file_system(self, pod: Object, container: Object) -> FileSystem:
        """The files of a container; they go with its pod."""
        alive = {row["metadata"]["uid"] for row in self._registry.store.list(PODS)}
        self._files = {key: files for key, files in self._files.items() if key[0] in alive}
        key = (pod["metadata"]["uid"], container["name"])
        if key not in self._files:
            files = await self._volumes.files(pod, container)
            files |= {"/etc/hostname": f"{pod['metadata']['name']}\n"}
            self._files[key] = FileSystem(files | {"/etc/os-release": _OS_RELEASE})
        return self._files[key]

    def _proxy(self, call: Call) -> web.Response:
        """``pods/proxy`` and ``services/proxy``: the application's page."""
        target, request = call.target, call.request
        parts = target.name.split(":")
        # NAME, NAME:PORT or SCHEME:NAME:PORT
        name = parts[1] if len(parts) == 3 else parts[0]
        if call.kind == NODES:
            self._registry.get(NODES, "", name)
            raise status.unavailable(f'the kubelet of node "{name}" serves nothing in the demo')
        if call.kind == PODS:
            pod = self._registry.get(PODS, call.namespace, name)
        else:
            pod = self._endpoint(call, name, parts[-1] if len(parts) > 1 else "")
        path = f"/{target.rest}" + (f"?{target.raw_query}" if target.raw_query else "")
        if not target.rest and not request.raw_path.partition("?")[0].endswith("/"):
            location = request.raw_path.partition("?")[0] + "/"
            headers = response_headers(request) | {"Location": location}
            return web.Response(status=301, headers=headers)
        headers = response_headers(request) | {"Content-Type": pages.CONTENT_TYPE}
        return web.Response(body=pages.page(pod, request.method, path), headers=headers)

    def _endpoint(self, call: Call, name: str, port: str) -> Object:
        """A pod that serves a Service; without a selector there are no Endpoints, hence 404."""
        service = self._registry.get(SERVICES, call.namespace, name)
        if not service["spec"].get("selector"):
            raise status.not_found(SERVICES, name)
        known = {str(row[key]) for row in service["spec"]["ports"] for key in row}
        pod = self._pod_of(service) if not port or port in known else None
        if pod is None:
            raise status.unavailable(f'no endpoints available for service "{call.target.name}"')
        return pod

    def _pod_of(self, service: Object) -> Object | None:
        selector = {"matchLabels": service["spec"].get("selector") or {}}
        for pod in self._registry.store.list(PODS, service["metadata"]["namespace"]):
            labels = pod["metadata"].get("labels") or {}
            running = pod["status"].get("phase") == "Running"
            if running and selector["matchLabels"] and matches_labels(selector, labels):
                return pod
        return None


def _upgrade(call: Call) -> str:
    """``websocket`` or ``spdy/3.1``.

    Raises:
        StatusError: 400 for anything else.
    """
    headers = call.request.headers
    upgrade = headers.get("Upgrade", "").lower()
    asks = "upgrade" in headers.get("Connection", "").lower()
    if not asks or upgrade not in {"websocket", "spdy/3.1"}:
        raise status.bad_request("Upgrade request required")
    return upgrade
