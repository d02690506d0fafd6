"""Asks a person whether a request may pass that a policy stops (``--ask``).

The relay holds the request; here it is queued, described, and answered, through the inspector's
interface alone. Imported with ``--ask``.
"""

from .service import ApprovalService

__all__ = ["ApprovalService"]
