"""What the C library does with memory that is freed."""

import platform
import subprocess
import sys

import pytest

# Three megabytes at a time are above what glibc keeps by itself after having freed one.
_FAULTS = """
import resource
from kubelatch.system.malloc import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(50):
        blocks = [b"x" * 1_000_000 for _ in range(3)]
        del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

by_itself = faults()
keep_freed_memory()
faults()
print(by_itself, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc that does so")
def test_pieces_of_bodies_do_not_fault_page_by_page() -> None:
    reported = subprocess.run(
        [sys.executable, "-c", _FAULTS], capture_output=True, text=True, check=True
    ).stdout
    by_itself, kept = map(int, reported.split())
    assert by_itself > 10_000
    assert kept < 1_000
