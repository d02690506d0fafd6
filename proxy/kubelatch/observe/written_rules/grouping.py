"""Makes the fewest rules of permissions that allow these, and nothing else.

A rule allows each of its verbs with each of its resources, so only resources with the same verbs
share one. No permission is in two rules: without any verb of any rule something that was counted
would be refused. Pure.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from .dangers import danger_of
from .permissions import Permission


class NamedCount(NamedTuple):
    """How often something was asked for.

    Attributes:
        what: a resource or a path.
        verbs: each with its number, sorted.
    """

    what: str
    verbs: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenRule:
    """One rule; all fields are sorted.

    Attributes:
        danger: why it is dangerous; empty if it is not.
        counts: of each resource or path.
    """

    verbs: tuple[str, ...]
    groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()
    danger: str = ""
    counts: tuple[NamedCount, ...] = ()


@dataclass(frozen=True, slots=True)
class WrittenRole:
    """A Role, or a ClusterRole.

    Attributes:
        namespace: empty for a ClusterRole.
        rules: the dangerous ones last.
    """

    namespace: str
    rules: tuple[WrittenRule, ...]


def roles_of(counts: Mapping[Permission, int]) -> list[WrittenRole]:
    """The roles that allow these permissions; a ClusterRole first, then by namespace.

    Args:
        counts: how often each was needed.
    """
    by_namespace: dict[str, dict[Permission, int]] = defaultdict(dict)
    for permission, count in _without_covered(counts).items():
        by_namespace[permission.namespace][permission] = count
    return [WrittenRole(name, _rules(by_namespace[name])) for name in sorted(by_namespace)]


def _without_covered(counts: Mapping[Permission, int]) -> dict[Permission, int]:
    """Those that no other allows; the others' numbers are added to that which does."""
    kept: dict[Permission, int] = defaultdict(int)
    for permission, count in counts.items():
        covering = (each for each in permission.wider() if each in counts)
        kept[next(covering, permission)] += count
    return kept


def _rules(counts: Mapping[Permission, int]) -> tuple[WrittenRule, ...]:
    rules = [*_resource_rules(counts), *_url_rules(counts)]
    return tuple(
        sorted(
            rules,
            key=lambda rule: (bool(rule.danger), rule.urls, rule.groups, rule.resources,
                              rule.verbs, rule.names),
        )
    )  # fmt: skip


def _resource_rules(counts: Mapping[Permission, int]) -> Iterable[WrittenRule]:
    # The names that a verb needs, by danger, group and resource.
    names: dict[tuple[str, str, str], dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    totals: dict[tuple[str, str, str], int] = defaultdict(int)
    for permission, count in counts.items():
        if permission.path:
            continue
        _, group, resource, verb, name, _ = permission
        names[danger_of(permission), group, resource][verb] |= {name} if name else set()
        totals[group, resource, verb] += count
    # Resources with the same verbs of the same names, then groups with the same of these.
    resources: dict[tuple[str, str, tuple[str, ...], tuple[str, ...]], list[str]]
    resources = defaultdict(list)
    for (danger, group, resource), by_verb in names.items():
        verbs: dict[tuple[str, ...], list[str]] = defaultdict(list)
        for verb, needed in by_verb.items():
            verbs[tuple(sorted(needed))].append(verb)
        for needed_names, each in verbs.items():
            resources[danger, group, needed_names, tuple(sorted(each))].append(resource)
    groups: dict[tuple[str, tuple[str, ...], tuple[str, ...], tuple[str, ...]], list[str]]
    groups = defaultdict(list)
    for (danger, group, needed_names, each_verb), found in resources.items():
        groups[danger, needed_names, each_verb, tuple(sorted(found))].append(group)
    for (danger, needed_names, each_verb, each_resource), found in groups.items():
        yield WrittenRule(
            verbs=each_verb,
            groups=tuple(sorted(found)),
            resources=each_resource,
            names=needed_names,
            danger=danger,
            counts=tuple(
                NamedCount(
                    f"{resource}.{group}" if group and len(found) > 1 else resource,
                    tuple((verb, totals[group, resource, verb]) for verb in each_verb),
                )
                for group in sorted(found)
                for resource in each_resource
            ),
        )


def _url_rules(counts: Mapping[Permission, int]) -> Iterable[WrittenRule]:
    verbs: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    for permission, count in counts.items():
        if permission.path:
            verbs[danger_of(permission), permission.path][permission.verb] = count
    paths: dict[tuple[str, tuple[str, ...]], list[str]] = defaultdict(list)
    for (danger, path), by_verb in verbs.items():
        paths[danger, tuple(sorted(by_verb))].append(path)
    for (danger, each_verb), found in paths.items():
        yield WrittenRule(
            verbs=each_verb,
            urls=tuple(sorted(found)),
            danger=danger,
            counts=tuple(
                NamedCount(path, tuple(sorted(verbs[danger, path].items())))
                for path in sorted(found)
            ),
        )
