"""Finds, reads and merges the kubeconfig files.

The rules of client-go's ``ClientConfigLoadingRules`` (``tools/clientcmd/loader.go``): a file
named by flag is the only one; else the ``KUBECONFIG`` list; else ``~/.kube/config``. For each name
the first file that has it supplies the whole entry. Paths inside a file are relative to that file.
"""

import hashlib
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from ..errors import ConfigError
from ..redact import redact_path
from .entries import Cluster, Kubeconfig, loading_error, parse
from .files import FileReader, explain_os_error
from .values import UserConfig

Parse = Callable[[bytes, str], Kubeconfig]
"""Makes entries of a file's content and path; raises ConfigError."""


def parse_file(content: bytes, path: str) -> Kubeconfig:
    """The entries of a file, with absolute paths. Raises ConfigError."""
    return resolve_paths(parse(content, path), path)


class ParsedFiles:
    """Parses each content once, for several loads that choose different contexts.

    3,000 contexts take a second to parse. Any thread may call it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._parsed: dict[str, tuple[bytes, Kubeconfig]] = {}

    def __call__(self, content: bytes, path: str) -> Kubeconfig:
        """See :func:`parse_file`."""
        digest = hashlib.sha256(content).digest()
        with self._lock:
            before = self._parsed.get(path)
            if before is not None and before[0] == digest:
                return before[1]
            found = parse_file(content, path)
            self._parsed[path] = digest, found
            return found


def load_files(
    explicit: str, environ: Mapping[str, str], files: FileReader, parse: Parse = parse_file
) -> tuple[Kubeconfig, tuple[str, ...]]:
    """Read and merge the files that apply.

    Args:
        explicit: the file named by flag, or empty.
        environ: the environment.
        files: reads them.
        parse: makes entries of each.

    Returns:
        The merged entries, and the paths that were looked for, existing or not.

    Raises:
        ConfigError: a file named by flag is missing, or any file is unreadable or no kubeconfig.
    """
    paths = (explicit,) if explicit else file_list(environ)
    parsed: list[Kubeconfig] = []
    problems: list[ConfigError] = []
    for path in paths:
        try:
            parsed.append(parse(files.read(path), path))
        except FileNotFoundError:
            if explicit:
                raise _missing(path) from None
        except OSError as error:
            problems.append(loading_error(path, explain_os_error(error, path)))
        except ConfigError as error:
            problems.append(error)
    if problems:
        raise _combined(problems)
    return merge(parsed), paths


def file_list(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The files of ``KUBECONFIG`` without duplicates, or else ``~/.kube/config``."""
    listed = [path for path in environ.get("KUBECONFIG", "").split(os.pathsep) if path]
    if listed:
        return tuple(dict.fromkeys(listed))
    return (home_file(environ, "config"),)


def home_file(environ: Mapping[str, str], name: str) -> str:
    """The path of *name* in ``~/.kube``."""
    home = environ.get("HOME") or str(Path.home())
    return os.path.join(home, ".kube", name)


def merge(parsed: list[Kubeconfig]) -> Kubeconfig:
    """Merge the files' entries: of each name the first counts."""
    merged = Kubeconfig()
    for file in parsed:
        merged = Kubeconfig(
            clusters=file.clusters | merged.clusters,
            users=file.users | merged.users,
            contexts=file.contexts | merged.contexts,
            current_context=merged.current_context or file.current_context,
        )
    return merged


def resolve_paths(file: Kubeconfig, origin: str) -> Kubeconfig:
    """Make the paths in the entries absolute, relative to the directory of their file.

    Neither ``~`` nor variables are expanded, as in kubectl. An exec command counts as a path
    only if it holds a separator; a bare name is looked up on PATH when it runs.
    """
    directory = os.path.dirname(Path(origin).absolute())
    return replace(
        file,
        clusters={name: _cluster(item, directory) for name, item in file.clusters.items()},
        users={name: _user(item, directory) for name, item in file.users.items()},
    )


def _cluster(cluster: Cluster, directory: str) -> Cluster:
    return replace(cluster, ca_file=_absolute(cluster.ca_file, directory))


def _user(user: UserConfig, directory: str) -> UserConfig:
    plugin = user.exec
    if plugin and os.sep in plugin.command:
        plugin = replace(plugin, command=_absolute(plugin.command, directory))
    return replace(
        user,
        token_file=_absolute(user.token_file, directory),
        certificate_file=_absolute(user.certificate_file, directory),
        key_file=_absolute(user.key_file, directory),
        exec=plugin,
    )


def _absolute(path: str, directory: str) -> str:
    return os.path.normpath(os.path.join(directory, path)) if path else ""


def _missing(path: str) -> ConfigError:
    return ConfigError(
        f"stat {redact_path(path)}: no such file or directory",
        hint="--kubeconfig names one file that must exist; leave it out to use $KUBECONFIG or "
        "~/.kube/config.",
    )


def _combined(problems: list[ConfigError]) -> ConfigError:
    if len(problems) == 1:
        return problems[0]
    messages = ", ".join(problem.message for problem in problems)
    hints = dict.fromkeys(problem.hint for problem in problems if problem.hint)
    return ConfigError(f"[{messages}]", hint=" ".join(hints))
