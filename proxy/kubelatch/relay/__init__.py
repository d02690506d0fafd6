"""From a client's bytes to its response: connections, requests, exchanges, tunnels, drain.

One protocol for each client (``client``), one object for each request (``exchange``), one registry
of those under way (``registry``). It knows the gate's decisions and the upstream's transport, and
nothing of kubeconfig, of files or of how exchanges are logged.
"""
