"""Writes a network in the forms a deployment runs, and makes sure each gives the same features."""

import copy
import io
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from auditor.artifacts.atomic import json_bytes, write
from auditor.embedding import embed
from auditor.errors import ModelError
from auditor.models.architectures.group_norm import ENDING
from auditor.models.described import Description, save
from auditor.models.extractor import CardedExtractor, reason
from auditor.models.isolation.network import WAY_OUT, WorkerNetwork
from auditor.models.loaders import open_model
from auditor.models.programs import ScriptNetwork

WEIGHTS, SCRIPT, ONNX, CARD = "model.safetensors", "model.torchscript.pt", "model.onnx", "card.json"
TOLERANCE = 1e-3
"""Largest difference between features before and after, as a share of the largest value."""
TRIAL_IMAGES = 3
"""Not the number of images the programs are traced with: the batch size must stay free."""


def export(
    extractor: CardedExtractor, arch: str | None, facts: Mapping[str, Any], folder: Path
) -> dict[str, Any]:
    """Write weights, TorchScript, ONNX and the card that says how to feed them.

    Args:
        extractor: the network behind its card.
        arch: its architecture; None, or one that does not fit, leaves the weights out.
        facts: what the weights say about where they come from.
        folder: where to.

    Returns:
        What ``card.json`` says: arch, card, feature length, and per file the largest difference
        of its features from the network's.

    Raises:
        ModelError: if the network cannot be exported, or an export gives other features.
    """
    network = _copy(extractor.network)
    plain = CardedExtractor(network, extractor.card)
    images = torch.rand((TRIAL_IMAGES, 3, *plain.input_size), generator=torch.Generator())
    wanted = embed(plain, images)
    example = plain.prepare(images[:2])
    differences: dict[str, float] = {}
    named = _write_named(network, arch, plain, facts, folder / WEIGHTS)
    if named is not None:
        differences[WEIGHTS] = _difference(folder / WEIGHTS, named, plain, images, wanted)
    for name, make in ((SCRIPT, _script), (ONNX, _onnx)):
        write(folder / name, _make(make, network, example, name))
        differences[name] = _difference(folder / name, None, plain, images, wanted)
    card = {
        "arch": named,
        "card": asdict(plain.card),
        "feature_dim": plain.feature_dim,
        "parameters": sum(p.numel() for p in network.parameters()),
        "largest_difference": differences,
    }
    write(folder / CARD, json_bytes(card))
    return card


def _copy(network: nn.Module) -> nn.Module:
    """Return the network on the processor.

    Of a TorchScript program without the frozen copy beside it.
    """
    if isinstance(network, WorkerNetwork):
        raise ModelError(f"the network runs in a worker and cannot be written again; {WAY_OUT}")
    if not isinstance(network, ScriptNetwork):
        return copy.deepcopy(network).cpu().eval()
    buffer = io.BytesIO()
    with _silence():
        torch.jit.save(network.program, buffer)
        buffer.seek(0)
        program: nn.Module = torch.jit.load(buffer, map_location="cpu")
    return program.eval()


def _write_named(
    network: nn.Module,
    arch: str | None,
    plain: CardedExtractor,
    facts: Mapping[str, Any],
    path: Path,
) -> str | None:
    """Write the weights under the name of a network that takes them; None: there is no such name.

    A defense may have rebuilt the network, with group normalisation for one.
    """
    for name in (arch, arch + ENDING) if arch is not None else ():
        save(path, network, Description(arch=name, card=plain.card, facts=facts))
        if _opens(path, name, plain):
            return name
        path.unlink()
    return None


def _opens(path: Path, arch: str, plain: CardedExtractor) -> bool:
    """Return whether the architecture takes the weights."""
    try:
        _reopen(path, arch, plain)
    except ModelError:
        return False
    return True


def _reopen(path: Path, arch: str | None, plain: CardedExtractor) -> CardedExtractor:
    """Return what a deployment would open.

    These files were written here, so nothing is to be feared.
    """
    return open_model(path, arch=arch, card=plain.card, isolation="none").extractor


def _difference(
    path: Path, arch: str | None, plain: CardedExtractor, images: Tensor, wanted: Tensor
) -> float:
    got = embed(_reopen(path, arch, plain), images)
    difference = float((got - wanted).abs().max())
    if difference > TOLERANCE * float(wanted.abs().max()):
        raise ModelError(
            f"{path.name} gives other features than the network (difference {difference:.2g}); "
            "it does something that cannot be traced"
        )
    return difference


def _make(
    make: Callable[[nn.Module, Tensor], bytes], network: nn.Module, example: Tensor, name: str
) -> bytes:
    try:
        with _silence():
            return make(network, example)
    except Exception as error:  # a stranger's network may raise anything
        raise ModelError(f"the network cannot be written as {name}: {reason(error)}") from error


def _script(network: nn.Module, example: Tensor) -> bytes:
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.trace(network, example, check_trace=False), buffer)
    return buffer.getvalue()


def _onnx(network: nn.Module, example: Tensor) -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / ONNX
        # dynamo: the newer exporter needs a package of its own
        torch.onnx.export(
            network,
            (example,),
            path,
            input_names=["images"],
            output_names=["features"],
            dynamic_axes={"images": {0: "batch"}, "features": {0: "batch"}},
            dynamo=False,
        )
        return path.read_bytes()


@contextmanager
def _silence() -> Iterator[None]:
    """Without the notices that both formats are to be replaced."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        yield
