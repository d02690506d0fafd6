"""What depends on who writes, and what the API server adds on the way to the store.

The admission plugins and strategies that concern identity: roles and bindings, certificate signing
requests, and the service account of a pod.
"""

from . import escalation, signing, status
from .accounts import MOUNTED_SECONDS
from .authentication import User
from .resources import (
    CERTIFICATE_SIGNING_REQUESTS,
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    PODS,
    PRIORITY_CLASSES,
    ROLE_BINDINGS,
    ROLES,
    RUNTIME_CLASSES,
    SERVICE_ACCOUNTS,
    Resource,
)
from .status import Object
from .store import Store

MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"


def admit(
    store: Store,
    user: User,
    resource: Resource,
    obj: Object,
    old: Object | None,
    subresource: str = "",
) -> Object:
    """The object as it may be stored.

    Args:
        store: has everything else.
        user: who writes it.
        resource: its kind.
        obj: the new object, with its name and namespace.
        old: what is stored now; None for a new one.
        subresource: through which it is written.

    Raises:
        StatusError: 403, 404 or 422.
    """
    if resource in {ROLES, CLUSTER_ROLES}:
        escalation.check_role(store, user, resource, obj, old)
    elif resource in {ROLE_BINDINGS, CLUSTER_ROLE_BINDINGS}:
        escalation.check_binding(store, user, resource, obj, old)
    elif resource == CERTIFICATE_SIGNING_REQUESTS:
        return signing.admit(store, user, obj, old, subresource)
    return obj


def complete_pod(store: Store, pod: Object) -> Object:
    """A new pod with its service account, and a volume with a token of it.

    Raises:
        StatusError: 403 without the account.
    """
    spec, metadata = pod["spec"], pod["metadata"]
    name = spec.get("serviceAccountName") or spec.get("serviceAccount") or "default"
    account = store.get(SERVICE_ACCOUNTS, metadata["namespace"], name)
    if account is None:
        why = f'serviceaccount "{name}" not found'
        why = f"error looking up service account {metadata['namespace']}/{name}: {why}"
        raise status.not_admitted(PODS, metadata["name"], why)
    spec = _classed(store, metadata["name"], spec)
    spec = spec | {"serviceAccountName": name, "serviceAccount": name}
    if account.get("imagePullSecrets") and not spec.get("imagePullSecrets"):
        spec["imagePullSecrets"] = account["imagePullSecrets"]
    wanted = spec.get("automountServiceAccountToken")
    if wanted is None:
        wanted = account.get("automountServiceAccountToken", True)
    volume = _token_volume(store.identifiers.suffix())
    mount = {"name": volume["name"], "readOnly": True, "mountPath": MOUNT_PATH}
    mounted = False
    for kind in ("initContainers", "containers"):
        rows = []
        for container in spec.get(kind) or []:
            mounts = container.get("volumeMounts") or []
            if wanted and not any(row.get("mountPath") == MOUNT_PATH for row in mounts):
                mounts, mounted = [*mounts, mount], True
            rows.append(container | ({"volumeMounts": mounts} if mounts else {}))
        if rows:
            spec[kind] = rows
    if mounted:
        spec["volumes"] = [*(spec.get("volumes") or []), volume]
    return pod | {"spec": spec}


def _classed(store: Store, name: str, spec: Object) -> Object:
    """A pod's spec with the priority of its class; its classes must be there.

    Raises:
        StatusError: 403.
    """
    runtime, class_name = spec.get("runtimeClassName"), spec.get("priorityClassName")
    if runtime and store.get(RUNTIME_CLASSES, "", runtime) is None:
        why = f'pod rejected: RuntimeClass "{runtime}" not found'
        raise status.not_admitted(PODS, name, why)
    found = store.get(PRIORITY_CLASSES, "", class_name) if class_name else {}
    if found is None:
        raise status.not_admitted(PODS, name, f"no PriorityClass with name {class_name} was found")
    priority, given = found.get("value", 0), spec.get("priority")
    if given not in {None, priority}:
        why = f"the integer value of priority ({given}) must not be provided in pod spec; priority"
        why += f" admission controller computed {priority} from the given PriorityClass name"
        raise status.not_admitted(PODS, name, why)
    policy = found.get("preemptionPolicy") or "PreemptLowerPriority"
    return {"preemptionPolicy": policy} | spec | {"priority": priority}


def _token_volume(suffix: str) -> Object:
    token = {"expirationSeconds": MOUNTED_SECONDS, "path": "token"}
    authority = {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}
    field = {"apiVersion": "v1", "fieldPath": "metadata.namespace"}
    sources = [
        {"serviceAccountToken": token},
        {"configMap": authority},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": field}]}},
    ]
    projected = {"sources": sources, "defaultMode": 420}
    return {"name": f"kube-api-access-{suffix}", "projected": projected}
