"""CustomResourceDefinitions and their objects: resources, pruning, validation by structural schema.

What is left out: CEL rules (``x-kubernetes-validations``) and conversion by webhook. A definition
that has either gets a warning.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from .decoding import DecodeError, Decoder, Repeating
from .resources import CUSTOM_RESOURCE_DEFINITIONS, Catalog, Custom, Resource, Subresource
from .schemas import OBJECT_META, PREFIX, Schema
from .status import Object
from .store import Store
from .texts import invalid, quoted, unsupported

FINALIZER = "customresourcecleanup.apiextensions.k8s.io"
_VERBS = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")
_READ_WRITE = ("get", "patch", "update")
_PRESERVE = "x-kubernetes-preserve-unknown-fields"
_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
}
_NOT_EVALUATED = (
    ("x-kubernetes-validations", "rules in x-kubernetes-validations are not evaluated by the demo"),
    ("webhook", "conversion webhooks are not called by the demo"),
)

Found = Iterator[tuple[str, str]]


def serve(store: Store, catalog: Catalog) -> None:
    """Make the catalog have what the stored definitions define."""
    rows: list[Resource] = []
    for definition in store.list(CUSTOM_RESOURCE_DEFINITIONS):
        rows += resources(definition)
    catalog.replace_custom(rows)


def resources(definition: Object) -> list[Resource]:
    """The resources of a definition: one for each version that is served, the newest first."""
    spec = definition["spec"]
    names, group = spec["names"], spec["group"]
    versions = sorted(spec["versions"], key=lambda row: _age(row["name"]))
    stored = next((row["name"] for row in versions if row.get("storage")), "")
    return [
        Resource(
            group=group,
            version=row["name"],
            plural=names["plural"],
            kind=names["kind"],
            namespaced=spec["scope"] == "Namespaced",
            short_names=tuple(names.get("shortNames") or ()),
            categories=tuple(names.get("categories") or ()),
            verbs=_VERBS,
            subresources=_subresources(row, names["kind"]),
            storage=f"{names['plural']}.{group}",
            storage_version=stored,
            singular=names.get("singular", ""),
            list_kind=names.get("listKind", ""),
            custom=Custom(
                schema=(row.get("schema") or {}).get("openAPIV3Schema") or {},
                columns=tuple(row.get("additionalPrinterColumns") or ()),
                scale=(row.get("subresources") or {}).get("scale"),
            ),
        )
        for row in versions
        if row.get("served")
    ]


def _age(version: str) -> tuple[int, int, int, str]:
    """Sorts ``v2`` before ``v1`` before ``v2beta1``, and others last (``version.CompareKube``)."""
    match = re.fullmatch(r"v(\d+)(?:(alpha|beta)(\d+))?", version)
    if match is None:
        return 3, 0, 0, version
    stage = {"": 0, "beta": 1, "alpha": 2}[match[2] or ""]
    return stage, -int(match[1]), -int(match[3] or 0), version


def _subresources(version: Object, kind: str) -> dict[str, Subresource]:
    given = version.get("subresources") or {}
    found: dict[str, Subresource] = {}
    if given.get("status") is not None:
        found["status"] = Subresource(name="status", kind=kind, verbs=_READ_WRITE)
    if given.get("scale") is not None:
        found["scale"] = Subresource(
            name="scale", kind="Scale", verbs=_READ_WRITE, group="autoscaling", version="v1"
        )
    return found


def warnings(definition: Object) -> list[str]:
    """What of a definition is not carried out here."""
    text = json.dumps(definition.get("spec"))
    return [about for key, about in _NOT_EVALUATED if f'"{key}":' in text]


def prune(resource: Resource, obj: Object) -> tuple[Object, list[str]]:
    """An object without the fields that its schema does not have, and what is wrong with those.

    Raises:
        DecodeError: for metadata of another shape.
    """
    schema = resource.custom.schema if resource.custom else {}
    problems: list[str] = []
    pruned = _prune(schema, obj, "", problems, known={"apiVersion", "kind", "metadata"})
    if not isinstance(pruned.get("metadata") or {}, dict):
        raise DecodeError("metadata is no object")
    decoder = Decoder()
    if "metadata" in pruned:
        metadata: Schema = {"$ref": PREFIX + OBJECT_META}
        pruned["metadata"] = decoder.decode(metadata, pruned["metadata"] or {})
    return pruned, problems + [row.replace('"', '"metadata.', 1) for row in decoder.problems]


def _prune(
    schema: Schema, value: Any, label: str, problems: list[str], known: set[str] | None = None
) -> Any:
    if isinstance(value, list):
        items = schema.get("items")
        if not isinstance(items, dict):
            return value
        return [
            _prune(items, item, f"{label}[{index}]", problems) for index, item in enumerate(value)
        ]
    if not isinstance(value, dict):
        return value
    if isinstance(value, Repeating):
        problems += [f'duplicate field "{_join(label, key)}"' for key in value.repeated]
    if schema.get("x-kubernetes-embedded-resource"):
        known = (known or set()) | {"apiVersion", "kind", "metadata"}
    properties, rest = schema.get("properties") or {}, schema.get("additionalProperties")
    result: Object = {}
    for key, item in value.items():
        here = _join(label, key)
        if key in properties:
            if item is None and not properties[key].get("nullable"):
                continue
            result[key] = _prune(properties[key], item, here, problems)
        elif isinstance(rest, dict):
            result[key] = _prune(rest, item, here, problems)
        elif key in (known or ()) or rest is True or schema.get(_PRESERVE):
            result[key] = item
        else:
            problems.append(f'unknown field "{here}"')
    return result


def validate(resource: Resource, obj: Object) -> Found:
    """The problems of an object by its schema (kube-openapi ``validation/validate``)."""
    if resource.custom is not None:
        found = _validate(resource.custom.schema, obj, "")
        yield from sorted(found, key=lambda problem: problem[1])


def _validate(schema: Schema, value: Any, field: str) -> Found:
    if value is None and schema.get("nullable"):
        return
    kind = schema.get("type")
    if schema.get("x-kubernetes-int-or-string"):
        if isinstance(value, bool) or not isinstance(value, int | str):
            yield field, _wrong_type(value, field, "integer,string")
        return
    if kind and not _is(value, str(kind)):
        yield field, _wrong_type(value, field, str(kind))
        return
    if "enum" in schema and value not in schema["enum"]:
        yield field, unsupported(value, schema["enum"])
    if isinstance(value, bool):
        pass
    elif isinstance(value, int | float):
        yield from ((field, text) for text in _number(schema, value, field))
    elif isinstance(value, str):
        yield from ((field, text) for text in _string(schema, value, field))
    elif isinstance(value, list):
        yield from ((field, text) for text in _list(schema, value, field))
        for index, item in enumerate(value):
            yield from _validate(schema.get("items") or {}, item, f"{field}[{index}]")
    elif isinstance(value, dict):
        yield from _object(schema, value, field)
    yield from _combined(schema, value, field)


def _object(schema: Schema, value: Object, field: str) -> Found:
    for key in schema.get("required") or ():
        if key not in value:
            yield _join(field, key), "Required value"
    properties, rest = schema.get("properties") or {}, schema.get("additionalProperties")
    for key, item in value.items():
        if not field and key in {"apiVersion", "kind", "metadata"}:
            continue
        if key in properties:
            yield from _validate(properties[key], item, _join(field, key))
        elif isinstance(rest, dict):
            yield from _validate(rest, item, _join(field, key))
    if len(value) > schema.get("maxProperties", len(value)):
        yield field, f"Too many: {len(value)}: must have at most {schema['maxProperties']} items"
    if len(value) < schema.get("minProperties", 0):
        text = f"{field} in body should have at least {schema['minProperties']} properties"
        yield field, invalid(value, text)


def _combined(schema: Schema, value: Any, field: str) -> Found:
    for row in schema.get("allOf") or ():
        yield from _validate(row, value, field)
    for key in ("anyOf", "oneOf"):
        rows = schema.get(key)
        if rows is None:
            continue
        held = sum(not list(_validate(row, value, field)) for row in rows)
        if not held or (key == "oneOf" and held > 1):
            text = f'"{field}" must validate one and only one schema (oneOf)'
            if key == "anyOf":
                text = f'"{field}" must validate at least one schema (anyOf)'
            yield field, invalid(value, text)
    if "not" in schema and not list(_validate(schema["not"], value, field)):
        yield field, invalid(value, f'"{field}" must not validate the schema (not)')


def _number(schema: Schema, value: float, field: str) -> Iterator[str]:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and (value < low or (schema.get("exclusiveMinimum") and value == low)):
        than = "greater than" if schema.get("exclusiveMinimum") else "greater than or equal to"
        yield invalid(value, f"{field} in body should be {than} {low}")
    if high is not None and (value > high or (schema.get("exclusiveMaximum") and value == high)):
        than = "less than" if schema.get("exclusiveMaximum") else "less than or equal to"
        yield invalid(value, f"{field} in body should be {than} {high}")
    if (step := schema.get("multipleOf")) and value % step:
        yield invalid(value, f"{field} in body should be a multiple of {step}")


def _string(schema: Schema, value: str, field: str) -> Iterator[str]:
    if len(value) > schema.get("maxLength", len(value)):
        yield f"Too long: may not be more than {schema['maxLength']} bytes"
    if len(value) < schema.get("minLength", 0):
        text = f"{field} in body should be at least {schema['minLength']} chars long"
        yield invalid(value, text)
    if (pattern := schema.get("pattern")) and not _matches(str(pattern), value):
        yield invalid(value, f"{field} in body should match '{pattern}'")


def _matches(pattern: str, value: str) -> bool:
    """Whether a pattern of Go's dialect matches; in linear time where there is such an engine."""
    try:
        import re2 as engine  # noqa: PLC0415 - not there for every Python
    except ImportError:
        engine = re
    try:
        return engine.search(pattern, value) is not None
    except engine.error:
        return False


def _list(schema: Schema, value: list[Any], field: str) -> Iterator[str]:
    if len(value) > schema.get("maxItems", len(value)):
        yield f"Too many: {len(value)}: must have at most {schema['maxItems']} items"
    if len(value) < schema.get("minItems", 0):
        yield invalid(
            len(value), f"{field} in body should have at least {schema['minItems']} items"
        )
    if schema.get("uniqueItems") and len({quoted(item) for item in value}) < len(value):
        yield invalid(value, f"{field} in body shouldn't contain duplicates")


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES.get(kind, (object,)))


def _wrong_type(value: Any, field: str, wanted: str) -> str:
    found = next((name for name in _TYPES if _is(value, name)), "null")
    text = f"{field or '<root>'} in body must be of type {wanted}"
    return f'Invalid value: "{found}": {text}: "{found}"'


def _join(field: str, key: str) -> str:
    return f"{field}.{key}" if field else key


def settle(store: Store) -> None:
    """The controllers of definitions: names are accepted, and a definition is established."""
    for definition in store.list(CUSTOM_RESOURCE_DEFINITIONS):
        metadata, status = definition["metadata"], definition.get("status") or {}
        if metadata.get("deletionTimestamp") or status.get("conditions"):
            continue
        now = store.now()
        rows = (
            ("NamesAccepted", "NoConflicts", "no conflicts found"),
            ("Established", "InitialNamesAccepted", "the initial names have been accepted"),
        )
        conditions = [condition(now, *row) for row in rows]
        names = definition["spec"]["names"]
        finalizers = [*(metadata.get("finalizers") or []), FINALIZER]
        store.replace(
            CUSTOM_RESOURCE_DEFINITIONS,
            definition
            | {
                "metadata": metadata | {"finalizers": finalizers},
                "status": status | {"conditions": conditions, "acceptedNames": names},
            },
            by="kube-apiserver",
            through="status",
        )


def condition(now: str, kind: str, reason: str, message: str) -> Object:
    """A condition that holds."""
    return {
        "type": kind,
        "status": "True",
        "lastTransitionTime": now,
        "reason": reason,
        "message": message,
    }
