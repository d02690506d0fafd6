"""``--write-rules``: the Roles and ClusterRoles that cover what passed through the proxy.

It learns of requests from their records. ``outcomes`` decides which requests count,
``collector`` counts what rules must allow for them to pass, ``grouping`` and ``dangers`` make the
fewest rules of that, ``manifest`` writes them as YAML; these are pure. ``file`` replaces the file,
``service`` puts them together.
"""

from .service import RulesService

__all__ = ["RulesService"]
