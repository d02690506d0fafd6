"""The real kubectl as the oracle: same files, same flags, and the server must see the same.

Three tables: where both reach the server, the server must not be able to tell them apart; where
kubectl refuses, so must we, in words that overlap; and where we differ on purpose, both sides
are pinned, so that a change in either shows.
"""

import os

import pytest

from .cases import Case
from .cases_different import DIFFERENT, REACHES
from .cases_refused import REFUSED
from .cases_same_access import ACCESS
from .cases_same_files import FILES
from .oracle import KUBECTL, World, ask_both, fill

SAME = {**ACCESS, **FILES}


def test_kubectl_is_there() -> None:
    assert KUBECTL, "the oracle is part of the test dependencies"
    assert os.access(KUBECTL, os.X_OK)


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in SAME.items()])
async def test_the_server_sees_the_same(case: Case, world: World, words: dict[str, str]) -> None:
    theirs, ours = await ask_both(case, world, words)

    assert theirs.seen is not None, theirs.said
    assert ours.seen is not None, ours.said
    assert ours.seen == theirs.seen


@pytest.mark.parametrize(
    ("case", "said"), [pytest.param(*pair, id=name) for name, pair in REFUSED.items()]
)
async def test_both_refuse_with_similar_messages(
    case: Case, said: str, world: World, words: dict[str, str]
) -> None:
    theirs, ours = await ask_both(case, world, words)

    wanted = fill(said, world, words)
    assert theirs.seen is None
    assert ours.seen is None
    assert wanted in theirs.said
    assert wanted in ours.said


@pytest.mark.parametrize(
    ("case", "kubectl", "proxy"), [pytest.param(*row, id=name) for name, row in DIFFERENT.items()]
)
async def test_differences_are_these(
    case: Case, kubectl: str, proxy: str, world: World, words: dict[str, str]
) -> None:
    theirs, ours = await ask_both(case, world, words)

    for outcome, expected in ((theirs, kubectl), (ours, proxy)):
        if expected == REACHES:
            assert outcome.seen is not None, outcome.said
        else:
            assert outcome.seen is None
            assert fill(expected, world, words) in outcome.said
    assert theirs != ours
