"""Kubeconfigs with several contexts, each with a server of its own."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from .certificates import Authority, Identity
from .kubeconfig import kubeconfig
from .upstream import ScriptedUpstream


class Cluster(NamedTuple):
    """What one context leads to; see :func:`kubeconfig`."""

    server: str
    authority: Authority | None = None
    user: dict[str, Any] | None = None
    identity: Identity | None = None


def cluster(upstream: ScriptedUpstream, authority: Authority | None = None, **more: Any) -> Cluster:
    return Cluster(upstream.url, authority, **more)


def contexts(clusters: Mapping[str, Cluster], current: str = "") -> dict[str, Any]:
    """A kubeconfig of these contexts, of which the first one is current."""
    config: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": current or next(iter(clusters)),
        "contexts": [],
        "clusters": [],
        "users": [],
    }
    for name, each in clusters.items():
        one = kubeconfig(each.server, each.authority, identity=each.identity, user=each.user)
        context = {"cluster": name, "user": name}
        config["contexts"].append({"name": name, "context": context})
        config["clusters"].append({**one["clusters"][0], "name": name})
        config["users"].append({**one["users"][0], "name": name})
    return config
