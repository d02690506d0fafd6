"""HTTP/1.1 without I/O: targets, header rules, framing, response reading, gzip, watch events.

Every byte of HTTP/1.1 that this proxy writes is made in ``writer``. Nothing here knows sockets,
credentials or which request is allowed.
"""
