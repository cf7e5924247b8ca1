"""How a picture of any size becomes one of the size a network takes, as each deployment chooses."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

Interpolation = Literal["bilinear", "bicubic"]


@dataclass(frozen=True, kw_only=True)
class Resizing:
    """How pictures are resized.

    Attributes:
        interpolation: between pixels.
        antialias: whether a smaller picture averages over all it covers, as Pillow does; OpenCV
            does not.
        letterbox: whether the picture keeps its proportions, in the middle of a plain frame.
        fill: grey level of the frame, of 255.
        turn: whether a picture is turned as its EXIF orientation says; Pillow reads it as it is
            stored, OpenCV turns it.
    """

    interpolation: Interpolation = "bilinear"
    antialias: bool = True
    letterbox: bool = False
    fill: int = 114
    turn: bool = False


AS_REID = Resizing()
"""As re-ID code does: Pillow, bilinear, stretched."""


class InputSize(tuple[int, int]):
    """A network's (height, width), and how pictures get there; equal to the plain pair."""

    resizing: Resizing

    def __new__(cls, height: int, width: int, resizing: Resizing = AS_REID) -> "InputSize":
        """Return a pair with its resizing."""
        size = super().__new__(cls, (height, width))
        size.resizing = resizing
        return size

    def __getnewargs__(self) -> tuple[int, int, Resizing]:
        """For copies in other processes."""
        return self[0], self[1], self.resizing


def resizing_to(size: Sequence[int]) -> Resizing:
    """Return how pictures get to ``size``; a plain pair says nothing of it."""
    return size.resizing if isinstance(size, InputSize) else AS_REID


def resize_picture(picture: Image.Image, size: Sequence[int]) -> Image.Image:
    """Return an RGB picture at (height, width) ``size``."""
    height, width = size
    how = resizing_to(size)
    if not how.letterbox:
        return _stretch(picture, height, width, how)
    rows, columns = _fit(picture.height, picture.width, height, width)
    frame = Image.new("RGB", (width, height), (how.fill,) * 3)
    inner = _stretch(picture, rows, columns, how)
    frame.paste(inner, ((width - columns) // 2, (height - rows) // 2))
    return frame


def upsamples_exactly(have: tuple[int, int], size: Sequence[int]) -> bool:
    """Return whether `upsample` gives the pixels of `resize_picture`, to the bit.

    It does where every weight is a fraction of a power of two, which no arithmetic rounds: a
    bilinear picture two, four or eight times as high, and as wide. Any other size is Pillow's own
    affair, whose releases differ from one another in some pixels.
    """
    how = resizing_to(size)
    if how.interpolation != "bilinear" or not how.antialias or how.letterbox:
        return False
    times = (wanted / side for side, wanted in zip(have, size, strict=True))
    return all(factor in (1, 2, 4, 8) for factor in times)


def upsample(pixels: Tensor, size: Sequence[int]) -> Tensor:
    """Pictures ``(B, 3, h, w)`` uint8 at a ``size`` that `upsamples_exactly` says."""
    return F.interpolate(pixels, tuple(size), mode="bilinear", antialias=True)


def resize_pixels(images: Tensor, size: Sequence[int]) -> Tensor:
    """Images ``(B, 3, h, w)`` in [0, 1] at ``size``."""
    height, width = size
    how = resizing_to(size)
    if tuple(images.shape[-2:]) == (height, width):
        return images
    if not how.letterbox:
        return _interpolate(images, (height, width), how)
    rows, columns = _fit(images.shape[-2], images.shape[-1], height, width)
    left, top = (width - columns) // 2, (height - rows) // 2
    sides = (left, width - columns - left, top, height - rows - top)
    return F.pad(_interpolate(images, (rows, columns), how), sides, value=how.fill / 255)


def _fit(rows: int, columns: int, height: int, width: int) -> tuple[int, int]:
    """Return the largest size of the picture's proportions within ``height`` × ``width``."""
    scale = min(height / rows, width / columns)
    return max(1, round(rows * scale)), max(1, round(columns * scale))


def _stretch(picture: Image.Image, height: int, width: int, how: Resizing) -> Image.Image:
    if picture.size == (width, height):
        return picture
    if how.antialias:
        bicubic = how.interpolation == "bicubic"
        filters = Image.Resampling
        return picture.resize((width, height), filters.BICUBIC if bicubic else filters.BILINEAR)
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float()
    resized = _interpolate(pixels, (height, width), how, most=255.0)[0].round()
    return Image.fromarray(resized.permute(1, 2, 0).byte().numpy())


def _interpolate(images: Tensor, size: tuple[int, int], how: Resizing, most: float = 1) -> Tensor:
    resized = F.interpolate(images, size, mode=how.interpolation, antialias=how.antialias)
    # bicubic weights overshoot at edges
    return resized.clamp(0, most) if how.interpolation == "bicubic" else resized
