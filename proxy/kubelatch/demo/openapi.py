"""``/openapi/v2`` and ``/openapi/v3``, generated from the resources and the definitions.

Building a document takes a while: a thread does it (:mod:`.documents`). Everything here
is pure.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

from . import schemas
from .discovery import VERSION
from .resources import Catalog, Resource

Document = dict[str, Any]

INFO = {"title": "Kubernetes", "version": "1.36"}
_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_V3 = "#/components/schemas/"
_JSON = "application/json"
_ACTIONS = {"create": "post", "delete": "delete", "get": "get", "patch": "patch", "update": "put"}
_ACTION_NAMES = {"create": "post", "update": "put"}
_WRITE = ("dryRun", "fieldManager", "fieldValidation")
_DELETE = ("dryRun", "gracePeriodSeconds:i", "orphanDependents:b", "propagationPolicy")
_LIST = (
    *("allowWatchBookmarks:b", "continue", "fieldSelector", "labelSelector", "limit:i"),
    *("resourceVersion", "resourceVersionMatch", "sendInitialEvents:b", "timeoutSeconds:i"),
    "watch:b",
)
_PARAMETERS = {
    "create": _WRITE,
    "update": _WRITE,
    "patch": (*_WRITE, "force:b"),
    "delete": _DELETE,
    "deletecollection": (*_DELETE, *_LIST[1:-1]),
    "list": _LIST,
    "watch": _LIST,
    "watchlist": _LIST,
}
"""Query parameters of each action; ``:b`` and ``:i`` mark booleans and integers."""
_TYPES = {"b": "boolean", "i": "integer", "": "string"}
_PATCHES = (
    *("application/apply-patch+yaml", "application/json-patch+json"),
    *("application/merge-patch+json", "application/strategic-merge-patch+json"),
)


def v3_index(catalog: Catalog) -> Document:
    """What ``/openapi/v3`` lists: a document a group version, each with the hash of its content."""
    names = [".well-known/openid-configuration", "api", "apis", "openid/v1/jwks", "version"]
    for group, versions in catalog.groups().items():
        names += [f"apis/{group}"] if group else []
        names += [f"apis/{group}/{v}" if group else f"api/{v}" for v in versions]
    rows = {}
    for name in sorted(names):
        found = [(row.kind, row.plural, row.custom) for row in _rows(catalog, name)]
        text = json.dumps([VERSION["gitVersion"], name, repr(found)])
        digest = hashlib.sha512(text.encode()).hexdigest().upper()
        rows[name] = {"serverRelativeURL": f"/openapi/v3/{name}?hash={digest}"}
    return {"paths": rows}


def v3(catalog: Catalog, name: str) -> Document | None:
    """The document of a group version, e.g. ``api/v1``; None if there is none of that name."""
    if name not in v3_index(catalog)["paths"]:
        return None
    paths: Document = {f"/{name}/": _root(name, _V3)}
    for resource in _rows(catalog, name):
        paths |= dict(_paths(resource, _operation_v3))
    used = _closure(_references(paths, _V3), catalog)
    return {
        "openapi": "3.0.0",
        "info": INFO,
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": {key: _as_v3(key, row) for key, row in used.items()},
            "securitySchemes": {"BearerToken": _BEARER},
        },
    }


def v2(catalog: Catalog) -> Document:
    """The whole as OpenAPI v2."""
    names = v3_index(catalog)["paths"]
    paths: Document = {f"/{name}/": _root(name, schemas.PREFIX) for name in names}
    for resource in catalog:
        paths |= dict(_paths(resource, _operation_v2))
    return {
        "swagger": "2.0",
        "info": INFO,
        "paths": dict(sorted(paths.items())),
        "definitions": _closure(_references(paths, schemas.PREFIX), catalog),
        "securityDefinitions": {"BearerToken": _BEARER},
        "security": [{"BearerToken": []}],
    }


_BEARER = {
    "type": "apiKey",
    "description": "Bearer Token authentication",
    "name": "authorization",
    "in": "header",
}


_ROOTS = {"api": f"{_META}APIVersions", "apis": f"{_META}APIGroupList"}


def _root(name: str, prefix: str) -> Document:
    """The operation of a path above the resources."""
    depth = name.count("/")
    found = _ROOTS.get(name, "")
    if name == "version":
        found = "io.k8s.apimachinery.pkg.version.Info"
    elif name.startswith("api") and depth:
        group = name.startswith("apis/") and depth == 1
        found = f"{_META}{'APIGroup' if group else 'APIResourceList'}"
    schema = {"schema": {"$ref": prefix + found}} if found else {}
    content = {"content": {_JSON: schema}} if prefix == _V3 else schema
    response = {"description": "OK"} | (content if schema else {})
    return {"get": {"operationId": f"get/{name}", "responses": {"200": response}}}


def _rows(catalog: Catalog, name: str) -> list[Resource]:
    prefix, _, version = name.rpartition("/")
    group = prefix.removeprefix("api").removeprefix("s").strip("/")
    return [row for row in catalog if (row.group, row.version) == (group, version)]


def _paths(resource: Resource, operation: Any) -> Iterator[tuple[str, Document]]:
    """The paths of a resource and their operations."""
    group, version = resource.group, resource.version
    root = f"/apis/{group}/{version}" if group else f"/api/{version}"
    home = f"{root}/namespaces/{{namespace}}" if resource.namespaced else root
    verbs, plural = resource.verbs, resource.plural
    for place in dict.fromkeys((root, home)):
        own = place == home
        wanted = ("list", "create", "deletecollection") if own else ("list",)
        if collection := [verb for verb in wanted if verb in verbs]:
            yield f"{place}/{plural}", _item(resource, collection, operation, "")
        if "watch" in verbs:
            below = place.removeprefix(root)
            yield f"{root}/watch{below}/{plural}", _item(resource, ["watchlist"], operation, "")
    named = [verb for verb in ("get", "update", "patch", "delete") if verb in verbs]
    if named:
        yield f"{home}/{plural}/{{name}}", _item(resource, named, operation, "")
    if "watch" in verbs:
        below = home.removeprefix(root)
        yield f"{root}/watch{below}/{plural}/{{name}}", _item(resource, ["watch"], operation, "")
    for name, sub in resource.subresources.items():
        path = f"{home}/{plural}/{{name}}/{name}"
        yield path, _item(resource, list(sub.verbs), operation, name)
        if name == "proxy":
            yield f"{path}/{{path}}", _item(resource, list(sub.verbs), operation, name)


def _item(resource: Resource, verbs: Sequence[str], operation: Any, sub: str) -> Document:
    methods = {"list": "get", "watch": "get", "watchlist": "get", "deletecollection": "delete"}
    return {_ACTIONS.get(verb) or methods[verb]: operation(resource, verb, sub) for verb in verbs}


def _parts(resource: Resource, verb: str, sub: str) -> tuple[Document, str, str]:
    """What both versions say of an operation, and the definitions of its body and response."""
    below = resource.subresources.get(sub)
    group = (below.group if below else "") or resource.group
    version = (below.version if below and below.group else "") or resource.version
    kind = below.kind if below else resource.kind
    own = _definition(resource, group, version, kind)
    found = {
        "list": _definition(resource, group, version, resource.list_kind),
        "watch": f"{_META}WatchEvent",
        "watchlist": f"{_META}WatchEvent",
        "delete": f"{_META}Status",
        "deletecollection": f"{_META}Status",
    }.get(verb, own)
    body = {
        "create": own,
        "update": own,
        "patch": f"{_META}Patch",
        "delete": f"{_META}DeleteOptions",
        "deletecollection": f"{_META}DeleteOptions",
    }.get(verb, "")
    about: Document = {
        "description": f"{verb} {resource.plural}{f'/{sub}' if sub else ''}",
        "operationId": f"{verb}/{resource.api_version}/{resource.plural}/{sub}".rstrip("/"),
        "x-kubernetes-group-version-kind": {"group": group, "version": version, "kind": kind},
    }
    if sub in {"attach", "exec", "portforward", "proxy"}:
        return about | {"x-kubernetes-action": "connect"}, "", ""
    return about | {"x-kubernetes-action": _ACTION_NAMES.get(verb, verb)}, body, found


def _definition(resource: Resource, group: str, version: str, kind: str) -> str:
    if resource.custom is None:
        return schemas.name_of(group, version, kind)
    return _custom_name(resource, kind)


def _custom_name(resource: Resource, kind: str) -> str:
    return ".".join([*reversed(resource.group.split(".")), resource.version, kind])


def _parameters(verb: str) -> Iterator[tuple[str, str]]:
    for row in _PARAMETERS.get(verb, ()):
        name, _, mark = row.partition(":")
        yield name, _TYPES[mark]


def _operation_v3(resource: Resource, verb: str, sub: str) -> Document:
    about, body, found = _parts(resource, verb, sub)
    rows = [
        {"name": name, "in": "query", "schema": {"type": kind, "uniqueItems": True}}
        for name, kind in _parameters(verb)
    ]
    if body:
        types = _PATCHES if verb == "patch" else ("*/*",)
        content = {kind: {"schema": {"$ref": _V3 + body}} for kind in types}
        about["requestBody"] = {"content": content}
    content = {_JSON: {"schema": {"$ref": _V3 + found}}} if found else {}
    response = {"description": "OK"} | ({"content": content} if content else {})
    return about | {"parameters": rows, "responses": {"200": response}}


def _operation_v2(resource: Resource, verb: str, sub: str) -> Document:
    about, body, found = _parts(resource, verb, sub)
    rows: list[Document] = [
        {"name": name, "in": "query", "type": kind, "uniqueItems": True}
        for name, kind in _parameters(verb)
    ]
    if body:
        schema = {"$ref": schemas.PREFIX + body}
        rows.append({"name": "body", "in": "body", "required": True, "schema": schema})
    response: Document = {"description": "OK"}
    if found:
        response["schema"] = {"$ref": schemas.PREFIX + found}
    return about | {"parameters": rows, "responses": {"200": response}}


def _references(value: Any, prefix: str) -> set[str]:
    if isinstance(value, list):
        return {name for row in value for name in _references(row, prefix)}
    if not isinstance(value, dict):
        return set()
    own = value.get("$ref")
    names = {own.removeprefix(prefix)} if isinstance(own, str) else set()
    return names.union(*(_references(row, prefix) for row in value.values()))


def _closure(names: set[str], catalog: Catalog) -> Document:
    """The definitions of these names and of all that they refer to."""
    known = schemas.described() | _custom_definitions(catalog)
    found: Document = {}
    left = sorted(names)
    while left:
        name = left.pop()
        if name not in found and name in known:
            found[name] = known[name]
            left += _references(known[name], schemas.PREFIX)
    return dict(sorted(found.items()))


def _custom_definitions(catalog: Catalog) -> Document:
    result: Document = {}
    text = {"type": "string"}
    for row in catalog:
        if row.custom is None:
            continue
        kinds = {"group": row.group, "version": row.version}
        name = _custom_name(row, row.kind)
        mark = "x-kubernetes-group-version-kind"
        result[name] = {**schemas.schema_of(row), mark: [kinds | {"kind": row.kind}]}
        items = {"type": "array", "items": {"$ref": schemas.PREFIX + name}}
        metadata = {"$ref": f"{schemas.PREFIX}{_META}ListMeta"}
        result[_custom_name(row, row.list_kind)] = {
            "description": f"{row.list_kind} is a list of {row.kind}",
            "type": "object",
            "required": ["items"],
            "properties": {"apiVersion": text, "items": items, "kind": text, "metadata": metadata},
            mark: [kinds | {"kind": row.list_kind}],
        }
    return result


def _as_v3(name: str, schema: Any) -> Any:
    """A definition as OpenAPI v3 has it."""
    if schema.get("format") == "int-or-string":
        kinds = [{"type": "integer"}, {"type": "string"}]
        return {k: v for k, v in schema.items() if k != "type"} | {"oneOf": kinds}
    if name.endswith(".Quantity"):
        kinds = [{"type": "string"}, {"type": "number"}]
        return {k: v for k, v in schema.items() if k != "type"} | {"oneOf": kinds}
    result = _with_v3_references(schema)
    if "x-kubernetes-group-version-kind" in schema:
        for key in ("metadata", "spec", "status"):
            row = result.get("properties", {}).get(key, {})
            if reference := row.pop("$ref", None):
                row |= {"default": {}, "allOf": [{"$ref": reference}]}
            elif "allOf" in row:
                row["default"] = {}
    return result


def _with_v3_references(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_with_v3_references(row) for row in schema]
    if not isinstance(schema, dict):
        return schema
    result = {key: _with_v3_references(value) for key, value in schema.items()}
    reference = result.get("$ref")
    if isinstance(reference, str):
        result["$ref"] = reference.replace(schemas.PREFIX, _V3)
        if len(result) > 1:
            result["allOf"] = [{"$ref": result.pop("$ref")}]
    return result
