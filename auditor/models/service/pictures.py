"""A service that takes pictures: PNG files in JSON go out, one list of numbers for each comes back.

``POST {"images": ["<base64 of a PNG>", …]}`` is answered with ``{"features": [[…], …]}``, in the
same order. The pictures are RGB with eight bits, of the card's size.
"""

import base64
import io
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from auditor.errors import ModelError, UsageError
from auditor.models.card import Card
from auditor.models.service.client import Answer, read_numbers

FORM = '{"features": [[…], …]}, one list of numbers for each picture'


@dataclass(frozen=True, kw_only=True)
class PicturesInJson:
    """How such a service is asked.

    Attributes:
        address: where questions go.
    """

    address: str
    input_dtype = torch.uint8
    fixed_batch = None

    def write(self, images: NDArray[Any]) -> tuple[bytes, dict[str, str]]:
        """Body and headers of a question about images ``(B, 3, H, W)`` of whole pixels."""
        encoded = [base64.b64encode(_png(image)).decode("ascii") for image in images]
        return json.dumps({"images": encoded}).encode(), {"Content-Type": "application/json"}

    def read(self, answer: Answer, count: int) -> tuple[NDArray[Any], ...]:
        """Return the features of ``count`` pictures.

        Raises:
            ModelError: if the answer is of another form.
        """
        said = answer.plain()
        try:
            features = read_numbers(said["features"], np.float32)
        except (KeyError, TypeError, ValueError, OverflowError):
            raise ModelError(f"the service's answer is not of the form {FORM}") from None
        if features.ndim != 2 or len(features) != count or not features.size:
            raise ModelError(
                f"the service's features have shape {features.shape} for {count} images; it must "
                f"answer {FORM}"
            )
        return (features,)


def check_pictures_card(card: Card) -> None:
    """Make sure that a card leaves pictures as they are.

    Raises:
        UsageError: if it does not.
    """
    if (card.pixels, card.colour, card.axes) != ("uint8", "rgb", "nchw"):
        raise UsageError(
            "this service takes RGB pictures as they are: give the card pictures, with height and "
            "width as it expects them; an address with /v2/models/ is asked for tensors"
        )


def _png(image: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    # pictures cross a network once; the fastest compression is small enough
    Image.fromarray(np.moveaxis(image, 0, -1)).save(file, "png", compress_level=1)
    return file.getvalue()
