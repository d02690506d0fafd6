"""Parses the manifests of ``--allow-rules``: ordinary Roles and ClusterRoles.

Nothing is ignored, so that the policy is what a reader of the file expects: an unknown kind, an
unknown field, a duplicate key, a value of the wrong type, or a rule that the API server would not
store is an error at start, with file, document and field.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from ..errors import ConfigError
from ..kubeconfig import DISK, FileReader
from ..kubeconfig.decode import DecodeError, Scalar, decode_all
from ..redact import redact_path
from .rules import Rule, RuleSet

_API_VERSION: Final = "rbac.authorization.k8s.io/v1"
_LISTS: Final = {
    "List": "v1",
    "RoleList": _API_VERSION,
    "ClusterRoleList": _API_VERSION,
}
_RULE_FIELDS: Final = frozenset(
    {"apiGroups", "resources", "resourceNames", "verbs", "nonResourceURLs"}
)
# apimachinery ObjectMeta and ListMeta: what `kubectl get -o yaml` writes.
_METADATA_FIELDS: Final = frozenset(
    {
        "annotations",
        "continue",
        "creationTimestamp",
        "deletionGracePeriodSeconds",
        "deletionTimestamp",
        "finalizers",
        "generateName",
        "generation",
        "labels",
        "managedFields",
        "name",
        "namespace",
        "ownerReferences",
        "remainingItemCount",
        "resourceVersion",
        "selfLink",
        "uid",
    }
)


def load_rules(paths: Iterable[str], files: FileReader = DISK) -> RuleSet:
    """Read rule files, in order.

    Args:
        paths: the files.
        files: reads them.

    Raises:
        ConfigError: a file cannot be read, or is not made of valid Roles and ClusterRoles.
    """
    rules: list[Rule] = []
    warnings: list[str] = []
    for path in paths:
        try:
            text = files.read(path).decode()
        except OSError as error:
            raise ConfigError(
                f"--allow-rules {redact_path(path)}: {error.strerror}", cause="allow-rules"
            ) from None
        except UnicodeDecodeError:
            raise ConfigError(f"--allow-rules {path}: not UTF-8", cause="allow-rules") from None
        rules += parse_rules(text, path, warnings)
    return RuleSet(tuple(rules), tuple(warnings))


def parse_rules(text: str, source: str, warnings: list[str] | None = None) -> list[Rule]:
    """The rules of all documents of one manifest.

    Args:
        text: YAML, or JSON, which is YAML.
        source: the file's name, for messages.
        warnings: gets what its author should know.

    Raises:
        ConfigError: it is not made of valid Roles and ClusterRoles, or of none at all.
    """
    rules: list[Rule] = []
    roles = 0
    try:
        documents = decode_all(text.removeprefix("\ufeff").encode(), strict=True)
    except (DecodeError, UnicodeEncodeError) as error:
        where, _, problem = str(error).removeprefix("yaml: ").rpartition(": ")
        # Values are not quoted: the file may be another than was meant, with secrets.
        problem = re.sub("(?s)(alias|anchor|tag|handle) '.*", r"\1", problem)
        where = f" {where}:" if where else ""
        raise ConfigError(f"{source}:{where} not YAML: {problem}", cause="allow-rules") from None
    for number, document in enumerate(documents, start=1):
        if document is None:
            continue
        for place, role in _roles(_Position(f"{source}: document {number}"), document):
            roles += 1
            rules += _rules(place, role)
            if role.get("aggregationRule") is not None and warnings is not None:
                warnings.append(
                    f"{place.document}: aggregationRule: only the rules written out are in "
                    "force; later changes of the aggregated ClusterRoles are not followed"
                )
    if not roles:
        raise ConfigError(
            f"{source}: there is no Role or ClusterRole in it",
            hint="a file that allows nothing is more likely a mistake; "
            "write a ClusterRole with 'rules: []' if it is none",
            cause="allow-rules",
        )
    return rules


class _Position(NamedTuple):
    """Where in a manifest: file and document, and the field in it."""

    document: str
    field: str = ""

    def __truediv__(self, field: str | int) -> "_Position":
        if isinstance(field, int):
            return self._replace(field=f"{self.field}[{field}]")
        return self._replace(field=f"{self.field}.{field}" if self.field else field)

    def wrong(self, problem: str, hint: str = "") -> ConfigError:
        where = f"{self.document}: {self.field}" if self.field else self.document
        return ConfigError(f"{where}: {problem}", hint=hint, cause="allow-rules")


def _roles(place: _Position, document: Any) -> Iterator[tuple[_Position, dict[str, Any]]]:
    """The Roles and ClusterRoles in a document; those in a List too."""
    manifest = _mapping(place, document)
    kind = manifest.get("kind")
    if isinstance(kind, str) and kind in _LISTS:
        _check_fields(place, manifest, {"apiVersion", "kind", "metadata", "items"})
        _check_version(place, manifest, _LISTS[kind])
        _check_fields(place / "metadata", manifest.get("metadata") or {}, _METADATA_FIELDS)
        for index, item in enumerate(_sequence(place / "items", manifest.get("items"))):
            inner = dict(_mapping(place / "items" / index, item))
            if kind != "List":
                # The items of a typed list may omit kind and apiVersion.
                inner.setdefault("kind", kind.removesuffix("List"))
                inner.setdefault("apiVersion", _API_VERSION)
            yield from _roles(place / "items" / index, inner)
        return
    if kind not in ("Role", "ClusterRole"):
        raise place.wrong(
            f"kind is {_shown(kind)}, neither Role nor ClusterRole",
            "a binding is not needed: every client of the proxy has all the rules",
        )
    yield place, manifest


def _rules(place: _Position, manifest: dict[str, Any]) -> Iterator[Rule]:
    kind = manifest["kind"]
    known = {"apiVersion", "kind", "metadata", "rules"}
    if kind == "ClusterRole":
        known.add("aggregationRule")
        if manifest.get("aggregationRule") is not None:
            _check_aggregation(place, manifest)
    _check_fields(place, manifest, known)
    _check_version(place, manifest, _API_VERSION)
    metadata = _mapping(place / "metadata", manifest.get("metadata"))
    _check_fields(place / "metadata", metadata, _METADATA_FIELDS)
    name = _name(place / "metadata" / "name", metadata.get("name"))
    namespace = None
    if kind == "Role":
        namespace = _name(place / "metadata" / "namespace", metadata.get("namespace"))
    elif metadata.get("namespace"):
        raise (place / "metadata" / "namespace").wrong("a ClusterRole has no namespace")

    label = f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}"
    for index, item in enumerate(_sequence(place / "rules", manifest.get("rules"))):
        here = place / "rules" / index
        source = f"{place.document}: {label}, rules[{index}]"
        yield _rule(here, _mapping(here, item), source=source, namespace=namespace)


def _check_aggregation(place: _Position, manifest: dict[str, Any]) -> None:
    """An aggregated ClusterRole must have its rules written out, as the API server returns
    ``view``, ``edit`` and ``admin``."""
    rule = place / "aggregationRule"
    _check_fields(rule, manifest["aggregationRule"], {"clusterRoleSelectors"})
    if not _sequence(place / "rules", manifest.get("rules")):
        raise rule.wrong(
            "aggregation needs the cluster's other ClusterRoles and cannot be resolved here",
            "write the aggregated rules out: kubectl get clusterrole NAME -o yaml has them",
        )


def _rule(place: _Position, rule: dict[str, Any], *, source: str, namespace: str | None) -> Rule:
    """One rule, held to what the API server would store.

    (kubernetes/pkg/apis/rbac/validation/validation.go, ValidatePolicyRule)
    """
    _check_fields(place, rule, _RULE_FIELDS)
    values = {field: _strings(place / field, rule.get(field)) for field in _RULE_FIELDS}
    if not values["verbs"]:
        raise (place / "verbs").wrong("there must be at least one verb")
    if values["nonResourceURLs"]:
        if namespace is not None:
            raise (place / "nonResourceURLs").wrong("a Role cannot have them, a ClusterRole can")
        if values["apiGroups"] or values["resources"] or values["resourceNames"]:
            raise (place / "nonResourceURLs").wrong(
                "a rule is about either resources or non-resource URLs"
            )
    elif not values["apiGroups"]:
        raise (place / "apiGroups").wrong('there must be at least one; "" is the core group')
    elif not values["resources"]:
        raise (place / "resources").wrong("there must be at least one resource")
    return Rule(
        source=source,
        namespace=namespace,
        verbs=frozenset(values["verbs"]),
        groups=frozenset(values["apiGroups"]),
        resources=frozenset(values["resources"]),
        names=frozenset(values["resourceNames"]),
        urls=tuple(values["nonResourceURLs"]),
    )


def _check_fields(place: _Position, value: Any, known: Iterable[str]) -> None:
    for field in _mapping(place, value):
        if field not in known:
            raise (place / str(field)).wrong("unknown field")


def _check_version(place: _Position, manifest: dict[str, Any], expected: str) -> None:
    if manifest.get("apiVersion") != expected:
        found = _shown(manifest.get("apiVersion"))
        raise (place / "apiVersion").wrong(f"is {found}, not {expected}")


def _shown(value: Any) -> str:
    """A value as a message shows it: a number or a boolean as it was written."""
    return value.text if isinstance(value, Scalar) else repr(value)


def _mapping(place: _Position, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise place.wrong("is missing" if value is None else "is not a mapping")
    return value


def _sequence(place: _Position, value: Any) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise place.wrong("is not a list")
    return value


def _strings(place: _Position, value: Any) -> list[str]:
    for index, item in enumerate(_sequence(place, value)):
        if not isinstance(item, str):
            raise (place / index).wrong(f"is not a string: {_shown(item)}", "put it in quotes")
    return _sequence(place, value)


def _name(place: _Position, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise place.wrong("must be given" if not value else "is not a string")
    return value
