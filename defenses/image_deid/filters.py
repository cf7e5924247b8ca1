"""Blur, pixelation and fewer pixels: everybody loses detail, and colours stay where they were."""

from collections.abc import Sequence
from typing import Annotated

import torch.nn.functional as F
from pydantic import AfterValidator, PositiveInt
from torch import Tensor
from torchvision.transforms.v2.functional import gaussian_blur

from auditor.plugins.declaring import checked_dataclass
from auditor.types import Images, RunContext, Target
from defenses.image_deid.changing import Changed, Exported, Size
from defenses.publish.publish import protect


def _odd(length: int) -> int:
    if length % 2 == 0:
        raise ValueError("a side of the kernel must be odd")
    return length


_Odd = Annotated[PositiveInt, AfterValidator(_odd)]


@checked_dataclass
class Blur(Exported):
    """Replaces every picture by its Gaussian blur.

    Source: a baseline of PIS (SCIS 69(1), 2026, Table 2), there with kernels of 11 × 5 (S) and
    21 × 11 (L). The paper gives neither order nor width of the kernel nor the pictures' size: here
    it is height by width at 128 × 64, with OpenCV's rule for the deviation, 0.3·(n/2 − 1.5) + 0.8.

    Attributes:
        kernel: (height, width) of the filter in pixels, both odd.
        image_size: (height, width) of the published pictures.
    """

    kernel: tuple[_Odd, _Odd] = (11, 5)
    image_size: Size = (128, 64)

    def apply(self, target: Target, ctx: RunContext) -> Target:
        """See `auditor.types.Defense`."""
        return protect(target, Changed(self._change, self.image_size), ctx, "defenses.blur")

    def _change(self, images: Tensor, source: Images, rows: Sequence[int]) -> Tensor:
        height, width = self.kernel
        blurred: Tensor = gaussian_blur(images, [width, height])
        return blurred


@checked_dataclass
class Pixelation(Exported):
    """Replaces every block of pixels by its mean.

    Source: a baseline of PIS (SCIS 69(1), 2026, Table 2), which does not say how large a block is.

    Attributes:
        block: side of a block in pixels; cut off at the lower and right border.
        image_size: (height, width) of the published pictures.
    """

    block: PositiveInt = 8
    image_size: Size = (128, 64)

    def apply(self, target: Target, ctx: RunContext) -> Target:
        """See `auditor.types.Defense`."""
        return protect(target, Changed(self._change, self.image_size), ctx, "defenses.pixelation")

    def _change(self, images: Tensor, source: Images, rows: Sequence[int]) -> Tensor:
        return pixelate(images, self.block)


def pixelate(images: Tensor, block: int) -> Tensor:
    """Images ``(B, 3, H, W)``, every block of pixels replaced by its mean."""
    means = F.avg_pool2d(images, block, ceil_mode=True)
    blocks = means.repeat_interleave(block, 2).repeat_interleave(block, 3)
    return blocks[..., : images.shape[2], : images.shape[3]]


@checked_dataclass
class Downscale(Exported):
    """Publishes every picture at ``image_size`` and changes nothing else.

    The control for protections that publish small pictures, as a generator does: what this hides by
    itself is not the protection's doing. Behind another one, as in ``blur+downscale``, it puts that
    one at the same resolution, so that the two can be compared.

    Attributes:
        image_size: (height, width) of the published pictures.
    """

    image_size: Size = (64, 32)

    def apply(self, target: Target, ctx: RunContext) -> Target:
        """See `auditor.types.Defense`."""
        return protect(target, Changed(self._change, self.image_size), ctx, "defenses.downscale")

    def _change(self, images: Tensor, source: Images, rows: Sequence[int]) -> Tensor:
        return images
