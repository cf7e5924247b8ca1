"""An ONNX model as a network without gradients, run by onnxruntime.

Its external data is taken in from files that were checked and opened beforehand, and onnxruntime
gets bytes, never a path that it could follow somewhere else.
"""

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx.external_data_helper import ExternalDataInfo, uses_external_data

from auditor.errors import ModelError, ModelRefusedError
from auditor.models.exported import ExportedNetwork, check_beside, check_images, check_inputs
from auditor.models.extractor import reason
from auditor.models.files import ModelFiles

RUNTIME: Any = onnxruntime  # it exports its names without declaring them

DTYPES: dict[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
}
SIDE_DTYPES: dict[str, type[np.generic]] = {
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(float)": np.float32,
}


class OnnxNetwork(ExportedNetwork):
    """An ONNX model in a session of onnxruntime.

    Args:
        files: the model's.
        device: a CUDA device is used if onnxruntime was built for it, else the processor.

    Attributes:
        facts: parameters, and where the model runs.

    Raises:
        ModelError: if onnxruntime does not open it, or it is no model of images.
        ModelRefusedError: if its external data is a link or lies elsewhere.
    """

    kind = "ONNX"
    facts: Mapping[str, Any]

    def __init__(self, files: ModelFiles, device: torch.device) -> None:
        super().__init__()
        path, model = files.path, _read(files)
        options = RUNTIME.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        try:
            self.session = RUNTIME.InferenceSession(
                model.SerializeToString(), options, providers=_providers(device)
            )
        except Exception as error:  # onnxruntime's exceptions share no base class
            raise ModelError(f"{path}: onnxruntime does not open it: {reason(error)}") from error
        inputs = self.session.get_inputs()
        check_inputs(path, [one.name for one in inputs])
        image, *self.sides = inputs
        self.side_names = [side.name for side in self.sides]
        check_images(path, image.type, image.type in DTYPES, image.shape)
        self.input_name, self.shape, self.dtype = image.name, image.shape, DTYPES[image.type]
        self.facts = {
            "parameters": sum(math.prod(t.dims) for t in model.graph.initializer),
            "runs_on": _runs_on(self.session.get_providers(), device),
        }

    def infer(self, array: np.ndarray, sides: Sequence[int] = ()) -> list[np.ndarray]:
        """See `ExportedNetwork.infer`."""
        feed = {self.input_name: array}
        for side, number in zip(self.sides, sides, strict=True):
            shape = [len(array), *(n if isinstance(n, int) else 1 for n in side.shape[1:])]
            feed[side.name] = np.full(
                shape if side.shape else (), number, SIDE_DTYPES.get(side.type, np.int64)
            )
        outputs: list[np.ndarray] = self.session.run(None, feed)
        return outputs


def _read(files: ModelFiles) -> onnx.ModelProto:
    path = files.path
    try:
        model = onnx.load_model_from_string(files.main.read())
    except Exception as error:  # protobuf's exceptions depend on its backend
        raise ModelError(f"{path} is a damaged ONNX file: {reason(error)}") from error
    for tensor in _tensors(model):
        if uses_external_data(tensor):
            _take_in(tensor, files)
    return model


def _take_in(tensor: onnx.TensorProto, files: ModelFiles) -> None:
    """Put a weight that lies in a file beside the model into the model."""
    path = files.path
    try:
        info = ExternalDataInfo(tensor)
        if info.location not in files.beside:
            check_beside(path, info.location, "external data")
            raise ModelRefusedError(
                f"{path} keeps external data where weights do not belong; save it in one file"
            )
        file = files.beside[info.location]
        start, size = int(info.offset or 0), file.seek(0, os.SEEK_END)
        length = size - start if info.length is None else int(info.length)
        if start < 0 or length < 0 or start + length > size:
            raise ValueError(f"{length} bytes from {start} of a file of {size}")
    except (ValueError, onnx.checker.ValidationError) as error:
        raise ModelRefusedError(f"{path}: external data: {reason(error)}") from error
    file.seek(start)
    tensor.raw_data = file.read(length)
    tensor.data_location = onnx.TensorProto.DEFAULT
    del tensor.external_data[:]


def _tensors(message: Any) -> Iterator[onnx.TensorProto]:
    """Yield every tensor anywhere in a model: initialisers, attributes, subgraphs, functions."""
    if isinstance(message, onnx.TensorProto):
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            for item in (
                value if isinstance(value, (list, tuple)) or hasattr(value, "add") else [value]
            ):
                yield from _tensors(item)


def _runs_on(providers: Sequence[str], device: torch.device) -> str:
    """Return what computes, as onnxruntime says: a provider that does not start is left out."""
    if device.type != "cuda":
        return "cpu"
    if "CUDAExecutionProvider" in providers:
        return "cuda"
    return "cpu: onnxruntime has no CUDA here; install onnxruntime-gpu"


def _providers(device: torch.device) -> list[str]:
    wanted = ["CUDAExecutionProvider"] if device.type == "cuda" else []
    available = RUNTIME.get_available_providers()
    return [*(name for name in wanted if name in available), "CPUExecutionProvider"]
