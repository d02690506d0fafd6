"""HTTP/2 (RFC 9113) to the API server, for watches: many streams on few connections.

Requests without a body only; what has one, and upgrades, go over HTTP/1.1. Header compression is
the library hpack's; the frame layer is small for a client that sends no bodies, and is ours: the
library h2 takes nothing after a GOAWAY, though streams up to its last id run on.
"""
