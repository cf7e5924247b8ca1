"""What glibc's allocator does with memory that was freed; other libraries of C are let be.

By default it gives the kernel back each activation of a network, to have it cleared and handed out
again a moment later, which took a sixth of an audit's time. Keeping them costs memory where a large
step leaves its heap full of holes, so between steps everything free goes back.
"""

import ctypes
from contextlib import suppress

KEPT = {-3: 2**25, -1: 2**27}
"""M_MMAP_THRESHOLD and M_TRIM_THRESHOLD of ``malloc.h``: blocks up to 32 MiB come from the heap, of
which 128 MiB may lie free at its end.
"""


def keep_freed_memory() -> None:
    """Have freed blocks handed out again without asking the kernel."""
    with suppress(AttributeError):
        tell = ctypes.CDLL(None).mallopt
        for option, value in KEPT.items():
            tell(option, value)


def return_freed_memory() -> None:
    """Give the kernel back all that is free now."""
    with suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
