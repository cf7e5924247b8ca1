"""OSNet-AIN: OSNet with instance normalisation where a search placed it.

Zhou et al., "Learning Generalisable Omni-Scale Representations for Person Re-Identification", TPAMI
2021: the stem and four of the six blocks normalise each image by itself, which forgets a camera's
style. Written from the paper; parameters are named as in torchreid, so its weights load key for
key.
"""

from collections import OrderedDict

from torch import Tensor, nn

from auditor.models.architectures.osnet import WIDTHS, ConvNorm, Gate, LightConv, transition

STREAMS = 4

PER_IMAGE = ((True, True), (False, True), (True, False))
"""Which blocks of the three stages normalise per image; the paper's best architecture."""


class AdaptiveBlock(nn.Module):
    """A residual bottleneck whose residual may be normalised per image.

    Args:
        inputs: channels.
        outputs: channels.
        per_image: whether instance takes the place of batch normalisation behind the streams.
    """

    def __init__(self, inputs: int, outputs: int, *, per_image: bool) -> None:
        super().__init__()
        middle = outputs // 4
        self.conv1 = ConvNorm(inputs, middle)
        self.conv2 = nn.ModuleList(_stream(middle, depth) for depth in range(1, STREAMS + 1))
        self.gate = Gate(middle)
        self.conv3: nn.Module = ConvNorm(middle, outputs, relu=False)
        self.IN: nn.Module = nn.Identity()
        if per_image:
            convolution = nn.Conv2d(middle, outputs, 1, bias=False)
            self.conv3 = nn.Sequential(OrderedDict(conv=convolution))
            self.IN = nn.InstanceNorm2d(outputs, affine=True)
        self.downsample: nn.Module = nn.Identity()
        if inputs != outputs:
            self.downsample = ConvNorm(inputs, outputs, relu=False)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, inputs, H, W)`` to ``(B, outputs, H, W)``."""
        squeezed = self.conv1(x)
        first, *others = (self.gate(stream(squeezed)) for stream in self.conv2)
        mixed = self.IN(self.conv3(sum(others, start=first)))
        out: Tensor = self.relu(mixed + self.downsample(x))
        return out


class OSNetAIN(nn.Module):
    """Images ``(B, 3, H, W)`` to 512-D features; the classifier used in training is left out.

    Args:
        width: one of `auditor.models.architectures.osnet.WIDTHS`.
        feature_dim: length of the feature.
    """

    def __init__(self, width: str = "osnet_x1_0", feature_dim: int = 512) -> None:
        super().__init__()
        stem, *stages = WIDTHS[width]
        self.feature_dim = feature_dim
        self.conv1 = ConvNorm(3, stem, kernel=7, stride=2, per_image=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.conv2 = _stage(stem, stages[0], PER_IMAGE[0])
        self.pool2 = transition(stages[0])
        self.conv3 = _stage(stages[0], stages[1], PER_IMAGE[1])
        self.pool3 = transition(stages[1])
        self.conv4 = _stage(stages[1], stages[2], PER_IMAGE[2])
        self.conv5 = ConvNorm(stages[2], stages[2])
        self.global_avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Sequential(
            nn.Linear(stages[2], feature_dim), nn.BatchNorm1d(feature_dim), nn.ReLU()
        )

    def forward(self, images: Tensor) -> Tensor:
        """Map normalised images ``(B, 3, H, W)`` to features ``(B, feature_dim)``."""
        x = self.pool2(self.conv2(self.maxpool(self.conv1(images))))
        x = self.conv5(self.conv4(self.pool3(self.conv3(x))))
        features: Tensor = self.fc(self.global_avgpool(x).flatten(1))
        return features


def _stream(channels: int, depth: int) -> nn.Sequential:
    chain = nn.Sequential(*(LightConv(channels) for _ in range(depth)))
    return nn.Sequential(OrderedDict(layers=chain))


def _stage(inputs: int, outputs: int, per_image: tuple[bool, bool]) -> nn.Sequential:
    first, second = per_image
    return nn.Sequential(
        AdaptiveBlock(inputs, outputs, per_image=first),
        AdaptiveBlock(outputs, outputs, per_image=second),
    )
