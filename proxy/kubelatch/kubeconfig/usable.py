"""Selects which of a user's credentials apply to the chosen server, and warns about the others.

Where kubectl would prompt for a user name on the terminal, the proxy uses no credentials, with a
warning.
"""

from dataclasses import replace

from ..errors import ConfigError
from ..secret import Secret
from .entries import EXEC_VERSIONS
from .files import FileReader, explain_os_error, misplaced
from .values import UserConfig

_REMOVED = {
    "gcp": (
        "The gcp auth plugin has been removed.",
        'Please use the "gke-gcloud-auth-plugin" kubectl/client-go credential plugin instead: run '
        "gcloud container clusters get-credentials. See https://cloud.google.com/blog/products/"
        "containers-kubernetes/kubectl-auth-changes-in-gke for further details.",
    ),
    "azure": (
        "The azure auth plugin has been removed.",
        "Please use the https://github.com/Azure/kubelogin kubectl/client-go credential plugin "
        "instead: run kubelogin convert-kubeconfig.",
    ),
}


def usable_auth(
    auth: UserConfig, *, secure: bool, files: FileReader
) -> tuple[UserConfig, tuple[str, ...]]:
    """The user with the credentials that apply, and warnings about those that do not.

    Args:
        auth: the user, validated.
        secure: whether the server uses https; credentials are sent to no other.
        files: reads the token file, to check that it holds a token.

    Raises:
        ConfigError: a plugin or provider that does not exist any more, or no token in the file.
    """
    if not secure:
        if not auth.can_identify:
            return auth, ()
        user = UserConfig(name=auth.name, origin=auth.origin, impersonation=auth.impersonation)
        return user, (
            "the server speaks plain http: the proxy sends no credentials of its own to it",
        )
    _check_provider(auth)
    if auth.plugin:
        _check_exec_version(auth.plugin.api_version)
    if auth.token_file and not auth.token:
        _check_token_file(auth, files)
    warnings = []
    if auth.token and auth.token.reveal() != auth.token.reveal().strip():
        auth = replace(auth, token=Secret(auth.token.reveal().strip()))
        warnings.append(f'the token of user "{auth.name}" has white space around it: left out')
    if not auth.can_identify:
        warnings.append(_anonymous(auth))
    elif auth.exec and not auth.plugin:
        warnings.append(
            f'the exec plugin of user "{auth.name}" is not run, as the user has a token, a '
            "password or a client certificate as well"
        )
    return auth, tuple(warnings)


def _anonymous(auth: UserConfig) -> str:
    if auth.password:
        why = "has a password but no username"
    elif auth.key_data or auth.key_file:
        why = "has a client key but no client certificate"
    else:
        why = "has no credentials"
    who = f'user "{auth.name}"' if auth.name else "the chosen context names no user and"
    return f"{who} {why}: requests go to the API server as anonymous"


def _check_provider(auth: UserConfig) -> None:
    if not auth.auth_provider or auth.auth_provider.name == "oidc":
        return
    name = auth.auth_provider.name
    message, hint = _REMOVED.get(name, (f'no Auth Provider found for name "{name}"', ""))
    raise ConfigError(
        f'{message} (user "{auth.name}" in {auth.origin})',
        hint=hint or "Use an exec credential plugin instead.",
        cause="auth-provider",
    )


def _check_exec_version(version: str) -> None:
    if version in EXEC_VERSIONS:
        return
    hint = f"It must be {' or '.join(EXEC_VERSIONS)}."
    if version.endswith("/v1alpha1"):
        hint = (
            "v1alpha1 was removed in Kubernetes 1.24. Let the plugin's tool write the entry again, "
            "e.g. aws eks update-kubeconfig, or change it to v1beta1."
        )
    raise ConfigError(f'exec plugin: invalid apiVersion "{version}"', hint=hint, cause="exec")


def _check_token_file(auth: UserConfig, files: FileReader) -> None:
    path = auth.token_file
    try:
        token = files.read(path).strip()
    except OSError as error:
        problem = misplaced(path, "tokenFile", f'user "{auth.name}"')
        where = f" (in {auth.origin})" if problem and auth.origin else ""
        raise ConfigError(
            f"{problem}{where}" or explain_os_error(error, path), hint="tokenFile names it."
        ) from None
    if not token:
        raise ConfigError(f'read empty token from file "{path}"', hint="tokenFile names it.")
