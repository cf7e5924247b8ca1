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
    dtype: type[np.generic]
    side_names: Sequence[str] = ()

    def infer(self, array: np.ndarray, sides: Sequence[int] = ()) -> list[np.ndarray]:
        """Return outputs for one batch of the size in ``shape``.

        ``sides`` are the further inputs.
        """
        raise NotImplementedError

    def forward(self, images: Tensor, *sides: Tensor) -> list[Tensor]:
        """Run the model; no gradient comes back.

        Args:
            images: as the model takes them.
            *sides: ``(B,)`` each, the same number for all images, as the card says.

        Raises:
            ModelError: if the model was exported for other inputs.
        """
        self._check_inputs(images, len(sides))
        constants = [int(side[0]) for side in sides]
        batch = self.shape[0]
        size = batch if isinstance(batch, int) else len(images)
        array = images.detach().cpu().numpy().astype(self.dtype)
        parts = [
            self._run(array[i : i + size], size, constants) for i in range(0, len(array), size)
        ]
        outputs = [np.concatenate(part) for part in zip(*parts, strict=True)]
        return [torch.from_numpy(output).to(images.device) for output in outputs]

    def _run(self, array: np.ndarray, size: int, sides: Sequence[int]) -> list[np.ndarray]:
        count = len(array)
        if count < size:
            array = np.concatenate([array, np.repeat(array[-1:], size - count, axis=0)])
        outputs = self.infer(array, sides)
        # an output that is not per image is left whole, for the extractor to complain of
        return [out[:count] if out.shape[:1] == (size,) else out for out in outputs]

    def _check_inputs(self, images: Tensor, sides: int) -> None:
        whole = images.dtype == torch.uint8
        if whole != (self.dtype == np.uint8):
            taken = "whole pixels" if not whole else "floats"
            raise ModelError(
                f"the {self.kind} model takes {taken}; set the card's pixels to "
                f"{'float' if whole else 'uint8, value_range to 0..255, mean to 0 and std to 1'}"
            )
        check_sides(f"{self.kind} model", self.side_names, sides)
        for have, want in zip(images.shape[1:], self.shape[1:], strict=True):
            if isinstance(want, int) and want != have:
                taken, given = (
                    "×".join(map(str, shape[1:])) for shape in (self.shape, images.shape)
                )
                raise ModelError(
                    f"the {self.kind} model takes images of {taken}, not {given}; "
                    "set the card's height, width and axes to that"
                )


def check_sides(what: str, names: Sequence[str], given: int) -> None:
    """Make sure that the card gives what the model takes beside images.

    Raises:
        ModelError: if it does not.
    """
    if given != len(names):
        raise ModelError(
            f"the {what} takes {1 + len(names)} inputs ({', '.join(('images', *names))}); give the "
            "others with the card's side_inputs, one whole number each, or export it with them "
            "fixed"
        )


def check_inputs(path: Path, names: Sequence[str], most: int | None = None) -> None:
    """Make sure that the model takes images, and at most so many inputs in all.

    Raises:
        ModelError: if it does not.
    """
    if not names or (most is not None and len(names) > most):
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
        raise ModelError(f"{path} takes {dtype} instead of pixels; export it without the cast")
    channels = [side for side in shape[1::2] if not isinstance(side, int) or side == 3]
    if len(shape) != 4 or not channels:
        raise ModelError(
            f"{path} takes an input of shape {list(shape)}, neither images (B, 3, H, W) nor, with "
            "the card's axes set to nhwc, (B, H, W, 3)"
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
