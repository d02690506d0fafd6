"""What a container sees of the cluster: the files of its volumes and its environment.

ConfigMaps, Secrets and projected volumes have files; all others are empty. Files are written once,
when somebody first looks into the container.
"""

import base64
import posixpath

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

    def environment(self, container: Object) -> dict[str, str]:
        """Where the API server is (kubelet ``envvars.go``), and the container's own variables."""
        spec = (self._store.get(SERVICES, "default", "kubernetes") or {}).get("spec") or {}
        found = {"KUBERNETES_SERVICE_HOST": str(spec.get("clusterIP", ""))}
        found |= dict.fromkeys(("KUBERNETES_SERVICE_PORT", "KUBERNETES_SERVICE_PORT_HTTPS"), "443")
        return found | {row["name"]: row.get("value", "") for row in container.get("env") or []}

    async def _source(self, pod: Object, source: Object) -> dict[str, str]:
        """The files of one source, by paths below the mount."""
        namespace = pod["metadata"]["namespace"]
        if token := source.get("serviceAccountToken"):
            seconds, audience = token.get("expirationSeconds", 3600), token.get("audience", "")
            return {token["path"]: await self._accounts.mount(pod, audience, seconds)}
        if downward := source.get("downwardAPI"):
            fields = [(row["path"], row.get("fieldRef") or {}) for row in downward["items"]]
            names = {
                f"metadata.{key}": pod["metadata"][key] for key in ("name", "namespace", "uid")
            }
            return {path: names.get(field.get("fieldPath", ""), "") for path, field in fields}
        values: dict[str, str] = {}
        about = source.get("configMap") or source.get("secret") or {}
        if "configMap" in source:
            found = self._store.get(CONFIG_MAPS, namespace, about["name"]) or {}
            values = found.get("data") or {}
        elif "secret" in source:
            name = about.get("secretName") or about.get("name", "")
            data = (self._store.get(SECRETS, namespace, name) or {}).get("data") or {}
            values = {key: base64.b64decode(text).decode("latin-1") for key, text in data.items()}
        if items := about.get("items"):
            return {row["path"]: values.get(row["key"], "") for row in items}
        return values
