"""Connections to the API server: dialling, TLS, HTTP/1.1, idle connections.

It knows the API server's address and the proxy's credential, and nothing of clients."""
