"""A backbone small enough for many tests, whose pixels see no further than their own patch."""

from torch import nn

from auditor.models.architectures.backbones import Backbone


class Patches(Backbone):
    """Non-overlapping 4×4 patches, each to ``channels`` numbers of its own."""

    def __init__(self, channels=8):
        super().__init__()
        self.channels, self.stem = channels, "torchvision"
        self.conv = nn.Conv2d(3, channels, 4, stride=4)

    def forward(self, images):
        return self.conv(images)
