"""What a container sees of the cluster: the files of its volumes and its environment.

Volumes of ConfigMaps, Secrets and projected ones have files; all others are empty directories.
Files are written once, when somebody first looks into the container.
"""

import base64
import posixpath
from collections.abc import Iterator
from typing import Any

from .accounts import Accounts
from .resources import CONFIG_MAPS, SECRETS, SERVICES, Resource
from .status import Object
from .store import Store

_KINDS: tuple[tuple[str, Resource], ...] = (("configMap", CONFIG_MAPS), ("secret", SECRETS))


class Volumes:
    """Reads the volumes and variables of containers.

    Args:
        store: has what they refer to.
        accounts: give tokens.
    """

    def __init__(self, store: Store, accounts: Accounts) -> None:
        self._store = store
        self._accounts = accounts

    async def files(self, pod: Object, container: Object) -> dict[str, str]:
        """The files of a container's volumes by their paths."""
        found: dict[str, str] = {}
        volumes = {row["name"]: row for row in pod["spec"].get("volumes") or []}
        for mount in container.get("volumeMounts") or []:
            volume = volumes.get(mount["name"], {})
            sources = (volume.get("projected") or {}).get("sources") or [volume]
            for source in sources:
                for path, text in (await self._source(pod, source)).items():
                    if sub_path := mount.get("subPath"):
                        if path == sub_path:
                            found[mount["mountPath"]] = text
                    else:
                        found[posixpath.join(mount["mountPath"], path)] = text
        return found

    def environment(self, pod: Object, container: Object) -> dict[str, str]:
        """The variables of a container: those of services, then its own."""
        namespace = pod["metadata"]["namespace"]
        found = dict(self._service_links(pod))
        for source in container.get("envFrom") or []:
            for key, resource in (("configMapRef", CONFIG_MAPS), ("secretRef", SECRETS)):
                if key in source:
                    values = self._values(resource, namespace, source[key].get("name", ""))
                    prefix = source.get("prefix", "")
                    found |= {f"{prefix}{name}": text for name, text in values.items()}
        for row in container.get("env") or []:
            found[row["name"]] = str(row.get("value", "")) + self._value_from(pod, row)
        return found

    async def _source(self, pod: Object, source: Object) -> dict[str, str]:
        """The files of one source, by paths below the mount."""
        if token := source.get("serviceAccountToken"):
            seconds, audience = token.get("expirationSeconds", 3600), token.get("audience", "")
            return {token["path"]: await self._accounts.mount(pod, audience, seconds)}
        if downward := source.get("downwardAPI"):
            items = downward.get("items") or []
            return {row["path"]: _field(pod, row.get("fieldRef") or {}) for row in items}
        for key, resource in _KINDS:
            if key in source:
                about = source[key]
                name = about.get("name") or about.get("secretName", "")
                values = self._values(resource, pod["metadata"]["namespace"], name)
                if items := about.get("items"):
                    return {row["path"]: values.get(row["key"], "") for row in items}
                return values
        return {}

    def _values(self, resource: Resource, namespace: str, name: str) -> dict[str, str]:
        obj = self._store.get(resource, namespace, name) or {}
        data: dict[str, str] = obj.get("data") or {}
        if resource == SECRETS:
            return {key: base64.b64decode(text).decode("latin-1") for key, text in data.items()}
        return data

    def _value_from(self, pod: Object, row: Object) -> str:
        source = row.get("valueFrom") or {}
        if "fieldRef" in source:
            return _field(pod, source["fieldRef"])
        for key, resource in (("configMapKeyRef", CONFIG_MAPS), ("secretKeyRef", SECRETS)):
            if key in source:
                about = source[key]
                namespace = pod["metadata"]["namespace"]
                return self._values(resource, namespace, about["name"]).get(about["key"], "")
        return ""

    def _service_links(self, pod: Object) -> Iterator[tuple[str, str]]:
        """``NAME_SERVICE_HOST`` and ``NAME_SERVICE_PORT`` (kubelet ``envvars.go``)."""
        services = [self._store.get(SERVICES, "default", "kubernetes")]
        if pod["spec"].get("enableServiceLinks", True):
            services += self._store.list(SERVICES, pod["metadata"]["namespace"])
        for service in services:
            spec = (service or {}).get("spec") or {}
            if service is None or spec.get("clusterIP", "None") == "None":
                continue
            name = _variable(service["metadata"]["name"])
            ports = spec.get("ports") or []
            yield f"{name}_SERVICE_HOST", spec["clusterIP"]
            for port in ports[:1]:
                yield f"{name}_SERVICE_PORT", str(port["port"])
            for port in ports:
                if port.get("name"):
                    yield f"{name}_SERVICE_PORT_{_variable(port['name'])}", str(port["port"])


def _variable(name: str) -> str:
    return name.upper().replace("-", "_")


def _field(pod: Object, reference: Object) -> str:
    """A field of a pod, as the downward API names it; labels and annotations by key or all."""
    path, _, key = reference.get("fieldPath", "").partition("['")
    value: Any = pod
    for part in path.split("."):
        value = value.get(part, "") if isinstance(value, dict) else ""
    if isinstance(value, dict):
        if key:
            return str(value.get(key.removesuffix("']"), ""))
        return "\n".join(f'{name}="{text}"' for name, text in sorted(value.items()))
    return str(value)
