"""The extractor that ships with the auditor: small, trained on synthetic people alone.

It gives demos and tests a model with something to leak, and, through `ReferenceNet.stages`, a
perceptual network that needs no download. Made by `auditor.training.train_reference`.
"""

from pathlib import Path

import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from auditor.errors import EnvironmentUnmetError, ModelError
from auditor.models.architectures.branches import Branches
from auditor.models.card import Card

WEIGHTS = Path(__file__).with_name("reference.safetensors")
"""Shipped weights, float16."""
CARD = Card(height=128, width=64, l2_norm=True)
"""How it is fed."""


class Residual(nn.Module):
    """Two 3×3 convolutions beside a shortcut; the first may halve the resolution."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Sequential(
            nn.Conv2d(channels_in, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, channels_in, H, W)`` to ``(B, channels, H / stride, W / stride)``."""
        inner = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(inner)) + self.shortcut(x))


class ReferenceNet(nn.Module):
    """A stem, three residual stages, horizontal stripes and a batch-normalisation neck.

    Stripes keep what is worn above apart from what is worn below (Sun et al., ECCV 2018, PCB); the
    neck separates the spaces of the triplet and the identity loss (Luo et al., CVPRW 2019, BNNeck).

    Attributes:
        feature_dim: 128.
        input_size: (128, 64); images are normalised with ImageNet's mean and deviation.
    """

    feature_dim = 128
    input_size = (128, 64)

    def __init__(self, width: int = 24, stripes: int = 4) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )
        self.blocks = nn.ModuleList(
            Residual(width * 2**i, width * 2 ** (i + 1), stride=2) for i in range(3)
        )
        self.stripes = stripes
        self.reduce = nn.Linear(8 * width * stripes, self.feature_dim)
        self.neck = nn.BatchNorm1d(self.feature_dim)
        self.neck.bias.requires_grad_(False)

    def stages(self, images: Tensor) -> list[Tensor]:
        """Activations after the stem and each stage, at 1/2, 1/4, 1/8 and 1/16 of the input."""
        activations = [self.stem(images)]
        for block in self.blocks:
            activations.append(block(activations[-1]))
        return activations

    def embed(self, images: Tensor) -> Tensor:
        """Return features ``(B, 128)`` before the neck, which the triplet loss works on."""
        top = self.stages(images)[-1]
        pooled = F.adaptive_avg_pool2d(top, (self.stripes, 1)).flatten(1)
        features: Tensor = self.reduce(pooled)
        return features

    def branches(self, images: Tensor) -> Branches:
        """Return triplets before the neck, the classifier after it."""
        features = self.embed(images)
        return Branches((features,), (self.neck(features),))

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images ``(B, 3, 128, 64)`` to features ``(B, 128)``, to be L2-normalised."""
        features: Tensor = self.neck(self.embed(images))
        return features


def load_reference(path: Path = WEIGHTS) -> ReferenceNet:
    """Return the shipped network, in evaluation mode, its weights laid out channels last.

    Raises:
        EnvironmentUnmetError: if the weights are not there.
        ModelError: if they belong to another network.
    """
    if not path.is_file():
        raise EnvironmentUnmetError(
            f"{path} is missing; reinstall the package, or make the file with "
            "python -m auditor.training.train_reference"
        )
    weights = {name: _widen(w) for name, w in safetensors.torch.load_file(path).items()}
    # whoever audits with it must not see torch's generator move
    with torch.random.fork_rng(devices=[]):
        net = ReferenceNet()
    try:
        net.load_state_dict(weights)
    except RuntimeError as error:
        raise ModelError(f"{path} does not fit the reference network: {error}") from None
    return net.eval().to(memory_format=torch.channels_last)


def save_reference(net: ReferenceNet, path: Path = WEIGHTS) -> None:
    """Write the weights in float16, which halves the file and moves features by a thousandth."""
    weights = {name: _narrow(w) for name, w in net.state_dict().items()}
    safetensors.torch.save_file(weights, path)


def _narrow(weight: Tensor) -> Tensor:
    return weight.half().contiguous() if weight.is_floating_point() else weight


def _widen(weight: Tensor) -> Tensor:
    return weight.float() if weight.dtype == torch.float16 else weight
