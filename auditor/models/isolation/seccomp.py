"""A filter of system calls: no network, no processes, no signals to others, no touching of files.

What Landlock and namespaces leave open is closed here: UDP and local sockets, new processes,
owners and modes of files, and the corners of the kernel from which it has been broken into. Calls
that are not named are allowed, for a numerics library uses hundreds; what is refused gives EPERM.
"""

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterable, Iterator

from auditor.models.isolation.landlock import no_new_privileges

ARCHITECTURES = {"x86_64": (0, 0xC000003E, 317), "aarch64": (1, 0xC00000B7, 277)}
"""Machine -> its column below, its audit number, and the number of seccomp(2)."""

NONE = -1
REFUSED: dict[str, tuple[int, int]] = {
    # sockets of any kind
    "socket": (41, 198), "socketpair": (53, 199),
    # other programs and processes; `clone` has a rule of its own
    "execve": (59, 221), "execveat": (322, 281), "fork": (57, NONE), "vfork": (58, NONE),
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "process_madvise": (440, 440), "kcmp": (312, 272),
    "pidfd_open": (434, 434), "pidfd_send_signal": (424, 424), "pidfd_getfd": (438, 438),
    "tkill": (200, 130), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240),
    # memory that no limit counts, and what is shared with others
    "memfd_create": (319, 279), "memfd_secret": (447, 447),
    "shmget": (29, 194), "shmat": (30, 196), "shmctl": (31, 195),
    "msgget": (68, 186), "semget": (64, 190), "mq_open": (240, 180), "mq_unlink": (241, 181),
    # owners, modes, dates and attributes, of which Landlock knows nothing
    "chmod": (90, NONE), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452),
    "chown": (92, NONE), "fchown": (93, 55), "lchown": (94, NONE), "fchownat": (260, 54),
    "utime": (132, NONE), "utimes": (235, NONE), "utimensat": (280, 88), "futimesat": (261, NONE),
    "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7),
    "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16),
    # the system itself
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "unshare": (272, 97), "setns": (308, 268), "open_tree": (428, 428), "move_mount": (429, 429),
    "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433),
    "mount_setattr": (442, 442), "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265),
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "init_module": (175, 105),
    "finit_module": (313, 273), "delete_module": (176, 106), "reboot": (169, 142),
    "swapon": (167, 224), "swapoff": (168, 225), "sethostname": (170, 161),
    "setdomainname": (171, 162), "settimeofday": (164, 170), "clock_settime": (227, 112),
    "acct": (163, 89), "quotactl": (179, 60), "syslog": (103, 116), "iopl": (172, NONE),
    "ioperm": (173, NONE), "personality": (135, 92),
    # where the kernel has been broken into
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
}  # fmt: skip
"""Name -> its number on x86-64 and on ARM."""

CLONE, CLONE3 = (56, 220), (435, 435)
TO_ITSELF = {"kill": (62, 129), "tgkill": (234, 131)}
"""Signals: a process may still end itself, as `abort` does."""

THREAD = 0x00010000
"""CLONE_THREAD."""
OTHER_ABI = 0x40000000
"""From here on are the numbers of x32."""

LOAD, EQUAL, AT_LEAST, ANY_BIT, GIVE = 0x20, 0x15, 0x35, 0x45, 0x06
"""Instructions: load a word; jump if equal, not below, or sharing a bit; return."""
ALLOW, ERRNO, KILL = 0x7FFF0000, 0x00050000, 0x80000000
NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16
"""Where in what the filter is shown they stand; of an argument, its lower half."""

_SET_FILTER, _ALL_THREADS = 1, 1

Instruction = tuple[int, int, int, int]
"""Code, how far to jump if true and if false, operand."""


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def available() -> bool:
    """Return whether this machine has filters, and its calls are known here."""
    return platform.system() == "Linux" and platform.machine() in ARCHITECTURES


def restrict() -> None:
    """Refuse these calls to this process and its threads, for good.

    Raises:
        OSError: if the kernel refuses.
    """
    _, _, seccomp = ARCHITECTURES[platform.machine()]
    content = b"".join(struct.pack("=HBBI", *step) for step in rules(platform.machine()))
    program = _Program(len(content) // 8, content)
    no_new_privileges()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(
        ctypes.c_long(seccomp), _SET_FILTER, _ALL_THREADS, ctypes.byref(program)
    ):  # fmt: skip
        raise OSError(ctypes.get_errno(), "seccomp")


def rules(machine: str) -> list[Instruction]:
    """Return the filter's program for this process."""
    column, number, _ = ARCHITECTURES[machine]
    steps: list[Instruction] = [
        (LOAD, 0, 0, ARCHITECTURE),
        (EQUAL, 1, 0, number),
        (GIVE, 0, 0, KILL),
        (LOAD, 0, 0, NUMBER),
        (AT_LEAST, 0, 1, OTHER_ABI),
        (GIVE, 0, 0, ERRNO | errno.EPERM),
        # a refusal whose meaning would lie behind a pointer: callers then try `clone`
        (EQUAL, 0, 1, CLONE3[column]),
        (GIVE, 0, 0, ERRNO | errno.ENOSYS),
        (EQUAL, 0, 4, CLONE[column]),
        (LOAD, 0, 0, FIRST_ARGUMENT),
        (ANY_BIT, 1, 0, THREAD),
        (GIVE, 0, 0, ERRNO | errno.EPERM),
        (GIVE, 0, 0, ALLOW),
    ]
    for numbers in TO_ITSELF.values():
        steps += [
            (EQUAL, 0, 4, numbers[column]),
            (LOAD, 0, 0, FIRST_ARGUMENT),
            (EQUAL, 1, 0, os.getpid()),
            (GIVE, 0, 0, ERRNO | errno.EPERM),
            (GIVE, 0, 0, ALLOW),
        ]
    return [*steps, *_refusals(numbers[column] for numbers in REFUSED.values())]


def _refusals(numbers: Iterable[int]) -> Iterator[Instruction]:
    for number in numbers:
        if number != NONE:
            yield (EQUAL, 0, 1, number)
            yield (GIVE, 0, 0, ERRNO | errno.EPERM)
    yield (GIVE, 0, 0, ALLOW)
