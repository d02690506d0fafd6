"""What a client needs to reach the demo: address, trust, credentials.

A plain value. It knows nothing of the server itself.
"""

import base64
from dataclasses import dataclass
from typing import Any

from ..secret import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoAccess:
    """How to reach a running demo API server.

    Args:
        server: the https URL.
        ca_pem: the authority that signed its certificate.
        admin_certificate_pem: a client certificate in the group ``system:masters``.
        admin_token: a bearer token in the same group.
        viewer_certificate_pem: a client certificate of the user ``viewer``, who may read the
            namespace ``shop``, but no secrets.
        viewer_token: a bearer token of the same user.
    """

    server: str
    ca_pem: str
    admin_certificate_pem: str
    admin_key_pem: Secret
    admin_token: Secret
    viewer_certificate_pem: str
    viewer_key_pem: Secret
    viewer_token: Secret

    def kubeconfig(self) -> dict[str, Any]:
        """A kubeconfig with all data inline, secrets included: for a 0600 file or a pipe.

        Contexts: ``demo`` (administrator by client certificate), ``demo-token``,
        ``demo-viewer`` and ``demo-anonymous``.
        """
        users: dict[str, dict[str, str]] = {
            "demo": {
                "client-certificate-data": _base64(self.admin_certificate_pem),
                "client-key-data": _base64(self.admin_key_pem.reveal()),
            },
            "demo-token": {"token": self.admin_token.reveal()},
            "demo-viewer": {
                "client-certificate-data": _base64(self.viewer_certificate_pem),
                "client-key-data": _base64(self.viewer_key_pem.reveal()),
            },
            "demo-anonymous": {},
        }
        cluster = {"server": self.server, "certificate-authority-data": _base64(self.ca_pem)}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "demo", "cluster": cluster}],
            "users": [{"name": name, "user": user} for name, user in users.items()],
            "contexts": [
                {"name": name, "context": {"cluster": "demo", "user": name}} for name in users
            ],
            "current-context": "demo",
        }


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
