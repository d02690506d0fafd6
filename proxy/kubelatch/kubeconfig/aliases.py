"""Aliases of contexts: names that can stand in a path and in a host name.

kubectl turns ``%2F`` in a server's URL into a slash, so names such as EKS's cannot be used as they
are. An alias never changes its meaning while a proxy runs, and never depends on an order.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from ..errors import UsageError
from ..redact import printable

ALL: Final = "all"
"""In ``--contexts``: every context of the kubeconfig."""

_ALIAS: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_OTHER: Final = re.compile(r"[^a-z0-9]+")
# Names that tools give, each with the cluster's own name in it. Google forbids underscores in
# names of projects, zones and clusters; `aws eks update-kubeconfig` writes the ARN, eksctl
# user@cluster.region.eksctl.io, and kubeadm, Cluster API, Talos and Tanzu user@cluster.
_FORMS: Final = (
    re.compile(r"arn:[a-z-]+:eks:[^:/]*:[^:/]*:cluster/(?P<cluster>[^/]+)"),
    re.compile(r"gke_[^_]+_[^_]+_(?P<cluster>[^_]+)"),
    re.compile(r".+@(?P<cluster>[^@.]+)\.[a-z0-9-]+\.eksctl\.io"),
    re.compile(r"[^/]+@(?P<cluster>[^@/]+)"),
)
_NAMED: Final = 2


class Selection(NamedTuple):
    """The contexts that ``--contexts`` asks for.

    Attributes:
        all: every context of the kubeconfig.
        named: alias and name of those that are named; an empty alias is made from the name.
    """

    all: bool
    named: tuple[tuple[str, str], ...]


def is_alias(text: str) -> bool:
    """Whether it has the form of an alias: a-z, 0-9 and dashes, none of these at an end; not
    ``all``, which means every one."""
    return text != ALL and _ALIAS.fullmatch(text) is not None


def alias_of(name: str) -> str:
    """The alias that is made from a context's name; empty if no letter or digit is left of it.

    It is the cluster's own name where the form of the name is known, such as ``prod`` of
    ``arn:aws:eks:eu-west-1:1234:cluster/prod``, and else the whole name.
    """
    for form in _FORMS:
        match = form.fullmatch(name)
        if match and (alias := _slug(match["cluster"])):
            return alias
    return _slug(name)


def _slug(text: str) -> str:
    alias = _OTHER.sub("-", text.lower()).strip("-")
    return alias if is_alias(alias) else ""


def parse_selection(items: Iterable[str]) -> Selection:
    """The value of ``--contexts``: ``all``, ``NAME`` or ``ALIAS=NAME``, any number of them.

    Raises:
        UsageError: an alias has another form, or an alias or name is given twice.
    """
    named: list[tuple[str, str]] = []
    every = False
    for item in items:
        alias, separator, name = item.partition("=")
        if item == ALL:
            every = True
        elif separator and is_alias(alias) and name:
            named.append((alias, name))
        elif separator:
            raise UsageError(
                f'--contexts={item}: an alias has a-z, 0-9 and dashes within, is not "all", '
                "and a name follows",
                hint="say ALIAS=NAME, also for a name with an equals sign in it",
            )
        else:
            named.append(("", item))
    for at, what in enumerate(("alias", "context")):
        seen: set[str] = set()
        for each in named:
            if each[at] in seen:
                raise UsageError(f'--contexts: the {what} "{each[at]}" is given twice')
            seen.update(filter(None, [each[at]]))
    return Selection(every, tuple(named))


def assign(
    selection: Selection, names: Iterable[str], chosen: str, bound: Mapping[str, str]
) -> tuple[dict[str, str], list[str]]:
    """Give an alias to each context that is to be served.

    Args:
        selection: what is asked for; names that are not among *names* are left out.
        names: of the contexts that exist.
        chosen: the context at the root, which is always served; empty if it has no name.
        bound: aliases and names of those that have been served before. Their aliases are theirs
            for good: the name of one cluster must not come to mean another.

    Returns:
        Names by alias, and why others have none, one text for each.
    """
    exist = set(names)
    wanted = [each for each in selection.named if each[1] in exist]
    known = {name for _, name in wanted}
    more = [chosen, *(exist if selection.all else ())]
    wanted += [("", name) for name in sorted(set(more) - known) if name in exist]
    own = {name: alias for alias, name in bound.items()}
    assigned = {own[name]: name for _, name in wanted if name in own}
    found: dict[str, list[str]] = {}
    problems: list[str] = []
    for alias, name in wanted:
        if name in own:
            continue
        if alias := alias or alias_of(name):
            found.setdefault(alias, []).append(name)
        else:
            problems.append(f"context {_quoted(name)} gives no alias")
    for alias, same in found.items():
        taken = [bound[alias]] if alias in bound else []
        if len(same) + len(taken) == 1:
            assigned[alias] = same[0]
        else:
            problems.append(f"contexts {_several([*taken, *same])} have the same alias, {alias}")
    return assigned, problems


def _several(names: list[str]) -> str:
    shown = [_quoted(name) for name in names[:_NAMED]]
    rest = len(names) - len(shown)
    return " and ".join([*shown, f"{rest} more"] if rest else shown)


def _quoted(name: str) -> str:
    return f'"{printable(name)}"'
