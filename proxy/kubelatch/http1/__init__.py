"""HTTP/1.1 without I/O: targets, header rules, framing, response reading, gzip, watch events.

``writer`` makes every byte of HTTP/1.1 that the proxy writes. Nothing here knows sockets,
credentials or which request is allowed.
"""
