"""The command in a process of its own, so that no code it runs can decide how it ends.

What a model or a plug-in brings along may call ``os._exit(0)``, crash the interpreter or never come
back. So the exit code is what the child says on a pipe at its very end; a child that ended in any
other way has failed. This module imports nothing that takes time: the fork comes first.
"""

import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import NoReturn

from auditor.allocator import keep_freed_memory
from auditor.models.isolation.parent import die_with

FAILED = 1
UNHEARD = 10.0
"""Seconds a child has to show that it heard a signal: native code that loops never does."""
SAVING = 120.0
"""Seconds it then has to write down what is finished."""
HEARD = b"heard\n"

FORWARDED = (signal.SIGINT, signal.SIGTERM)


PATIENT = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0", "OPENBLAS_THREAD_TIMEOUT": "4"}
"""How threads wait for one another: asleep. By default they spin, and beside another busy process
a thread's spinning keeps the one that it waits for from running.
"""


def entry() -> NoReturn:
    """Run the command `audit`."""
    for name, value in PATIENT.items():  # read once, when the libraries are loaded
        os.environ.setdefault(name, value)
    if hasattr(os, "fork"):
        sys.exit(supervise(_command))
    sys.exit(_command(lambda: None))


def _command(heard: Callable[[], None]) -> int:
    from auditor.cli.main import execute  # everything that takes time to import starts here

    keep_freed_memory()
    return execute(heard=heard)


def supervise(work: Callable[[Callable[[], None]], int]) -> int:
    """Do ``work`` in a child process; gives the exit code it came to, or that of its failure.

    Args:
        work: gives the exit code; it is handed what to call when a signal has arrived.
    """
    while os.open(os.devnull, os.O_RDWR) <= 2:
        pass  # a closed standard stream's number must not become that of the pipe
    reading, writing = os.pipe()
    parent = os.getpid()
    # held back until the parent forwards them: before, they would end it and not the child
    before = signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)
    child = os.fork()
    if not child:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.close(reading)
        _be_child(work, writing, parent)
    os.close(writing)
    watch = _Watch(child, reading)
    watch.forward()
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return watch.code()


def _be_child(work: Callable[[Callable[[], None]], int], writing: int, parent: int) -> NoReturn:
    me = os.getpid()
    code = FAILED
    try:
        die_with(parent)
        code = work(lambda: _say(writing, HEARD))
    except BaseException:  # also an exit: `work` returns its code
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(AttributeError, OSError, ValueError):  # nobody reads it any more
                stream.flush()
        if os.getpid() == me:  # a fork made inside has nothing to say
            _say(writing, f"{me} {code}\n".encode())
        os._exit(code)


def _say(writing: int, what: bytes) -> None:
    with suppress(OSError):  # the parent is gone
        os.write(writing, what)


class _Watch:
    """Waits for the child, passes signals on, and ends it if it does not heed them."""

    def __init__(self, child: int, reading: int) -> None:
        self.child, self.reading = child, reading
        self.said = b""
        self.stop, self.until = 0, float("inf")

    def forward(self) -> None:
        """From now on, pass on every signal that is not ignored."""
        for number in FORWARDED:
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._forward)

    def code(self) -> int:
        """Return the exit code that the child said, or that of how it ended otherwise."""
        while not (status := self._poll()):
            self._listen(0.5)
            if time.monotonic() > self.until:
                _signal(self.child, signal.SIGKILL)
        self._listen(0.0)
        return self._conclude(status[0])

    def _forward(self, number: int, frame: FrameType | None) -> None:
        if not self.stop:
            self.stop, self.until = number, time.monotonic() + UNHEARD
        _signal(self.child, number)

    def _poll(self) -> tuple[int] | None:
        """Return child's status, if it has ended; its pipe may be held open by its own children."""
        pid, status = os.waitpid(self.child, os.WNOHANG)
        return (status,) if pid else None

    def _listen(self, seconds: float) -> None:
        if not select.select([self.reading], [], [], seconds)[0]:
            return
        found = os.read(self.reading, 4096)
        self.said += found
        if HEARD in found:
            self.until = max(self.until, time.monotonic() + SAVING)
        if not found and seconds:  # it has closed the pipe, and may yet take its time
            time.sleep(0.02)

    def _conclude(self, status: int) -> int:
        words = self.said.replace(HEARD, b"").split()
        if len(words) == 2 and int(words[0]) == self.child:
            return int(words[1])
        ended = os.waitstatus_to_exitcode(status)
        if ended >= 0:
            _complain(f"some code in it ended the program ({ended}) before there was a verdict")
            return ended or FAILED
        if self.stop and -ended == signal.SIGKILL:
            _complain(f"it did not heed the signal within {UNHEARD:.0f} s, and was killed")
            return 128 + self.stop
        name = signal.Signals(-ended).name
        _complain(f"it was ended by {name} before there was a verdict; what is finished is kept")
        return 128 - ended


def _signal(child: int, number: int) -> None:
    with suppress(ProcessLookupError):  # it has just ended
        os.kill(child, number)


def _complain(line: str) -> None:
    with suppress(OSError):
        os.write(2, f"audit: {line}\n".encode())
