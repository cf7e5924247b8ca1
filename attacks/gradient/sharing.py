"""What a client of federated training shares: the gradient of its identity loss for one picture."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap


@dataclass(frozen=True, eq=False)
class Gradient:
    """Gradients of B pictures' own losses.

    A linear head's gradient for one picture is the product of two vectors, and whoever has it has
    both: one is the bias's gradient. So neither the matrix nor differences of matrices are formed;
    for `lenet` they would be nearly all that is computed.

    Attributes:
        parts: one tensor ``(B, *parameter)`` per trained parameter below the head.
        residuals: ``(B, K)`` of the head's bias: softmax minus label.
        inputs: ``(B, F)`` of the head; its weight's gradient is ``residuals ⊗ inputs``.
    """

    parts: tuple[Tensor, ...]
    residuals: Tensor
    inputs: Tensor

    def take(self, rows: Tensor) -> "Gradient":
        """Return the gradients of some pictures ``(b,)``."""
        parts = tuple(part[rows] for part in self.parts)
        return Gradient(parts, self.residuals[rows], self.inputs[rows])

    def dot(self, other: "Gradient") -> Tensor:
        """Return each picture's inner product ``(B,)`` over all parameters."""
        residuals, inputs = _dot(self.residuals, other.residuals), _dot(self.inputs, other.inputs)
        below = map(_dot, self.parts, other.parts)
        return sum(below, residuals + residuals * inputs)

    def squared_norm(self) -> Tensor:
        """Return the squared length ``(B,)`` of each picture's gradient."""
        return self.dot(self)

    def squared_distance(self, other: "Gradient") -> Tensor:
        """Return how far apart ``(B,)`` each picture's gradients are, also where they are close.

        A difference of the norms and of twice the product would have lost its digits by then.
        """
        parts = (ours - theirs for ours, theirs in zip(self.parts, other.parts, strict=True))
        residuals, inputs = self.residuals - other.residuals, self.inputs - other.inputs
        # r ⊗ f - s ⊗ g = (r - s) ⊗ f + s ⊗ (f - g)
        head = (
            _dot(residuals, residuals) * _dot(self.inputs, self.inputs)
            + 2 * _dot(residuals, other.residuals) * _dot(self.inputs, inputs)
            + _dot(other.residuals, other.residuals) * _dot(inputs, inputs)
        )
        return sum((_dot(part, part) for part in parts), _dot(residuals, residuals) + head)


Share = Callable[[Tensor, Tensor], Gradient]
"""Pictures ``(B, 3, H, W)`` and label distributions ``(B, K)`` to what is shared for each."""

KERNEL, CHANNELS, LAYERS = 5, 12, 3


def lenet(size: tuple[int, int], classes: int, generator: torch.Generator) -> nn.Sequential:
    """Return the network of iDLG's released code, with its sigmoids, without its strides.

    Three 5×5 convolutions of 12 channels and a linear head, all weights uniform in ±0.5::

        (B, 3, H, W) ─▶ (B, 12, H, W) ─▶ (B, 12, H, W) ─▶ (B, 12, H, W) ─▶ (B, classes)
    """
    layers: list[nn.Module] = []
    for channels in (3, *[CHANNELS] * (LAYERS - 1)):
        layers += [nn.utils.skip_init(nn.Conv2d, channels, CHANNELS, KERNEL, padding=KERNEL // 2)]
        layers += [nn.Sigmoid()]
    head = nn.utils.skip_init(nn.Linear, CHANNELS * size[0] * size[1], classes)
    network = nn.Sequential(*layers, nn.Flatten(), head)
    for parameter in network.parameters():
        nn.init.uniform_(parameter, -0.5, 0.5, generator=generator)
    return network


def sharing(network: nn.Sequential) -> Share:
    """Return how clients compute what they share, for many clients at once.

    Args:
        network: pictures to logits, a linear head last; its parameters are the same at every
            client.

    Returns:
        A function of pictures ``(B, 3, H, W)`` and label distributions ``(B, K)`` to the gradients
        of each picture's own cross-entropy, which can be differentiated again.
    """
    body, head = network[:-1], network[-1]
    trained = {n: p.detach() for n, p in body.named_parameters() if p.requires_grad}
    fixed = {n: p.detach() for n, p in body.named_parameters() if not p.requires_grad}
    weight, bias = (p.detach() for p in head.parameters())

    def loss(
        weights: dict[str, Tensor], image: Tensor, label: Tensor
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        inputs = functional_call(body, {**fixed, **weights}, (image[None],))[0]
        logits = F.linear(inputs, weight, bias)
        residuals = logits.softmax(0) - label
        return -(label * F.log_softmax(logits, dim=0)).sum(), (residuals, inputs)

    every = vmap(grad(loss, has_aux=True), in_dims=(None, 0, 0))

    def share(images: Tensor, labels: Tensor) -> Gradient:
        parts, (residuals, inputs) = every(trained, images, labels)
        return Gradient(tuple(parts.values()), residuals, inputs)

    return share


def labels_by_sign(gradient: Gradient) -> Tensor:
    """Read the label ``(B,)`` of each picture off the head's bias gradient ``(B, K)`` (iDLG).

    It is softmax minus one-hot, so the true label's entry alone is negative.
    """
    return gradient.residuals.argmin(1)


def _dot(ours: Tensor, theirs: Tensor) -> Tensor:
    product: Tensor = torch.linalg.vecdot(ours.flatten(1), theirs.flatten(1))
    return product
