"""An OpenVINO model (IR) as a network without gradients, run by the openvino package on the CPU.

The description (.xml) and the weights of the same stem (.bin) are handed over open, and openvino
gets bytes, never a path that it could follow somewhere else.
"""

import hashlib
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np
import torch

from auditor.console import printable
from auditor.errors import EnvironmentUnmetError, ModelError
from auditor.models.exported import ExportedNetwork, check_images, check_inputs
from auditor.models.extractor import LONGEST_REASON, reason
from auditor.models.files import ModelFiles

DTYPES: dict[str, type[np.generic]] = {
    "f16": np.float16,
    "f32": np.float32,
    "f64": np.float64,
    "u8": np.uint8,
}

AGREES = 1e-3
"""How far a number may move, relative to the image's largest, when images share a batch."""


class OpenVinoNetwork(ExportedNetwork):
    """An OpenVINO model compiled for the processor, in full precision.

    A batch of one, as most IRs have, is freed where the graph gives every image the same outputs
    in company as alone.

    Args:
        files: the .xml file of the IR, and the .bin file beside it.

    Attributes:
        facts: parameters, the weights' file, digest and size, and where the model runs.

    Raises:
        ModelError: if openvino does not open it, or it is no model of one image input.
        EnvironmentUnmetError: if openvino is not installed.
    """

    kind = "OpenVINO"
    facts: Mapping[str, Any]

    def __init__(self, files: ModelFiles) -> None:
        super().__init__()
        path, (name, file) = files.path, next(iter(files.beside.items()))
        weights = file.read()
        self.runtime = load_runtime()
        try:
            core = self.runtime.Core()
            model = core.read_model(model=files.main.read(), weights=weights)
            self.compiled = _compile(core, model)
        except Exception as error:  # openvino raises RuntimeError and several of its own
            raise ModelError(f"{path}: openvino does not open it: {_cause(error)}") from error
        check_inputs(path, [one.get_any_name() for one in model.inputs], most=1)
        dtype, self.shape = model.input(0).element_type.get_type_name(), _shape(model)
        check_images(path, dtype, dtype in DTYPES, self.shape)
        self.dtype = DTYPES[dtype]
        self._free_batch(core, model)
        self.facts = {
            "parameters": _parameter_count(model),
            "weights_file": name,
            "weights_sha256": hashlib.sha256(weights).hexdigest(),
            "weights_bytes": len(weights),
            "runs_on": "cpu: openvino is not used on a GPU",
        }

    def infer(self, array: np.ndarray, sides: Sequence[int] = ()) -> list[np.ndarray]:
        """See `ExportedNetwork.infer`."""
        return list(self.compiled(array).values())

    def _free_batch(self, core: Any, model: Any) -> None:
        """Let go of a fixed batch size, unless the graph itself depends on it."""
        batch, channels, height, width = self.shape
        if not (isinstance(batch, int) and isinstance(height, int) and isinstance(width, int)):
            return
        if channels != 3 or self.dtype == np.uint8:
            return
        noise = torch.rand((3, 3, height, width), generator=torch.Generator().manual_seed(0))
        # one image is right for whichever range of pixels the model takes
        images = noise * torch.tensor([1, 16, 255]).view(3, 1, 1, 1)
        fixed = self.compiled, self.shape
        try:
            alone = self.forward(images)
            model.reshape([-1, 3, height, width])
            self.compiled, self.shape = _compile(core, model), (None, channels, height, width)
            together = self.forward(images)
        except (RuntimeError, ValueError):
            # a shape written into the graph does not go with the new one, or an output has none
            self.compiled, self.shape = fixed
            return
        if not all(map(_same, alone, together)):
            self.compiled, self.shape = fixed


def load_runtime() -> Any:
    """Import openvino without the companion package that reports each import to its maker.

    Raises:
        EnvironmentUnmetError: if it is not installed.
    """
    if "openvino" not in sys.modules:
        # openvino does without the package where it is missing, which None stands for
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    try:
        return import_module("openvino")
    except ImportError as error:
        raise EnvironmentUnmetError(
            "the model is an OpenVINO IR, and the package openvino cannot be imported "
            f'({reason(error)}); pip install "reid-privacy-auditor[openvino]"'
        ) from None


def _compile(core: Any, model: Any) -> Any:
    settings = {
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        # processors with bfloat16 would compute in it without being asked
        "INFERENCE_PRECISION_HINT": "f32",
    }
    return core.compile_model(model, "CPU", settings)


def _shape(model: Any) -> tuple[int | None, ...]:
    shape = model.input(0).partial_shape
    if shape.rank.is_dynamic:
        return ()
    return tuple(side.get_length() if side.is_static else None for side in shape)


def _parameter_count(model: Any) -> int:
    constants = (op for op in model.get_ops() if op.get_type_name() == "Constant")
    floats = (c for c in constants if c.get_element_type().is_real())
    return sum(int(np.prod(c.get_output_shape(0))) for c in floats)


def _same(alone: torch.Tensor, together: torch.Tensor) -> bool:
    if alone.shape != together.shape or not alone.numel():
        return False
    rows, others = (x.float().nan_to_num().reshape(len(x), -1) for x in (alone, together))
    slack = AGREES * rows.abs().amax(1, keepdim=True)
    return bool(((rows - others).abs() <= slack).all())


def _cause(error: BaseException) -> str:
    """Return the last line of openvino's message; those before it name places in its own source."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return printable(lines[-1], LONGEST_REASON) if lines else reason(error)
