"""Pictures in files and pictures in memory, both behind `auditor.types.Images`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from auditor.console import printable
from auditor.errors import DataError
from auditor.resizing import resize_picture, resizing_to
from auditor.types import Images, Selection

FORMATS = ("JPEG", "PNG", "BMP", "WEBP")
"""Decoders a stranger's picture may reach; Pillow has dozens more, and more holes."""

MAX_PIXELS = 16_000_000
"""A pedestrian crop has some ten thousand; anything above this is a bomb or a mistake."""


CHUNK = 256
"""Pictures decoded at once by `load_pixels`."""


def as_bytes(images: Tensor) -> Tensor:
    """Images in [0, 1] of any shape as uint8, rounded as a file of pictures rounds them."""
    return images.mul(255).round().byte()


def eight_bit(images: Tensor) -> Tensor:
    """Images in [0, 1] as a file would hold them."""
    return images.clamp(0, 1).mul(255).round().div(255)


def load_pixels(images: Images, size: tuple[int, int]) -> Tensor:
    """Return all pictures as uint8 ``(N, 3, height, width)``: thousands of them stay in memory."""
    pixels = torch.empty((len(images), 3, *size), dtype=torch.uint8)
    for start in range(0, len(images), CHUNK):
        rows = range(start, min(start + CHUNK, len(images)))
        pixels[start : rows.stop] = as_bytes(images.load(rows, size))
    return pixels


@dataclass(frozen=True)
class FileImages:
    """Pictures decoded from files when asked for, and resized as the asked size says.

    A plain (height, width) means as re-ID code does: Pillow, bilinear; see
    `auditor.resizing.InputSize`.
    """

    paths: Sequence[Path]

    def __len__(self) -> int:
        return len(self.paths)

    def load(self, indices: Sequence[int], size: tuple[int, int]) -> Tensor:
        """Images ``(len(indices), 3, height, width)`` in [0, 1].

        Raises:
            DataError: if a file cannot be decoded.
        """
        height, width = size
        stack = np.empty((len(indices), height, width, 3), dtype=np.uint8)
        for row, index in enumerate(indices):
            stack[row] = read_image(self.paths[index], size)
        return torch.from_numpy(stack).permute(0, 3, 1, 2).float().div_(255)


@dataclass(frozen=True)
class JoinedImages:
    """Two sources' pictures, the second's after the first's."""

    first: Images
    second: Images

    def __len__(self) -> int:
        return len(self.first) + len(self.second)

    def load(self, indices: Sequence[int], size: tuple[int, int]) -> Tensor:
        """Images ``(len(indices), 3, height, width)`` in [0, 1]."""
        border, height, width = len(self.first), *size
        images = torch.empty(len(indices), 3, height, width)
        for source, start, rows in (
            (self.first, 0, [row for row, i in enumerate(indices) if i < border]),
            (self.second, border, [row for row, i in enumerate(indices) if i >= border]),
        ):
            if rows:
                images[rows] = source.load([indices[row] - start for row in rows], size)
        return images


Pooling = Literal["mean", "quality"]
"""How the features of a tracklet's pictures become one; see `auditor.data.tracklets`."""


@dataclass(frozen=True)
class TrackletImages:
    """Tracklets: several pictures each, of which the one in the middle is shown.

    Attributes:
        source: the pictures of all tracklets.
        groups: the rows in ``source`` of each tracklet's pictures, at least one, in their order.
        pooling: how their features become one.
    """

    source: Images
    groups: Sequence[Sequence[int]]
    pooling: Pooling

    def __len__(self) -> int:
        return len(self.groups)

    @property
    def middles(self) -> Tensor:
        """``(N,)`` the rows in ``source`` of the pictures that stand for the tracklets."""
        return torch.tensor([self.shown(index) for index in range(len(self))], dtype=torch.long)

    def shown(self, index: int) -> int:
        """Return the row in ``source`` of the picture that stands for a tracklet."""
        group = self.groups[index]
        return group[len(group) // 2]

    def load(self, indices: Sequence[int], size: tuple[int, int]) -> Tensor:
        """Images ``(len(indices), 3, height, width)`` in [0, 1], one of each tracklet."""
        return self.source.load([self.shown(index) for index in indices], size)


def file_of(images: Images, index: int) -> Path | None:
    """Return the file behind picture ``index``; None where it is in memory.

    A protection that keeps its pictures' order and calls what it protects ``source`` is seen
    through.
    """
    if isinstance(images, FileImages):
        return images.paths[index]
    if isinstance(images, Selection):
        return file_of(images.source, images.rows[index])
    if isinstance(images, JoinedImages):
        border = len(images.first)
        later = index >= border
        return file_of(images.second if later else images.first, index - border * later)
    if isinstance(images, TrackletImages):
        return file_of(images.source, images.shown(index))
    source: Images | None = getattr(images, "source", None)
    return None if source is None else file_of(source, index)


def read_image(path: Path, size: tuple[int, int]) -> np.ndarray:
    """Decode ``path`` to RGB uint8 ``(height, width, 3)``.

    Raises:
        DataError: if it is no whole picture in one of `FORMATS` below `MAX_PIXELS`.
    """
    picture = decode(path, turn=resizing_to(size).turn)
    return np.asarray(resize_picture(picture, size))


def decode(path: Path, *, turn: bool = False) -> Image.Image:
    """Return the whole picture in ``path`` as RGB in its own size.

    Args:
        path: of the picture.
        turn: whether it is turned as its EXIF orientation says.

    Raises:
        DataError: if it is no whole picture in one of `FORMATS` below `MAX_PIXELS`.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise DataError(
                    f"{path} has {image.width}×{image.height} pixels, too many for a crop"
                )
            if image.mode.startswith(("I", "F")):
                raise DataError(
                    f"{path} has more than 8 bits a channel, of which no model here says what "
                    "white is; convert it to 8 bits first, the same way for all pictures"
                )
            return (ImageOps.exif_transpose(image) if turn else image).convert("RGB")
    except DataError:
        raise
    # A damaged file can end a decoder in almost any way, and each of them means the same to us.
    except Exception as error:
        said = printable(str(error), 200)
        raise DataError(f"{path} is not a readable picture: {said}") from None
