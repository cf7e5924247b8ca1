"""Opens a file that brings its own network, in the process that it is to run in.

Nothing here decides whether that is safe; `auditor.models.loaders` does.
"""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from auditor.errors import ModelError
from auditor.models.exported import ExportedNetwork
from auditor.models.extractor import reason
from auditor.models.files import ModelFiles
from auditor.models.pt2_network import Pt2Network
from auditor.models.sniff import Format


def open_program(
    form: Format, files: ModelFiles, device: torch.device
) -> tuple[nn.Module, dict[str, Any]]:
    """A network of a format that brings its own architecture, and what is known about it.

    Raises:
        AuditError: if it does not load.
    """
    if form == "onnx":
        from auditor.models.onnx_network import OnnxNetwork

        onnx = OnnxNetwork(files, device)
        return onnx, {"arch": "onnx", "parameters": onnx.parameter_count}
    if form == "openvino":
        from auditor.models.openvino_network import OpenVinoNetwork

        openvino = OpenVinoNetwork(files)
        return openvino, {"arch": "openvino", **openvino.facts}
    if form == "pt2":
        network: nn.Module = Pt2Network(files, device)
        arch = "torch.export"
    else:
        network = _open_script(files, device)
        arch = str(getattr(network, "original_name", "torchscript"))
    return network.eval(), {"arch": arch, "parameters": count(network)}


def count(network: nn.Module) -> int:
    """Numbers in a network's parameters."""
    return sum(p.numel() for p in network.parameters())


def _open_script(files: ModelFiles, device: torch.device) -> nn.Module:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r".*torch\.jit\..* is deprecated", FutureWarning)
        try:
            program = torch.jit.load(files.main, map_location=device)
        except Exception as error:  # the interpreter raises several kinds
            raise ModelError(f"{files.path}: TorchScript does not load: {reason(error)}") from error
        return program if device.type == "cuda" else ScriptNetwork(program)


class ScriptNetwork(nn.Module):
    """A TorchScript program beside a frozen copy of itself.

    Freezing folds normalisation and constants, which makes a processor nearly twice as fast and
    takes the gradients away; so the frozen copy serves while nobody asks for gradients.
    """

    def __init__(self, program: torch.jit.ScriptModule) -> None:
        super().__init__()
        self.program = program.eval()
        self.original_name = program.original_name
        try:
            self.frozen: Callable[..., Any] = torch.jit.optimize_for_inference(program)
        except RuntimeError:  # some programs cannot be frozen, and serve as they are
            self.frozen = program

    def forward(self, images: Tensor) -> Any:
        """Whatever the program gives."""
        return (self.program if torch.is_grad_enabled() else self.frozen)(images)


PROGRAMS = (ExportedNetwork, torch.jit.ScriptModule, Pt2Network)
"""Networks that can be run, but not trained on."""
