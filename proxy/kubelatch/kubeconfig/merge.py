"""Which kubeconfig files there are, and what they say together.

The rules of client-go's ``ClientConfigLoadingRules`` (``tools/clientcmd/loader.go``): a file
named by flag stands alone; else the ``KUBECONFIG`` list; else ``~/.kube/config``. For every name
the first file that has it wins, whole. Paths inside a file are relative to that file.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import ConfigError
from ..redact import redact_path
from .entries import Cluster, KubeFile, User, loading_error, parse
from .files import FileReader, explain_os_error


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The merged entries, and the files that were looked for, existing or not."""

    merged: KubeFile
    files: tuple[str, ...]
    found: tuple[str, ...]


def load_files(explicit: str, environ: Mapping[str, str], files: FileReader) -> Loaded:
    """Read and merge the files that apply.

    Raises:
        ConfigError: a file named by flag is missing, or any file is unreadable or no kubeconfig.
    """
    paths = (explicit,) if explicit else file_list(environ)
    parsed: list[KubeFile] = []
    found: list[str] = []
    problems: list[ConfigError] = []
    for path in paths:
        try:
            parsed.append(resolve_paths(parse(files.read(path), path), path))
            found.append(path)
        except FileNotFoundError:
            if explicit:
                raise _missing(path) from None
        except OSError as error:
            problems.append(loading_error(path, explain_os_error(error, path)))
        except ConfigError as error:
            problems.append(error)
    if problems:
        raise _together(problems)
    return Loaded(merged=merge(parsed), files=paths, found=tuple(found))


def file_list(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The files of ``KUBECONFIG`` in order and once each, or the one in the home directory."""
    listed = [path for path in environ.get("KUBECONFIG", "").split(os.pathsep) if path]
    if listed:
        return tuple(dict.fromkeys(listed))
    return (home_file(environ, "config"),)


def home_file(environ: Mapping[str, str], name: str) -> str:
    """A file of that name in ``~/.kube``."""
    home = environ.get("HOME") or str(Path.home())
    return os.path.join(home, ".kube", name)


def merge(parsed: list[KubeFile]) -> KubeFile:
    """Overlay the files: the first one wins, per name and entry."""
    merged = KubeFile()
    for file in parsed:
        merged = KubeFile(
            clusters=file.clusters | merged.clusters,
            users=file.users | merged.users,
            contexts=file.contexts | merged.contexts,
            current_context=merged.current_context or file.current_context,
        )
    return merged


def resolve_paths(file: KubeFile, origin: str) -> KubeFile:
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


def _user(user: User, directory: str) -> User:
    auth = user.auth
    plugin = auth.exec
    if plugin and os.sep in plugin.command:
        plugin = replace(plugin, command=_absolute(plugin.command, directory))
    return replace(
        user,
        auth=replace(
            auth,
            token_file=_absolute(auth.token_file, directory),
            certificate_file=_absolute(auth.certificate_file, directory),
            key_file=_absolute(auth.key_file, directory),
            exec=plugin,
        ),
    )


def _absolute(path: str, directory: str) -> str:
    return os.path.normpath(os.path.join(directory, path)) if path else ""


def _missing(path: str) -> ConfigError:
    return ConfigError(
        f"stat {redact_path(path)}: no such file or directory",
        hint="--kubeconfig names one file that must exist; leave it out to use $KUBECONFIG or "
        "~/.kube/config.",
    )


def _together(problems: list[ConfigError]) -> ConfigError:
    if len(problems) == 1:
        return problems[0]
    messages = ", ".join(problem.message for problem in problems)
    hints = dict.fromkeys(problem.hint for problem in problems if problem.hint)
    return ConfigError(f"[{messages}]", hint=" ".join(hints))
