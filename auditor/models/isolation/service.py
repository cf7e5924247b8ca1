"""What a worker does: confine itself, open one model, and answer what the audit asks.

The audit is trusted here and the model is not; so nothing that the model leaves behind in this
process, down to the code of this file, is trusted by the audit.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from auditor.errors import AuditError
from auditor.models.card import Card
from auditor.models.extractor import input_dtype, reason, set_precision
from auditor.models.files import ModelFiles
from auditor.models.isolation.confinement import confine
from auditor.models.isolation.limits import Limits
from auditor.models.isolation.protocol import Channel, Message, ProtocolError, plain
from auditor.models.programs import open_program
from auditor.models.tensor_files import read_state
from auditor.models.whole_model import read_whole_model
from auditor.plugins.containment import contain

LONGEST = 2000
"""Characters of an error's text that are passed on."""

EXHAUSTED = ("alloc", "out of memory", "bad_alloc")
"""What is in the text of an error where memory ran out."""


def serve(channel: Channel, start: Mapping[str, Any]) -> None:
    """Confine this process and answer until nobody asks any more.

    Args:
        channel: to the audit.
        start: limits, and the paths that may be reached.
    """
    limits = Limits(**start["limits"])
    readable, writable, devices = (
        [Path(path) for path in start[name]] for name in ("readable", "writable", "devices")
    )
    readable.append(Path(f"/proc/{os.getpid()}"))  # its own, and nobody else's
    means = confine(limits, readable, writable, devices, walls=start["walls"])
    torch.set_num_threads(start["threads"])
    channel.send(Message({"means": means}))
    service = _Service()
    while True:
        try:
            asked = channel.receive(limit=2**40)
        except EOFError:
            return
        answer = _answer(service, asked)
        channel.send(answer)
        del asked, answer  # or they would stay while the next images arrive


def _answer(service: "_Service", asked: Message) -> Message:
    try:
        with contain("the model"):
            answer = service.answer(asked)
            # here, because a view of one number may claim to be more than fits into memory
            return replace(answer, tensors=[plain(tensor) for tensor in answer.tensors])
    except ProtocolError as error:
        text = f"the model gives {error}; export it so that it gives plain features"
        return Message({"error": "ModelError", "text": text})
    except AuditError as error:
        return Message({"error": type(error).__name__, "text": str(error)[:LONGEST]})
    except MemoryError:
        return Message({"error": "MemoryError", "text": ""})
    except Exception as error:  # a stranger's network may raise anything
        text = reason(error)
        exhausted = isinstance(error, RuntimeError) and any(sign in text for sign in EXHAUSTED)
        return Message({"error": "MemoryError" if exhausted else "other", "text": text})


@dataclass
class _Service:
    """One model, and what a gradient may yet be asked through."""

    network: nn.Module = field(default_factory=nn.Identity)
    device: torch.device = torch.device("cpu")
    images: Tensor | None = None
    outputs: list[Tensor] = field(default_factory=list)
    number: int = 0

    def answer(self, asked: Message) -> Message:
        """Do what a message asks for."""
        header = asked.header
        if header["do"] == "open":
            return self._open(asked)
        if header["do"] in ("weights", "convert"):
            read = read_state if header["do"] == "weights" else read_whole_model
            with _files(asked) as files:
                state = read(header["form"], files)
            return Message({"names": list(state)}, list(state.values()))
        if header["do"] == "run":
            sides = header["sides"]
            self.number = header["number"]
            return self._run(asked.tensors[0], sides, keep=header["keep"], seed=header["seed"])
        return self._pull(header["of"], header["through"], asked.tensors)

    def _open(self, asked: Message) -> Message:
        header = asked.header
        self.device = torch.device(header["device"])
        card = Card(**header["card"])
        with _files(asked) as files:
            if header["arch"] is None:
                self.network, facts = open_program(
                    header["form"], files, self.device, card.precision
                )
            else:
                from auditor.models.weights import Wanted, fill  # the template has imported it

                state = read_state(header["form"], files)
                wanted = Wanted(arch=header["arch"], key=header["key"], card=card)
                self.network, facts = fill(state, files.path, wanted, self.device)
        set_precision(self.network, card.precision)
        # gradients are asked for on images alone
        dtype = input_dtype(self.network)
        self.network.requires_grad_(False)
        return Message({"facts": facts, "dtype": str(dtype).removeprefix("torch.")})

    def _run(self, images: Tensor, sides: list[int], *, keep: bool, seed: int) -> Message:
        self.images, self.outputs = None, []
        torch.manual_seed(seed)
        images = images.to(self.device).requires_grad_(keep)
        constants = [torch.full(images.shape[:1], side, device=self.device) for side in sides]
        with torch.set_grad_enabled(keep):
            result = self.network(images, *constants)
        single = isinstance(result, Tensor)
        outputs = _listed(result)
        tensors = [output for output in outputs if isinstance(output, Tensor)]
        if keep:
            self.images, self.outputs = images, tensors
        kinds = [None if isinstance(o, Tensor) else type(o).__name__ for o in outputs]
        grads = [tensor.requires_grad for tensor in tensors]
        return Message({"single": single, "kinds": kinds, "grads": grads}, tensors)

    def _pull(self, of: int, through: list[int], cotangents: Any) -> Message:
        """Return the vector-Jacobian product of a run, if it was the last and was kept."""
        if self.images is None or of != self.number:
            return Message({"gone": True})
        outputs = [self.outputs[index] for index in through]
        cotangents = [cotangent.to(self.device) for cotangent in cotangents]
        (gradient,) = torch.autograd.grad(outputs, self.images, cotangents, allow_unused=True)
        self.images, self.outputs = None, []
        return Message({"gone": False}, [] if gradient is None else [gradient])


@contextmanager
def _files(asked: Message) -> Iterator[ModelFiles]:
    """Yield the files that came with a message, open while they are read."""
    with ExitStack() as stack:
        main, *others = (stack.enter_context(os.fdopen(file, "rb")) for file in asked.files)
        beside = dict(zip(asked.header["beside"], others, strict=True))
        yield ModelFiles(Path(asked.header["path"]), main, beside)


def _listed(result: Any) -> list[Any]:
    if isinstance(result, Mapping):
        return list(result.values())
    return list(result) if isinstance(result, list | tuple) else [result]
