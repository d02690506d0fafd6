"""The OpenAPI definitions of what is served: a generated data file, read once when needed.

``tests/demo/schemas.py`` makes the files in ``data/`` from those of Kubernetes 1.36 (Apache License
2.0, Copyright The Kubernetes Authors).
"""

import functools
import gzip
import importlib.resources
import json
from collections.abc import Mapping
from typing import Any

from .resources import Resource, Subresource

Schema = Mapping[str, Any]

PREFIX = "#/definitions/"
_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
OBJECT_META = f"{_META}ObjectMeta"
_TYPE_META = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}}


@functools.cache
def definitions() -> Mapping[str, Schema]:
    """Every definition by name, without descriptions. Takes a few milliseconds the first time."""
    loaded: dict[str, Schema] = json.loads(text("schemas.json.gz"))
    return loaded


@functools.cache
def descriptions() -> Mapping[str, list[str]]:
    """By name: the description of a definition, then those of its properties in their order."""
    loaded: dict[str, list[str]] = json.loads(text("descriptions.json.gz"))
    return loaded


def described() -> dict[str, Any]:
    """Every definition with its descriptions."""
    result: dict[str, Any] = {}
    for name, schema in definitions().items():
        own, *texts = descriptions()[name]
        full = _with_text(own, schema)
        if "properties" in schema:
            rows = zip(texts, schema["properties"].items(), strict=True)
            full["properties"] = {key: _with_text(text, row) for text, (key, row) in rows}
        result[name] = full
    return result


@functools.cache
def _names() -> dict[tuple[str, str, str], str]:
    return {
        (row["group"], row["version"], row["kind"]): name
        for name, schema in definitions().items()
        for row in schema.get("x-kubernetes-group-version-kind") or []
    }


def name_of(group: str, version: str, kind: str) -> str:
    """The definition's name of a kind, or an empty one."""
    return _names().get((group, version, kind), "")


def schema_of(resource: Resource, subresource: Subresource | None = None) -> Schema:
    """What an object of ``resource``, or the body of one of its subresources, must look like."""
    if subresource is not None and subresource.kind != resource.kind:
        group, version = subresource.group, subresource.version
        kind = subresource.kind
        return _reference(group or resource.group, version or resource.version, kind)
    if resource.custom is None:
        return _reference(resource.group, resource.version, resource.kind)
    schema = resource.custom.schema
    properties = dict(schema.get("properties") or {}) | _TYPE_META
    return dict(schema) | {"properties": properties | {"metadata": {"$ref": PREFIX + OBJECT_META}}}


def _reference(group: str, version: str, kind: str) -> Schema:
    return {"$ref": PREFIX + name_of(group, version, kind)}


def resolve(schema: Schema) -> tuple[str, Schema]:
    """The name and content of the definition that a schema refers to; no name for another."""
    reference = schema.get("$ref")
    if reference is None:
        return "", schema
    name = reference.removeprefix(PREFIX)
    return name, definitions()[name]


def short_name(name: str) -> str:
    """A definition's name as the data files have it: ``core.v1.Pod``, and of others the end."""
    prefix = "io.k8s.api."
    return name.removeprefix(prefix) if name.startswith(prefix) else name.rpartition(".")[2]


def in_order(name: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """A struct with its fields in the order of its definition."""
    return {key: value[key] for key in definitions()[name]["properties"] if key in value}


def text(name: str) -> str:
    """A file of ``data/``, decompressed if its name says so."""
    content = (importlib.resources.files(__package__) / "data" / name).read_bytes()
    return (gzip.decompress(content) if name.endswith(".gz") else content).decode()


def _with_text(text: str, schema: Schema) -> dict[str, Any]:
    return ({"description": text} if text else {}) | dict(schema)
