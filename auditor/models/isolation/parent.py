"""A child process that does not outlive its parent; imports nothing that takes time."""

import os
import signal
import sys

_DIE_WITH_PARENT = 1
"""PR_SET_PDEATHSIG."""


def die_with(parent: int) -> None:
    """Die with the process ``parent``, whose child this is, where the system can see to it."""
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
