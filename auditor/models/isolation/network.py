"""A model in a worker, as a module: images in, features out, gradients by asking for them."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from auditor.errors import ModelError
from auditor.models.isolation.protocol import DTYPES, Message
from auditor.models.isolation.worker import Confinement, Worker

WAY_OUT = (
    "if you trust its author, open it in the audit's own process with --isolation none, or give "
    "the weights as a state dict with an architecture of the catalogue"
)
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
        self.facts: dict[str, Any] = dict(said["facts"])
        self.input_dtype = DTYPES.get(str(said["dtype"]), torch.float32)
        self.level, self.means = self.worker.level, self.worker.means
        self._drawn = (0, 0)
        self.sides: list[int] = []

    def __deepcopy__(self, memo: dict[int, Any]) -> "WorkerNetwork":
        return self  # nothing in it can be changed from here

    def forward(self, images: Tensor, *sides: Tensor) -> Any:
        """Whatever the model gives for images ``(B, 3, H, W)``.

        Args:
            images: as the model takes them.
            *sides: further inputs ``(B,)``, each the same number for all images.
        """
        self.sides = [int(side[0]) for side in sides]
        if torch.is_grad_enabled() and images.requires_grad:
            layout: dict[str, Any] = {}
            outputs: Sequence[Tensor] = _Through.apply(images, self, layout)
        else:
            layout, outputs = self._run(images, keep=False)
        return _arranged(outputs, layout)

    def _run(self, images: Tensor, *, keep: bool) -> tuple[dict[str, Any], list[Tensor]]:
        question = {"do": "run", "keep": keep, "seed": self._seed(), "sides": self.sides}
        answer = self._ask(question, [images])
        layout = dict(answer.header)
        kinds, grads = layout.get("kinds"), layout.get("grads")
        tensors = [tensor.to(images.device) for tensor in answer.tensors]
        if (
            not (isinstance(kinds, list) and isinstance(grads, list))
            or kinds.count(None) != len(tensors)
            or len(grads) != len(tensors)
        ):
            raise ModelError("the model's process answered with no list of outputs")
        return layout, tensors

    def _pull(self, images: Tensor, through: list[int], cotangents: list[Tensor]) -> Tensor | None:
        """The vector-Jacobian product; the run is repeated if the worker no longer holds it."""
        question = {"do": "pull", "through": through}
        answer = self._ask(question, cotangents)
        if answer.header.get("gone"):
            self._run(images, keep=True)
            answer = self._ask(question, cotangents)
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


class _Through(torch.autograd.Function):
    """A worker's network as one node of a larger graph."""

    @staticmethod
    def forward(  # type: ignore[no-untyped-def]
        ctx,  # noqa: ANN001
        images: Tensor,
        network: WorkerNetwork,
        layout: dict[str, Any],
    ) -> tuple[Tensor, ...]:
        ctx.network = network
        ctx.save_for_backward(images)
        said, outputs = network._run(images, keep=True)
        layout |= said
        ctx.reached = [index for index, grad in enumerate(said["grads"]) if grad]
        fixed = [out for out, grad in zip(outputs, said["grads"], strict=True) if not grad]
        ctx.mark_non_differentiable(*fixed)
        return tuple(outputs)

    @staticmethod
    @once_differentiable
    def backward(ctx, *cotangents: Tensor) -> tuple[Tensor | None, None, None]:  # type: ignore[no-untyped-def]  # noqa: ANN001
        (images,) = ctx.saved_tensors
        asked = [cotangents[index] for index in ctx.reached]
        return ctx.network._pull(images, ctx.reached, asked), None, None


def _arranged(outputs: Sequence[Tensor], layout: Mapping[str, Any]) -> Any:
    """The outputs as the model gave them; None in the place of what was no tensor."""
    given = iter(outputs)
    every = [next(given) if kind is None else None for kind in layout["kinds"]]
    return every[0] if layout.get("single") and every else every
