"""An API server with services whose pods are real programs on local TCP ports.

Its port-forward over a WebSocket does what the kubelet's does: ``v4.channel.k8s.io``, two channels,
the port's number first, a TCP connection for each, an error as text, and the end when the program
ends its side (k8s.io/kubelet/pkg/cri/streaming/portforward/websocket.go).
"""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

from .certificates import Authority
from .upstream import server_context

Object = dict[str, Any]


@dataclass
class Pod:
    """A pod: the local ports behind its own, and whether it is ready."""

    name: str
    ports: dict[int, int]
    ready: bool = True
    namespace: str = "shop"


@dataclass
class Service:
    """A service and its pods.

    ``ports`` has, for each of its own ports, a name and the pods' port.
    """

    name: str
    ports: dict[int, tuple[str, int]]
    pods: list[Pod] = field(default_factory=list)
    namespace: str = "shop"
    spec: Object = field(default_factory=dict)

    def manifest(self) -> Object:
        ports = [
            {"port": port, "targetPort": target, "protocol": "TCP"}
            | ({"name": name} if name else {})
            for port, (name, target) in self.ports.items()
        ]
        metadata = {"name": self.name, "namespace": self.namespace}
        return {"metadata": metadata, "spec": {"type": "ClusterIP", "ports": ports} | self.spec}

    def slice(self) -> Object:
        endpoints = [
            {
                "addresses": ["10.0.0.1"],
                "conditions": {"ready": pod.ready},
                "targetRef": {"kind": "Pod", "name": pod.name, "namespace": pod.namespace},
            }
            for pod in self.pods
        ]
        ports = [
            {"name": name, "port": target, "protocol": "TCP"}
            for name, target in self.ports.values()
        ]
        return {"endpoints": endpoints, "ports": ports}


class Cluster:
    """See the module.

    Attributes:
        services: those there are.
        token: the bearer token that is accepted; empty: any, or none.
        forbidden: ``VERB RESOURCE`` that gets 403.
        seen: method and target of each request.
        identities: ``Authorization`` and ``Impersonate-User`` of each request.
        open: the port-forwards under way, by pod.
    """

    def __init__(self) -> None:
        self.services: list[Service] = []
        self.token = ""
        self.forbidden: set[str] = set()
        self.seen: list[str] = []
        self.identities: list[tuple[str, str]] = []
        self.open: dict[str, set[web.WebSocketResponse]] = {}
        self.port = 0
        self.authority: Authority | None = None
        self._runner: web.ServerRunner | None = None

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def serve(self, name: str, port: int, pod: str = "", namespace: str = "shop") -> Service:
        """A service with one pod, whose port 8080 is the local *port*."""
        pods = [Pod(pod or f"{name}-0", {8080: port}, namespace=namespace)]
        service = Service(name, {80: ("http", 8080)}, pods, namespace)
        self.services.append(service)
        return service

    @property
    def forwards(self) -> int:
        """How often a port-forward was asked for."""
        return sum("portforward" in line for line in self.seen)

    async def start(self, authority: Authority) -> None:
        self.authority = authority
        self._runner = web.ServerRunner(web.Server(self._respond))
        await self._runner.setup()
        context = server_context(authority)
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        for pod in list(self.open):
            await self.cut(pod)
        if self._runner is not None:
            await self._runner.cleanup()

    async def cut(self, pod: str) -> None:
        """End the port-forwards to a pod, as when it is deleted."""
        for socket in list(self.open.get(pod, ())):
            await socket.close()

    async def _respond(self, request: web.BaseRequest) -> web.StreamResponse:
        self.seen.append(f"{request.method} {request.raw_path}")
        authorization = request.headers.get("Authorization", "")
        self.identities.append((authorization, request.headers.get("Impersonate-User", "")))
        if self.token and authorization != f"Bearer {self.token}":
            return _status(401, "Unauthorized", "Unauthorized")
        parts = request.path.strip("/").split("/")
        verb, resource, what = _resolved(parts)
        if f"{verb} {resource}" in self.forbidden:
            return _status(403, "Forbidden", f'cannot {verb} resource "{resource}"')
        match resource:
            case "services" if verb == "list":
                return web.json_response({"items": [each.manifest() for each in self.services]})
            case "services":
                for each in self.services:
                    if (each.namespace, each.name) == (parts[3], what):
                        return web.json_response(each.manifest())
                return _status(404, "NotFound", f'services "{what}" not found')
            case "endpointslices":
                label, _, name = request.query.get("labelSelector", "").partition("=")
                assert label == "kubernetes.io/service-name"
                found = [
                    each.slice()
                    for each in self.services
                    if (each.namespace, each.name) == (parts[4], name)
                ]
                return web.json_response({"items": found})
            case "pods/portforward":
                return await self._forward(request, parts[3], what)
            case _:
                pass
        return _status(404, "NotFound", "the server could not find the requested resource")

    async def _forward(
        self, request: web.BaseRequest, namespace: str, name: str
    ) -> web.StreamResponse:
        pods = [
            pod
            for service in self.services
            for pod in service.pods
            if (pod.namespace, pod.name) == (namespace, name)
        ]
        if not pods:
            return _status(404, "NotFound", f'pods "{name}" not found')
        assert request.headers["Sec-WebSocket-Protocol"] == "v4.channel.k8s.io"
        assert request.query.keys() == {"ports"}
        number = int(request.query["ports"])
        socket = web.WebSocketResponse(
            protocols=("v4.channel.k8s.io",), compress=False, max_msg_size=32 * 2**20
        )
        await socket.prepare(request)
        sockets = self.open.setdefault(name, set())
        sockets.add(socket)
        try:
            await _kubelet(socket, number, pods[0])
        finally:
            sockets.discard(socket)
            with contextlib.suppress(ConnectionError):
                await socket.close()
        return socket


async def _kubelet(socket: web.WebSocketResponse, number: int, pod: Pod) -> None:
    for channel in b"\0\1":
        await socket.send_bytes(bytes([channel]) + struct.pack("<H", number))
    try:
        if number not in pod.ports:
            raise ConnectionRefusedError
        reader, writer = await asyncio.open_connection("127.0.0.1", pod.ports[number])
    except ConnectionRefusedError:
        text = (
            f"error forwarding port {number} to pod {pod.name}, uid 1: "
            f"dial tcp4 127.0.0.1:{number}: connect: connection refused"
        )
        await socket.send_bytes(b"\1" + text.encode())
        return

    async def out() -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(32 * 1024):
                await socket.send_bytes(b"\0" + data)

    async def inward() -> None:
        with contextlib.suppress(ConnectionError):
            while (message := await socket.receive()).type is WSMsgType.BINARY:
                assert message.data[0] == 0, "a client writes to channel 0 alone"
                writer.write(message.data[1:])
                await writer.drain()

    tasks = [asyncio.create_task(out()), asyncio.create_task(inward())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        writer.close()


def _resolved(parts: list[str]) -> tuple[str, str, str]:
    """Verb, resource and name of a path."""
    match parts:
        case ["api", "v1", "services"]:
            return "list", "services", ""
        case ["api", "v1", "namespaces", _, "services", name]:
            return "get", "services", name
        case ["apis", "discovery.k8s.io", "v1", "namespaces", _, "endpointslices"]:
            return "list", "endpointslices", ""
        case ["api", "v1", "namespaces", _, "pods", name, "portforward"]:
            return "create", "pods/portforward", name
        case _:
            pass
    return "get", "", ""


def _status(code: int, reason: str, message: str) -> web.Response:
    body = {"kind": "Status", "apiVersion": "v1", "code": code, "reason": reason}
    return web.json_response(body | {"message": message}, status=code)


@asynccontextmanager
async def cluster(authority: Authority) -> AsyncIterator[Cluster]:
    """A running :class:`Cluster`."""
    running = Cluster()
    await running.start(authority)
    try:
        yield running
    finally:
        await running.stop()


@asynccontextmanager
async def application(
    handler: Callable[[web.BaseRequest], Any], ssl_context: Any = None
) -> AsyncIterator[int]:
    """A program in a pod; yields its local port."""
    runner = web.ServerRunner(web.Server(handler))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=ssl_context).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
