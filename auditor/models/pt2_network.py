"""A program written by `torch.export` (.pt2) as a network with gradients."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.export.passes import move_to_device_pass

from auditor.errors import ModelError, ModelRefusedError
from auditor.models.exported import check_images, check_inputs, check_sides
from auditor.models.extractor import reason
from auditor.models.files import ModelFiles

WEIGHTS_ONLY = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
"""Without it torch tries once more with full unpickling whatever its restricted reader refuses."""


class Pt2Network(nn.Module):
    """An exported program; a batch size fixed at export is met by cutting and padding.

    Args:
        files: the program's.
        device: where to run it.

    Raises:
        ModelError: if torch does not open it, or it is no model of images.
        ModelRefusedError: if it contains Python objects.
    """

    def __init__(self, files: ModelFiles, device: torch.device) -> None:
        super().__init__()
        program = _load(files)
        images = _image_input(program, files)
        if images.device.type != device.type:
            program = move_to_device_pass(program, device)
        known = images.dtype.is_floating_point or images.dtype == torch.uint8
        check_images(files.path, str(images.dtype), known, _shape(images))
        self.input_dtype, self.batch = images.dtype, _shape(images)[0]
        self.side_names = [str(name) for name in program.graph_signature.user_inputs[1:]]
        self.program = program.module()

    def forward(self, images: Tensor, *sides: Tensor) -> Any:
        """Whatever the program gives; ``sides`` are further inputs, each the same for all."""
        check_sides("program", self.side_names, len(sides))
        if not isinstance(self.batch, int) or self.batch == len(images):
            return self.program(images, *sides)
        few = [side[:1].expand(self.batch) for side in sides]
        parts = [self._pad(part, few, self.batch) for part in images.split(self.batch)]
        if isinstance(parts[0], Tensor):
            return torch.cat(parts)
        return [torch.cat(outputs) for outputs in zip(*parts, strict=True)]

    def train(self, mode: bool = True) -> "Pt2Network":
        """Return an exported program stays in the mode it was exported in."""
        self.training = mode
        return self

    def _pad(self, images: Tensor, sides: list[Tensor], size: int) -> Any:
        count = len(images)
        results = self.program(F.pad(images, (0, 0) * 3 + (0, size - count)), *sides)
        if isinstance(results, Tensor):
            return results[:count]
        values = results.values() if isinstance(results, dict) else results
        return [result[:count] for result in values]


def _load(files: ModelFiles) -> torch.export.ExportedProgram:
    try:
        with _weights_only():
            return torch.export.load(files.main)
    except Exception as error:  # of the archive, the schema, the graph or the weights
        if "weights_only" in str(error) or "Weights only" in str(error):
            raise ModelRefusedError(
                f"{files.path} is an exported program (.pt2) that contains Python objects, which "
                "run code of their author's choosing when opened; export the network again without "
                "custom objects, or give its state dict with an architecture"
            ) from None
        raise ModelError(f"{files.path}: the .pt2 does not load: {reason(error)}") from error


@contextmanager
def _weights_only() -> Iterator[None]:
    before = os.environ.get(WEIGHTS_ONLY)
    os.environ[WEIGHTS_ONLY] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[WEIGHTS_ONLY]
        else:
            os.environ[WEIGHTS_ONLY] = before


def _image_input(program: torch.export.ExportedProgram, files: ModelFiles) -> Tensor:
    names = program.graph_signature.user_inputs
    check_inputs(files.path, [str(name) for name in names])
    for node in program.graph.nodes:
        if node.op == "placeholder" and node.name == names[0]:
            value = node.meta.get("val")
            if isinstance(value, Tensor):
                return value
    raise ModelError(f"{files.path} takes {names[0]}, which is not a tensor; export it on images")


def _shape(images: Tensor) -> list[int | None]:
    """Sides that the export fixed; None where they are free."""
    return [side if type(side) is int else None for side in images.shape]
