"""The pod's own service account, where there is no kubeconfig.

client-go's ``rest.InClusterConfig``, with two differences: it composes with every flag, which
kubectl's does not, and a CA that cannot be read is an error and not a reason to trust the
system's roots.
"""

from collections.abc import Mapping

from ..errors import ConfigError
from .choose import Chosen
from .entries import Cluster, User
from .files import FileReader
from .values import UserConfig

DIRECTORY = "/var/run/secrets/kubernetes.io/serviceaccount"
TOKEN_FILE = f"{DIRECTORY}/token"
CA_FILE = f"{DIRECTORY}/ca.crt"
NAMESPACE_FILE = f"{DIRECTORY}/namespace"


def possible(environ: Mapping[str, str], files: FileReader) -> bool:
    """Whether this process runs in a pod with a service account token."""
    return bool(_service(environ)) and _has_token(files)


def chosen(environ: Mapping[str, str], files: FileReader) -> Chosen:
    """The service account as entries that flags can be laid over.

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
        namespace=_namespace(environ, files),
        cluster=Cluster(server=server, ca_file=CA_FILE),
        user=User(auth=UserConfig(token_file=TOKEN_FILE)),
    )


def _service(environ: Mapping[str, str]) -> str:
    host = environ.get("KUBERNETES_SERVICE_HOST", "")
    port = environ.get("KUBERNETES_SERVICE_PORT", "")
    if not (host and port):
        return ""
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


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
