"""Landlock: which files a process may reach, decided by the process itself and for good.

Needs no rights and no namespaces. See the kernel's ``Documentation/userspace-api/landlock.rst``;
the numbers of the system calls are the same on every architecture.
"""

import ctypes
import os
import stat
from collections.abc import Sequence
from pathlib import Path

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
VERSION, PATH_BENEATH = 1, 1
NO_NEW_PRIVS = 38

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
TRUNCATE, IOCTL_DEV = 1 << 14, 1 << 15
ON_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
"""What can be allowed on something that is no folder."""
RIGHTS_SINCE = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""Version of the interface -> how many rights on files it knows."""
TCP, SCOPES = 0b11, 0b11
"""Binding and connecting; abstract sockets of others, and signals to them."""


class _Ruleset(ctypes.Structure):
    _fields_ = (
        ("files", ctypes.c_uint64),
        ("network", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32))


def version() -> int:
    """Of the kernel's interface; 0 where there is none."""
    try:
        return max(0, _call(CREATE_RULESET, None, 0, VERSION))
    except OSError:
        return 0


def restrict(
    readable: Sequence[Path], writable: Sequence[Path] = (), devices: Sequence[Path] = ()
) -> None:
    """Let this process, which must have one thread, reach nothing but these.

    Args:
        readable: files, and folders with all that is in them; those that are missing are left out.
        writable: the same, to be written as well.
        devices: the same, to be written and commanded.

    Raises:
        OSError: if the kernel refuses.
    """
    known = version()
    every = (1 << RIGHTS_SINCE[min(known, max(RIGHTS_SINCE))]) - 1
    ruleset = _Ruleset(every, TCP if known >= 4 else 0, SCOPES if known >= 6 else 0)
    size = 8 if known < 4 else 16 if known < 6 else 24
    rules = _call(CREATE_RULESET, ctypes.byref(ruleset), size, 0)
    try:
        read = READ_FILE | READ_DIR
        for paths, rights in (
            (readable, read),
            (writable, every & ~(EXECUTE | IOCTL_DEV)),
            (devices, read | WRITE_FILE | IOCTL_DEV),
        ):
            for path in paths:
                _allow(rules, path, rights & every)
        no_new_privileges()
        _call(RESTRICT_SELF, rules, 0)
    finally:
        os.close(rules)


def no_new_privileges() -> None:
    """Never gain rights by running another program; what restricts itself must first say so."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def _allow(rules: int, path: Path, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # what is not there needs no rule
    try:
        if not stat.S_ISDIR(os.fstat(place).st_mode):
            rights &= ON_FILES
        _call(ADD_RULE, rules, PATH_BENEATH, ctypes.byref(_Beneath(rights, place)), 0)
    finally:
        os.close(place)


def _call(number: int, *arguments: object) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    found: int = libc.syscall(ctypes.c_long(number), *arguments)
    if found < 0:
        raise OSError(ctypes.get_errno(), f"system call {number}")
    return found
