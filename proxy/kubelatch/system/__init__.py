"""The operating system: sockets, peers, processes, systemd, threads, limits.

Each module wraps one interface of the kernel or of the service manager. Nothing here knows HTTP or
Kubernetes.
"""
