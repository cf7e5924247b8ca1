"""A black box with gradients that are not its own."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from auditor.embedding import embed
from auditor.types import FeatureExtractor


class BorrowedGradient(nn.Module):
    """Answers as a black box does, and has the gradient of a copy of it.

    An attack so knows how far it is from what it wants, and only the way there is the copy's (BPDA,
    Athalye et al., ICML 2018). Each picture that is looked at costs a query.

    Args:
        box: the black box.
        copy: of it, with gradients.
    """

    differentiable = True

    def __init__(self, box: FeatureExtractor, copy: FeatureExtractor) -> None:
        super().__init__()
        self.box, self.copy = box, copy
        self.feature_dim, self.input_size = box.feature_dim, box.input_size

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``(B, 3, H, W)`` to features ``(B, D)``."""
        answers = embed(self.box, images.detach())
        if not torch.is_grad_enabled():
            return answers
        resized = F.interpolate(images, self.copy.input_size, mode="bilinear", antialias=True)
        copied = F.normalize(self.copy(resized), dim=1) * answers.norm(dim=1, keepdim=True)
        borrowed: Tensor = answers + copied - copied.detach()
        return borrowed
