"""Encodes KUBERNETES_EXEC_INFO for an exec plugin, and parses the ExecCredential that it prints.

KEP-541; client-go's ``plugin/pkg/client/auth/exec/exec.go``. The plugin's output is a secret: no
error quotes it.
"""

import base64
import json
import re
from datetime import datetime
from typing import Any

from ..errors import ConfigError, CredentialError
from ..kubeconfig import ClientConfig
from ..kubeconfig.decode import DecodeError, Scalar, Value, decode
from ..secret import Secret
from .tls import ClientCertificate, certificate_info, check_certificate
from .tokens import LATEST, bearer
from .values import Credential

# Go's zero time, which plugins written in Go print for no expiry.
_ZERO_TIME = -62135596800.0
_API_VERSION = re.compile(r"[a-z0-9.-]{1,80}/[a-z0-9_]{1,20}")
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")


def exec_info(
    config: ClientConfig, *, api_version: str, ca: bytes | None, interactive: bool
) -> str:
    """The value of KUBERNETES_EXEC_INFO: one line of JSON, field by field as client-go writes it.

    Args:
        config: the cluster is included only with ``provideClusterInfo``.
        api_version: as in the kubeconfig.
        ca: the CA's PEM, from data or file.
        interactive: whether the plugin gets the terminal.
    """
    spec: dict[str, Any] = {}
    plugin = config.user.exec
    if plugin is not None and plugin.provide_cluster_info:
        spec["cluster"] = _cluster(config, ca)
    spec["interactive"] = interactive
    info = {"kind": "ExecCredential", "apiVersion": api_version, "spec": spec}
    return json.dumps(info, separators=(",", ":"), ensure_ascii=False)


def _cluster(config: ClientConfig, ca: bytes | None) -> dict[str, Any]:
    cluster: dict[str, Any] = {"server": config.server.url}
    if config.tls.server_name:
        cluster["tls-server-name"] = config.tls.server_name
    if config.tls.insecure:
        cluster["insecure-skip-tls-verify"] = True
    if ca:
        cluster["certificate-authority-data"] = base64.b64encode(ca).decode("ascii")
    if config.proxy_url:
        cluster["proxy-url"] = config.proxy_url.reveal()
    if config.disable_compression:
        cluster["disable-compression"] = True
    cluster["config"] = config.exec_extension
    return cluster


def parse_exec_credential(output: bytes, api_version: str) -> Credential:
    """Parse a plugin's standard output, JSON or YAML.

    Raises:
        CredentialError: it is no ExecCredential of that version, or holds no credential.
    """
    try:
        output_value = decode(output)
    except DecodeError:
        raise _failed(
            "decoding stdout: it is neither JSON nor YAML",
            hint="The plugin must print one ExecCredential and nothing else; messages belong on "
            "stderr.",
        ) from None
    if not isinstance(output_value, dict):
        raise _failed("decoding stdout: it is no ExecCredential")
    _check_version(output_value, api_version)
    status = output_value.get("status")
    if not isinstance(status, dict):
        raise _failed("exec plugin didn't return a status field")
    token = _text(status, "token")
    chain, key = _text(status, "clientCertificateData"), _text(status, "clientKeyData")
    if not (token or chain or key):
        raise _failed("exec plugin didn't return a token or cert/key pair")
    if bool(chain) != bool(key):
        raise _failed("exec plugin returned only certificate or key, not both")
    expires_at = _expiry(status.get("expirationTimestamp"))
    certificate = None
    if chain:
        certificate, not_after = _certificate(chain, key)
        expires_at = min((t for t in (expires_at, not_after) if t is not None), default=None)
    return Credential(
        kind="exec",
        authorization=_authorization(token) if token else None,
        certificate=certificate,
        expires_at=expires_at,
    )


def _check_version(output: dict[str, Value], configured: str) -> None:
    if output.get("kind", "ExecCredential") != "ExecCredential":
        raise _failed("decoding stdout: its kind is not ExecCredential")
    returned = output.get("apiVersion") or "client.authentication.k8s.io/__internal"
    if returned != configured:
        raise _failed(
            f"exec plugin is configured to use API version {configured}, plugin returned version "
            f"{_api_version(returned)}",
            hint="Let apiVersion in the user's exec section be what the plugin speaks.",
        )


def _api_version(returned: Value) -> str:
    """The version to show; not shown if it does not look like one."""
    if isinstance(returned, str) and _API_VERSION.fullmatch(returned):
        return returned
    return "(not shown)"


def _text(status: dict[str, Value], key: str) -> str:
    match status.get(key):
        case None:
            return ""
        case str() as text:
            return text
        case Scalar(text=text):
            return text
        case _:
            raise _failed(f"decoding stdout: status.{key} is no string")


def _expiry(value: Value) -> float | None:
    """RFC 3339, as in ``metav1.Time``; null and Go's zero time are no expiry."""
    if value is None:
        return None
    if isinstance(value, str) and _RFC3339.fullmatch(value):
        try:
            expires_at = datetime.fromisoformat(value.upper()).timestamp()
        except (ValueError, OverflowError):
            pass
        else:
            return None if expires_at == _ZERO_TIME else min(expires_at, LATEST)
    raise _failed("decoding stdout: status.expirationTimestamp is no RFC 3339 time")


def _certificate(chain: str, key: str) -> tuple[ClientCertificate, float | None]:
    try:
        certificate = ClientCertificate(chain=chain.encode(), key=Secret(key))
        check_certificate(certificate)
    except ConfigError as error:
        raise _failed(f"failed parsing client key/certificate: {error.message}") from None
    except UnicodeError:
        raise _failed("failed parsing client key/certificate: it is no PEM") from None
    info = certificate_info(certificate.chain)
    return certificate, info.not_after if info else None


def _authorization(token: str) -> Secret:
    try:
        return bearer(token, "the plugin")
    except ConfigError as error:
        raise _failed(error.message) from None


def _failed(message: str, *, hint: str = "") -> CredentialError:
    return CredentialError(f"getting credentials: {message}", hint=hint, cause="exec")
