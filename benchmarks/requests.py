"""Small requests over and over: how many a second, how late, and at what price."""

from . import nginx, wrk
from .peers import Serving
from .plan import Plan
from .rounds import Figures, Step
from .upstream import Upstream


def warm_up(_plan: Plan, upstream: Upstream, serving: Serving) -> Figures:
    """Let connections to the upstream open and caches fill."""
    wrk.ask(serving, nginx.SMALL, upstream.directory, clients=64, seconds=1)
    return {}


def at(clients: int, key: str = "requests") -> Step:
    """The step that takes the figures of so many clients, if the plan has them.

    These are requests a second, microseconds of CPU for each, and microseconds of latency.
    """

    def step(plan: Plan, upstream: Upstream, serving: Serving) -> Figures:
        if clients not in plan.clients:
            return {}
        answers = wrk.ask(
            serving, nginx.SMALL, upstream.directory, clients=clients, seconds=plan.seconds
        )
        return {
            f"{key}.{clients}.rate": answers.count / answers.seconds,
            f"{key}.{clients}.cpu": answers.cpu / answers.count * 1e6,
            f"{key}.{clients}.p50": answers.p50 * 1e6,
            f"{key}.{clients}.p99": answers.p99 * 1e6,
        }

    return step
