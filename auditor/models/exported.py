"""What exported black boxes (ONNX, OpenVINO) have in common: one image input, numpy in and out."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from auditor.errors import ModelError, ModelRefusedError

Shape = Sequence[int | str | None]
"""Of the input: a number where the export fixed it, anything else where it is free."""


class ExportedNetwork(nn.Module):
    """Images ``(B, 3, H, W)`` as the model takes them to the list of its outputs.

    A batch size fixed at export is met by cutting and padding. A subclass sets ``shape`` and
    ``dtype`` of the input, and runs one batch in ``infer``.
    """

    kind: ClassVar[str]
    shape: Shape
    dtype: type[np.floating]

    def infer(self, array: np.ndarray) -> list[np.ndarray]:
        """The outputs for one batch of the size in ``shape``."""
        raise NotImplementedError

    def forward(self, images: Tensor) -> list[Tensor]:
        """Run the model; no gradient comes back.

        Raises:
            ModelError: if the model was exported for another image size.
        """
        self._check_size(images)
        batch = self.shape[0]
        size = batch if isinstance(batch, int) else len(images)
        array = images.detach().cpu().numpy().astype(self.dtype)
        parts = [self._run(array[i : i + size], size) for i in range(0, len(array), size)]
        outputs = [np.concatenate(part) for part in zip(*parts, strict=True)]
        return [torch.from_numpy(output).to(images.device) for output in outputs]

    def _run(self, array: np.ndarray, size: int) -> list[np.ndarray]:
        count = len(array)
        if count < size:
            array = np.concatenate([array, np.repeat(array[-1:], size - count, axis=0)])
        # an output that is not per image is left whole, for the extractor to complain of
        return [out[:count] if out.shape[:1] == (size,) else out for out in self.infer(array)]

    def _check_size(self, images: Tensor) -> None:
        for have, want in zip(images.shape[2:], self.shape[2:], strict=True):
            if isinstance(want, int) and want != have:
                raise ModelError(
                    f"the {self.kind} model takes images of {self.shape[2]}×{self.shape[3]} "
                    f"(height × width), not {images.shape[2]}×{images.shape[3]}; "
                    "set the card's height and width to that"
                )


def check_one_input(path: Path, names: Sequence[str]) -> None:
    """Make sure that the model takes images alone.

    Raises:
        ModelError: if it has several inputs, or none.
    """
    if len(names) != 1:
        raise ModelError(
            f"{path} takes {len(names)} inputs ({', '.join(names)}); an extractor takes images "
            "alone: export it with the side information fixed"
        )


def check_images(path: Path, dtype: str, known: bool, shape: Shape) -> None:
    """Make sure that the model's input is a batch of images.

    Args:
        path: for the message.
        dtype: of the input, in the format's own words.
        known: whether that is a floating type.
        shape: of the input.

    Raises:
        ModelError: if it is not.
    """
    if not known:
        raise ModelError(f"{path} takes {dtype} instead of floats; export it without the cast")
    if len(shape) != 4 or (isinstance(shape[1], int) and shape[1] != 3):
        raise ModelError(
            f"{path} takes an input of shape {list(shape)}, not images (B, 3, H, W); "
            "export it with the channels first"
        )


def check_beside(path: Path, location: str, role: str) -> None:
    """Make sure that ``location`` is a plain file of its own in the folder of the model ``path``.

    Raises:
        ModelError: if it is not there.
        ModelRefusedError: if it is a link or lies elsewhere.
    """
    data = path.parent / location
    if location in {"", ".", ".."} or Path(location).name != location:
        fault = f"points outside its folder, to {location!r}"
    elif data.is_symlink() or (data.exists() and data.stat().st_nlink != 1):
        fault = f"has the link {location!r} for {role}"
    elif not data.is_file():
        raise ModelError(f"{path} needs its {role} {location!r} beside it; copy that too")
    else:
        return
    raise ModelRefusedError(f"{path} {fault}; save the model in one file, or copy the data beside")
