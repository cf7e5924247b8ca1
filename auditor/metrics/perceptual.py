"""How alike two pictures look: PSNR, SSIM and LPIPS, per image.

PSNR and SSIM come from torchmetrics, LPIPS from the lpips package (Zhang et al., CVPR 2018). LPIPS
needs an ImageNet backbone, which is read from a weights folder and never downloaded; without one,
the same formula runs on the shipped reference network and carries another name, because its values
cannot be compared with published ones.
"""

import warnings
from pathlib import Path
from typing import Any

import lpips
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics.functional.image import (
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
)

from auditor.errors import EnvironmentUnmetError
from auditor.models.reference import load_reference

BACKBONES = {"alex": "alexnet", "squeeze": "squeezenet1_1", "vgg": "vgg16"}
"""lpips' name of a backbone -> how its weights file in the weights folder begins."""


def psnr(images: Tensor, originals: Tensor) -> Tensor:
    """Peak signal-to-noise ratio ``(B,)`` in dB of images ``(B, 3, H, W)`` in [0, 1]."""
    # identical images would be infinite; 100 dB is far beyond any reconstruction
    return torch.stack(
        [
            peak_signal_noise_ratio(image, original, data_range=1.0).clamp_max(100)
            for image, original in zip(images, originals, strict=True)
        ]
    )


def ssim(images: Tensor, originals: Tensor) -> Tensor:
    """Structural similarity ``(B,)`` of images ``(B, 3, H, W)`` in [0, 1], mirrored at borders."""
    value = structural_similarity_index_measure(images, originals, data_range=1.0, reduction="none")
    assert isinstance(value, Tensor)
    return value.reshape(len(images))


class PerceptualDistance(nn.Module):
    """LPIPS, or its form on the reference network; ``name`` says which.

    Args:
        weights: folder with an ImageNet backbone's ``.pth``, or None.

    Raises:
        EnvironmentUnmetError: if the folder is given but contains no usable backbone.
    """

    def __init__(self, weights: Path | None) -> None:
        super().__init__()
        self.name = "lpips_reference" if weights is None else "lpips"
        self.note = (
            "LPIPS formula on the shipped reference network: not comparable with published LPIPS"
            if weights is None
            else "LPIPS"
        )
        # both networks draw their weights at random before they load them
        with torch.random.fork_rng(devices=[]):
            if weights is None:
                self.network: nn.Module = _StageDistance()
            else:
                backbone, path = find_backbone(weights)
                self.network = _load_lpips(backbone, path)
                self.note = f"LPIPS ({backbone}), backbone weights from {path.name}"
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor, originals: Tensor) -> Tensor:
        """Distance ``(B,)`` between images ``(B, 3, H, W)`` in [0, 1]; lower is more alike."""
        if isinstance(self.network, _StageDistance):
            gaps: Tensor = self.network(images, originals)
            return gaps
        # the backbone pools five times; tiny pictures would vanish on the way
        if images.shape[-2] < 64:
            images, originals = (F.interpolate(x, scale_factor=2.0) for x in (images, originals))
        distance: Tensor = self.network(images, originals, normalize=True)
        return distance.flatten()

    def activations(self, images: Tensor) -> list[Tensor]:
        """Return each layer's output ``(B, C, h, w)`` for images ``(B, 3, H, W)``, finest first."""
        if isinstance(self.network, _StageDistance):
            return self.network.stages(images)
        if images.shape[-2] < 64:
            images = F.interpolate(images, scale_factor=2.0)
        lpips_net: Any = self.network
        return list(lpips_net.net(lpips_net.scaling_layer(2 * images - 1)))


def find_backbone(weights: Path) -> tuple[str, Path]:
    """Return the first LPIPS backbone in a folder: its lpips name and its file.

    Raises:
        EnvironmentUnmetError: if there is none.
    """
    for name, stem in BACKBONES.items():
        for path in sorted(weights.glob(f"{stem}*.pth")):
            return name, path
    wanted = ", ".join(f"{stem}*.pth" for stem in BACKBONES.values())
    raise EnvironmentUnmetError(f"{weights} contains no LPIPS backbone; put one of {wanted} there")


def _load_lpips(backbone: str, path: Path) -> nn.Module:
    with warnings.catch_warnings():
        # lpips still asks torchvision for models by a parameter that was renamed
        warnings.filterwarnings("ignore", category=UserWarning, module="torchvision")
        loss = lpips.LPIPS(net=backbone, pnet_rand=True, verbose=False)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    # A damaged file can end the reader in almost any way, and each of them means the same to us.
    except Exception:
        raise EnvironmentUnmetError(f"{path} is not a {BACKBONES[backbone]}: unreadable") from None
    slots = {
        index: f"{slice_name}.{index}"
        for slice_name, part in loss.net.named_children()
        for index, _ in part.named_children()
    }
    named = {}
    for key, value in state.items() if isinstance(state, dict) else ():
        kind, index, rest = f"{key}..".split(".", 2)
        if kind == "features" and index in slots:
            named[f"{slots[index]}.{rest.rstrip('.')}"] = value
    try:
        loss.net.load_state_dict(named)
    except RuntimeError as error:
        raise EnvironmentUnmetError(f"{path} is not a {BACKBONES[backbone]}: {error}") from None
    backboned: nn.Module = loss
    return backboned


class _StageDistance(nn.Module):
    """Mean squared gap between unit-length activations of the reference network, over stages."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.reference = load_reference()
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406])[:, None, None])
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225])[:, None, None])

    def forward(self, images: Tensor, originals: Tensor) -> Tensor:
        gaps = [
            (F.normalize(a, dim=1) - F.normalize(b, dim=1)).square().sum(1).mean((1, 2))
            for a, b in zip(self.stages(images), self.stages(originals), strict=True)
        ]
        return torch.stack(gaps).mean(0)

    def stages(self, images: Tensor) -> list[Tensor]:
        """Activations at 1/2 to 1/16 of the size of images in [0, 1]."""
        return self.reference.stages((images - self.mean) / self.std)
