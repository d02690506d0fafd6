"""What the kubeconfig says of each context, without choosing one: nothing is validated, and no
other file is read."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from ..config.overrides import Overrides
from ..errors import ConfigError
from .decode import DecodeError, from_python
from .entries import Cluster, Context, Kubeconfig, from_value
from .files import FileReader
from .merge import Parse, load_files


class ContextEntry(NamedTuple):
    """One context.

    Attributes:
        name: its own.
        cluster: the cluster's name.
        server: the cluster's URL; empty if there is no such cluster.
        user: the user's name.
        namespace: the namespace; may be empty.
    """

    name: str
    cluster: str
    server: str
    user: str
    namespace: str = ""


def list_contexts(
    overrides: Overrides, environ: Mapping[str, str], files: FileReader, parse: Parse
) -> tuple[dict[str, ContextEntry], tuple[str, ...]]:
    """All contexts by name, and the files that were looked for.

    Args:
        overrides: name the file.
        environ: the environment.
        files: reads them.
        parse: makes entries of each.

    Raises:
        ConfigError: a file cannot be used.
    """
    merged, paths = load_files(overrides.kubeconfig, environ, files, parse)
    return _entries(merged), paths


def contexts_of(config: Mapping[str, Any]) -> dict[str, ContextEntry]:
    """All contexts by name, of a kubeconfig that a program holds in memory. Raises ConfigError."""
    try:
        return _entries(from_value(from_python(config), "in memory"))
    except DecodeError as error:
        raise ConfigError(f"error loading config: {error}") from None


def _entries(merged: Kubeconfig) -> dict[str, ContextEntry]:
    return {
        name: _entry(name, context, merged.clusters) for name, context in merged.contexts.items()
    }


def _entry(name: str, context: Context, clusters: Mapping[str, Cluster]) -> ContextEntry:
    cluster = clusters.get(context.cluster)
    server = cluster.server if cluster else ""
    return ContextEntry(name, context.cluster, server, context.user, context.namespace)
