"""AGW's backbone: a ResNet in which distant pixels inform each other.

Ye et al., "Deep Learning for Person Re-identification: A Survey and Outlook", TPAMI 2022, section
4.1: non-local blocks (Wang et al., CVPR 2018) after the last blocks of the second and third stage.
With generalised-mean pooling and the neck of the strong baseline it is AGW.
"""

from collections.abc import Iterator

from torch import Tensor, nn

from auditor.models.architectures.backbones import Backbone, FeatureMap


class NonLocal(nn.Module):
    """Adds to each pixel a mean of all pixels, weighted by how alike their projections are.

    Similarities are dot products divided by the number of pixels, not a softmax. The block starts
    as the identity, since the last normalisation scales by zero.

    Args:
        channels: of the map.
        inner: length of the projections. The paper halves the channels; both public code bases
            divide the ratio by itself and so train, and publish, blocks with one.
    """

    def __init__(self, channels: int, inner: int = 1) -> None:
        super().__init__()
        self.theta = nn.Conv2d(channels, inner, 1)
        self.phi = nn.Conv2d(channels, inner, 1)
        self.g = nn.Conv2d(channels, inner, 1)
        norm = nn.BatchNorm2d(channels)
        nn.init.zeros_(norm.weight)
        self.W = nn.Sequential(nn.Conv2d(inner, channels, 1), norm)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, channels, h, w)`` to the same shape."""
        query, key, value = (layer(x).flatten(2) for layer in (self.theta, self.phi, self.g))
        similarity = query.transpose(1, 2) @ key / key.shape[2]
        mixed = (similarity @ value.transpose(1, 2)).transpose(1, 2)
        added: Tensor = self.W(mixed.reshape(*mixed.shape[:2], *x.shape[2:]))
        return added + x


class NonLocalResNet(Backbone):
    """A ResNet's map with a non-local block after each of the last blocks of two stages.

    Args:
        trunk: the ResNet; its layers keep their names.
        second: last blocks of its second stage that are followed by one.
        third: of its third stage.
        inner: see `NonLocal`.
    """

    def __init__(
        self, trunk: FeatureMap, *, second: int = 2, third: int = 3, inner: int = 1
    ) -> None:
        super().__init__()
        self.channels, self.stem = trunk.channels, trunk.stem
        self.order = [name for name, _ in trunk.named_children()]
        for name, layer in trunk.named_children():
            self.add_module(name, layer)
        self.NL_2 = _blocks(trunk.get_submodule("layer2"), second, inner)
        self.NL_3 = _blocks(trunk.get_submodule("layer3"), third, inner)

    def forward(self, images: Tensor) -> Tensor:
        """Map ``(B, 3, H, W)`` to ``(B, channels, h, w)``."""
        x = images
        for layer in self._layers():
            x = layer(x)
        return x

    def _layers(self) -> Iterator[nn.Module]:
        for name in self.order:
            layer = self.get_submodule(name)
            added = {"layer2": self.NL_2, "layer3": self.NL_3}.get(name)
            if added is None:
                yield layer
                continue
            blocks = list(layer.children())
            plain = len(blocks) - len(added)
            yield from blocks[:plain]
            for block, extra in zip(blocks[plain:], added, strict=True):
                yield from (block, extra)


def _blocks(stage: nn.Module, count: int, inner: int) -> nn.ModuleList:
    convolutions = [m for m in stage.modules() if isinstance(m, nn.Conv2d)]
    channels = convolutions[-1].out_channels
    return nn.ModuleList(NonLocal(channels, inner) for _ in range(count))
