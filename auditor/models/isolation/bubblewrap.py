"""Bubblewrap: an empty machine with the interpreter in it, and nothing of the user's.

No network, no other processes, a file system of what Python needs, to be read alone, and a small
folder in memory to write to.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

SYSTEM = (
    *("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/nix/store"),
    *("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives"),
    "/sys/devices/system/cpu",
)
"""Programs and libraries of the system, and how many processors it has."""
SCRATCH, SCRATCH_BYTES = "/scratch", 2**26
"""Inside, a folder in memory that may be written to, and how much it holds."""


def find() -> str | None:
    """Return where the program is, if it is installed."""
    return shutil.which("bwrap")


def command(
    bwrap: str, inner: Sequence[str], readable: Sequence[Path], devices: Sequence[Path] = ()
) -> list[str]:
    """Return the command that runs ``inner`` in an empty machine.

    Args:
        bwrap: the program.
        inner: what to run.
        readable: what else to show, where it is outside.
        devices: to be commanded, such as a GPU's.
    """
    parts = [bwrap, "--unshare-all", "--unshare-user", "--die-with-parent", "--new-session"]
    parts += ["--cap-drop", "ALL", "--hostname", "worker"]
    for path in (*SYSTEM, *map(str, readable)):
        parts += ["--ro-bind-try", path, path]
    parts += ["--proc", "/proc", "--dev", "/dev"]
    for device in devices:
        parts += ["--dev-bind-try", str(device), str(device)]
    parts += ["--size", str(SCRATCH_BYTES), "--tmpfs", SCRATCH, "--remount-ro", "/"]
    return [*parts, "--chdir", SCRATCH, "--", *inner]
