"""How somebody stands, as a map beside the picture: from keypoints, or, for want of them, coarsely.

The mechanism keeps the pose, so whatever the map shows of the person is published with it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.models.detection import keypointrcnn_resnet50_fpn
from torchvision.transforms.v2.functional import rgb_to_grayscale

from auditor.errors import EnvironmentUnmetError
from auditor.types import Images, RunContext
from defenses.publish.keypoints import COCO, Keypoints

WEIGHTS = "keypointrcnn_resnet50_fpn*.pth"
"""What torchvision's keypoint network is called in the folder of weights."""

Source = Literal["auto", "keypoints", "estimator", "silhouette", "grey"]


class Pose(Protocol):
    """Where pose maps come from.

    Attributes:
        channels: of a map.
        origin: in words, for whoever reads about the release.
    """

    @property
    def channels(self) -> int: ...  # noqa: D102

    @property
    def origin(self) -> str: ...  # noqa: D102

    def points(self, images: Images, indices: Sequence[int]) -> Tensor:
        """Return what there is to know about the pictures before any resizing, ``(B, K, 3)``."""
        ...

    def maps(self, images: Tensor, points: Tensor) -> Tensor:
        """Return maps ``(B, channels, H, W)`` of pictures ``(B, 3, H, W)`` and their points."""
        ...


def pose_from(source: Source, keypoints: str | None, ctx: RunContext) -> Pose:
    """Return the best pose there is: a file of keypoints, an estimator, or the silhouette.

    Args:
        source: which one; ``auto`` takes the first there is of keypoints, estimator, silhouette.
        keypoints: the file.
        ctx: for the folder of weights and the device.

    Raises:
        DataError: if the file contains no keypoints.
        EnvironmentUnmetError: if the estimator is asked for, and its weights are not there.
    """
    if keypoints is not None and source in ("auto", "keypoints"):
        return Skeletons(Keypoints.read(Path(keypoints)))
    weights = sorted(ctx.weights.glob(WEIGHTS)) if ctx.weights else []
    if source == "estimator" and not weights:
        where = ctx.weights or "the folder of weights, which is not set"
        raise EnvironmentUnmetError(f"no {WEIGHTS} in {where}; put torchvision's file there")
    if weights and source in ("auto", "estimator"):
        return Skeletons(Estimator.read(weights[0], ctx.device))
    return Grey() if source == "grey" else Silhouette()


class Points(Protocol):
    """Whoever knows the keypoints of pictures."""

    @property
    def file(self) -> Path: ...  # noqa: D102

    def of(self, images: Images, indices: Sequence[int]) -> Tensor:
        """Return ``(B, 17, 3)`` of x, y as fractions and a score; all 0 where there is nobody."""
        ...


@dataclass(frozen=True, eq=False)
class Skeletons:
    """One Gaussian spot per keypoint, a twentieth of the picture's height wide."""

    known: Points
    channels: int = len(COCO)

    @property
    def origin(self) -> str:
        """See `Pose`."""
        return f"17 body keypoints ({self.known.file.name})"

    def points(self, images: Images, indices: Sequence[int]) -> Tensor:
        """See `Pose`."""
        return self.known.of(images, indices)

    def maps(self, images: Tensor, points: Tensor) -> Tensor:
        """See `Pose`; a keypoint that was not found leaves its map empty."""
        height, width = images.shape[-2:]
        y = (torch.arange(height, device=images.device) + 0.5) / height
        x = (torch.arange(width, device=images.device) + 0.5) / width
        down = (y - points[..., 1, None]) * height
        across = (x - points[..., 0, None]) * width
        distance = down.square()[..., :, None] + across.square()[..., None, :]
        spots = torch.exp(-0.5 * distance / (height / 20) ** 2)
        return spots * (points[..., 2] > 0)[..., None, None]


@dataclass(frozen=True, eq=False)
class Silhouette:
    """Where the picture differs from its left and right border, on a grid of 16 × 8.

    The stated fall-back where nothing knows about bodies: three maps, the silhouette itself and its
    shares towards head and feet. It takes a person in the middle of the crop for granted.
    """

    channels: int = 3
    origin: str = "silhouette against the border (no keypoints, no estimator)"

    def points(self, images: Images, indices: Sequence[int]) -> Tensor:
        """Nothing: ``(B, 0, 3)``."""
        return torch.zeros(len(indices), 0, 3)

    def maps(self, images: Tensor, points: Tensor) -> Tensor:
        """See `Pose`."""
        cells = F.adaptive_avg_pool2d(images, (16, 8))
        left, right = cells[..., :1], cells[..., -1:]
        gap = torch.minimum((cells - left).abs().sum(1), (cells - right).abs().sum(1))
        middle = torch.linspace(-1, 1, 8, device=images.device)
        gap = gap * torch.exp(-2 * middle.square())
        gap = F.avg_pool2d(gap[:, None], 3, 1, 1, count_include_pad=False)
        shape = (gap / gap.flatten(2).quantile(0.9, dim=2)[..., None, None].clamp_min(1e-3)).clamp(
            0, 1
        )
        height = torch.linspace(0, 1, 16, device=images.device)[:, None]
        maps = torch.cat([shape, shape * (1 - height), shape * height], dim=1)
        return F.interpolate(maps, images.shape[-2:], mode="bilinear")


@dataclass(frozen=True, eq=False)
class Grey:
    """The picture without its colours: a structure code in the form of DG-Net, and no mere pose."""

    channels: int = 1
    origin: str = "the greyscale picture itself, which shows in every shifted one"

    def points(self, images: Images, indices: Sequence[int]) -> Tensor:
        """Nothing: ``(B, 0, 3)``."""
        return torch.zeros(len(indices), 0, 3)

    def maps(self, images: Tensor, points: Tensor) -> Tensor:
        """See `Pose`."""
        grey: Tensor = rgb_to_grayscale(images)
        return grey


@dataclass(frozen=True, eq=False)
class Estimator:
    """torchvision's keypoint R-CNN (He et al., ICCV 2017), with weights from a file.

    Attributes:
        file: of the weights.
        network: in evaluation mode.
        device: where it computes.
        size: (height, width) at which it looks at a crop.
        sure: score above which a box is taken for a person.
    """

    file: Path
    network: torch.nn.Module
    device: torch.device
    size: tuple[int, int] = (256, 128)
    sure: float = 0.5

    @classmethod
    def read(cls, file: Path, device: torch.device) -> "Estimator":
        """Return the network with the weights in ``file``.

        Raises:
            EnvironmentUnmetError: if they are another network's.
        """
        with torch.random.fork_rng(devices=[]):
            network = keypointrcnn_resnet50_fpn(weights=None, weights_backbone=None)
        try:
            network.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
        # A damaged file can end the reader in almost any way, and each means the same to us.
        except Exception as error:
            first = str(error).partition("\n")[0]
            raise EnvironmentUnmetError(f"{file} is not a keypoint R-CNN: {first}") from None
        return cls(file, network.eval().requires_grad_(False).to(device), device)

    def of(self, images: Images, indices: Sequence[int]) -> Tensor:
        """See `Points`."""
        crops = images.load(indices, self.size).to(self.device)
        with torch.no_grad():
            found = self.network(list(crops))
        return torch.stack([self._best(person) for person in found])

    def _best(self, found: dict[str, Tensor]) -> Tensor:
        """Return the keypoints ``(17, 3)`` of the surest person in a crop."""
        if not len(found["scores"]) or float(found["scores"][0]) < self.sure:
            return torch.zeros(len(COCO), 3)
        height, width = self.size
        points = found["keypoints"][0].float().cpu() / torch.tensor([width, height, 1.0])
        return points * (found["keypoints_scores"][0].cpu() > 0)[:, None]


def complete(points: Tensor) -> Tensor:
    """Return ``(B,)`` whether at least half the keypoints ``(B, K, 3)`` were found.

    Always, of none.
    """
    return (points[..., 2] > 0).sum(1) * 2 >= points.shape[1]
