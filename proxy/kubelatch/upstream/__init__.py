"""The way to the API server: dialling, TLS, HTTP/1.1, idle connections.

It knows where the API server is and who we are there, and nothing of who asks, or why."""
