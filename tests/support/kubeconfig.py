"""Kubeconfigs for tests."""

import base64
from pathlib import Path
from typing import Any

import yaml

from .certificates import Authority, Identity


def kubeconfig(
    server: str,
    authority: Authority | None = None,
    *,
    identity: Identity | None = None,
    user: dict[str, Any] | None = None,
    cluster: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """One context, one cluster, one user, all named ``test``."""
    entry: dict[str, Any] = {"server": server, **(cluster or {})}
    if authority is not None:
        entry["certificate-authority-data"] = base64.b64encode(authority.pem.encode()).decode()
    who = dict(user or {})
    if identity is not None:
        who["client-certificate-data"] = base64.b64encode(identity.certificate.encode()).decode()
        who["client-key-data"] = base64.b64encode(identity.key.encode()).decode()
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "clusters": [{"name": "test", "cluster": entry}],
        "users": [{"name": "test", "user": who}],
    }


def write(path: Path, config: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(config))
    return path
