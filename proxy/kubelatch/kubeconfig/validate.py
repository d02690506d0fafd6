"""Validates the chosen cluster and user, with kubectl's messages.

client-go's ``validateClusterInfo`` and ``validateAuthInfo`` (``tools/clientcmd/validation.go``).
All problems are collected. Files are opened to check that they can be, so that an error shows at
start.
"""

from collections.abc import Iterator
from typing import Final

from .choose import Chosen
from .decode import decode_base64
from .entries import EXEC_VERSIONS, Cluster
from .files import FileReader, explain_os_error, misplaced
from .proxies import proxy_url_problem
from .values import ExecConfig, Impersonation, UserConfig

# What `kubectl config view` writes instead of secrets and data
# (clientcmd/api/helpers.go, ShortenConfig and RedactSecrets).
_REDACTED: Final = ("DATA+OMITTED", "REDACTED")
# Both happen to be base64.
_REDACTED_DATA: Final = {decode_base64(text): text for text in _REDACTED}

_INTERACTIVE_MODES = ("Never", "IfAvailable", "Always")


def problems(chosen: Chosen, files: FileReader) -> list[str]:
    """Everything that is wrong with the chosen entries."""
    return [
        *_user(chosen.user_name, chosen.user, files),
        *_impersonation(chosen.user_name, chosen.user.impersonation),
        *_cluster(chosen.cluster_name, chosen.cluster, files),
    ]


def redacted(chosen: Chosen) -> list[str]:
    """The chosen entries' fields that ``kubectl config view`` has redacted."""
    auth, cluster = chosen.user, chosen.cluster
    provider = auth.auth_provider.config if auth.auth_provider else ()
    data = (
        ("certificate-authority-data", cluster.ca_data),
        ("client-certificate-data", auth.certificate_data),
        ("client-key-data", auth.key_data.reveal().encode("latin-1") if auth.key_data else None),
    )
    texts = (
        ("token", auth.token),
        ("password", auth.password),
        ("proxy-url", cluster.proxy_url),
        *((f"auth-provider {key}", value) for key, value in provider),
        *((f"exec env {key}", value) for key, value in (auth.exec.env if auth.exec else ())),
    )
    found = [f"{key} is {_REDACTED_DATA[value]}" for key, value in data if value in _REDACTED_DATA]
    found += [
        f"{key} is {text}"
        for key, value in texts
        if value and (text := value.reveal()) in _REDACTED
    ]
    return found


def _cluster(name: str, cluster: Cluster, files: FileReader) -> Iterator[str]:
    if not cluster.server:
        yield (
            f'no server found for cluster "{name}"'
            if name
            else ("default cluster has no server defined")
        )
    if cluster.proxy_url:
        problem, shown = proxy_url_problem(cluster.proxy_url.reveal())
        if problem:
            yield f'invalid \'proxy-url\' "{shown}" for cluster "{name}": {problem}'
    if cluster.ca_file and cluster.ca_data:
        yield (
            f"certificate-authority-data and certificate-authority are both specified for {name}. "
            "certificate-authority-data will override."
        )
    if cluster.insecure and (cluster.ca_file or cluster.ca_data):
        yield "specifying a root certificates file with the insecure flag is not allowed"
    whose = f'cluster "{name}"'
    yield from _readable("certificate-authority", cluster.ca_file, name, whose, files)


def _user(name: str, user: UserConfig, files: FileReader) -> Iterator[str]:
    yield from _certificate(name, user, files)
    if user.exec:
        yield from _exec(name, user.exec)
        if user.auth_provider:
            yield f"authProvider cannot be provided in combination with an exec plugin for {name}"
    basic = user.username or user.password
    if user.token and basic:
        yield (
            f"more than one authentication method found for {name}; found [token basicAuth], "
            "only one is allowed"
        )
    elif user.token_file and user.username:
        yield "username/password or bearer token may be set, but not both"
    for field, text in (("token", user.token), ("username", user.username)):
        if text and not _fits_header(text if isinstance(text, str) else text.reveal().strip()):
            yield f"{field} for {name} holds a character that no HTTP header may hold"


def _certificate(name: str, user: UserConfig, files: FileReader) -> Iterator[str]:
    if not (user.certificate_data or user.certificate_file):
        return
    if user.certificate_data and user.certificate_file:
        yield (
            f"client-cert-data and client-cert are both specified for {name}. "
            "client-cert-data will override."
        )
    if user.key_data and user.key_file:
        yield (
            f"client-key-data and client-key are both specified for {name}; "
            "client-key-data will override"
        )
    if not (user.key_data or user.key_file):
        yield (
            f"client-key-data or client-key must be specified for {name} to use the clientCert "
            "authentication method."
        )
    whose = f'user "{name}"'
    yield from _readable("client-certificate", user.certificate_file, name, whose, files)
    yield from _readable("client-key", user.key_file, name, whose, files)


def _exec(name: str, plugin: ExecConfig) -> Iterator[str]:
    needs = f"must be specified for {name} to use exec authentication plugin"
    if not plugin.command:
        yield f"command {needs}"
    if not plugin.api_version:
        yield f"apiVersion {needs}"
    for variable, _ in plugin.env:
        if not variable:
            yield f"env variable name {needs}"
    if not plugin.interactive_mode:
        if plugin.api_version and plugin.api_version not in EXEC_VERSIONS:
            return  # The version is reported; whether that one needs a mode is unknown.
        yield f"interactiveMode {needs}"
    elif plugin.interactive_mode not in _INTERACTIVE_MODES:
        yield f'invalid interactiveMode for {name}: "{plugin.interactive_mode}"'


def _impersonation(name: str, wanted: Impersonation) -> Iterator[str]:
    if wanted and not wanted.user:
        yield f"requesting uid, groups or user-extra for {name} without impersonating a user"
    values = (value for _, values in wanted.extra for value in values)
    for value in (wanted.user, wanted.uid, *wanted.groups, *values):
        if not _fits_header(value):
            yield f"impersonation for {name} holds a character that no HTTP header may hold"


def _readable(field: str, path: str, name: str, whose: str, files: FileReader) -> Iterator[str]:
    if not path:
        return
    try:
        files.read(path)
    except OSError as error:
        what = "client-cert" if field == "client-certificate" else field
        yield misplaced(path, field, whose) or (
            f"unable to read {what} {path} for {name} due to {explain_os_error(error, path)}"
        )


def _fits_header(text: str) -> bool:
    """Go's ``httpguts.ValidHeaderFieldValue``: no control characters but the tab."""
    return all(char == "\t" or (char >= " " and char != "\x7f") for char in text)
