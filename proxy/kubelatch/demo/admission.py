"""What depends on who writes, and what the API server adds on the way to the store.

The admission plugins and strategies that concern identity: roles and bindings, certificate signing
requests, token Secrets, and the service account of a pod.
"""

from collections.abc import Iterator

from . import escalation, signing, status
from .accounts import ACCOUNT_NAME, MOUNTED_SECONDS, TOKEN_SECRET
from .authentication import User
from .resources import (
    CERTIFICATE_SIGNING_REQUESTS,
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    PODS,
    ROLE_BINDINGS,
    ROLES,
    SECRETS,
    SERVICE_ACCOUNTS,
    Resource,
)
from .status import Object
from .store import Store
from .texts import invalid, unsupported

MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
_RBAC = "rbac.authorization.k8s.io"
_SUBJECTS = ("Group", "ServiceAccount", "User")
_REQUIRED = "Required value"
_ANNOTATION = f"metadata.annotations[{ACCOUNT_NAME}]"


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
        _refuse(resource, obj, _role_problems(resource, obj))
        escalation.check_role(store, user, resource, obj, old)
    elif resource in {ROLE_BINDINGS, CLUSTER_ROLE_BINDINGS}:
        obj = _complete_binding(obj)
        _refuse(resource, obj, _binding_problems(resource, obj, old))
        escalation.check_binding(store, user, resource, obj, old)
    elif resource == CERTIFICATE_SIGNING_REQUESTS:
        return signing.admit(store, user, obj, old, subresource)
    elif resource == SECRETS and obj.get("type") == TOKEN_SECRET:
        annotations = obj["metadata"].get("annotations") or {}
        if not annotations.get(ACCOUNT_NAME):
            raise status.invalid(SECRETS, obj["metadata"]["name"], _ANNOTATION, _REQUIRED)
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
        raise status.forbidden(
            f'pods "{metadata["name"]}" is forbidden: error looking up service account '
            f'{metadata["namespace"]}/{name}: serviceaccount "{name}" not found',
            {"name": metadata["name"], "kind": PODS.plural},
        )
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


def _role_problems(resource: Resource, obj: Object) -> Iterator[tuple[str, str]]:
    """As ``pkg/apis/rbac/validation``: each rule has verbs, and resources or paths."""
    for index, rule in enumerate(obj.get("rules") or []):
        field = f"rules[{index}]"
        if not rule.get("verbs"):
            yield f"{field}.verbs", f"{_REQUIRED}: verbs must contain at least one value"
        if paths := rule.get("nonResourceURLs"):
            if resource == ROLES:
                text = "namespaced rules cannot apply to non-resource URLs"
                yield f"{field}.nonResourceURLs", invalid(paths, text)
            if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
                text = "rules cannot apply to both regular resources and non-resource URLs"
                yield f"{field}.nonResourceURLs", invalid(paths, text)
            continue
        for key, what in (("apiGroups", "api group"), ("resources", "resource")):
            if not rule.get(key):
                text = f"{_REQUIRED}: resource rules must supply at least one {what}"
                yield f"{field}.{key}", text


def _complete_binding(obj: Object) -> Object:
    """With the API groups that may be left out."""
    subjects = [
        subject if subject.get("kind") == "ServiceAccount" else {"apiGroup": _RBAC} | subject
        for subject in obj.get("subjects") or []
    ]
    role = {"apiGroup": _RBAC} | (obj.get("roleRef") or {})
    return obj | ({"subjects": subjects} if subjects else {}) | {"roleRef": role}


def _binding_problems(
    resource: Resource, obj: Object, old: Object | None
) -> Iterator[tuple[str, str]]:
    role = obj["roleRef"]
    kinds = ["ClusterRole", "Role"] if resource == ROLE_BINDINGS else ["ClusterRole"]
    if role["apiGroup"] != _RBAC:
        yield "roleRef.apiGroup", unsupported(role["apiGroup"], [_RBAC])
    if role.get("kind") not in kinds:
        yield "roleRef.kind", unsupported(role.get("kind", ""), kinds)
    if not role.get("name"):
        yield "roleRef.name", _REQUIRED
    for index, subject in enumerate(obj.get("subjects") or []):
        field, kind = f"subjects[{index}]", subject.get("kind", "")
        if not subject.get("name"):
            yield f"{field}.name", _REQUIRED
        if kind not in _SUBJECTS:
            yield f"{field}.kind", unsupported(kind, list(_SUBJECTS))
        anywhere = kind == "ServiceAccount" and resource == CLUSTER_ROLE_BINDINGS
        if anywhere and not subject.get("namespace"):
            yield f"{field}.namespace", _REQUIRED
    if old is not None and old["roleRef"] != role:
        names = ("apiGroup", "APIGroup"), ("kind", "Kind"), ("name", "Name")
        shown = {name: role.get(key, "") for key, name in names}
        yield "roleRef", invalid(shown, "cannot change roleRef")


def _refuse(resource: Resource, obj: Object, problems: Iterator[tuple[str, str]]) -> None:
    if found := list(problems):
        raise status.invalid_fields(resource.group, resource.kind, obj["metadata"]["name"], found)
