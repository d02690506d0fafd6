"""Which services there are, and what each is called here: for the start page, and for hashes."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from ..errors import KubelatchError, UpstreamError
from ..gate.request_info import RequestInfo, request_info
from .api import mapping, mappings, message_of, parsed, port_number, read
from .errors import MissingPermissionError, NoSuchServiceError
from .hosts import ServiceName, is_hashed, is_valid, label_of
from .place import ContextPlace
from .resolve import lost_credential

_PATH: Final = "/api/v1/services"
# Ports by which people call TLS where nothing else says so.
_TLS_PORTS: Final = frozenset({443, 6443, 8443})
# Hashes that are known, of all contexts.
_MAX_HASHES: Final = 65_536
Object = dict[str, Any]


class PolicyRefusalError(KubelatchError):
    """The proxy's own policy does not let clients list services."""

    status = 403
    reason = "Forbidden"
    default_cause = "service-list"


class Directory:
    """See the module. It remembers the hashes of what it has listed."""

    def __init__(self) -> None:
        self._hashes: dict[str, ServiceName] = {}

    def known(self, label: str) -> ServiceName | None:
        """The service whose hash this label is, as far as it has been listed."""
        return self._hashes.get(label)

    async def list(self, context: ContextPlace) -> Sequence[ServiceName]:
        """All services and ports of a context, in order; one request to the API server.

        Raises:
            KubelatchError: it cannot be asked, or does not say.
        """
        refusal = context.gate.judge_own(_listing(), whole_path=True, read_only=False)
        if refusal is not None:
            raise PolicyRefusalError(refusal.message, hint=refusal.hint)
        if context.current() is None:
            await context.prepare()
        generation = context.current()
        if generation is None:
            msg = f"the context {context.name} is not in use any more"
            raise UpstreamError(msg)
        response = await read(lambda: generation, _PATH)
        if response.status == 403:
            said = message_of(response.body)
            raise MissingPermissionError("list", "services", "", said)
        if response.status == 401:
            raise lost_credential()
        if response.status != 200:
            msg = f"the API server responded with status {response.status} to list services"
            raise UpstreamError(msg)
        content = await parsed(response)
        # Thousands take half a second.
        return await asyncio.to_thread(self._found, context.name, content)

    def _found(self, context: str, content: Object) -> Sequence[ServiceName]:
        found = sorted(
            _names(context, mappings(content.get("items"))),
            key=lambda name: (name.namespace, name.service, name.port),
        )
        self._remember(found)
        return found

    async def look_up(self, label: str, contexts: Sequence[ContextPlace]) -> None:
        """Find the service whose hash this label is, in the contexts that are in use.

        Raises:
            KubelatchError: none has it.
        """
        failure: KubelatchError | None = None
        for context in contexts:
            if context.current() is None:
                continue
            try:
                await self.list(context)
            except KubelatchError as error:
                failure = failure or error
            if label in self._hashes:
                return
        raise failure or NoSuchServiceError(
            f"no service has the name {label}.localhost",
            hint="http://apps.localhost lists the names of all, and those of a context that is not "
            "in use yet are known once it has listed them",
        )

    def _remember(self, names: Sequence[ServiceName]) -> None:
        for name in names:
            # With TLS or without, whichever the page lists.
            for each in {name, name._replace(https=not name.https)}:
                if is_valid(each) and is_hashed(each) and len(self._hashes) < _MAX_HASHES:
                    self._hashes[label_of(each)] = each


class _Port(NamedTuple):
    number: int
    name: str
    https: bool


def _listing() -> RequestInfo:
    return request_info("GET", _PATH)


def _names(context: str, items: Sequence[Object]) -> Iterator[ServiceName]:
    """A name for each port: without the port where there is but one and it speaks plain HTTP."""
    for item in items:
        metadata, spec = mapping(item.get("metadata")), mapping(item.get("spec"))
        service, namespace = metadata.get("name"), metadata.get("namespace")
        if not isinstance(service, str) or not isinstance(namespace, str):
            continue
        if spec.get("type") == "ExternalName":
            continue
        ports = list(_ports(mappings(spec.get("ports"))))
        for port in ports:
            alone = len(ports) == 1 and not port.https
            name = ServiceName(
                service, namespace, context, "" if alone else str(port.number), port.https
            )
            if is_valid(name):
                yield name


def _ports(rows: Sequence[Object]) -> Iterator[_Port]:
    for row in rows:
        number, name = port_number(row.get("port")), str(row.get("name") or "")
        if number is None or row.get("protocol", "TCP") != "TCP":
            continue
        said = str(row.get("appProtocol") or "").rpartition("/")[2]
        https = said in {"https", "wss"} or (
            not said and (name.startswith("https") or number in _TLS_PORTS)
        )
        yield _Port(number, name, https)
