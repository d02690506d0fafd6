"""Benchmarks: kubelatch beside kubectl proxy and nginx, same work, same machine, same minute.

Run as ``python -m benchmarks``; see docs/performance.md. Nothing here is imported by the proxy,
and the proxy is only ever started as the command that users start.
"""
