"""The pod's own service account, used where there is no kubeconfig.

Follows client-go's ``rest.InClusterConfig``, with two differences: every flag can be combined with
it, and a CA that cannot be read is an error, where client-go trusts the system's roots.
"""

from collections.abc import Mapping

from ..config.addresses import join_host_port
from ..errors import ConfigError
from .choose import Chosen
from .entries import Cluster
from .files import FileReader
from .values import UserConfig

DIRECTORY = "/var/run/secrets/kubernetes.io/serviceaccount"
TOKEN_FILE = f"{DIRECTORY}/token"
CA_FILE = f"{DIRECTORY}/ca.crt"
NAMESPACE_FILE = f"{DIRECTORY}/namespace"


def available(environ: Mapping[str, str], files: FileReader) -> bool:
    """Whether this process runs in a pod with a service account token."""
    return bool(_service(environ)) and _has_token(files)


def chosen(environ: Mapping[str, str], files: FileReader) -> Chosen:
    """The service account as entries.

    Raises:
        ConfigError: this is no pod, or its service account token is not mounted.
    """
    server = _service(environ)
    if not server:
        raise ConfigError(
            "unable to load in-cluster configuration, KUBERNETES_SERVICE_HOST and "
            "KUBERNETES_SERVICE_PORT must be defined",
            hint="--in-cluster works inside a pod only; leave it out to use a kubeconfig.",
        )
    if not _has_token(files):
        raise ConfigError(
            f"unable to load in-cluster configuration: {TOKEN_FILE} cannot be read",
            hint="The pod or its service account says automountServiceAccountToken: false.",
        )
    return Chosen(
        source="in-cluster",
        namespace=_namespace(environ, files),
        cluster=Cluster(server=server, ca_file=CA_FILE),
        user=UserConfig(token_file=TOKEN_FILE),
    )


def _service(environ: Mapping[str, str]) -> str:
    host = environ.get("KUBERNETES_SERVICE_HOST", "")
    port = environ.get("KUBERNETES_SERVICE_PORT", "")
    if not (host and port):
        return ""
    return f"https://{join_host_port(host, port)}"


def _has_token(files: FileReader) -> bool:
    try:
        files.read(TOKEN_FILE)
    except OSError:
        return False
    return True


def _namespace(environ: Mapping[str, str], files: FileReader) -> str:
    if environ.get("POD_NAMESPACE"):
        return environ["POD_NAMESPACE"]
    try:
        return files.read(NAMESPACE_FILE).decode("utf-8", "replace").strip()
    except OSError:
        return ""
