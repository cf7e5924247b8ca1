"""What a worker may use, and how it gives up the right to more."""

import os
import resource
from contextlib import suppress
from dataclasses import dataclass

SECONDS = 600.0
"""For one batch, or for opening a model: a hundred times what networks need on a slow processor."""
SHARE_OF_MEMORY = 0.75
FILES = 256


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Of one worker.

    Attributes:
        seconds: for each answer, on the wall clock.
        memory: bytes it may hold for itself beyond what its process began with.
        file_bytes: of a file it may write; there is nowhere to write to but a folder in memory, and
            that only under bubblewrap.
    """

    seconds: float = SECONDS
    memory: int = 0
    file_bytes: int = 2**26

    def __post_init__(self) -> None:
        if not self.memory:
            object.__setattr__(self, "memory", int(SHARE_OF_MEMORY * _physical()))


def apply(limits: Limits) -> None:
    """Limit this process, for good."""
    # address space would be the plainer limit, but a GPU's driver reserves hundreds of gigabytes
    wanted = {
        resource.RLIMIT_DATA: limits.memory,
        resource.RLIMIT_FSIZE: limits.file_bytes,
        resource.RLIMIT_NOFILE: FILES,
        resource.RLIMIT_CORE: 0,
    }
    for kind, most in wanted.items():
        _, hard = resource.getrlimit(kind)
        least = most if hard == resource.RLIM_INFINITY else min(most, hard)
        with suppress(OSError, ValueError):  # not every system knows every limit
            resource.setrlimit(kind, (least, least))


def _physical() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
