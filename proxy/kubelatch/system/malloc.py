"""glibc's malloc threshold: how much freed memory it keeps.

By default glibc returns large freed blocks to the kernel, and later allocations cost one page fault
for each page. Bodies pass through this process in blocks of 256 KiB, whose page faults would cost
more than their encryption. The threshold grows to the size of the largest block freed so far
(mallopt(3), ``M_MMAP_THRESHOLD``), so freeing one is enough. Other C libraries, and a glibc
configured by its environment, are not affected.
"""

from typing import Final

# glibc then keeps up to twice this at the end of the heap.
_LARGE: Final = 4 * 1024 * 1024


def keep_freed_memory() -> None:
    """Let glibc keep up to 8 MiB of freed memory. Allocates none for longer."""
    bytes(_LARGE)
