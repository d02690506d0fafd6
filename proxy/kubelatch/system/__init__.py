"""The operating system: sockets, accepting, peers, signals' aftermath, systemd, threads, limits.

Each module wraps one interface of the kernel or of the service manager. Nothing here knows HTTP or
Kubernetes.
"""
