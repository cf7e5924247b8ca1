"""A network that is in memory already, taken over as the model of an audit."""

import hashlib
from copy import deepcopy
from dataclasses import asdict

import torch
from torch import nn

from auditor.errors import ModelError
from auditor.models.card import Card
from auditor.models.extractor import CardedExtractor, reason
from auditor.models.loaders import LoadedModel


def own_model(
    network: nn.Module, card: Card | None, device: torch.device = torch.device("cpu")
) -> LoadedModel:
    """Copy ``network`` and put it behind its card.

    Args:
        network: gives features ``(B, D)``; an extractor with a card keeps it.
        card: how to feed it. None: RGB in [0, 1] for a network that has ``feature_dim`` and
            ``input_size``, else as torchreid feeds its own.
        device: where to run it.

    Raises:
        ModelError: if it cannot be copied, or is no extractor under this card.
    """
    try:
        copied = deepcopy(network)
    except Exception as error:  # a stranger's network may contain anything
        raise ModelError(
            f"{type(network).__name__} cannot be copied ({reason(error)}); audit a file of it, or "
            "build it again and load its state dict"
        ) from error
    inner = copied.network if isinstance(copied, CardedExtractor) else copied
    if card is None:
        card = copied.card if isinstance(copied, CardedExtractor) else _card_of(copied)
    extractor = CardedExtractor(inner.to(device).eval(), card, device)
    kind = type(inner)
    facts = {
        "file": kind.__name__,
        "format": "network in memory",
        "trust": "program",
        "isolation": {"level": "none", "by": []},
        "arch": f"{kind.__module__}:{kind.__qualname__}",
        "weights_sha256": weights_digest(inner),
        "fields_sha256": fields_digest(inner),
        "parameters": sum(p.numel() for p in inner.parameters()),
        "feature_dim": extractor.feature_dim,
        "differentiable": extractor.differentiable,
        "card": asdict(card),
    }
    return LoadedModel(extractor=extractor, device=device, facts=facts)


def weights_digest(network: nn.Module) -> str:
    """Return the SHA-256 of names, types, shapes and values in a state dict."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def fields_digest(network: nn.Module) -> str:
    """Return the SHA-256 of the classes of all modules, and of numbers and words in their fields.

    Networks of equal weights may still differ by them, as by a stride or an exponent.
    """
    digest = hashlib.sha256()
    for name, module in network.named_modules():
        kind = type(module)
        plain = sorted((key, value) for key, value in vars(module).items() if _is_plain(value))
        digest.update(f"{name} {kind.__module__}:{kind.__qualname__} {plain}\n".encode())
    return digest.hexdigest()


def _is_plain(value: object) -> bool:
    if isinstance(value, tuple | list):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)


def _card_of(network: nn.Module) -> Card:
    """Return how a network that says its own input size takes pictures."""
    size = getattr(network, "input_size", None)
    if not hasattr(network, "feature_dim") or size is None:
        return Card()
    height, width = size
    return Card(height=height, width=width, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
