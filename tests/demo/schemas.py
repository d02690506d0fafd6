"""Generates the demo's schemas: ``python -m tests.demo.schemas`` writes them anew.

The source is the JSON Schemas of Kubernetes 1.36 that the package kubernetes-validate (a test
dependency) carries, made from ``api/openapi-spec/swagger.json`` of kubernetes/kubernetes: Apache
License 2.0, Copyright The Kubernetes Authors. What turned them into JSON Schema is undone, and what
the demo does not serve is left out. Descriptions go into a file of their own: only explanations
need them.
"""

import gzip
import importlib.resources
import json
from pathlib import Path
from typing import Any

from kubelatch.demo.resources import RESOURCES
from kubelatch.demo.schemas import short_name

from .field_order import ordered

DATA = Path(__file__).parents[2] / "proxy" / "kubelatch" / "demo" / "data"
_SOURCE = "kubernetes-json-schema/v1.36.0-local/_definitions.json"
_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_ALWAYS = (
    *("APIGroup", "APIGroupList", "APIResourceList", "APIVersions", "DeleteOptions", "Patch"),
    *("Status", "WatchEvent"),
)
_INT_OR_STRING = {"type": "string", "format": "int-or-string"}
_REPLACED = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {"type": "string"},
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": _INT_OR_STRING,
}


def definitions() -> dict[str, Any]:
    """The definitions of OpenAPI v2 for all that the demo serves."""
    package = importlib.resources.files("kubernetes_validate")
    source = json.loads((package / _SOURCE).read_text(encoding="utf-8"))["$defs"]
    found: dict[str, Any] = {}
    wanted = [f"{_META}{name}" for name in _ALWAYS] + ["io.k8s.apimachinery.pkg.version.Info"]
    kinds = {(row.group, row.version, row.kind) for row in RESOURCES}
    kinds |= {(row.group, row.version, row.list_kind) for row in RESOURCES}
    for row in RESOURCES:
        for sub in row.subresources.values():
            kinds.add((sub.group or row.group, sub.version or row.version, sub.kind))
    for name, schema in source.items():
        rows = schema.get("x-kubernetes-group-version-kind") or []
        if any((row["group"], row["version"], row["kind"]) in kinds for row in rows):
            wanted.append(name)
    while wanted:
        name = wanted.pop()
        if name in found:
            continue
        schema = _restored(source[name])
        if name in _REPLACED:
            about = {"description": schema["description"]} if "description" in schema else {}
            schema = about | _REPLACED[name]
        if "properties" in schema:
            rows = schema["properties"]
            schema["properties"] = {key: rows[key] for key in ordered(short_name(name), list(rows))}
        found[name] = schema
        wanted += _references(schema)
    return dict(sorted(found.items()))


def _restored(schema: Any) -> Any:
    """A schema without what is JSON Schema's: ``null`` as a type, and fixed kinds and versions."""
    if isinstance(schema, list):
        return [_restored(row) for row in schema]
    if not isinstance(schema, dict):
        return schema
    result: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "type" and isinstance(value, list):
            result[key] = value[0]
        elif key == "$ref":
            result[key] = value.replace("#/$defs/", "#/definitions/")
        elif key == "properties":
            result[key] = {name: _restored(row) for name, row in value.items()}
            for name in ("apiVersion", "kind"):
                result[key].get(name, {}).pop("enum", None)
        else:
            result[key] = _restored(value)
    return result


def _references(schema: Any) -> list[str]:
    if isinstance(schema, list):
        return [name for row in schema for name in _references(row)]
    if not isinstance(schema, dict):
        return []
    own = [schema["$ref"].rpartition("/")[2]] if isinstance(schema.get("$ref"), str) else []
    return own + [name for row in schema.values() for name in _references(row)]


def split(schemas: dict[str, Any]) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """The schemas without descriptions, and the descriptions: the own, then the properties'."""
    bare: dict[str, Any] = {}
    texts: dict[str, list[str]] = {}
    for name, schema in schemas.items():
        texts[name] = [schema.get("description", "")]
        bare[name] = {key: value for key, value in schema.items() if key != "description"}
        if "properties" not in schema:
            continue
        properties = schema["properties"]
        texts[name] += [row.get("description", "") for row in properties.values()]
        bare[name]["properties"] = {
            key: {k: v for k, v in row.items() if k != "description"}
            for key, row in properties.items()
        }
    return bare, texts


def packed(value: Any) -> bytes:
    """As the file has it: the same bytes for the same content."""
    return gzip.compress(json.dumps(value, separators=(",", ":")).encode(), mtime=0)


def main() -> None:
    DATA.mkdir(exist_ok=True)
    schemas, texts = split(definitions())
    (DATA / "schemas.json.gz").write_bytes(packed(schemas))
    (DATA / "descriptions.json.gz").write_bytes(packed(texts))


if __name__ == "__main__":
    main()
