"""The kinds that are served, one row each in ``data/resources.txt``.

Discovery, OpenAPI, routing, authorization and storage are all driven by that table, and by what
CustomResourceDefinitions add to a :class:`Catalog`. A kind in neither does not exist.
"""

import base64
import hashlib
import importlib.resources
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
_READ_WRITE = ("get", "patch", "update")
_CONNECT = ("create", "get")
_EVERY_METHOD = ("create", "delete", "get", "patch", "update")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subresource:
    """A path below an object, e.g. ``pods/log``; ``group`` and ``version`` are empty for those of
    the object."""

    name: str
    kind: str
    verbs: tuple[str, ...]
    group: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Custom:
    """What a CustomResourceDefinition says of one of its versions."""

    schema: Mapping[str, Any]
    columns: tuple[Mapping[str, Any], ...] = ()
    selectable: tuple[str, ...] = ()
    scale: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One kind in one version, as discovery describes it.

    ``storage`` names the resource whose objects these are, when they are another group's;
    ``storage_version`` the version that they are kept in.
    """

    group: str
    version: str = "v1"
    plural: str
    kind: str
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    subresources: Mapping[str, Subresource] = field(default_factory=dict, hash=False)
    storage: str = ""
    storage_version: str = ""
    generations: bool = False
    made_by_put: bool = False
    shown_deleted: bool = False
    selectable: tuple[str, ...] = ()
    singular: str = ""
    list_kind: str = ""
    custom: Custom | None = field(default=None, hash=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "singular", self.singular or self.kind.lower())
        object.__setattr__(self, "list_kind", self.list_kind or f"{self.kind}List")
        object.__setattr__(self, "storage", self.storage or self.qualified)

    @property
    def api_version(self) -> str:
        """``v1`` or ``apps/v1``."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """``pods`` or ``deployments.apps``, as messages name it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def stored(self) -> bool:
        """Whether objects of it are kept; reviews are not."""
        return "delete" in self.verbs

    @property
    def storage_hash(self) -> str:
        """``storageVersionHash`` of discovery (apiserver ``discovery.StorageVersionHash``)."""
        group = self.storage.partition(".")[2]
        name = f"{group}/{self.storage_version or self.version}/{self.kind}"
        return base64.b64encode(hashlib.sha256(name.encode()).digest()[:8]).decode()


_FLAGS = {"-": "namespaced", "#": "generations", "+": "made_by_put", "*": "shown_deleted"}
_LISTS = {"=": "short_names", "@": "categories", "!": "verbs", "?": "selectable"}


def _row(group: str, version: str, text: str) -> Resource:
    """Read a row, as the head of the file explains it."""
    plural, kind, *words = text.split()
    given: dict[str, Any] = {}
    subresources: dict[str, Subresource] = {}
    for word in words:
        mark, rest = word[0], word[1:]
        if mark in _FLAGS:
            given[_FLAGS[mark]] = mark != "-"
        elif mark in _LISTS:
            given[_LISTS[mark]] = tuple(rest.split(","))
        elif mark == ">":
            given["storage"], _, given["storage_version"] = rest.partition("/")
        else:
            name, sub_kind, verbs, place = (*rest.split(":"), "", "", "")[:4]
            sub_group, _, sub_version = place.partition("/")
            subresources[name] = Subresource(
                name=name,
                kind=sub_kind or kind,
                verbs=_VERBS.get(verbs) or tuple(verbs.split(",")),
                group=sub_group,
                version=sub_version,
            )
    return Resource(
        group=group, version=version, plural=plural, kind=kind, subresources=subresources, **given
    )


_VERBS = {"": _READ_WRITE, "connect": _CONNECT, "every": _EVERY_METHOD}


def _read() -> Iterator[Resource]:
    """The rows of ``data/resources.txt``, groups in the order of discovery."""
    path = importlib.resources.files(__package__) / "data" / "resources.txt"
    group = version = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith(" "):
            yield _row(group, version, line)
        elif not line.startswith("#"):
            group, _, version = line.rpartition("/")


RESOURCES: tuple[Resource, ...] = tuple(_read())
_BY_PATH = {(row.group, row.version, row.plural): row for row in RESOURCES}


def _named(plurals: str, group: str = "") -> tuple[Resource, ...]:
    return tuple(_BY_PATH[group, "v1", plural] for plural in plurals.split())


BINDINGS, COMPONENT_STATUSES, CONFIG_MAPS = _named("bindings componentstatuses configmaps")
ENDPOINTS, EVENTS, LIMIT_RANGES = _named("endpoints events limitranges")
NAMESPACES, NODES, PODS = _named("namespaces nodes pods")
RESOURCE_QUOTAS, SECRETS, SERVICE_ACCOUNTS = _named("resourcequotas secrets serviceaccounts")
SERVICES, CLAIMS = _named("services persistentvolumeclaims")
DAEMON_SETS, DEPLOYMENTS, REPLICA_SETS = _named("daemonsets deployments replicasets", "apps")
(STATEFUL_SETS,) = _named("statefulsets", "apps")
(JOBS,) = _named("jobs", "batch")
(ENDPOINT_SLICES,) = _named("endpointslices", "discovery.k8s.io")
(LEASES,) = _named("leases", "coordination.k8s.io")
ROLES, ROLE_BINDINGS, CLUSTER_ROLES = _named(
    "roles rolebindings clusterroles", "rbac.authorization.k8s.io"
)
(CLUSTER_ROLE_BINDINGS,) = _named("clusterrolebindings", "rbac.authorization.k8s.io")
(CUSTOM_RESOURCE_DEFINITIONS,) = _named("customresourcedefinitions", "apiextensions.k8s.io")
(DISRUPTION_BUDGETS,) = _named("poddisruptionbudgets", "policy")
(PRIORITY_CLASSES,) = _named("priorityclasses", "scheduling.k8s.io")
(RUNTIME_CLASSES,) = _named("runtimeclasses", "node.k8s.io")
(CERTIFICATE_SIGNING_REQUESTS,) = _named("certificatesigningrequests", "certificates.k8s.io")
TOKEN_REVIEWS, SELF_SUBJECT_REVIEWS = _named(
    "tokenreviews selfsubjectreviews", "authentication.k8s.io"
)
LOCAL_SUBJECT_ACCESS_REVIEWS, SELF_SUBJECT_ACCESS_REVIEWS, SELF_SUBJECT_RULES_REVIEWS = _named(
    "localsubjectaccessreviews selfsubjectaccessreviews selfsubjectrulesreviews",
    "authorization.k8s.io",
)


class Catalog:
    """The resources of one demo: the table above, and those of CustomResourceDefinitions."""

    def __init__(self) -> None:
        self._rows = dict(_BY_PATH)
        self.revision = 0
        """How often the custom resources changed."""

    def __iter__(self) -> Iterator[Resource]:
        """Every resource, the preferred version of a group first."""
        return iter(self._rows.values())

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        """The resource that a path names, or None."""
        return self._rows.get((group, version, plural))

    def stored(self) -> list[Resource]:
        """One resource for each kind of object that is kept, in the version that is kept."""
        return [
            row
            for row in self
            if row.stored
            and row.storage == row.qualified
            and row.storage_version in {"", row.version}
        ]

    def groups(self) -> dict[str, list[str]]:
        """The API groups and their versions, the preferred one first."""
        groups: dict[str, list[str]] = {}
        for group, version, _ in self._rows:
            versions = groups.setdefault(group, [])
            if version not in versions:
                versions.append(version)
        return groups

    def replace_custom(self, rows: list[Resource]) -> None:
        """Serve these custom resources, and no others."""
        custom = {(row.group, row.version, row.plural): row for row in rows}
        self._rows = dict(_BY_PATH) | custom
        self.revision += 1
