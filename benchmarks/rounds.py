"""Rounds: everybody does the same work in turn, and then all of it again.

Machines are noisy, and what disturbs one minute disturbs all who are measured in it. So ratios
are taken within a round, and who begins changes with each.
"""

import contextlib
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from .peers import Kubelatch, Peer, Serving, serving
from .plan import Plan
from .results import Results
from .upstream import Upstream

Figures = dict[str, float]
Step = Callable[[Plan, Upstream, Serving], Figures]
"""Takes figures of a peer that serves."""
OwnStart = Callable[[Plan, Upstream, Peer], Figures]
"""Takes figures of a peer that it starts itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A kind of work, and so some lines of the table.

    Attributes:
        about: for the help text.
        rounds: how many of them a plan wants.
        steps: everybody takes the first, then everybody the second.
        own_starts: likewise, with nobody else running.
        flags: more flags for kubelatch.
        ours_only: nobody else is measured.
    """

    about: str
    rounds: Callable[[Plan], int]
    steps: Sequence[Step] = ()
    own_starts: Sequence[OwnStart] = ()
    flags: tuple[str, ...] = ()
    ours_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Where work is done, and where its figures go."""

    plan: Plan
    upstream: Upstream
    peers: Sequence[Peer]
    results: Results
    say: Callable[[str], None]

    def measure(self, name: str, row: Row) -> None:
        """Do all rounds of *row*."""
        peers = [_with_flags(peer, row.flags) for peer in self.peers]
        if row.ours_only:
            peers = [peer for peer in peers if isinstance(peer, Kubelatch)]
        count = row.rounds(self.plan)
        for number in range(count):
            first = number % len(peers)
            self._round(name, row, number, [*peers[first:], *peers[:first]])
            self.upstream.forget_logs()
            self.say(f"{name}: round {number + 1} of {count}")

    def _round(self, name: str, row: Row, number: int, peers: Sequence[Peer]) -> None:
        for own_start in row.own_starts:
            for peer in peers:
                with self._faults(name, peer):
                    self.results.add(number, peer.name, own_start(self.plan, self.upstream, peer))
        if not row.steps:
            return
        with contextlib.ExitStack() as stack:
            all_serving = []
            for peer in peers:
                with self._faults(name, peer):
                    all_serving.append(stack.enter_context(serving(peer, self.upstream)))
            for step in row.steps:
                for one in all_serving:
                    with self._faults(name, one.peer):
                        figures = step(self.plan, self.upstream, one)
                        self.results.add(number, one.peer.name, figures)

    @contextlib.contextmanager
    def _faults(self, name: str, peer: Peer) -> Iterator[None]:
        """Who fails gets a remark, and the others go on."""
        try:
            yield
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            self.results.remarks.append(f"FAILED: {name} of {peer.name}: {error}")
            self.say(self.results.remarks[-1])


def _with_flags(peer: Peer, flags: tuple[str, ...]) -> Peer:
    return replace(peer, flags=(*peer.flags, *flags)) if isinstance(peer, Kubelatch) else peer
