"""The gate: decides which requests may pass.

A pure function from a request's method, target and header fields, and the proxy's settings, to a
decision. ``gate.py`` applies the rules in their order; each of the other modules is one rule.
"""

from ..http1.target import Target, parse_target
from .decision import Allowed, Decision, Held, LocalResponse, Refusal, ResponseHeaders, Static
from .gate import Caller, Gate
from .judge import Judge
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
    "Held",
    "Judge",
    "LocalResponse",
    "Refusal",
    "ResponseHeaders",
    "Static",
    "Target",
    "parse_target",
    "split_patterns",
    "stripped_prefix",
]
