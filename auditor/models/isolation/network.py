"""A model in a worker, as a module: images in, features out, gradients by asking for them."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from auditor.console import printable
from auditor.errors import ModelError
from auditor.models.isolation.protocol import DTYPES, Message
from auditor.models.isolation.worker import Confinement, Worker

WAY_OUT = (
    "if you trust its author, open it in the audit's own process with --isolation none, or give "
    "the weights as a state dict with an architecture of the catalogue"
)
FACTS = {
    *("arch", "parameters", "runs_on", "weights_file", "weights_sha256", "weights_bytes"),
    *("code_base", "prefix", "left_out", "classifier", "dropped", "unfilled"),
}
"""What a worker may tell about its model."""
LARGEST, LONGEST, MOST = 2**53, 200, 10_000
Opening = Callable[[Worker], Mapping[str, Any]]
"""Has a worker open the model; gives the header of its answer."""


class WorkerNetwork(nn.Module):
    """A network that lives in a worker; its first derivatives alone can be had.

    A worker that was stopped, or that died, is started anew when the network is next asked.

    Args:
        path: of the model, for messages.
        confinement: how it is kept apart.
        opening: has a worker open the model.

    Attributes:
        facts: what the worker found in the file.
        level: how strongly it is isolated.
        means: by what.
        input_dtype: the floating type it takes.
    """

    def __init__(self, path: Path, confinement: Confinement, opening: Opening) -> None:
        super().__init__()
        self.path, self.confinement, self.opening = path, confinement, opening
        self.worker = Worker(path, confinement)
        said = opening(self.worker)
        self.facts = dict(_plain_facts(said.get("facts")))
        self.input_dtype = DTYPES.get(str(said.get("dtype")), torch.float32)
        self.level, self.means = self.worker.level, self.worker.means
        self._numbers, self._drawn = itertools.count(1), (0, 0)

    def __deepcopy__(self, memo: dict[int, Any]) -> "WorkerNetwork":
        return self  # nothing in it can be changed from here

    def forward(self, images: Tensor, *sides: Tensor) -> Any:
        """Return whatever the model gives for images ``(B, 3, H, W)``.

        Args:
            images: as the model takes them.
            *sides: further inputs ``(B,)``, each the same number for all images.
        """
        constants = [int(side[0]) for side in sides]
        if torch.is_grad_enabled() and images.requires_grad:
            layout: dict[str, Any] = {}
            outputs: Sequence[Tensor] = _Through.apply(images, self, constants, layout)
        else:
            layout, outputs = self._run(images, constants, keep=False)
        return _arrange(outputs, layout)

    def _run(
        self, images: Tensor, sides: list[int], *, keep: bool
    ) -> tuple[dict[str, Any], list[Tensor]]:
        number = next(self._numbers)
        question = {"do": "run", "number": number, "sides": sides}
        answer = self._ask({**question, "keep": keep, "seed": self._seed()}, [images])
        layout = {**answer.header, "number": number}
        kinds, grads = layout.get("kinds"), layout.get("grads")
        tensors = [tensor.to(images.device) for tensor in answer.tensors]
        if (
            not (isinstance(kinds, list) and isinstance(grads, list))
            or kinds.count(None) != len(tensors)
            or len(grads) != len(tensors)
        ):
            raise ModelError("the model's process answered with no list of outputs")
        return layout, tensors

    def _pull(
        self,
        images: Tensor,
        sides: list[int],
        of: int,
        through: list[int],
        cotangents: list[Tensor],
    ) -> Tensor | None:
        """Return vector-Jacobian product; the run is repeated if the worker no longer holds it."""
        question = {"do": "pull", "of": of, "through": through}
        answer = self._ask(question, cotangents)
        if answer.header.get("gone"):
            layout, _ = self._run(images, sides, keep=True)
            answer = self._ask({**question, "of": layout["number"]}, cotangents)
        if not answer.tensors:
            return None
        gradient: Tensor = answer.tensors[0].to(images.device, images.dtype)
        if gradient.shape != images.shape:
            raise ModelError("the model's process gave a gradient of another shape than its images")
        return gradient

    def _ask(self, question: Mapping[str, Any], tensors: Sequence[Tensor]) -> Message:
        if not self.worker.alive:
            self.worker = Worker(self.path, self.confinement)
            self.opening(self.worker)
        return self.worker.ask(question, tensors)

    def _seed(self) -> int:
        """For what the model draws: by torch's seed here, and anew with every question."""
        seed, count = torch.initial_seed(), self._drawn[1] + 1
        self._drawn = (seed, count if seed == self._drawn[0] else 0)
        return (seed + self._drawn[1] * 0x9E3779B97F4A7C15) % 2**63


def _plain_facts(said: Any) -> Iterator[tuple[str, Any]]:
    """Of what a worker tells about its model, what goes into the record: short and printable."""
    for name, value in said.items() if isinstance(said, dict) else ():
        if name not in FACTS:
            continue
        if type(value) is int:
            yield name, min(max(value, 0), LARGEST)
        elif isinstance(value, str):
            yield name, printable(value, LONGEST)
        elif isinstance(value, list):
            yield name, tuple(printable(str(entry), LONGEST) for entry in value[:MOST])


class _Through(torch.autograd.Function):
    """A worker's network as one node of a larger graph."""

    @staticmethod
    def forward(  # type: ignore[no-untyped-def]
        ctx,  # noqa: ANN001
        images: Tensor,
        network: WorkerNetwork,
        sides: list[int],
        layout: dict[str, Any],
    ) -> tuple[Tensor, ...]:
        ctx.network, ctx.sides = network, sides
        ctx.save_for_backward(images)
        said, outputs = network._run(images, sides, keep=True)
        layout |= said
        ctx.number = said["number"]
        ctx.reached = [index for index, grad in enumerate(said["grads"]) if grad]
        fixed = [out for out, grad in zip(outputs, said["grads"], strict=True) if not grad]
        ctx.mark_non_differentiable(*fixed)
        return tuple(outputs)

    @staticmethod
    @once_differentiable
    def backward(ctx, *cotangents: Tensor) -> tuple[Tensor | None, None, None, None]:  # type: ignore[no-untyped-def]  # noqa: ANN001
        (images,) = ctx.saved_tensors
        asked = [cotangents[index] for index in ctx.reached]
        pulled = ctx.network._pull(images, ctx.sides, ctx.number, ctx.reached, asked)
        return pulled, None, None, None


def _arrange(outputs: Sequence[Tensor], layout: Mapping[str, Any]) -> Any:
    """Return the outputs as the model gave them; None in the place of what was no tensor."""
    given = iter(outputs)
    every = [next(given) if kind is None else None for kind in layout["kinds"]]
    return every[0] if layout.get("single") and every else every
