"""nginx, in two parts: the upstream that stands for the API server, and a peer to compare with.

Both run as one process in the foreground, so that what the process uses is what nginx uses.
"""

import getpass
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

# Debian does not put it on a user's PATH.
BINARY: Final = "/usr/sbin/nginx"

SMALL: Final = "/api/v1/namespaces/default/configmaps/settings"
WATCH: Final = "/api/v1/namespaces/default/pods?watch=1"
TUNNEL: Final = "/api/v1/namespaces/default/pods/shop/portforward"
UPLOAD: Final = "/api/v1/namespaces/default/configmaps"


def list_target(megabytes: int) -> str:
    """Where a list of that many megabytes is had."""
    return f"/api/v1/lists/{megabytes}m.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Paths of PEM files."""

    authority: Path
    certificate: Path
    key: Path


_FRAME: Final = """\
daemon off;
master_process off;
{user}
pid {directory}/{name}.pid;
error_log {directory}/{name}.log error;
worker_rlimit_nofile 20000;
events {{ worker_connections 10000; }}
http {{
  sendfile on;
  tcp_nopush off;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  client_max_body_size 0;
  client_body_temp_path {directory}/{name}-body;
  proxy_temp_path {directory}/{name}-proxy;
  fastcgi_temp_path {directory}/{name}-fastcgi;
  uwsgi_temp_path {directory}/{name}-uwsgi;
  scgi_temp_path {directory}/{name}-scgi;
  map $http_upgrade $connection_field {{ default upgrade; '' ''; }}
{content}
}}
"""

# The fields are those of an API server's answer; 100 streams a connection is its limit.
_UPSTREAM: Final = """\
  access_log off;
  open_file_cache max=100;
  types {{ application/json json; }}
  upstream streams {{ server unix:{streams}; keepalive 16; }}
  server {{
    listen 127.0.0.1:{port} ssl http2 backlog=4096;
    http2_max_concurrent_streams 100;
    ssl_certificate {identity.certificate};
    ssl_certificate_key {identity.key};
    ssl_client_certificate {identity.authority};
    ssl_verify_client on;
    ssl_session_cache shared:tls:10m;
    # An API server's choice (crypto/tls, defaultCipherSuitesTLS13), whoever the client is: those of
    # OpenSSL ask for AES-256 first.
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_prefer_server_ciphers on;
    ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384;
    add_header Audit-Id 6f1c8f5e-6e3f-4c33-93a5-6f0c4f1f9f1d always;
    add_header Cache-Control "no-cache, private" always;
    add_header X-Kubernetes-Pf-Flowschema-Uid 2a2e9b2c-1f0d-4c7b-8a55-2f3f7f0f9a11 always;
    add_header X-Kubernetes-Pf-Prioritylevel-Uid 9a1f0a6e-54d1-43c5-b4a7-3c5a1b1f7c22 always;
    location = {small} {{ default_type application/json; return 200 '{content}'; }}
    location /api/v1/lists/ {{
      alias {directory}/;
      gzip_static on;
      etag off;
      output_buffers 2 128k;
    }}
    proxy_http_version 1.1;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $connection_field;
    proxy_buffering off;
    proxy_request_buffering off;
    proxy_read_timeout 1h;
    client_body_buffer_size 128k;
    location = {tunnel} {{
      proxy_buffers 3 128k;
      proxy_buffer_size 128k;
      proxy_busy_buffers_size 128k;
      proxy_pass http://streams;
    }}
    location / {{ proxy_pass http://streams; }}
  }}
"""

# What kubelatch and kubectl do by default, nginx is asked to do too: verify, keep connections,
# log, ask for gzip and undo it.
_PEER: Final = """\
  access_log {directory}/{name}-access.log combined;
  map $http_accept_encoding $wanted_encoding {{ default $http_accept_encoding; '' gzip; }}
  upstream api {{ server 127.0.0.1:{upstream}; keepalive 128; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    gunzip on;
    gunzip_buffers 16 64k;
    proxy_ssl_certificate {identity.certificate};
    proxy_ssl_certificate_key {identity.key};
    proxy_ssl_trusted_certificate {identity.authority};
    proxy_ssl_verify on;
    proxy_ssl_protocols TLSv1.2 TLSv1.3;
    # It cannot verify an address, only a name.
    proxy_ssl_name localhost;
    proxy_http_version 1.1;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $connection_field;
    proxy_set_header Accept-Encoding $wanted_encoding;
    proxy_request_buffering off;
    proxy_max_temp_file_size 0;
    proxy_buffers 16 16k;
    proxy_read_timeout 1h;
    location = /api/v1/namespaces/default/pods {{ proxy_buffering off; proxy_pass https://api; }}
    location / {{ proxy_pass https://api; }}
  }}
"""


def upstream_config(
    directory: Path, port: int, identity: Identity, streams: Path, content: bytes
) -> Path:
    """Write the upstream's configuration.

    Args:
        directory: holds what it serves.
        port: it listens there, on the loopback address.
        identity: its own certificate, and the authority of its clients'.
        streams: the socket of the streams' server.
        content: the small object; without single quotes, dollars or backslashes.
    """
    text = _UPSTREAM.format(
        directory=directory,
        port=port,
        identity=identity,
        streams=streams,
        small=SMALL,
        tunnel=TUNNEL,
        content=content.decode(),
    )
    return _write(directory, "upstream", text)


def peer_config(directory: Path, port: int, identity: Identity, upstream: int) -> Path:
    """Write the peer's configuration.

    Args:
        directory: for logs.
        port: it listens there, on the loopback address.
        identity: who it is to the upstream, and the upstream's authority.
        upstream: the upstream's port.
    """
    text = _PEER.format(
        directory=directory, name="peer", port=port, identity=identity, upstream=upstream
    )
    return _write(directory, "peer", text)


def _write(directory: Path, name: str, content: str) -> Path:
    path = directory / f"{name}.conf"
    user = f"user {getpass.getuser()};" if os.geteuid() == 0 else ""
    path.write_text(_FRAME.format(directory=directory, name=name, user=user, content=content))
    return path


def version() -> str:
    """Its version; empty if it is not installed."""
    try:
        told = subprocess.run([BINARY, "-v"], capture_output=True, text=True, check=True)
    except OSError:
        return ""
    return told.stderr.strip().rpartition("/")[2]
