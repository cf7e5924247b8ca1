"""Opens the audited model: format by content, card by the user, and no way around a refusal.

Data formats (state dicts, safetensors, ONNX, OpenVINO IR) and TorchScript, which is a program, are
opened. Files that would run native code or unpickle objects are refused; nothing falls back to
anything.
"""

import hashlib
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from auditor.errors import ModelError, ModelRefusedError
from auditor.models.architectures.registry import build, closest, names_code, with_sides
from auditor.models.card import Card
from auditor.models.extractor import CardedExtractor, reason
from auditor.models.onnx_network import OnnxNetwork
from auditor.models.openvino_network import OpenVinoNetwork
from auditor.models.sniff import Format, sniff
from auditor.models.state_dict import Fit, fit, read_checkpoint, read_safetensors
from auditor.models.wrappers import part

REFUSED: Mapping[Format, str] = {
    "pt2": "an exported program (.pt2), whose loader unpickles objects; "
    "give its state dict with an architecture, or export it to ONNX",
    "native": "compiled native code; give the state dict, TorchScript or ONNX it was made from",
    "package": "a torch.package archive, which is code; give the state dict with an architecture",
    "legacy-pickle": "a plain pickle, which runs code of its author's choosing when opened; "
    "save the weights alone: safetensors.torch.save_file(model.state_dict(), ...)",
}

PIXEL_TOLERANCE = 0.01
"""Relative difference of two normalisations that are the same, written with fewer digits."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LoadedModel:
    """A model under audit.

    Attributes:
        extractor: the network behind its card.
        device: where it is.
        facts: format, trust (``data`` or ``program``), arch, sha256, bytes, parameters,
            feature_dim, differentiable, card, and for a state dict how its names met the network.
    """

    extractor: CardedExtractor
    device: torch.device
    facts: Mapping[str, Any]

    def with_card(self, card: Card) -> CardedExtractor:
        """The same network, its weights shared, fed in another way."""
        return CardedExtractor(self.extractor.network, card, self.device)


def open_model(
    path: Path,
    *,
    arch: str | None,
    card: Card,
    weights_key: str | None = None,
    device: torch.device = torch.device("cpu"),
) -> LoadedModel:
    """Open the model file ``path``.

    Args:
        path: a state dict, safetensors, TorchScript, ONNX or OpenVINO (.xml) file, whatever its
            name.
        arch: the architecture of a state dict; None for formats that bring their own.
        card: how to feed it.
        weights_key: which of several networks in a checkpoint is meant; None: one fits.
        device: where to run it.

    Raises:
        ModelError: if it does not load, or is no extractor under this card.
        ModelRefusedError: if its format cannot be opened without trusting its author.
        EnvironmentUnmetError: if its format needs a package that is not installed.
    """
    form = sniff(path)
    if form in REFUSED:
        raise ModelRefusedError(f"{path} is {REFUSED[form]}")
    for given, what in ((arch, "architecture"), (weights_key, "weights key")):
        if form in {"torchscript", "onnx", "openvino"} and given is not None:
            raise ModelError(
                f"{path} is {form} and brings its own architecture; leave out the {what} {given!r}"
            )
    facts: dict[str, Any] = {"file": path.name, "format": form, "trust": "data", **_identity(path)}
    if form == "onnx":
        network: nn.Module = OnnxNetwork(path, device)
        facts |= {"arch": "onnx", "parameters": network.parameter_count}
    elif form == "openvino":
        network = OpenVinoNetwork(path)
        facts |= {"arch": "openvino", **network.facts}
    elif form == "torchscript":
        network = _open_script(path, device)
        facts |= {"arch": getattr(network, "original_name", "torchscript"), "trust": "program"}
    else:
        network, fitting = _open_weights(path, form, arch, card, weights_key)
        network.to(device)
        facts |= fitting
        if arch is not None and names_code(arch):
            facts["trust"] = "program"
    extractor = CardedExtractor(network.eval(), card, device)
    _check_unfilled(path, extractor, facts.get("unfilled", ()))
    facts.setdefault("parameters", sum(p.numel() for p in network.parameters()))
    facts |= {"feature_dim": extractor.feature_dim, "differentiable": extractor.differentiable}
    return LoadedModel(extractor=extractor, device=device, facts={**facts, "card": asdict(card)})


def _identity(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"sha256": digest, "bytes": path.stat().st_size}


def _open_script(path: Path, device: torch.device) -> nn.Module:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r".*torch\.jit\..* is deprecated", FutureWarning)
        try:
            program = torch.jit.load(path, map_location=device)
        except Exception as error:  # the interpreter raises several kinds
            raise ModelError(f"{path}: TorchScript does not load: {reason(error)}") from error
        return program if device.type == "cuda" else ScriptNetwork(program)


def _open_weights(
    path: Path, form: Format, arch: str | None, card: Card, key: str | None
) -> tuple[nn.Module, dict[str, Any]]:
    state = read_safetensors(path) if form == "safetensors" else read_checkpoint(path)
    if arch is None:
        guess = closest(state, key)
        hint = f"--arch {guess} fits" if guess else "give it with --arch"
        raise ModelError(f"{path} holds weights alone, without their architecture; {hint}")
    arch = with_sides(arch, part(state, key)[0])
    network = build(arch, (card.height, card.width))
    try:
        result = fit(network, state, f"{path} as {arch}", key)
    except ModelError as error:
        guess = closest(state, key)
        if guess is None or guess == arch:
            raise
        raise ModelError(f"{error}; --arch {guess} fits") from None
    _check_pixels(path, state, result, card)
    # 1.5 times the speed of the default layout for convolutions on a processor
    network.to(memory_format=torch.channels_last)
    return network, {"arch": arch, **asdict(result)}


def _check_pixels(path: Path, state: Mapping[str, Tensor], result: Fit, card: Card) -> None:
    """Compare the card with the normalisation that fast-reid keeps inside its model."""
    if result.code_base.startswith("fast-reid") and card.std == (1.0, 1.0, 1.0):
        raise ModelError(
            f"{path}: fast-reid normalises images inside its model, and weights alone come without "
            "that; use the preprocessing preset torchreid"
        )
    for statistic, unit in (("mean", card.mean), ("std", card.std)):
        stored = [t for name, t in state.items() if name.rpartition(".")[2] == f"pixel_{statistic}"]
        scale = 255.0 if card.value_range == "0..1" else 1.0
        on_card = [scale * value for value in (unit if card.colour == "rgb" else unit[::-1])]
        for tensor in stored:
            in_file = [round(value, 3) for value in tensor.flatten().tolist()]
            if not np.allclose(in_file, on_card, rtol=PIXEL_TOLERANCE, atol=PIXEL_TOLERANCE):
                raise ModelError(
                    f"{path} was trained with a pixel {statistic} of {in_file} and the card says "
                    f"{[round(value, 3) for value in on_card]} (of 255, RGB); set "
                    f"model.card.value_range=0..255 and model.card.{statistic}={in_file}"
                )


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


def _check_unfilled(path: Path, extractor: CardedExtractor, names: tuple[str, ...]) -> None:
    """Make sure that parameters the file has no weights for do not reach the features."""
    if not names:
        return
    state = extractor.network.state_dict()
    for name in names:
        state[name].fill_(torch.nan)
    images = torch.full((1, 3, *extractor.input_size), 0.5)
    with torch.no_grad():
        if extractor(images).isnan().any():
            raise ModelError(
                f"{path} has no weights for {', '.join(names[:3])}, on which the features depend; "
                "give an architecture that returns the features, not the classifier's output"
            )
    for name in names:
        state[name].zero_()
