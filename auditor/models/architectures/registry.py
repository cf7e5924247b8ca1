"""Finds the network an architecture name stands for, and guesses the name from a state dict.

Names are looked up in this order: ours (OSNet, the reference net), torchvision, timm, and
``package.module:factory`` for the user's own code. Nothing is ever downloaded.
"""

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import partial
from importlib import import_module
from typing import Any

import torch
import torchvision
from torch import Tensor, nn

from auditor.errors import ModelError
from auditor.models.architectures.osnet import WIDTHS, OSNet

ZOO: Any = torchvision.models  # it exports its names without declaring them

HEADS = ("fc", "classifier", "heads", "head")
"""Attributes under which torchvision keeps a network's classifier."""

GUESSABLE = (*WIDTHS, "resnet18", "resnet34", "resnet50", "resnet101", "mobilenet_v2", "reference")


def build(arch: str, size: tuple[int, int], seed: int = 0) -> nn.Module:
    """The network ``arch`` without its classifier, its weights yet to be loaded or trained.

    torch's global generator is left as it was.

    Args:
        arch: a name, ``timm:NAME``, or ``package.module:factory``.
        size: (height, width) of the images, for the networks that must know.
        seed: of the weights it starts with.

    Raises:
        ModelError: if the name is unknown or the factory does not give a module.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _maker(arch, size)()


def closest(state: Mapping[str, Tensor]) -> str | None:
    """The architecture nearly all of whose parameters, by name and shape, are in ``state``."""
    shapes = {name: tensor.shape for name, tensor in state.items()}
    scores: dict[str, float] = {}
    for arch in GUESSABLE:
        with torch.device("meta"):
            wanted = build(arch, (256, 128)).state_dict()
        hits = sum(shapes.get(name) == tensor.shape for name, tensor in wanted.items())
        scores[arch] = hits / len(wanted)
    best = max(scores, key=lambda arch: scores[arch])
    return best if scores[best] > 0.9 else None


def _maker(arch: str, size: tuple[int, int]) -> Callable[[], nn.Module]:
    if arch in WIDTHS:
        return partial(OSNet, arch)
    if arch == "reference":
        from auditor.models.reference import ReferenceNet

        return ReferenceNet
    if arch in _zoo_names():
        return partial(_torchvision, arch)
    if ":" in arch and not arch.startswith("timm:"):
        return partial(_own, arch)
    return partial(_timm, arch, size)


def _zoo_names() -> list[str]:
    # without `module` the list would also hold detectors and video networks
    names: list[str] = ZOO.list_models(module=ZOO)
    return names


def _torchvision(name: str) -> nn.Module:
    network: nn.Module = ZOO.get_model(name, weights=None)
    for head in HEADS:
        if hasattr(network, head):
            setattr(network, head, nn.Identity())
    return network


def _timm(arch: str, size: tuple[int, int]) -> nn.Module:
    # some seconds of import, paid only for names that nobody else knows
    import timm

    name = arch.removeprefix("timm:")
    if not timm.is_model(name):
        raise ModelError(_unknown(arch, timm.list_models()))
    make = partial(timm.create_model, name, pretrained=False, num_classes=0)
    try:  # transformers lay out their position embedding for one size
        network: nn.Module = make(img_size=size)
    except TypeError:
        network = make()
    return network


def _own(arch: str) -> nn.Module:
    place, _, name = arch.partition(":")
    try:
        factory = getattr(import_module(place), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ModelError(
            f"architecture {arch!r}: {error}; is the folder of {place!r} on PYTHONPATH?"
        ) from error
    try:
        network = factory()
    except Exception as error:  # the user's code may raise anything
        raise ModelError(f"architecture {arch!r} failed when called: {error}") from error
    if not isinstance(network, nn.Module):
        raise ModelError(
            f"architecture {arch!r} gives {type(network).__name__}; it must return an nn.Module"
        )
    return network


def _unknown(arch: str, timm_names: list[str]) -> str:
    ours = [*WIDTHS, "reference", *_zoo_names()]
    close = get_close_matches(arch.removeprefix("timm:"), [*ours, *timm_names], n=1)
    if close:
        return f"no architecture {arch!r}; did you mean {close[0]!r}?"
    return (
        f"no architecture {arch!r}; there are {', '.join(WIDTHS)}, reference, every torchvision "
        "and timm name, and package.module:factory for your own code"
    )
