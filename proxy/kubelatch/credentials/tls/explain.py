"""Explains TLS errors: whether CA, name, validity or client certificate is wrong.

From OpenSSL's verify code if the server's certificate was refused, and from the server's alert if
it refused the client. With TLS 1.3 the alert arrives with the first read, after a handshake that
seemed to succeed.
"""

import ssl

from ...errors import UpstreamError

_NAME_CODES = {62, 63, 64}  # hostname, email, IP address mismatch
_VALIDITY = {9: "is not valid yet", 10: "has expired"}
_UNKNOWN_CA = {2, 18, 19, 20, 21, 27}

_CLIENT_ALERTS = {
    "BAD_CERTIFICATE",
    "CERTIFICATE_EXPIRED",
    "CERTIFICATE_REQUIRED",
    "CERTIFICATE_REVOKED",
    "CERTIFICATE_UNKNOWN",
    "UNKNOWN_CA",
    "UNSUPPORTED_CERTIFICATE",
    "ACCESS_DENIED",
}
_PROTOCOL_REASONS = (
    "WRONG_VERSION_NUMBER",
    "UNSUPPORTED_PROTOCOL",
    "NO_PROTOCOLS_AVAILABLE",
    "PROTOCOL_VERSION",
    "HANDSHAKE_FAILURE",
    "INSUFFICIENT_SECURITY",
    "NO_SHARED_CIPHER",
    "HTTP_REQUEST",
    "RECORD_LAYER_FAILURE",
    "PACKET_LENGTH_TOO_LONG",
    "UNEXPECTED_MESSAGE",
    "NO_APPLICATION_PROTOCOL",
)
_PLAIN_HTTP = (
    "WRONG_VERSION_NUMBER",
    "HTTP_REQUEST",
    "PACKET_LENGTH_TOO_LONG",
    "RECORD_LAYER_FAILURE",
)


def is_cut(error: ssl.SSLError) -> bool:
    """Whether the peer closed the connection without close_notify.

    The error is ``SSLEOFError`` from Python 3.11.3 on, before that a plain ``SSLError``
    with OpenSSL 3's reason, and ``SSLSyscallError`` with OpenSSL 1.1.1.
    """
    return (
        isinstance(error, ssl.SSLEOFError | ssl.SSLSyscallError)
        or error.reason == "UNEXPECTED_EOF_WHILE_READING"
    )


def explain(error: OSError, *, server_name: str) -> UpstreamError:
    """Explain a TLS error and how to fix it.

    Args:
        error: raised by the handshake, or by a read or write after it.
        server_name: the name that was verified.

    Returns:
        An error whose cause is ``tls-ca``, ``tls-name``, ``tls-expired``, ``tls-client-cert``,
        ``tls-protocol``, ``tls-closed`` or ``tls``.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return _server_refused(error, server_name)
    reason = (getattr(error, "reason", None) or "").upper()
    alert = reason.partition("_ALERT_")[2]
    if alert in _CLIENT_ALERTS:
        return _client_refused(alert, server_name)
    if any(reason.endswith(known) for known in _PROTOCOL_REASONS):
        return _protocol_mismatch(reason, server_name)
    if (
        not isinstance(error, ssl.SSLError)
        or isinstance(error, ssl.SSLZeroReturnError)
        or is_cut(error)
    ):
        return UpstreamError(
            f"{server_name} ended the TLS handshake",
            hint="Something before the API server may have cut the connection: a load balancer, "
            "a firewall, or a port that is not the API server's.",
            cause="tls-closed",
        )
    return UpstreamError(f"TLS with {server_name} failed: {reason or 'unknown'}", cause="tls")


def _server_refused(error: ssl.SSLCertVerificationError, server_name: str) -> UpstreamError:
    code = error.verify_code
    if code in _NAME_CODES:
        return UpstreamError(
            f"the server's certificate is not for {server_name}",
            hint="Use the name the certificate was issued for: in the server URL, or by "
            "tls-server-name in the kubeconfig or --tls-server-name.",
            cause="tls-name",
        )
    if code in _VALIDITY:
        return UpstreamError(
            f"a certificate of {server_name} {_VALIDITY[code]}",
            hint="The cluster's administrator has to renew it, or this machine's clock is wrong.",
            cause="tls-expired",
        )
    if code in _UNKNOWN_CA:
        return UpstreamError(
            f"the certificate of {server_name} cannot be traced to a trusted authority (unknown "
            f"authority): {error.verify_message}",
            hint="The CA in the kubeconfig may be an old one or another cluster's, the server may "
            "not send an intermediate certificate, or something on the way may answer in its "
            "place. kubelatch check shows which CA is trusted.",
            cause="tls-ca",
        )
    return UpstreamError(
        f"the certificate of {server_name} cannot be verified: {error.verify_message}", cause="tls"
    )


def _client_refused(alert: str, server_name: str) -> UpstreamError:
    what = {
        "CERTIFICATE_EXPIRED": "as expired",
        "CERTIFICATE_REVOKED": "as revoked",
        "CERTIFICATE_REQUIRED": "for want of one",
        "UNKNOWN_CA": "as signed by an authority it does not know",
    }.get(alert, f"({alert.lower().replace('_', ' ')})")
    return UpstreamError(
        f"{server_name} refused the client certificate {what}",
        hint="Renew the client certificate of the kubeconfig's user: fetch the kubeconfig again. "
        "kubelatch check shows the validity of the one in use.",
        cause="tls-client-cert",
    )


def _protocol_mismatch(reason: str, server_name: str) -> UpstreamError:
    if reason in _PLAIN_HTTP:
        return UpstreamError(
            f"{server_name} does not speak TLS on this port",
            hint="The server URL says https: look at its scheme and port.",
            cause="tls-protocol",
        )
    if reason.endswith("HANDSHAKE_FAILURE"):
        # With TLS 1.2, an OpenSSL server sends this if it requires a client certificate.
        return UpstreamError(
            f"{server_name} refused the TLS handshake without saying why",
            hint="It may want a client certificate, and the kubeconfig's user has none; or the two "
            "share no cipher: TLS 1.2 or newer is needed, as for kubectl.",
            cause="tls-protocol",
        )
    return UpstreamError(
        f"{server_name} and this side share no TLS version or cipher ({reason})",
        hint="TLS 1.2 or newer is needed, as for kubectl.",
        cause="tls-protocol",
    )
