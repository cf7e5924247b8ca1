"""Audits in processes of their own, in which the n-th touch of a file goes wrong.

What a process does to files is seen by Python's audit hooks, whoever does it: creating, opening for
writing, renaming, removing, changing modes. So a sweep over n meets every writer there is, also one
that is added tomorrow.
"""

import errno
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from auditor.artifacts.atomic import TEMPORARY

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
EVENTS = ("os.rename", "os.remove", "os.mkdir", "os.chmod", "shutil.rmtree")
GROWING = ("os.mkdir", "os.rename")
"""What a full disk refuses beside opening for writing; removing and changing modes go on."""


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, or minus the signal; and what it said on stderr."""

    code: int
    said: str

    @property
    def lines(self) -> list[str]:
        """The lines of the command itself, without those about its steps."""
        return [line for line in self.said.splitlines() if line.startswith("audit: ")]


def run_forked(arguments: list[object], log: Path, before: Callable[[], object] = int) -> Ended:
    """Run the command in a fork of this process, which has everything imported."""
    pid = os.fork()
    if not pid:
        _be_command([str(argument) for argument in arguments], log, before)
    _, status = os.waitpid(pid, 0)
    return Ended(os.waitstatus_to_exitcode(status), log.read_text(errors="replace"))


def _be_command(arguments: list[str], log: Path, before: Callable[[], object]) -> None:
    code = 99
    try:
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(handle, stream)
        sys.stdout, sys.stderr = (open(stream, "w", buffering=1) for stream in (1, 2))  # noqa: PTH123, SIM115
        from auditor.cli.main import execute

        before()
        code = execute(arguments)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


class Touches:
    """Counts what this process does to files below some folders, and acts at the n-th.

    Args:
        roots: the folders.
        at: the number of the touch to act at, from 1 on; 0 for never.
        act: called with the event and the path.
        events: what counts beside opening for writing.
        lasting: whether it acts at all later ones too.
    """

    def __init__(
        self,
        *roots: Path,
        at: int = 0,
        act: Callable[[str, str], None] = lambda event, path: None,
        events: tuple[str, ...] = EVENTS,
        lasting: bool = False,
    ) -> None:
        self.roots, self.at, self.act = [os.fspath(root) for root in roots], at, act
        self.events, self.lasting, self.count = events, lasting, 0

    def install(self) -> None:
        """Count from now on; a process cannot take an audit hook away again."""
        sys.addaudithook(self._meet)

    def _meet(self, event: str, arguments: tuple[object, ...]) -> None:
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING
        if not (writes or event in self.events):
            return
        path = arguments[0]
        if not isinstance(path, str | Path) or not str(path).startswith(tuple(self.roots)):
            return
        self.count += 1
        if self.at and (self.count == self.at or (self.lasting and self.count > self.at)):
            self.act(event, str(path))


def kill(event: str, path: str) -> None:
    """As the kernel does when memory is short."""
    os.kill(os.getpid(), signal.SIGKILL)


def ask_to_stop(event: str, path: str) -> None:
    """As a scheduler does when the time is over."""
    os.kill(os.getpid(), signal.SIGTERM)


def refuse(event: str, path: str) -> None:
    """As a full disk does."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)


def at_the_nth_fsync(number: int, act: Callable[[int], None]) -> Callable[[], None]:
    """What installs ``act``, given the descriptor, in the place of the n-th fsync of a process."""

    def install() -> None:
        real, count = os.fsync, 0

        def fsync(handle: int) -> None:
            nonlocal count
            count += 1
            if count == number:
                act(handle)
            real(handle)

        os.fsync = fsync

    return install


def kill_halfway(handle: int) -> None:
    """End the process when half of a file is on the disk."""
    os.ftruncate(handle, os.fstat(handle).st_size // 2)
    os.kill(os.getpid(), signal.SIGKILL)


def no_space(handle: int) -> None:
    """What a disk says that notices only now that it is full."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def leftovers(*folders: Path) -> list[str]:
    """Temporary files and folders that stayed behind."""
    found = [path for folder in folders for path in folder.rglob("*")]
    hidden = [path for path in found if path.name.startswith(".") or TEMPORARY in path.name]
    return [path.as_posix() for path in hidden]


def use_temporary(folder: Path) -> None:
    """Have this process keep its temporary files in ``folder``."""
    tempfile.tempdir = str(folder)


def alive() -> set[int]:
    """Return the processes that run; what has ended and is not yet waited for does not."""
    found = set()
    for place in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if place.read_text().rpartition(")")[2].split()[0] != "Z":
                found.add(int(place.parent.name))
    return found


def descendants(pid: int) -> set[int]:
    """Return the processes that ``pid`` began, and those that they began."""
    below = {pid}
    for process in sorted(alive()):  # a child's number may be lower once they have wrapped around
        with suppress(OSError):
            parent = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1]
            if int(parent) in below:
                below.add(process)
    return below - {pid}
