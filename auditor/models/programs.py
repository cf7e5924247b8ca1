"""Opens a file that brings its own network, in the process that it is to run in.

Nothing here decides whether that is safe; `auditor.models.loaders` does.
"""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from auditor.errors import ModelError
from auditor.models.baked_device import move_constants
from auditor.models.exported import ExportedNetwork
from auditor.models.extractor import reason, set_precision
from auditor.models.files import ModelFiles
from auditor.models.pt2_network import Pt2Network
from auditor.models.sniff import Format

FREEZING = 1e-3
"""By how much a frozen program may answer differently."""


def open_program(
    form: Format, files: ModelFiles, device: torch.device, precision: str = "stored"
) -> tuple[nn.Module, dict[str, Any]]:
    """Return a network of a format that brings its own architecture, and what is known about it.

    Args:
        form: its format.
        files: its files.
        device: where to run it.
        precision: in which it computes, as the card says.

    Raises:
        AuditError: if it does not load.
    """
    if form in {"onnx", "openvino"} and precision != "stored":
        raise ModelError(
            f"{files.path} computes in the precision it was exported in; leave the card's "
            "precision at stored, or export it in another"
        )
    if form == "onnx":
        from auditor.models.onnx_network import OnnxNetwork

        onnx = OnnxNetwork(files, device)
        return onnx, {"arch": "onnx", **onnx.facts}
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
    set_precision(network, precision)
    return network.eval(), {"arch": arch, "parameters": count(network)}


def count(network: nn.Module) -> int:
    """Numbers in a network's parameters."""
    return sum(p.numel() for p in network.parameters())


def _open_script(files: ModelFiles, device: torch.device) -> nn.Module:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r".*torch\.jit\..* is deprecated", FutureWarning)
        try:
            program: torch.jit.ScriptModule = torch.jit.load(files.main, map_location=device)
        except Exception as error:  # the interpreter raises several kinds
            raise ModelError(f"{files.path}: TorchScript does not load: {reason(error)}") from error
        if device.type == "cuda":
            return program
        move_constants(program, device)
        return ScriptNetwork(program)


class ScriptNetwork(nn.Module):
    """A TorchScript program beside a frozen copy of itself.

    Freezing folds normalisation and constants, which makes a processor nearly twice as fast and
    takes the gradients away; so the frozen copy serves while nobody asks for gradients. It is
    compared with the program once: whether freezing kept what it does shows only when it runs.
    """

    def __init__(self, program: torch.jit.ScriptModule) -> None:
        super().__init__()
        self.program = program.eval()
        self.original_name = program.original_name
        try:
            self.frozen: Callable[..., Any] = torch.jit.optimize_for_inference(program)
        except RuntimeError:  # some programs cannot be frozen, and serve as they are
            self.frozen = program
        self.compared = False

    def forward(self, images: Tensor, *sides: Tensor) -> Any:
        """Return whatever the program gives."""
        if torch.is_grad_enabled():
            return self.program(images, *sides)
        if not self.compared:
            self.compared = True
            answer = self.program(images, *sides)
            if not _gives(self.frozen, (images, *sides), answer):
                self.frozen = self.program
            return answer
        return self.frozen(images, *sides)


def _gives(frozen: Callable[..., Any], given: tuple[Tensor, ...], answer: Any) -> bool:
    """Return whether a frozen copy runs, and gives what its program does."""
    try:
        torch.testing.assert_close(frozen(*given), answer, rtol=FREEZING, atol=FREEZING)
    except Exception:  # the interpreter raises several kinds
        return False
    return True


PROGRAMS = (ExportedNetwork, torch.jit.ScriptModule, Pt2Network)
"""Networks that can be run, but not trained on."""
