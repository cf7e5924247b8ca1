"""OSNet, the omni-scale network for re-identification (Zhou et al., ICCV 2019).

Each block looks at four scales at once: stream t is a chain of t light 3×3 convolutions, so its
receptive field is 2t + 1, and a gate shared by the streams weighs their channels per image. Written
from the paper; parameters are named as in torchreid, so its published weights load key for key.
"""

from torch import Tensor, nn

WIDTHS: dict[str, tuple[int, int, int, int]] = {
    "osnet_x0_25": (16, 64, 96, 128),
    "osnet_x0_5": (32, 128, 192, 256),
    "osnet_x0_75": (48, 192, 288, 384),
    "osnet_x1_0": (64, 256, 384, 512),
}
"""Channels of the stem and of the three stages."""

GATE_REDUCTION = 16


class ConvNorm(nn.Module):
    """Convolution and normalisation, then ReLU unless it feeds a sum.

    Args:
        inputs: channels.
        outputs: channels.
        kernel: side of the convolution.
        stride: of the convolution.
        relu: whether the ReLU follows.
        per_image: whether each image is normalised by itself, not the batch.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 1,
        stride: int = 1,
        relu: bool = True,
        *,
        per_image: bool = False,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        self.bn: nn.Module = (
            nn.InstanceNorm2d(outputs, affine=True) if per_image else nn.BatchNorm2d(outputs)
        )
        self.activation = nn.ReLU(inplace=True) if relu else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, inputs, H, W)`` to ``(B, outputs, H / stride, W / stride)``."""
        out: Tensor = self.activation(self.bn(self.conv(x)))
        return out


class LightConv(nn.Module):
    """A 3×3 convolution split into a pointwise and then a depthwise one."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.bn = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, channels, H, W)`` to the same shape."""
        out: Tensor = self.relu(self.bn(self.conv2(self.conv1(x))))
        return out


class Gate(nn.Module):
    """Weighs each channel of a stream by what the whole image shows; one gate for all streams."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = channels // GATE_REDUCTION
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(channels, hidden, 1)
        self.relu = nn.ReLU(inplace=True)
        self.fc2 = nn.Conv2d(hidden, channels, 1)
        self.sigmoid = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, channels, H, W)`` to the same shape."""
        weights = self.sigmoid(self.fc2(self.relu(self.fc1(self.pool(x)))))
        gated: Tensor = x * weights
        return gated


class OmniScaleBlock(nn.Module):
    """The residual bottleneck with its four gated streams.

    Args:
        inputs: channels.
        outputs: channels.
        per_image: whether what it gives is normalised per image before the last ReLU.
    """

    def __init__(self, inputs: int, outputs: int, *, per_image: bool = False) -> None:
        super().__init__()
        middle = outputs // 4
        self.conv1 = ConvNorm(inputs, middle)
        self.conv2a = LightConv(middle)
        for scale, letter in enumerate("bcd", start=2):
            chain = nn.Sequential(*(LightConv(middle) for _ in range(scale)))
            self.add_module(f"conv2{letter}", chain)
        self.gate = Gate(middle)
        self.conv3 = ConvNorm(middle, outputs, relu=False)
        self.downsample: ConvNorm | None = None
        if inputs != outputs:
            self.downsample = ConvNorm(inputs, outputs, relu=False)
        self.IN = nn.InstanceNorm2d(outputs, affine=True) if per_image else nn.Identity()
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, inputs, H, W)`` to ``(B, outputs, H, W)``."""
        squeezed = self.conv1(x)
        streams = [self.gate(self.get_submodule(f"conv2{s}")(squeezed)) for s in "abcd"]
        mixed = self.conv3(streams[0] + streams[1] + streams[2] + streams[3])
        shortcut = x if self.downsample is None else self.downsample(x)
        out: Tensor = self.relu(self.IN(mixed + shortcut))
        return out


class OSNet(nn.Module):
    """Images ``(B, 3, H, W)`` to 512-D features; the classifier used in training is left out.

    Args:
        width: one of `WIDTHS`.
        feature_dim: length of the feature.
        ibn: whether stem and first stage normalise per image, which forgets a camera's style.
    """

    def __init__(
        self, width: str = "osnet_x1_0", feature_dim: int = 512, *, ibn: bool = False
    ) -> None:
        super().__init__()
        stem, *stages = WIDTHS[width]
        self.feature_dim = feature_dim
        self.conv1 = ConvNorm(3, stem, kernel=7, stride=2, per_image=ibn)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.conv2 = _stage(stem, stages[0], halve=True, per_image=ibn)
        self.conv3 = _stage(stages[0], stages[1], halve=True)
        self.conv4 = _stage(stages[1], stages[2], halve=False)
        self.conv5 = ConvNorm(stages[2], stages[2])
        self.global_avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Sequential(
            nn.Linear(stages[2], feature_dim), nn.BatchNorm1d(feature_dim), nn.ReLU()
        )

    def forward(self, images: Tensor) -> Tensor:
        """Map normalised images ``(B, 3, H, W)`` to features ``(B, feature_dim)``."""
        x = self.maxpool(self.conv1(images))
        x = self.conv5(self.conv4(self.conv3(self.conv2(x))))
        features: Tensor = self.fc(self.global_avgpool(x).flatten(1))
        return features


def _stage(inputs: int, outputs: int, *, halve: bool, per_image: bool = False) -> nn.Sequential:
    """Two blocks, and between stages a transition that halves height and width."""
    layers: list[nn.Module] = [
        OmniScaleBlock(width, outputs, per_image=per_image) for width in (inputs, outputs)
    ]
    if halve:
        layers.append(transition(outputs))
    return nn.Sequential(*layers)


def transition(channels: int) -> nn.Sequential:
    """Mixes the channels and halves height and width."""
    return nn.Sequential(ConvNorm(channels, channels), nn.AvgPool2d(2, stride=2))
