"""What a container sees of the cluster: the files of its volumes and its environment.

ConfigMaps, Secrets and projected volumes have files; all others are empty. Files are written once,
when somebody first looks into the container.
"""

import base64
import json
import posixpath
import re
from typing import Any

from .accounts import Accounts
from .resources import CONFIG_MAPS, SECRETS, SERVICES
from .status import Object
from .store import Store


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
            for source in (volume.get("projected") or {}).get("sources") or [volume]:
                for path, text in (await self._source(pod, source)).items():
                    found[posixpath.join(mount["mountPath"], path)] = text
        return found

    def environment(self, pod: Object, container: Object) -> dict[str, str]:
        """Where the API server is (kubelet ``envvars.go``), and the container's own variables."""
        spec = (self._store.get(SERVICES, "default", "kubernetes") or {}).get("spec") or {}
        found = {"KUBERNETES_SERVICE_HOST": str(spec.get("clusterIP", ""))}
        found |= dict.fromkeys(("KUBERNETES_SERVICE_PORT", "KUBERNETES_SERVICE_PORT_HTTPS"), "443")
        namespace = pod["metadata"]["namespace"]
        for row in container.get("envFrom") or []:
            for key, text in self._values(namespace, row, "Ref").items():
                found[row.get("prefix", "") + key] = text
        for row in container.get("env") or []:
            source = row.get("valueFrom") or {}
            about = source.get("configMapKeyRef") or source.get("secretKeyRef") or {}
            text = self._values(namespace, source, "KeyRef").get(about.get("key", ""), "")
            if field := source.get("fieldRef"):
                text = _field(pod, field["fieldPath"])
            found[row["name"]] = str(row.get("value") or text)
        return found

    def _values(self, namespace: str, source: Object, suffix: str = "") -> dict[str, str]:
        """The data of the ConfigMap or the Secret that a source names."""
        if about := source.get(f"configMap{suffix}"):
            config = self._store.get(CONFIG_MAPS, namespace, about["name"]) or {}
            return dict(config.get("data") or {})
        about = source.get(f"secret{suffix}") or {}
        name = about.get("secretName") or about.get("name", "")
        data = (self._store.get(SECRETS, namespace, name) or {}).get("data") or {}
        return {key: base64.b64decode(text).decode("latin-1") for key, text in data.items()}

    async def _source(self, pod: Object, source: Object) -> dict[str, str]:
        """The files of one source, by paths below the mount."""
        namespace = pod["metadata"]["namespace"]
        if token := source.get("serviceAccountToken"):
            seconds, audience = token.get("expirationSeconds", 3600), token.get("audience", "")
            return {token["path"]: await self._accounts.mount(pod, audience, seconds)}
        if downward := source.get("downwardAPI"):
            rows = [(row["path"], row.get("fieldRef") or {}) for row in downward.get("items") or []]
            return {path: _field(pod, row.get("fieldPath", "")) for path, row in rows}
        values = self._values(namespace, source)
        about = source.get("configMap") or source.get("secret") or {}
        if items := about.get("items"):
            return {row["path"]: values.get(row["key"], "") for row in items}
        return values


def _field(pod: Object, path: str) -> str:
    """A field of a pod, as the downward API gives it; of a map, the value of a key in brackets."""
    value: Any = pod
    for step in re.findall(r"(?<=\[')[^']+|\w+", path):
        value = value.get(step, "") if isinstance(value, dict) else ""
    if isinstance(value, dict):
        return "\n".join(f"{key}={json.dumps(text)}" for key, text in sorted(value.items()))
    return str(value)
