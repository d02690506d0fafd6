"""What depends on who writes, and what the API server adds on the way to the store.

The admission plugins and strategies that concern identity: roles and bindings, certificate signing
requests, token Secrets, and the service account of a pod.
"""

import json
from typing import Any

from . import escalation, signing
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
from .status import Object, forbidden, invalid, invalid_fields
from .store import Store

MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
_RBAC = "rbac.authorization.k8s.io"
_ANNOTATION = f"metadata.annotations[{ACCOUNT_NAME}]"

Problems = list[tuple[str, str]]


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
        _validate_role(resource, obj)
        escalation.check_role(store, user, resource, obj, old)
    elif resource in {ROLE_BINDINGS, CLUSTER_ROLE_BINDINGS}:
        obj = _complete_binding(obj)
        _validate_binding(resource, obj, old)
        escalation.check_binding(store, user, resource, obj, old)
    elif resource == CERTIFICATE_SIGNING_REQUESTS:
        return signing.admit(store, user, obj, old, subresource)
    elif resource == SECRETS and obj.get("type") == TOKEN_SECRET:
        annotations = obj["metadata"].get("annotations") or {}
        if not annotations.get(ACCOUNT_NAME):
            raise invalid(SECRETS, obj["metadata"]["name"], _ANNOTATION, "Required value")
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
        raise forbidden(
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
    namespace = {"apiVersion": "v1", "fieldPath": "metadata.namespace"}
    return {
        "name": f"kube-api-access-{suffix}",
        "projected": {
            "sources": [
                {"serviceAccountToken": {"expirationSeconds": MOUNTED_SECONDS, "path": "token"}},
                {
                    "configMap": {
                        "name": "kube-root-ca.crt",
                        "items": [{"key": "ca.crt", "path": "ca.crt"}],
                    }
                },
                {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": namespace}]}},
            ],
            "defaultMode": 420,
        },
    }


def _validate_role(resource: Resource, obj: Object) -> None:
    """As ``pkg/apis/rbac/validation``: each rule has verbs, and resources or paths."""
    problems: Problems = []
    for index, rule in enumerate(obj.get("rules") or []):
        field = f"rules[{index}]"
        if not rule.get("verbs"):
            text = "Required value: verbs must contain at least one value"
            problems.append((f"{field}.verbs", text))
        if paths := rule.get("nonResourceURLs"):
            if resource == ROLES:
                text = "namespaced rules cannot apply to non-resource URLs"
                problems.append((f"{field}.nonResourceURLs", _invalid_value(paths, text)))
            if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
                text = "rules cannot apply to both regular resources and non-resource URLs"
                problems.append((f"{field}.nonResourceURLs", _invalid_value(paths, text)))
            continue
        if not rule.get("apiGroups"):
            text = "Required value: resource rules must supply at least one api group"
            problems.append((f"{field}.apiGroups", text))
        if not rule.get("resources"):
            text = "Required value: resource rules must supply at least one resource"
            problems.append((f"{field}.resources", text))
    _refuse(resource, obj, problems)


def _complete_binding(obj: Object) -> Object:
    """With the API groups that may be left out."""
    subjects = [
        subject if subject.get("kind") == "ServiceAccount" else {"apiGroup": _RBAC} | subject
        for subject in obj.get("subjects") or []
    ]
    role = {"apiGroup": _RBAC} | (obj.get("roleRef") or {})
    return obj | ({"subjects": subjects} if subjects else {}) | {"roleRef": role}


def _validate_binding(resource: Resource, obj: Object, old: Object | None) -> None:
    problems: Problems = []
    role = obj["roleRef"]
    kinds = ["ClusterRole", "Role"] if resource == ROLE_BINDINGS else ["ClusterRole"]
    if role["apiGroup"] != _RBAC:
        problems.append(("roleRef.apiGroup", _unsupported(role["apiGroup"], [_RBAC])))
    if role.get("kind") not in kinds:
        problems.append(("roleRef.kind", _unsupported(role.get("kind", ""), kinds)))
    if not role.get("name"):
        problems.append(("roleRef.name", "Required value"))
    for index, subject in enumerate(obj.get("subjects") or []):
        field = f"subjects[{index}]"
        if not subject.get("name"):
            problems.append((f"{field}.name", "Required value"))
        kind = subject.get("kind", "")
        if kind not in {"ServiceAccount", "User", "Group"}:
            known = ["Group", "ServiceAccount", "User"]
            problems.append((f"{field}.kind", _unsupported(kind, known)))
        anywhere = kind == "ServiceAccount" and resource == CLUSTER_ROLE_BINDINGS
        if anywhere and not subject.get("namespace"):
            problems.append((f"{field}.namespace", "Required value"))
    if old is not None and old["roleRef"] != role:
        shown = {
            "APIGroup": role["apiGroup"],
            "Kind": role.get("kind", ""),
            "Name": role.get("name", ""),
        }
        problems.append(("roleRef", _invalid_value(shown, "cannot change roleRef")))
    _refuse(resource, obj, problems)


def _refuse(resource: Resource, obj: Object, problems: Problems) -> None:
    if problems:
        name = obj["metadata"]["name"]
        raise invalid_fields(resource.group, resource.kind, name, problems)


def _invalid_value(value: Any, text: str) -> str:
    return f"Invalid value: {json.dumps(value, separators=(',', ':'))}: {text}"


def _unsupported(value: str, known: list[str]) -> str:
    names = ", ".join(json.dumps(name) for name in known)
    return f"Unsupported value: {json.dumps(value)}: supported values: {names}"
