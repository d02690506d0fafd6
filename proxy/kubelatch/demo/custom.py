"""CustomResourceDefinitions and their objects: resources, pruning, validation by structural schema.

What is left out, and said in a warning to who makes a definition with it: rules in CEL and
combinations of schemas (``x-kubernetes-validations``, ``allOf`` and the like), webhooks.
"""

import json
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from .decoding import BodyDecodeError, Decoder, Repeating
from .resources import CUSTOM_RESOURCE_DEFINITIONS, Catalog, Custom, Resource, Subresource
from .schemas import OBJECT_META, PREFIX, Schema
from .status import Object
from .store import Store
from .texts import Found, invalid, join, unsupported

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
_NOT_EVALUATED = ("x-kubernetes-validations", "allOf", "anyOf", "oneOf", "not", "webhook")


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
    found = [key for key in _NOT_EVALUATED if f'"{key}":' in text]
    return [f"{', '.join(found)}: not evaluated by the demo"] if found else []


def prune(resource: Resource, obj: Object) -> tuple[Object, list[str]]:
    """An object without the fields that its schema does not have, and what is wrong with those.

    Raises:
        DecodeError: for metadata of another shape.
    """
    schema = resource.custom.schema if resource.custom else {}
    problems: list[str] = []
    pruned = _prune(schema, obj, "", problems, known={"apiVersion", "kind", "metadata"})
    if not isinstance(pruned.get("metadata") or {}, dict):
        raise BodyDecodeError("metadata is no object")
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
        problems += [f'duplicate field "{join(label, key)}"' for key in value.repeated]
    if schema.get("x-kubernetes-embedded-resource"):
        known = (known or set()) | {"apiVersion", "kind", "metadata"}
    properties, rest = schema.get("properties") or {}, schema.get("additionalProperties")
    result: Object = {}
    for key, item in value.items():
        here = join(label, key)
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


_BOUNDS: tuple[tuple[str, type, Callable[[Any, Any], bool], str], ...] = (
    ("minimum", float, operator.lt, "{0} in body should be greater than or equal to {1}"),
    ("maximum", float, operator.gt, "{0} in body should be less than or equal to {1}"),
    ("minLength", str, lambda v, n: len(v) < n, "{0} in body should be at least {1} chars long"),
    ("pattern", str, lambda v, p: not _matches(p, v), "{0} in body should match '{1}'"),
    ("minItems", list, lambda v, n: len(v) < n, "{0} in body should have at least {1} items"),
)
"""Keywords, the types that they are for, when they do not hold, and what is said then."""
_SIZES = (
    ("maxLength", str, "Too long: may not be more than {1} bytes"),
    ("maxItems", list, "Too many: {0}: must have at most {1} items"),
)


def _validate(schema: Schema, value: Any, field: str) -> Found:
    wanted = "string" if schema.get("x-kubernetes-int-or-string") else str(schema.get("type", ""))
    either = wanted == "string" and _is(value, "integer") and wanted != schema.get("type")
    if (value is None and schema.get("nullable")) or either:
        return
    if wanted and not _is(value, wanted):
        found = next((name for name in _TYPES if _is(value, name)), "null")
        text = f"{field or '<root>'} in body must be of type {wanted}"
        yield field, f'Invalid value: "{found}": {text}: "{found}"'
        return
    if "enum" in schema and value not in schema["enum"]:
        yield field, unsupported(value, schema["enum"])
    kind = float if _is(value, "number") else type(value)
    for key, applies, broken, text in _BOUNDS:
        if key in schema and applies is kind and broken(value, schema[key]):
            yield field, invalid(value, text.format(field, schema[key]))
    for key, applies, text in _SIZES:
        if key in schema and applies is kind and len(value) > schema[key]:
            yield field, text.format(len(value), schema[key])
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _validate(schema.get("items") or {}, item, f"{field}[{index}]")
    elif isinstance(value, dict):
        yield from _object(schema, value, field)


def _object(schema: Schema, value: Object, field: str) -> Found:
    for key in schema.get("required") or ():
        if key not in value:
            yield join(field, key), "Required value"
    properties, rest = schema.get("properties") or {}, schema.get("additionalProperties")
    for key, item in value.items():
        if field or key not in {"apiVersion", "kind", "metadata"}:
            row = properties.get(key) or (rest if isinstance(rest, dict) else {})
            yield from _validate(row, item, join(field, key))


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


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    return isinstance(value, _TYPES.get(kind, (object,)))


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
