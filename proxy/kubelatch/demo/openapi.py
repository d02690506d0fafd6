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
PROTOBUF_V2 = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_V3 = "#/components/schemas/"
_JSON = "application/json"
_METHODS = {"create": "post", "update": "put", "patch": "patch"}
_METHODS |= dict.fromkeys(("get", "list", "watch", "watchlist"), "get")
_METHODS |= dict.fromkeys(("delete", "deletecollection"), "delete")
_GVK = "x-kubernetes-group-version-kind"
_PARAMETERS = dict.fromkeys(
    ("create", "update", "patch"), ("dryRun", "fieldManager", "fieldValidation")
)
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


def v3(catalog: Catalog, name: str) -> Document:
    """The document of a group version, e.g. ``api/v1``."""
    paths: Document = {f"/{name}/": _root(name)}
    for resource in _rows(catalog, name):
        paths |= dict(_paths(resource))
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
    paths: Document = {f"/{name}/": _root(name) for name in v3_index(catalog)["paths"]}
    for resource in catalog:
        paths |= dict(_paths(resource))
    return {
        "swagger": "2.0",
        "info": INFO,
        "paths": {path: _as_v2(item) for path, item in sorted(paths.items())},
        "definitions": _closure(_references(paths, _V3), catalog),
        "securityDefinitions": {"BearerToken": _BEARER},
        "security": [{"BearerToken": []}],
    }


_BEARER = {
    "type": "apiKey",
    "description": "Bearer Token authentication",
    "name": "authorization",
    "in": "header",
}


_ROOTS = {
    "api": f"{_META}APIVersions",
    "apis": f"{_META}APIGroupList",
    "version": "io.k8s.apimachinery.pkg.version.Info",
}


def _root(name: str) -> Document:
    """The operation of a path above the resources."""
    depth = name.count("/")
    found = _ROOTS.get(name, "")
    if name.startswith("api") and depth:
        group = name.startswith("apis/") and depth == 1
        found = f"{_META}{'APIGroup' if group else 'APIResourceList'}"
    content = {"content": {_JSON: {"schema": {"$ref": _V3 + found}}}} if found else {}
    response = {"200": {"description": "OK"} | content}
    return {"get": {"operationId": f"get/{name}", "responses": response}}


def v2_protobuf() -> bytes:
    """The head of the v2 document as gnostic's ``openapi.v2.Document``; it has no paths.

    kubectl 1.37 asks for it only where a user wants explanations from v2.
    """

    def field(number: int, value: bytes) -> bytes:
        return bytes([number << 3 | 2, len(value)]) + value

    info = field(1, INFO["title"].encode()) + field(2, INFO["version"].encode())
    return field(1, b"2.0") + field(2, info) + field(8, b"")


def _rows(catalog: Catalog, name: str) -> list[Resource]:
    prefix, _, version = name.rpartition("/")
    group = prefix.removeprefix("api").removeprefix("s").strip("/")
    return [row for row in catalog if (row.group, row.version) == (group, version)]


def _paths(resource: Resource) -> Iterator[tuple[str, Document]]:
    """The paths of a resource and their operations."""
    group, version = resource.group, resource.version
    root = f"/apis/{group}/{version}" if group else f"/api/{version}"
    home = f"{root}/namespaces/{{namespace}}" if resource.namespaced else root
    verbs, plural = resource.verbs, resource.plural
    for place in dict.fromkeys((root, home)):
        own = place == home
        wanted = ("list", "create", "deletecollection") if own else ("list",)
        if collection := [verb for verb in wanted if verb in verbs]:
            yield f"{place}/{plural}", _item(resource, collection, "")
        if "watch" in verbs:
            below = place.removeprefix(root)
            yield f"{root}/watch{below}/{plural}", _item(resource, ["watchlist"], "")
    named = [verb for verb in ("get", "update", "patch", "delete") if verb in verbs]
    if named:
        yield f"{home}/{plural}/{{name}}", _item(resource, named, "")
    if "watch" in verbs:
        below = home.removeprefix(root)
        yield f"{root}/watch{below}/{plural}/{{name}}", _item(resource, ["watch"], "")
    for name, sub in resource.subresources.items():
        path = f"{home}/{plural}/{{name}}/{name}"
        yield path, _item(resource, list(sub.verbs), name)
        if name == "proxy":
            yield f"{path}/{{path}}", _item(resource, list(sub.verbs), name)


def _item(resource: Resource, verbs: Sequence[str], sub: str) -> Document:
    return {_METHODS[verb]: _operation(resource, verb, sub) for verb in verbs}


_BODIES = {
    "patch": f"{_META}Patch",
    "delete": f"{_META}DeleteOptions",
    "deletecollection": f"{_META}DeleteOptions",
}
_RESULTS = dict.fromkeys(("watch", "watchlist"), f"{_META}WatchEvent")
_RESULTS |= dict.fromkeys(("delete", "deletecollection"), f"{_META}Status")


def _operation(resource: Resource, verb: str, sub: str) -> Document:
    """What a method of a path does, as OpenAPI v3 has it."""
    below = resource.subresources.get(sub)
    own = below if below and below.group else resource
    kind = below.kind if below else resource.kind
    listed = resource.list_kind if verb == "list" else kind
    name = _definition(resource, own.group, own.version, listed)
    body = _BODIES.get(verb, name if verb in {"create", "update"} else "")
    found = _RESULTS.get(verb, name)
    action = {"create": "post", "update": "put"}.get(verb, verb)
    if sub in {"attach", "exec", "portforward", "proxy"}:
        action, body, found = "connect", "", ""
    response: Document = {"description": "OK"}
    if found:
        response["content"] = {_JSON: {"schema": {"$ref": _V3 + found}}}
    result: Document = {
        "operationId": f"{verb}/{resource.api_version}/{resource.plural}/{sub}".rstrip("/"),
        "parameters": [_parameter(row) for row in _PARAMETERS.get(verb, ())],
        "responses": {"200": response},
        "x-kubernetes-action": action,
        _GVK: {"group": own.group, "version": own.version, "kind": kind},
    }
    if body:
        types = _PATCHES[: 3 if resource.custom else 4] if verb == "patch" else ("*/*",)
        schema = {"schema": {"$ref": _V3 + body}}
        result["requestBody"] = {"content": dict.fromkeys(types, schema)}
    return result


def _parameter(name: str) -> Document:
    return {"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}}


def _as_v2(item: Document) -> Document:
    """A path's operations as OpenAPI v2 has them, parameters and bodies left out."""
    result: Document = {}
    for method, operation in item.items():
        response: Document = {"description": "OK"}
        for content in operation["responses"]["200"].get("content", {}).values():
            reference = content["schema"]["$ref"].replace(_V3, schemas.PREFIX)
            response["schema"] = {"$ref": reference}
        kept = {k: v for k, v in operation.items() if k not in {"parameters", "requestBody"}}
        result[method] = kept | {"responses": {"200": response}}
    return result


def _definition(resource: Resource, group: str, version: str, kind: str) -> str:
    if resource.custom is None or group != resource.group:
        return schemas.name_of(group, version, kind)
    return _custom_name(resource, kind)


def _custom_name(resource: Resource, kind: str) -> str:
    return ".".join([*reversed(resource.group.split(".")), resource.version, kind])


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
        result[name] = {**schemas.schema_of(row), _GVK: [kinds | {"kind": row.kind}]}
        items = {"type": "array", "items": {"$ref": schemas.PREFIX + name}}
        metadata = {"$ref": f"{schemas.PREFIX}{_META}ListMeta"}
        properties = {"apiVersion": text, "items": items, "kind": text, "metadata": metadata}
        listed = {"type": "object", "required": ["items"], "properties": properties}
        result[_custom_name(row, row.list_kind)] = listed | {
            _GVK: [kinds | {"kind": row.list_kind}]
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
    if _GVK in schema:
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
