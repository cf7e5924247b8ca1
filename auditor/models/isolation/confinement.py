"""A worker gives up, for good, whatever it does not need to answer questions."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from auditor.models.isolation import landlock, limits, seccomp

Level = Literal["strong", "weak"]
Means = Literal["bubblewrap", "landlock", "seccomp", "limits"]


def confine(
    granted: limits.Limits,
    readable: Sequence[Path],
    writable: Sequence[Path] = (),
    devices: Sequence[Path] = (),
    *,
    walls: bool = True,
) -> list[Means]:
    """Confine this process by all that this machine has.

    Args:
        granted: memory and files.
        readable: where the interpreter and its packages are.
        writable: a folder for scratch.
        devices: such as a GPU's.
        walls: whether more than limits is wanted.

    Returns:
        By what it is confined now.
    """
    reached: list[Means] = ["limits"]
    limits.apply(granted)
    if not walls:
        return reached
    try:
        if landlock.version():
            landlock.restrict(readable, writable, devices)
            reached.append("landlock")
        if seccomp.available():
            seccomp.restrict()
            reached.append("seccomp")
    except OSError:
        pass  # a kernel without them, or a container that forbids them: the level says so
    return reached


def level(means: Sequence[str]) -> Level:
    """Return what means amount to: strong is no network, no processes, and no file of the user's.

    >>> level(["limits", "seccomp"]), level(["bubblewrap", "limits", "seccomp"])
    ('weak', 'strong')
    """
    walls = {"bubblewrap", "landlock"} & set(means)
    return "strong" if walls and "seccomp" in means else "weak"
