"""One confined process with one model in it, as the audit sees it."""

import time
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from auditor.console import printable
from auditor.errors import (
    AuditError,
    EnvironmentUnmetError,
    ModelError,
    ModelRefusedError,
    StrangerExitError,
    UnsupportedTargetError,
)
from auditor.models.isolation import bubblewrap
from auditor.models.isolation.confinement import level
from auditor.models.isolation.launch import (
    SYSTEM_FILES,
    Isolation,
    Template,
    python_paths,
    template,
)
from auditor.models.isolation.limits import Limits
from auditor.models.isolation.protocol import Message, ProtocolError, close

KNOWN: Mapping[str, type[AuditError]] = {
    error.__name__: error
    for error in (
        *(EnvironmentUnmetError, ModelError, ModelRefusedError),
        *(StrangerExitError, UnsupportedTargetError),
    )
}
"""Errors that a worker may name; anything else it says is an error of the model."""

GIB = 2**30


class WorkerModelError(RuntimeError):
    """The model raised an exception of its own inside its worker."""


@dataclass(frozen=True, kw_only=True)
class Confinement:
    """How a model is kept apart.

    Attributes:
        isolation: what the user asked for.
        limits: what each answer may take.
        gpu: whether the model runs on one.
        catalogue: whether weights are to fill a network there, by somebody's own code.
    """

    isolation: Isolation = "auto"
    limits: Limits = field(default_factory=Limits)
    gpu: bool = False
    catalogue: bool = False


class Worker:
    """A confined process; it ends with this object, with the audit, or when it is stopped.

    Args:
        path: of the model, for messages.
        confinement: how it is kept apart.

    Attributes:
        means: by what it is confined.
        level: what that amounts to.

    Raises:
        ModelRefusedError: if strong isolation is asked for and cannot be had.
        EnvironmentUnmetError: if it does not start.
    """

    def __init__(self, path: Path, confinement: Confinement) -> None:
        self.path, self.confinement = path, confinement
        home = template(confinement.isolation, gpu=confinement.gpu)
        try:
            self.channel, child = home.fork(_start(home, confinement))
            said = self.channel.receive(until=time.monotonic() + confinement.limits.seconds)
        except (EOFError, OSError, ProtocolError) as error:
            raise EnvironmentUnmetError(f"the worker for models does not start: {error}") from None
        self._end = weakref.finalize(self, _end, home, self.channel, child)
        self.means = sorted([*said.header["means"], *(["bubblewrap"] if home.wrapped else [])])
        self.level = level(self.means)
        if confinement.isolation == "strong" and self.level != "strong":
            self.close()
            raise ModelRefusedError(
                f"{path} must run in strong isolation, and this machine offers only "
                f"{', '.join(self.means)}; install bubblewrap, use a kernel with Landlock and "
                "seccomp, or run the audit in a container and allow a weaker one"
            )

    @property
    def alive(self) -> bool:
        """Whether it can still be asked."""
        return self._end.alive

    def close(self) -> int | None:
        """End it; gives how it ended, as exit codes go."""
        return self._end()

    def ask(
        self,
        header: Mapping[str, Any],
        tensors: Sequence[Tensor] = (),
        files: Sequence[int] = (),
        *,
        limit: int = GIB,
    ) -> Message:
        """Ask, and wait for the answer.

        Args:
            header: the question; see `auditor.models.isolation.service`.
            tensors: that belong to it.
            files: descriptors to hand over.
            limit: bytes that the answer's tensors may have.

        Raises:
            AuditError: what the worker says, or that it is gone or took too long.
            WorkerModelError: if the model raised something.
        """
        until = time.monotonic() + self.confinement.limits.seconds
        try:
            self.channel.send(Message(header, tensors, files), until=until)
            answer = self.channel.receive(until=until, limit=limit)
        except TimeoutError:
            self.close()
            seconds = self.confinement.limits.seconds
            raise ModelError(
                f"the model gave no answer within {seconds:g} s and was stopped; "
                "a slow one may be given more with model.seconds"
            ) from None
        except (EOFError, OSError):
            raise ModelError(self._how_it_ended(self.close())) from None
        except ProtocolError as error:
            self.close()
            raise ModelError(f"the model's process answered with {error}; it was stopped") from None
        except BaseException:  # an interruption in the middle of an answer
            self.close()
            raise
        close(answer.files)  # it has none to give
        if "error" in answer.header:
            self._raise(answer.header)
        return answer

    def _how_it_ended(self, code: int | None) -> str:
        if code is None or code >= 0:
            return f"the model ended its own process (exit code {code or 0}); nothing else ended"
        memory = self.confinement.limits.memory / GIB
        return (
            f"the model's process died of signal {-code}; it may use {memory:.1f} GiB "
            "(model.memory_gib), and other programs of the machine need theirs"
        )

    def _raise(self, header: Mapping[str, Any]) -> None:
        name, text = str(header["error"]), printable(str(header.get("text", "")), 2000)
        if name == "MemoryError":
            memory = self.confinement.limits.memory / GIB
            raise ModelError(
                f"the model wants more memory than the {memory:.1f} GiB it may have; "
                "model.memory_gib gives it more"
            )
        if name in KNOWN:
            raise KNOWN[name](text)
        raise WorkerModelError(text)


def _start(home: Template, confinement: Confinement) -> dict[str, Any]:
    scratch = [bubblewrap.SCRATCH] if home.wrapped else []
    return {
        "limits": asdict(confinement.limits),
        "walls": confinement.isolation != "weak",
        "catalogue": confinement.catalogue,
        "readable": [str(path) for path in (*SYSTEM_FILES, *python_paths())],
        "writable": scratch,
        "devices": ["/dev/null", *map(str, home.devices)],
        "threads": torch.get_num_threads(),
    }


def _end(home: Template, channel: Any, child: int) -> int:
    channel.close()
    try:
        return home.end(child) if home.alive else 0
    except (EOFError, OSError, ProtocolError):
        return 0
