"""How much freed memory the C library keeps for what comes next.

glibc takes a large block from the kernel and gives it back when it is freed, and trims its heap
where much is free at the end; whatever it takes again comes page by page, with a fault for each.
Bodies go through this process in pieces of a quarter of a megabyte, and their faults cost more
than their encryption. What counts as large, and as much, follows the largest block freed so far
(mallopt(3), ``M_MMAP_THRESHOLD``): freeing one is all it takes. Other C libraries, and a glibc
told otherwise by its environment, are left as they are.
"""

from typing import Final

# Of the heap's end, glibc then keeps up to twice this.
_LARGE: Final = 4 * 1024 * 1024


def keep_freed_memory() -> None:
    """Let glibc keep up to 8 MiB of freed memory. Uses none by itself."""
    bytes(_LARGE)
