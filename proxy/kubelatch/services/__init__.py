"""Services by host name: ``http://SERVICE--NAMESPACE--CONTEXT.localhost`` (``--service-hosts``).

It knows names, how a service leads to a pod's port, and HTTP over ``pods/portforward``. The policy
is the gate's, the client's side the relay's.
"""
