"""The command before an upstream for load, and what the kernel says of a process (Linux)."""

import os
import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.certificates import Authority
from tests.support.kubeconfig import kubeconfig, write
from tests.support.proxies import ProxyProcess, proxy_process

from .upstream import LoadUpstream, load_upstream

TICKS = os.sysconf("SC_CLK_TCK")


def rss(pid: int) -> int:
    """Resident memory in bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def descriptors(pid: int) -> int:
    """How many file descriptors are open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def cpu_seconds(pid: int) -> float:
    """Processor time that was used so far, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def limits(pid: int) -> tuple[int, int]:
    """Soft and hard limit of file descriptors."""
    return resource.prlimit(pid, resource.RLIMIT_NOFILE)


@asynccontextmanager
async def under_load(
    directory: Path, authority: Authority, *flags: str
) -> AsyncIterator[tuple[LoadUpstream, ProxyProcess]]:
    """The command and its upstream; at its end nothing may be left open, and nothing said."""
    async with load_upstream(authority) as upstream:
        config = kubeconfig(upstream.url, authority, user={"token": "load"})
        path = write(directory / "kubeconfig", config)
        async with proxy_process(
            f"--kubeconfig={path}", "--port=0", "--allow-core-dumps", *flags
        ) as proxy:
            yield upstream, proxy
            proxy.process.terminate()
            assert await proxy.finish() == 0
        assert upstream.problems == []
        assert proxy.stderr.decode() == ""
