"""Opens the audited model: format by content, card by the user, and no way around a refusal.

What a file must be trusted with to be opened is its tier, see `auditor.models.tiers`; whatever may
run code of its author's is opened in a worker, see `auditor.models.isolation`.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any, Literal

import safetensors.torch
import torch
from torch import Tensor, nn

from auditor.artifacts.atomic import write
from auditor.console import printable
from auditor.errors import ModelError
from auditor.models.card import Card
from auditor.models.extractor import CardedExtractor
from auditor.models.files import open_files
from auditor.models.isolation.launch import Isolation
from auditor.models.isolation.limits import Limits
from auditor.models.isolation.network import Opening, WorkerNetwork
from auditor.models.isolation.protocol import Message
from auditor.models.isolation.worker import Confinement, Worker
from auditor.models.programs import open_program
from auditor.models.sniff import Format
from auditor.models.tensor_files import read_state
from auditor.models.tiers import BRINGS_NETWORK, admit, names_code, tier_of
from auditor.models.weights import Wanted, fill

SLACK = 2**26
"""Bytes by which the weights in a file may be larger than the file, and than twice it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LoadedModel:
    """A model under audit.

    Attributes:
        extractor: the network behind its card.
        device: where it is.
        facts: format, tier, trust (``data`` or ``program``), arch, sha256, bytes, parameters,
            feature_dim, differentiable, card, how it is isolated, and for a state dict how its
            names met the network.
    """

    extractor: CardedExtractor
    device: torch.device
    facts: Mapping[str, Any]

    @property
    def distance(self) -> Literal["cosine", "euclidean"]:
        """How the owner compares two features."""
        return self.extractor.card.distance

    def with_card(self, card: Card) -> CardedExtractor:
        """Return the same network, its weights shared, fed in another way."""
        extractor = CardedExtractor(self.extractor.network, card, self.device)
        extractor.fast = self.extractor.fast
        return extractor


def open_model(
    path: Path,
    *,
    arch: str | None,
    card: Card,
    weights_key: str | None = None,
    device: torch.device = torch.device("cpu"),
    isolation: Isolation = "auto",
    limits: Limits | None = None,
) -> LoadedModel:
    """Open the model file ``path``.

    Args:
        path: a state dict, safetensors, TorchScript, .pt2, ONNX or OpenVINO (.xml) file, whatever
            its name.
        arch: the architecture of a state dict; None for formats that bring their own.
        card: how to feed it.
        weights_key: which of several networks in a checkpoint is meant; None: one fits.
        device: where to run it.
        isolation: how what is more than data is kept apart; ``none`` runs it in this process.
        limits: what a worker may use.

    Raises:
        ModelError: if it does not load, or is no extractor under this card.
        ModelRefusedError: if its format cannot be opened without trusting its author, or the
            isolation asked for cannot be had.
        EnvironmentUnmetError: if its format needs a package that is not installed.
    """
    form = admit(path)
    for given, what in ((arch, "architecture"), (weights_key, "weights key")):
        if form in BRINGS_NETWORK and given is not None:
            raise ModelError(
                f"{path} is {form} and brings its own architecture; leave out the {what} {given!r}"
            )
    confinement = Confinement(
        isolation=isolation,
        limits=limits or Limits(),
        gpu=device.type == "cuda",
        catalogue=arch is not None and names_code(arch),
    )
    wanted = Wanted(arch=arch, key=weights_key, card=card)
    network, found = _open(path, form, wanted, device, confinement)
    tier = tier_of(form, arch)
    extractor = CardedExtractor(network, card, device)
    facts: dict[str, Any] = {
        "file": path.name,
        "format": form,
        "tier": tier,
        "trust": "program" if tier == "C" else "data",
        **_identity(path, form),
        **found,
        "feature_dim": extractor.feature_dim,
        "differentiable": extractor.differentiable,
        "card": asdict(card),
        **({"batch": 1} if extractor.singly else {}),
    }
    return LoadedModel(extractor=extractor, device=device, facts=facts)


def _open(
    path: Path, form: Format, wanted: Wanted, device: torch.device, confinement: Confinement
) -> tuple[nn.Module, dict[str, Any]]:
    """Return the network, here or in a worker, and what is known about it."""
    if confinement.isolation == "none":
        with open_files(path, form) as files:
            if form in BRINGS_NETWORK:
                network, found = open_program(form, files, device, wanted.card.precision)
            else:
                network, found = fill(read_state(form, files), path, wanted, device)
        return network, {**found, "isolation": {"level": "none", "by": []}}
    if tier_of(form, wanted.arch) == "A":
        with open_files(path, form) as files:
            network, found = fill(read_state(form, files), path, wanted, device)
        return network, {**found, "isolation": {"level": "not needed", "by": []}}
    if form not in BRINGS_NETWORK and tier_of(form, wanted.arch) == "B":
        state, by = _weights_read_apart(path, form, confinement)
        network, found = fill(state, path, wanted, device)
        return network, {**found, "isolation": by}
    remote = WorkerNetwork(path, confinement, _opening(path, form, wanted, device))
    return remote, {**remote.facts, "isolation": _isolation(remote.worker)}


def convert(path: Path, form: Format, target: Path) -> tuple[int, str]:
    """Write the weights of a pickled network as safetensors; none of its code is called.

    Args:
        path: of the pickle.
        form: its format.
        target: file to write.

    Returns:
        How many tensors there are, and how strongly the worker was isolated.

    Raises:
        AuditError: if it cannot be read, or the disk refuses.
    """
    confinement = Confinement(isolation="auto", limits=Limits(), gpu=False, catalogue=False)
    state, isolation = _weights_read_apart(path, form, confinement, do="convert")
    write(target, safetensors.torch.save(state))
    return len(state), str(isolation["level"])


def _weights_read_apart(
    path: Path, form: Format, confinement: Confinement, do: str = "weights"
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the weights of a checkpoint, unpickled in a worker that gives nothing but tensors."""
    worker = Worker(path, confinement)
    header = {"do": do, "form": form}
    answer = hand_over(worker, path, form, header, limit=2 * path.stat().st_size + SLACK)
    worker.close()
    names = answer.header.get("names")
    if not isinstance(names, list) or len(names) != len(answer.tensors):
        raise ModelError(f"{path} is damaged: its weights have no names")
    state = dict(zip(map(str, names), answer.tensors, strict=True))
    return state, _isolation(worker)


def _opening(path: Path, form: Format, wanted: Wanted, device: torch.device) -> Opening:
    """Has a worker open the model."""
    header: dict[str, Any] = {"do": "open", "form": form, "device": str(device)}
    header |= {"arch": wanted.arch, "key": wanted.key, "card": asdict(wanted.card)}
    return lambda worker: hand_over(worker, path, form, header).header


def hand_over(
    worker: Worker, path: Path, form: Format, header: Mapping[str, Any], *, limit: int = 2**20
) -> Message:
    """Ask with the model's files opened here: the worker sees no path that it could follow."""
    with open_files(path, form) as files:
        every = [files.main, *files.beside.values()]
        header = {**header, "path": str(path), "beside": list(files.beside)}
        return worker.ask(header, files=[file.fileno() for file in every], limit=limit)


def _isolation(worker: Worker) -> dict[str, Any]:
    return {"level": worker.level, "by": worker.means}


def _identity(path: Path, form: Format) -> dict[str, Any]:
    """Return the digests of a model's files; OpenVINO's second one is told by who reads it."""
    with open_files(path, form) as files:
        facts: dict[str, Any] = {"sha256": _digest(files.main), "bytes": path.stat().st_size}
        if form == "onnx" and files.beside:
            facts["external_data"] = {printable(n): _digest(f) for n, f in files.beside.items()}
    return facts


def _digest(file: BufferedReader) -> str:
    return hashlib.file_digest(file, "sha256").hexdigest()
