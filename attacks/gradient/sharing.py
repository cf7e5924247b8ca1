"""What a client of federated training shares: the gradient of its identity loss for one picture."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

Gradient = tuple[Tensor, ...]
"""Gradients of B pictures, one tensor ``(B, *parameter)`` per parameter; the head's bias last."""
Share = Callable[[Tensor, Tensor], Gradient]
"""Pictures ``(B, 3, H, W)`` and label distributions ``(B, K)`` to what is shared for each."""

KERNEL, CHANNELS, LAYERS = 5, 12, 3


def lenet(size: tuple[int, int], classes: int, generator: torch.Generator) -> nn.Module:
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


def sharing(network: nn.Module) -> Share:
    """Return how clients compute what they share, for many clients at once.

    Args:
        network: pictures to logits; its parameters are the same at every client.

    Returns:
        A function of pictures ``(B, 3, H, W)`` and label distributions ``(B, K)`` to the gradients
        of each picture's own cross-entropy, which can be differentiated again.
    """
    trained = {n: p.detach() for n, p in network.named_parameters() if p.requires_grad}
    fixed = {n: p.detach() for n, p in network.named_parameters() if not p.requires_grad}

    def loss(weights: dict[str, Tensor], image: Tensor, label: Tensor) -> Tensor:
        logits = functional_call(network, {**fixed, **weights}, (image[None],))[0]
        return -(label * F.log_softmax(logits, dim=0)).sum()

    every = vmap(grad(loss), in_dims=(None, 0, 0))
    return lambda images, labels: tuple(every(trained, images, labels).values())


def labels_by_sign(gradient: Gradient) -> Tensor:
    """Read the label ``(B,)`` of each picture off the head's bias gradient ``(B, K)`` (iDLG).

    It is softmax minus one-hot, so the true label's entry alone is negative.
    """
    return gradient[-1].argmin(1)


def squared_norms(gradient: Sequence[Tensor]) -> Tensor:
    """Return the squared length ``(B,)`` of each picture's gradient over all parameters."""
    flat = (part.flatten(1) for part in gradient)
    return torch.stack([torch.linalg.vecdot(part, part) for part in flat]).sum(0)
