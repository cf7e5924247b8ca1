"""The process that workers are forked from: it imports torch once, and runs nobody's code itself.

The audit asks it for workers, and to end them. Each worker gets a channel of its own, confines
itself and then serves one model, see `auditor.models.isolation.service`.
"""

import os
import signal
import socket
from contextlib import suppress

from auditor.models.isolation import service
from auditor.models.isolation.parent import die_with
from auditor.models.isolation.protocol import Channel, Message


def main(descriptor: int, parent: int) -> None:
    """Serve until the audit is gone.

    Args:
        descriptor: of the socket on which the audit asks.
        parent: process to die with; 0 where bubblewrap sees to it.
    """
    if parent:
        die_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the audit to answer
    control = Channel(socket.socket(fileno=descriptor))
    control.send(Message({"ready": True}))
    _silence()
    children: set[int] = set()
    while True:
        try:
            asked = control.receive()
        except (EOFError, OSError):
            os._exit(0)  # whatever is left dies with this process
        if asked.header["do"] == "start":
            if asked.header["catalogue"]:
                import auditor.models.weights  # noqa: F401  # once, and not in every worker

            child = _fork(control, asked)
            children.add(child)
            control.send(Message({"child": child}))
        else:
            child = int(asked.header["child"])
            ended = _end(child) if child in children else 0
            children.discard(child)
            control.send(Message({"status": ended}))


def _fork(control: Channel, asked: Message) -> int:
    template, (end, *_) = os.getpid(), asked.files
    child = os.fork()
    if child:
        os.close(end)
        return child
    try:
        control.close()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        die_with(template)
        service.serve(Channel(socket.socket(fileno=end)), asked.header)
    finally:
        os._exit(0)


def _end(child: int) -> int:
    """Kill a worker that has not ended by itself; gives how it ended, as exit codes go."""
    ended, status = os.waitpid(child, os.WNOHANG)
    if not ended:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def _silence() -> None:
    """From here on nothing that a model prints reaches the audit's terminal."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    os.close(nothing)
