"""What the server says of itself: groups, resources, version, a little OpenAPI.

There are no schemas. The OpenAPI v2 document has no definitions and the v3 index no paths, which is
how kubectl learns that nothing can be validated before it is sent.
"""

import platform
from typing import Any

from .resources import GROUPS, RESOURCES, Resource
from .status import Object

VERSION: Object = {
    "major": "1",
    "minor": "36",
    "emulationMajor": "1",
    "emulationMinor": "36",
    "minCompatibilityMajor": "1",
    "minCompatibilityMinor": "35",
    "gitVersion": "v1.36.0+kubelatch-demo",
    "gitCommit": "0000000000000000000000000000000000000000",
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "none",
    "compiler": f"python{platform.python_version()}",
    "platform": "demo/any",
}

OPENAPI_V2: Object = {
    "swagger": "2.0",
    "info": {"title": "Kubernetes", "version": VERSION["gitVersion"]},
    "paths": {},
    "definitions": {},
}
OPENAPI_V3: Object = {"paths": {}}

AGGREGATED = "APIGroupDiscoveryList"


def openapi_v2_protobuf() -> bytes:
    """The v2 document as gnostic's ``openapi.v2.Document``, the form that kubectl asks for."""
    version = str(VERSION["gitVersion"]).encode()
    info = _protobuf_field(1, b"Kubernetes") + _protobuf_field(2, version)
    return _protobuf_field(1, b"2.0") + _protobuf_field(2, info) + _protobuf_field(8, b"")


def paths() -> Object:
    """The root: where there is something to see."""
    groups = [group for group in GROUPS if group]
    versions = [_group_versions(group) for group in groups]
    return {
        "paths": [
            "/api",
            "/api/v1",
            "/apis",
            *(f"/apis/{group}" for group in groups),
            *(f"/apis/{version}" for rows in versions for version in rows),
            *("/healthz", "/livez", "/openapi/v2", "/openapi/v3", "/readyz", "/version"),
        ]
    }


def discover(parts: list[str], *, aggregated: bool, server: str) -> Object | None:
    """The document at ``/api`` or ``/apis`` and below, or None."""
    match parts:
        case ["api"] if aggregated:
            return _aggregated([""])
        case ["apis"] if aggregated:
            return _aggregated([group for group in GROUPS if group])
        case ["api"]:
            addresses = [{"clientCIDR": "0.0.0.0/0", "serverAddress": server}]
            return {
                "kind": "APIVersions",
                "versions": ["v1"],
                "serverAddressByClientCIDRs": addresses,
            }
        case ["apis"]:
            groups = [_group(group) for group in GROUPS if group]
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
        case ["api", version]:
            return _resource_list("", version)
        case ["apis", group] if group in GROUPS:
            return {"kind": "APIGroup", "apiVersion": "v1"} | _group(group)
        case ["apis", group, version] if group:
            return _resource_list(group, version)
    return None


def _group_versions(group: str) -> list[str]:
    return list(dict.fromkeys(row.api_version for row in RESOURCES if row.group == group))


def _group(group: str) -> Object:
    versions = [
        {"groupVersion": version, "version": version.rpartition("/")[2]}
        for version in _group_versions(group)
    ]
    return {"name": group, "versions": versions, "preferredVersion": versions[0]}


def _resource_list(group: str, version: str) -> Object | None:
    rows = [row for row in RESOURCES if row.group == group and row.version == version]
    if not rows:
        return None
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": rows[0].api_version,
        "resources": [entry for row in rows for entry in _resource_entries(row)],
    }


def _resource_entries(resource: Resource) -> list[Object]:
    entry: Object = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    entries = [entry]
    for sub in resource.subresources.values():
        below: Object = {
            "name": f"{resource.plural}/{sub.name}",
            "singularName": "",
            "namespaced": resource.namespaced,
            "kind": sub.kind,
            "verbs": list(sub.verbs),
        }
        if sub.group:
            below |= {"group": sub.group, "version": sub.version}
        entries.append(below)
    return entries


def _aggregated(groups: list[str]) -> Object:
    """``apidiscovery.k8s.io/v2``: everything in one answer (KEP-3352)."""
    return {
        "kind": AGGREGATED,
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": [
            {
                "metadata": {"name": group} if group else {},
                "versions": [
                    {
                        "version": version.rpartition("/")[2],
                        "resources": [
                            _aggregated_resource(row)
                            for row in RESOURCES
                            if row.api_version == version
                        ],
                        "freshness": "Current",
                    }
                    for version in _group_versions(group)
                ],
            }
            for group in groups
        ],
    }


def _aggregated_resource(resource: Resource) -> Object:
    entry: Object = {
        "resource": resource.plural,
        "responseKind": _kind(resource.group, resource.version, resource.kind),
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    if resource.subresources:
        entry["subresources"] = [
            {
                "subresource": sub.name,
                "responseKind": _kind(
                    sub.group or resource.group, sub.version or resource.version, sub.kind
                ),
                "verbs": list(sub.verbs),
            }
            for sub in resource.subresources.values()
        ]
    return entry


def _kind(group: str, version: str, kind: str) -> dict[str, Any]:
    return {"group": group, "version": version, "kind": kind}


def _protobuf_field(number: int, value: bytes) -> bytes:
    """A length-delimited field shorter than 128 bytes."""
    return bytes([number << 3 | 2, len(value)]) + value
