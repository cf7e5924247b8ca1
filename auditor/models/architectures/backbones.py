"""Networks of torchvision and timm up to their last feature map, as re-ID uses them.

ResNets usually lose the last down-sampling, which doubles the map's height and width (Luo et al.,
CVPRW 2019, "last stride 1"); the others are left as their library has them.
"""

from collections import OrderedDict
from typing import Any, Literal

import torch
import torchvision
from torch import Tensor, nn

ZOO: Any = torchvision.models  # it exports its names without declaring them

Stem = Literal["torchvision", "no relu", "with relu", "ceil pool", "undilated", "dilated"]
"""How a ResNet begins, or ResNeSt ends. Code bases share the names of the weights, and differ here:

- torchvision: convolution, normalisation, ReLU, pooling padded by one. So does torchreid.
- no relu: the strong baseline's and AGW's leave the ReLU out, but for those with IBN.
- with relu: torchvision's, where the weights have the strong baseline's names: TransReID-SSL's and
  SOLIDER's ResNets put the ReLU back.
- ceil pool: fast-reid pools without padding, in ceil mode, which moves the map by a pixel. It does
  so since version 1.0; before, its stem was torchvision's.
- undilated, dilated: ResNeSt's last blocks; fast-reid dilates them since 1.0. The strong baseline's
  descendants do either.
"""

LAYUMI = "layumi's baseline"
"""A code base whose networks say that they are made for it; see `auditor.models.names.CodeBase`."""


class Backbone(nn.Module):
    """Images ``(B, 3, H, W)`` to the last map ``(B, channels, h, w)``, before any pooling.

    Attributes:
        channels: of the map.
        stem: how it begins, if it is a ResNet; of ResNeSt, how it ends.
    """

    channels: int
    stem: Stem


class FeatureMap(nn.Sequential, Backbone):
    """A library's network; its layers keep their names."""

    def __init__(self, layers: OrderedDict[str, nn.Module], channels: int, stem: Stem) -> None:
        super().__init__(layers)
        self.channels, self.stem = channels, stem


class InstanceBatchNorm(nn.Module):
    """Normalises half of the channels per image, the rest per batch (Pan et al., ECCV 2018, IBN-a).

    The first half forgets an image's style, such as its camera's colours.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.per_image = channels // 2
        self.IN = nn.InstanceNorm2d(self.per_image, affine=True)
        self.BN = nn.BatchNorm2d(channels - self.per_image)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, channels, h, w)`` to the same shape."""
        per_image, per_batch = x[:, : self.per_image], x[:, self.per_image :]
        return torch.cat([self.IN(per_image), self.BN(per_batch)], dim=1)


def feature_map(
    name: str, stem: Stem = "torchvision", *, ibn: bool = False, last_stride: int = 1
) -> FeatureMap:
    """Return the backbone ``name``, freshly initialised.

    Args:
        name: a ResNet, densenet121 or mobilenet_v2 of torchvision, resnest50, or a convolutional
            network of timm.
        stem: of a ResNet or ResNeSt; for densenet121, "no relu" leaves out the ReLU at its end.
        ibn: whether the first normalisation in each block of a ResNet's first three stages is
            `InstanceBatchNorm`.
        last_stride: of a ResNet's last stage.
    """
    if name.startswith("resnet"):
        return _resnet(name, stem, ibn, last_stride)
    if name == "resnest50":
        return _resnest(stem)
    if name == "densenet121":
        network: Any = ZOO.densenet121(weights=None)
        # torchvision applies this ReLU in `forward`
        relu = nn.Identity() if stem == "no relu" else nn.ReLU(inplace=True)
        layers = OrderedDict(features=network.features, relu=relu)
        return FeatureMap(layers, network.classifier.in_features, stem)
    if name == "mobilenet_v2":
        network = ZOO.mobilenet_v2(weights=None)
        layers = OrderedDict(features=network.features)
        return FeatureMap(layers, network.last_channel, stem)
    # some seconds of import, paid only by those who ask for it
    import timm

    network = timm.create_model(name, pretrained=False, num_classes=0, global_pool="")
    return FeatureMap(OrderedDict(net=network), network.num_features, stem)


def unfuse(network: nn.Module) -> None:
    """Make timm's attention differentiable twice, as attacks on gradients need it.

    torch's fused kernels for processors are not; without them a forward pass takes a tenth longer.
    """
    module: Any
    for module in network.modules():
        if hasattr(module, "fused_attn"):
            module.fused_attn = False


def _resnet(name: str, stem: Stem, ibn: bool, last_stride: int) -> FeatureMap:
    network: Any = ZOO.get_model(name, weights=None)
    layers: OrderedDict[str, nn.Module] = OrderedDict(network.named_children())
    del layers["avgpool"], layers["fc"]
    for module in layers["layer4"].modules():
        if isinstance(module, nn.Conv2d) and module.stride != (1, 1):
            module.stride = (last_stride, last_stride)
    if ibn:
        for block in (*network.layer1, *network.layer2, *network.layer3):
            block.bn1 = InstanceBatchNorm(block.bn1.num_features)
    if stem == "no relu":
        layers["relu"] = nn.Identity()
    if stem == "ceil pool":
        layers["maxpool"] = nn.MaxPool2d(3, stride=2, ceil_mode=True)
    return FeatureMap(layers, network.fc.in_features, stem)


def _resnest(stem: Stem) -> FeatureMap:
    """Return ResNeSt-50 (Zhang et al., CVPRW 2022) with its last stride 1."""
    import timm

    network: Any = timm.create_model("resnest50d", pretrained=False, num_classes=0)
    layers: OrderedDict[str, nn.Module] = OrderedDict(network.named_children())
    del layers["global_pool"], layers["fc"]
    # pooling does the down-sampling here; code bases keep it, with stride 1, and timm would not
    first, *others = network.layer4
    first.avd_last.stride = 1
    first.downsample[0] = nn.Identity()
    if stem == "dilated":
        for block in others:
            block.conv2.conv.dilation = block.conv2.conv.padding = (2, 2)
    return FeatureMap(layers, network.num_features, stem)
