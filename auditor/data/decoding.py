"""Decodes pictures, several at a time.

Pillow decodes every one, so that figures and refusals are the same however many are asked for.
Crops of half the wanted size are resized together by torch, which gives Pillow's pixels to the bit
there in a seventh of the time.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.data import get_worker_info

from auditor.console import printable
from auditor.errors import DataError
from auditor.resizing import resize_picture, resizing_to, upsample, upsamples_exactly

FORMATS = ("JPEG", "PNG", "BMP", "WEBP")
"""Decoders a stranger's picture may reach; Pillow has dozens more, and more holes."""

MAX_PIXELS = 16_000_000
"""A pedestrian crop has some ten thousand; anything above this is a bomb or a mistake."""
SMALL = 2**18
"""Pixels up to which pictures of a batch wait for one another to be resized together."""
AT_ONCE = 8
"""Pictures that a thread is given at a time."""
MOST_THREADS = 16


def read_pictures(paths: Sequence[Path], size: tuple[int, int]) -> list[Tensor]:
    """Return each picture, RGB uint8 ``(h, w, 3)``, at ``size`` or as `batch_pictures` takes it.

    As many threads decode as torch computes with.

    Raises:
        DataError: if one is no whole picture in one of `FORMATS` below `MAX_PIXELS`.
    """
    threads = min(torch.get_num_threads(), MOST_THREADS)
    if threads == 1 or len(paths) <= AT_ONCE or get_worker_info() is not None:
        return [_read(path, size) for path in paths]
    parts = [paths[start : start + AT_ONCE] for start in range(0, len(paths), AT_ONCE)]
    pool = _threads(os.getpid(), threads)
    read = pool.map(lambda part: [_read(path, size) for path in part], parts)
    return [picture for part in read for picture in part]


@cache
def _threads(process: int, count: int) -> ThreadPoolExecutor:
    """Return the threads of a process; one that was forked does not inherit them."""
    return ThreadPoolExecutor(count, thread_name_prefix="decode")


def _read(path: Path, size: tuple[int, int]) -> Tensor:
    picture = decode(path, turn=resizing_to(size).turn)
    area = picture.width * picture.height
    if area > SMALL or not upsamples_exactly((picture.height, picture.width), size):
        picture = resize_picture(picture, size)
    return torch.from_numpy(np.array(picture))


def batch_pictures(pictures: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
    """Return what `read_pictures` gave as one tensor ``(N, 3, height, width)``, all at ``size``."""
    rows: dict[torch.Size, list[int]] = {}
    for row, picture in enumerate(pictures):
        rows.setdefault(picture.shape, []).append(row)
    whole = torch.Size((*size, 3))
    batches = {
        shape: torch.stack([pictures[row] for row in some]).permute(0, 3, 1, 2)
        for shape, some in rows.items()
    }
    for shape in batches.keys() - {whole}:
        batches[shape] = upsample(batches[shape], size)
    if len(batches) == 1:
        return next(iter(batches.values()))
    pixels = torch.empty(len(pictures), *whole, dtype=torch.uint8).permute(0, 3, 1, 2)
    for shape, batch in batches.items():
        pixels[rows[shape]] = batch
    return pixels


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
