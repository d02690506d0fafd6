"""One cluster as one user: what settings and files describe, followed as they change.

It makes the configuration, the generation and the gate, in a thread, and keeps the last that
works. It knows nothing of requests.
"""
