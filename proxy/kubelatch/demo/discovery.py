"""What the server says of its groups, versions and resources, plain and aggregated.

All of it is generated from a :class:`.resources.Catalog`.
"""

import hashlib
import json
import platform

from .resources import Catalog, Resource
from .status import Object

VERSION: Object = {
    "major": "1",
    "minor": "36",
    "emulationMajor": "1",
    "emulationMinor": "36",
    "minCompatibilityMajor": "1",
    "minCompatibilityMinor": "35",
    "gitVersion": "v1.36.2",
    "gitCommit": "0000000000000000000000000000000000000000",
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "none",
    "compiler": f"python{platform.python_version()}",
    "platform": "kubelatch/demo",
}
AGGREGATED = "APIGroupDiscoveryList"


def discover(catalog: Catalog, parts: list[str], *, aggregated: bool, server: str) -> Object | None:
    """The document at ``/api`` or ``/apis`` and below, or None."""
    groups = catalog.groups()
    match parts:
        case ["api"] if aggregated:
            return _aggregated(catalog, {"": groups[""]})
        case ["apis"] if aggregated:
            return _aggregated(catalog, {name: groups[name] for name in groups if name})
        case ["api"]:
            return {
                "kind": "APIVersions",
                "versions": groups[""],
                "serverAddressByClientCIDRs": [
                    {"clientCIDR": "0.0.0.0/0", "serverAddress": server.partition("://")[2]}
                ],
            }
        case ["apis"]:
            listed = [_group(name, versions) for name, versions in groups.items() if name]
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}
        case ["api", version]:
            return _resource_list(catalog, "", version)
        case ["apis", group] if group in groups:
            return {"kind": "APIGroup", "apiVersion": "v1"} | _group(group, groups[group])
        case ["apis", group, version] if group:
            return _resource_list(catalog, group, version)
    return None


def is_known(catalog: Catalog, path: str) -> bool:
    """Whether a path that names nothing is below an API group that is served.

    Below a group that is served the group's router responds, with a Status; elsewhere
    the server's own, with plain text.
    """
    parts = path.split("/")[1:]
    if parts[0] == "api":
        return len(parts) > 1
    return parts[0] == "apis" and len(parts) > 2 and parts[1] in catalog.groups()


def etag(document: Object) -> str:
    """An entity tag of the document, as aggregated discovery has it."""
    return f'"{hashlib.sha512(json.dumps(document).encode()).hexdigest().upper()}"'


def _group(name: str, versions: list[str]) -> Object:
    rows = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": rows, "preferredVersion": rows[0]}


def _resource_list(catalog: Catalog, group: str, version: str) -> Object | None:
    rows = [row for row in catalog if row.group == group and row.version == version]
    if not rows:
        return None
    head: Object = {"kind": "APIResourceList"} | ({"apiVersion": "v1"} if group else {})
    return head | {
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
    _add_names(entry, resource)
    if resource.stored:
        entry["storageVersionHash"] = resource.storage_hash
    entries = [entry]
    for sub in resource.subresources.values():
        place = {"group": sub.group, "version": sub.version} if sub.group else {}
        entries.append(
            {
                "name": f"{resource.plural}/{sub.name}",
                "singularName": "",
                "namespaced": resource.namespaced,
                **place,
                "kind": sub.kind,
                "verbs": list(sub.verbs),
            }
        )
    return entries


def _aggregated(catalog: Catalog, groups: dict[str, list[str]]) -> Object:
    """``apidiscovery.k8s.io/v2``: everything in one document (KEP-3352)."""
    return {
        "kind": AGGREGATED,
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": [
            {
                "metadata": {"name": group} if group else {},
                "versions": [
                    {
                        "version": version,
                        "resources": [
                            _aggregated_resource(row)
                            for row in catalog
                            if (row.group, row.version) == (group, version)
                        ],
                        "freshness": "Current",
                    }
                    for version in versions
                ],
            }
            for group, versions in groups.items()
        ],
    }


def _aggregated_resource(resource: Resource) -> Object:
    entry: Object = {
        "resource": resource.plural,
        "responseKind": _kind("", "", resource.kind),
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": list(resource.verbs),
    }
    _add_names(entry, resource)
    if resource.subresources:
        entry["subresources"] = [
            {
                "subresource": sub.name,
                "responseKind": _kind(sub.group, sub.version, sub.kind),
                "verbs": list(sub.verbs),
            }
            for sub in resource.subresources.values()
        ]
    return entry


def _add_names(entry: Object, resource: Resource) -> None:
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)


def _kind(group: str, version: str, kind: str) -> dict[str, str]:
    return {"group": group, "version": version, "kind": kind}
