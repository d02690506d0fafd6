"""The attacker's view: raw bytes at a running proxy, and what its upstream saw of them.

Each request goes over a real socket to the real command, once for each set of flags that fences
the API differently. What is asserted is what arrived upstream, read by a parser of these tests
and not by the proxy's: a request that was refused leaves no trace there, one that passes arrives
once and byte for byte, and after either the connection is closed or still in step.
"""
