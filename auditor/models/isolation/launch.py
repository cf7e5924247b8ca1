"""Starts the process that workers are forked from, as well isolated as this machine allows."""

import json
import os
import socket
import subprocess
import sys
import time
import weakref
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal

from auditor.console import printable
from auditor.errors import EnvironmentUnmetError
from auditor.models.isolation import bubblewrap
from auditor.models.isolation.protocol import Channel, Message, ProtocolError

Isolation = Literal["auto", "strong", "weak", "none"]
"""What the user asks for: the best there is, nothing less than strong, a process alone, nothing."""

STARTING = 120.0
"""Seconds in which torch must have been imported."""

SYSTEM_FILES = tuple(
    Path(path)
    for path in (
        *bubblewrap.SYSTEM,
        *("/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/driver/nvidia"),
        *("/proc/sys/vm", "/proc/devices", "/sys/devices", "/sys/bus/pci", "/sys/module/nvidia"),
        *("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random"),
    )
)
KEPT = ("LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "CUDA_HOME", "CUBLAS_WORKSPACE_CONFIG")
"""Variables without which a GPU is not found, or computes otherwise."""

# code that a worker runs on behalf of this module, in an interpreter that knows nothing yet
_BOOT = (
    "import json, sys; given = json.loads(sys.argv[1]); sys.path[:0] = given[0]; "
    "from auditor.models.isolation.template import main; main(*given[1:])"
)


class Template:
    """A process that has imported torch and waits to be forked; it dies with this one.

    Args:
        wrapped: whether bubblewrap is put around it.
        gpu: whether workers may reach the GPUs.

    Raises:
        EnvironmentUnmetError: if it does not start.
    """

    def __init__(self, *, wrapped: bool, gpu: bool) -> None:
        self.wrapped, self.owner = wrapped, os.getpid()
        self.devices, self.paths = _gpus() if gpu else [], python_paths()
        ours, theirs = socket.socketpair()
        descriptor = theirs.fileno()
        given = [_module_paths(), descriptor, 0 if wrapped else self.owner]
        inner = [sys.executable, "-I", "-c", _BOOT, json.dumps(given)]
        command = inner
        if wrapped:
            bwrap = bubblewrap.find()
            if bwrap is None:
                raise EnvironmentUnmetError("bubblewrap is not installed")
            command = bubblewrap.command(bwrap, inner, self.paths, self.devices)
        self.process = subprocess.Popen(
            command,
            env=_environment(bubblewrap.SCRATCH if wrapped else "/nonexistent"),
            cwd="/",
            pass_fds=(descriptor,),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        theirs.close()
        self.control = Channel(ours)
        self.close = weakref.finalize(self, _end, self.process, self.control, self.owner)
        self._await()

    def _await(self) -> None:
        try:
            self.control.receive(until=time.monotonic() + STARTING)
        except (EOFError, OSError, ProtocolError):
            self.close()
            assert self.process.stderr is not None
            said = self.process.stderr.read().decode(errors="replace").strip().splitlines()[-1:]
            raise EnvironmentUnmetError(
                f"the worker for models does not start: {printable(''.join(said), 300)}"
            ) from None
        finally:
            if self.process.stderr is not None and self.process.poll() is None:
                self.process.stderr.close()

    @property
    def alive(self) -> bool:
        """Whether it can still be asked, by this process."""
        return self.owner == os.getpid() and self.process.poll() is None

    def fork(self, start: Mapping[str, object]) -> tuple[Channel, int]:
        """Return a new worker: the channel to it, and what it is called when it is to be ended."""
        ours, theirs = socket.socketpair()
        with theirs:
            self.control.send(Message({"do": "start", **start}, files=[theirs.fileno()]))
        answer = self.control.receive(until=time.monotonic() + STARTING)
        return Channel(ours), int(answer.header["child"])

    def end(self, child: int) -> int:
        """Kill a worker that has not ended by itself; gives how it ended, as exit codes go."""
        self.control.send(Message({"do": "end", "child": child}))
        answer = self.control.receive(until=time.monotonic() + STARTING)
        return int(answer.header["status"])


def _end(process: "subprocess.Popen[bytes]", control: Channel, owner: int) -> None:
    """End a template, and every worker with it; at the latest when this process ends."""
    if owner != os.getpid():
        return
    control.close()
    process.kill()
    with suppress(subprocess.TimeoutExpired):
        process.wait(10)


_templates: dict[tuple[str, bool], Template] = {}


def template(isolation: Isolation, *, gpu: bool) -> Template:
    """Return the process for workers of this kind, started when first asked for.

    Raises:
        EnvironmentUnmetError: if none starts.
    """
    kind = ("weak" if isolation == "weak" else "best", gpu)
    found = _templates.get(kind)
    # code that a user names is found on the path as it is now; workers keep an older one alive
    if found is None or not found.alive or found.paths != python_paths():
        found = _templates[kind] = _start(kind[0], gpu=gpu)
    return found


def _start(kind: str, *, gpu: bool) -> Template:
    if kind == "best" and bubblewrap.find() is not None:
        with suppress(EnvironmentUnmetError):  # many systems forbid the namespaces it needs
            return Template(wrapped=True, gpu=gpu)
    return Template(wrapped=False, gpu=gpu)


def python_paths() -> list[Path]:
    """Return where the interpreter and its packages are."""
    places = [sys.prefix, sys.base_prefix, sys.exec_prefix, str(Path(sys.executable).parent)]
    places += [str(Path(sys.executable).resolve().parent), *_module_paths()]
    places += os.environ.get("LD_LIBRARY_PATH", "").split(":")
    return [Path(place) for place in dict.fromkeys(places) if place and Path(place).exists()]


def _module_paths() -> list[str]:
    return [str(Path(path).absolute()) for path in sys.path if Path(path).exists()]


def _environment(scratch: str) -> dict[str, str]:
    """Nothing of the user's: no tokens, no proxies, no home."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    return {
        **kept,
        "LANG": "C.UTF-8",
        "HOME": "/nonexistent",
        "USER": "worker",
        "TMPDIR": scratch,
        "PYTHONDONTWRITEBYTECODE": "1",
        "HF_HUB_OFFLINE": "1",
        "CUDA_CACHE_DISABLE": "1",
    }


def _gpus() -> list[Path]:
    return sorted(Path("/dev").glob("nvidia*"))
