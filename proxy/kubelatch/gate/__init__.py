"""The gate: nothing passes that should not, and people can say what should.

A pure function from a request's method, target, headers and the proxy's settings to a decision.
``gate.py`` has the rules in the order in which they are asked; each of the other modules is one
of them.
"""

from ..http1.target import Target, parse_target
from .decision import Allowed, Decision, LocalResponse, Refusal, ResponseHeaders, Static
from .gate import Caller, Gate
from .patterns import split_patterns
from .settings import (
    DEFAULT_ACCEPT_HOSTS,
    DEFAULT_ACCEPT_PATHS,
    DEFAULT_REJECT_METHODS,
    DEFAULT_REJECT_PATHS,
    GateSettings,
    stripped_prefix,
)

__all__ = [
    "DEFAULT_ACCEPT_HOSTS",
    "DEFAULT_ACCEPT_PATHS",
    "DEFAULT_REJECT_METHODS",
    "DEFAULT_REJECT_PATHS",
    "Allowed",
    "Caller",
    "Decision",
    "Gate",
    "GateSettings",
    "LocalResponse",
    "Refusal",
    "ResponseHeaders",
    "Static",
    "Target",
    "parse_target",
    "split_patterns",
    "stripped_prefix",
]
