"""An ONNX model as a network without gradients, run by onnxruntime.

The file is read once, its external data is checked and taken in, and onnxruntime gets bytes, never
a path that it could follow somewhere else.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx.external_data_helper import ExternalDataInfo, uses_external_data
from torch import Tensor, nn

from auditor.errors import ModelError, ModelRefusedError
from auditor.models.extractor import reason

RUNTIME: Any = onnxruntime  # it exports its names without declaring them

DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
}


class OnnxNetwork(nn.Module):
    """Images ``(B, 3, H, W)`` as the model takes them to the list of its outputs.

    A batch size fixed at export is met by cutting and padding.

    Args:
        path: the model.
        device: a CUDA device is used if onnxruntime was built for it, else the processor.

    Raises:
        ModelError: if onnxruntime does not open it, or it is no model of one image input.
        ModelRefusedError: if its external data is a link or lies elsewhere.
    """

    def __init__(self, path: Path, device: torch.device) -> None:
        super().__init__()
        model = _read(path)
        self.parameter_count = sum(math.prod(t.dims) for t in model.graph.initializer)
        options = RUNTIME.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        try:
            self.session = RUNTIME.InferenceSession(
                model.SerializeToString(), options, providers=_providers(device)
            )
        except Exception as error:  # onnxruntime's exceptions share no base class
            raise ModelError(f"{path}: onnxruntime does not open it: {reason(error)}") from error
        self.input = _image_input(path, self.session.get_inputs())

    def forward(self, images: Tensor) -> list[Tensor]:
        """Run the model; no gradient comes back.

        Raises:
            ModelError: if the model was exported for another image size.
        """
        self._check_size(images)
        batch = self.input.shape[0]
        size = batch if isinstance(batch, int) else len(images)
        array = images.detach().cpu().numpy().astype(DTYPES[self.input.type])
        parts = [self._run(array[i : i + size], size) for i in range(0, len(array), size)]
        outputs = [np.concatenate(part) for part in zip(*parts, strict=True)]
        return [torch.from_numpy(output).to(images.device) for output in outputs]

    def _run(self, array: np.ndarray, size: int) -> list[np.ndarray]:
        count = len(array)
        if count < size:
            array = np.concatenate([array, np.repeat(array[-1:], size - count, axis=0)])
        outputs = self.session.run(None, {self.input.name: array})
        # an output that is not per image is left whole, for the extractor to complain of
        return [out[:count] if out.shape[:1] == (size,) else out for out in outputs]

    def _check_size(self, images: Tensor) -> None:
        for have, want in zip(images.shape[2:], self.input.shape[2:], strict=True):
            if isinstance(want, int) and want != have:
                raise ModelError(
                    f"the ONNX model takes images of {self.input.shape[2]}×{self.input.shape[3]} "
                    f"(height × width), not {images.shape[2]}×{images.shape[3]}; "
                    "set the card's height and width to that"
                )


def _read(path: Path) -> onnx.ModelProto:
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf's exceptions depend on its backend
        raise ModelError(f"{path} is a damaged ONNX file: {reason(error)}") from error
    external = [
        tensor for tensor in _tensors(model) if onnx.external_data_helper.uses_external_data(tensor)
    ]
    for tensor in external:
        _check_external(path, ExternalDataInfo(tensor).location)
    if not external:
        return model
    try:
        # checks again, against links, and opens without following them
        onnx.load_external_data_for_model(model, str(path.parent))
    except (onnx.checker.ValidationError, ValueError, OSError) as error:
        raise ModelRefusedError(f"{path}: external data: {reason(error)}") from error
    if any(uses_external_data(tensor) for tensor in _tensors(model)):
        raise ModelRefusedError(
            f"{path} keeps external data where weights do not belong; save it in one file"
        )
    return model


def _check_external(path: Path, location: str) -> None:
    data = path.parent / location
    if location in {"", ".", ".."} or Path(location).name != location:
        fault = f"points outside its folder, to {location!r}"
    elif data.is_symlink() or (data.exists() and data.stat().st_nlink != 1):
        fault = f"has the link {location!r} for external data"
    elif not data.is_file():
        raise ModelError(f"{path} needs its external data {location!r} beside it; copy that too")
    else:
        return
    raise ModelRefusedError(f"{path} {fault}; save the model in one file, or copy the data beside")


def _tensors(message: Any) -> Iterator[onnx.TensorProto]:
    """Every tensor anywhere in a model: initialisers, attributes, subgraphs, functions."""
    if isinstance(message, onnx.TensorProto):
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            for item in (
                value if isinstance(value, (list, tuple)) or hasattr(value, "add") else [value]
            ):
                yield from _tensors(item)


def _providers(device: torch.device) -> list[str]:
    wanted = ["CUDAExecutionProvider"] if device.type == "cuda" else []
    available = RUNTIME.get_available_providers()
    return [*(name for name in wanted if name in available), "CPUExecutionProvider"]


def _image_input(path: Path, inputs: list[Any]) -> Any:
    if len(inputs) != 1:
        names = ", ".join(one.name for one in inputs)
        raise ModelError(
            f"{path} takes {len(inputs)} inputs ({names}); an extractor takes images alone: "
            "export it with the side information fixed"
        )
    (image,) = inputs
    if image.type not in DTYPES:
        raise ModelError(f"{path} takes {image.type} instead of floats; export it without the cast")
    if len(image.shape) != 4 or (isinstance(image.shape[1], int) and image.shape[1] != 3):
        raise ModelError(
            f"{path} takes an input of shape {image.shape}, not images (B, 3, H, W); "
            "export it with the channels first"
        )
    return image
