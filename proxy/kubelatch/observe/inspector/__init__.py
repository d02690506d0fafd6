"""The inspector: a page and an interface that show the exchanges of this proxy, live.

Imported with ``--inspect`` alone. Exchanges are captured by subclasses of the relay's own, so that
without the flag nothing is on their path. What is kept is redacted before it is kept, and gone with
the process.
"""

from .service import InspectorService

__all__ = ["InspectorService"]
