"""Prometheus' standard metrics of this process: CPU, memory, descriptors, start time.

prometheus-client's own collector has none of them where ``/proc/stat`` is hidden, as by systemd's
``ProcSubset=pid``, which our units have: it takes the time of boot from there. Of ``/proc`` only
this process's own directory is read here; what a system does not have is left out.
"""

import contextlib
import os
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

_SELF: Final = Path("/proc/self")
# Fields of proc_pid_stat(5), counted after the command's name.
_START_TIME: Final = 19


class ProcessMetrics(Collector):
    """The metrics that clients of Prometheus have in common (Prometheus, "Standard and runtime
    collectors")."""

    def __init__(self) -> None:
        # Once: the clocks' difference varies, and a restart is told by a change of this value.
        self._started: float | None = None
        with contextlib.suppress(OSError, ValueError, IndexError, AttributeError):
            self._started = _start_time()

    def collect(self) -> Iterator[Metric]:
        """Called by prometheus-client's registry at each scrape."""
        yield CounterMetricFamily(
            "process_cpu_seconds", "User and system CPU time in seconds.", time.process_time()
        )
        yield GaugeMetricFamily(
            "process_max_fds",
            "Limit of open file descriptors.",
            resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        )
        with contextlib.suppress(OSError):
            # One is this look's own.
            count = len(os.listdir(_SELF / "fd")) - 1
            yield GaugeMetricFamily("process_open_fds", "Open file descriptors.", count)
        with contextlib.suppress(OSError, ValueError, IndexError):
            pages = (_SELF / "statm").read_text().split()
            size = resource.getpagesize()
            for name, text, at in (
                ("virtual", "Virtual memory in bytes.", 0),
                ("resident", "Resident memory in bytes.", 1),
            ):
                value = int(pages[at]) * size
                yield GaugeMetricFamily(f"process_{name}_memory_bytes", text, value)
        if self._started is not None:
            yield GaugeMetricFamily(
                "process_start_time_seconds",
                "Start time in seconds since the epoch.",
                self._started,
            )


def _start_time() -> float:
    """When this process started, in seconds since the epoch."""
    fields = (_SELF / "stat").read_text().rpartition(")")[2].split()
    since_boot = int(fields[_START_TIME]) / os.sysconf("SC_CLK_TCK")
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + since_boot
