"""The same attacks on a context below ``/clusters/``: it decides as the one at the root would, the
server at the root is never asked, and its credential goes nowhere."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import Authority
from tests.support.upstream import Connection, ScriptedUpstream

from . import test_hosts_and_pages as pages
from . import test_identities as identities
from . import test_targets as targets
from . import test_upgrades as upgrades
from .attack import Case, attack
from .policies import running

# A context beside the chosen one can only be read, without a flag.
FLAGS = {
    "default": ("--write-contexts=all",),
    "read-only": (),
    "rules": ("--write-contexts=all", "--allow-rules={rules}"),
}
CORPORA: dict[str, list[Any]] = {
    "targets": [
        *targets.KEPT,
        *targets.OUTSIDE,
        *targets.EXEC,
        *targets.TWO_READINGS,
        *targets.MOVED,
        *targets.FORMS,
        *targets.WRITES,
    ],
    "identities": [*identities.REMOTE, *identities.IMPERSONATION, *identities.CREDENTIALS],
    "upgrades": [*upgrades.TUNNELS, *upgrades.EXECS, *upgrades.PLAIN, *upgrades.BODIES],
    "pages": [*pages.HOSTS, *pages.ORIGINS, *pages.SITES, *pages.SOCKETS],
}


def cases() -> Iterator[tuple[str, Case]]:
    for name, corpus in CORPORA.items():
        for parameter in corpus:
            [case] = parameter.values
            # Of several requests on a connection, the first alone would be below the prefix.
            if case.raw.count(b" HTTP/1.") == 1:
                yield f"{name}: {parameter.id}", case


@pytest.mark.parametrize("name", FLAGS)
async def test_a_context_below_a_prefix_is_attacked_in_vain(
    name: str, authority: Authority, tmp_path: Path
) -> None:
    async def never(connection: Connection) -> None:
        await connection.reader.read()

    flags = ("--contexts=all", *FLAGS[name])
    failed: list[str] = []
    async with (
        ScriptedUpstream(never, authority) as root,
        running(name, authority, tmp_path, *flags, elsewhere=root.url) as fence,
    ):
        for title, case in cases():
            try:
                await attack(fence, case)
            except (AssertionError, asyncio.IncompleteReadError, TimeoutError) as error:
                failed.append(f"{title}: {str(error)[:300]}")
                await asyncio.sleep(0.05)
                fence.take()
        assert failed == []
        assert not root.connections
