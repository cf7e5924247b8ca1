"""Finds the network an architecture name stands for, and guesses the name from a state dict.

Names are looked up in this order: the catalogue of re-ID networks, torchvision, timm, and
``package.module:factory`` for the user's own code. What follows a ``+`` changes the network that
the name stands for (`CHANGES`). Nothing is ever downloaded.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import cache, partial
from importlib import import_module

import torch
from torch import Tensor, nn

from auditor.errors import ModelError
from auditor.models.architectures.backbones import ZOO, unfuse
from auditor.models.architectures.catalogue import CATALOGUE, DIMS, maker
from auditor.models.architectures.group_norm import ENDING, with_group_norm
from auditor.models.architectures.strong_baseline import GeM, StrongBaseline
from auditor.models.names import Renamed, counts, read, renamings
from auditor.models.state_dict import is_head, works_alike
from auditor.models.tiers import names_code
from auditor.models.wrappers import part
from auditor.plugins.containment import contain

HEADS = ("fc", "classifier", "heads", "head")
"""Attributes under which torchvision keeps a network's classifier."""

LIKE = 0.9
"""Share of weights that must agree for a network to be recognised."""

PLAIN = ("resnet18", "resnet34", "resnet50", "resnet101", "mobilenet_v2", "densenet121")
"""Of torchvision's, those that re-ID code bases train."""


def build(arch: str, size: tuple[int, int], seed: int = 0) -> nn.Module:
    """Return the network ``arch`` without its classifier, its weights yet to be loaded or trained.

    torch's global generator is left as it was.

    Args:
        arch: a name, ``timm:NAME``, or ``package.module:factory``; then, maybe, ``+`` and changes.
        size: (height, width) of the images, for the networks that must know.
        seed: of the weights it starts with.

    Raises:
        ModelError: if the name is unknown or the factory does not give a module.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        name, *changes = arch.split("+")
        network = _maker(name, size)()
        for change in changes:
            if change not in CHANGES:
                raise ModelError(
                    f"architecture {arch!r}: after + there may be {', '.join(CHANGES)}"
                )
            network = CHANGES[change](network)
        return network


def _read_neck(network: nn.Module, *, after: bool) -> nn.Module:
    if not hasattr(network, "after_neck"):
        raise ModelError("this network has no neck before or after which features could be read")
    setattr(network, "after_neck", after)  # noqa: B010
    return network


def _fixed_gem(network: nn.Module) -> nn.Module:
    if not isinstance(network, StrongBaseline):
        raise ModelError("this network has no pooling that could be exchanged")
    network.pool = GeM(learned=False)
    return network


def _learned_gem(network: nn.Module) -> nn.Module:
    changed = _fixed_gem(network)
    changed.pool = GeM()
    return changed


CHANGES: Mapping[str, Callable[[nn.Module], nn.Module]] = {
    ENDING.removeprefix("+"): with_group_norm,
    "before_neck": partial(_read_neck, after=False),
    "after_neck": partial(_read_neck, after=True),
    "gem": _learned_gem,
    "gem3": _fixed_gem,
}
"""What may follow a name: group in the place of batch normalisation; where features are read; the
generalised mean, its exponent learned or 3, in the place of the strong baseline's pooling."""


def closest(state: Mapping[str, Tensor], key: str | None = None) -> str | None:
    """Return the architecture that shares nearly all parameters, by name and shape, with ``state``.

    The names may be those of any code base in `auditor.models.names`, in any wrapper.
    """
    renamed = renamings(part(state, key)[0])
    best, score = _best([*(arch for arch in CATALOGUE if not _ending(arch)), *PLAIN], renamed)
    variants = [arch for arch in CATALOGUE if _ending(arch) and arch.startswith(f"{best}_")]
    best, score = max((best, score), _best(variants, renamed), key=lambda pair: pair[1])
    return best + _sides(renamed) if score > LIKE else None


def _ending(arch: str) -> str:
    return next((ending for ending in DIMS if ending and arch.endswith(ending)), "")


def _best(archs: list[str], renamed: Renamed) -> tuple[str, float]:
    best, score = "", 0.0
    for arch in archs:
        likeness = _likeness(arch, renamed)
        if likeness > score:
            best, score = arch, likeness
        if score == 1.0:  # the same network twice differs in how it is read out
            break
    return best, score


def _likeness(arch: str, renamed: Renamed) -> float:
    """Return the share of fitting weights among all that the file and the network have together."""
    network = _outline(arch)
    wanted = {name: t for name, t in network.state_dict().items() if counts(name)}
    if not _may_fit(_shapes(renamed[0].weights), _shapes(wanted)):
        return 0.0
    alike = [naming for naming in renamed if works_alike(network, naming.code_base)]
    reading = read(alike, wanted)
    return len(reading.fitting) / len(wanted.keys() | {n for n in reading.given if not is_head(n)})


def _may_fit(held: Counter[tuple[int, ...]], wanted: Counter[tuple[int, ...]]) -> bool:
    """Return whether enough shapes agree, whatever the weights are called.

    Much faster than the names.
    """
    return (held & wanted).total() > LIKE * wanted.total()


def _shapes(weights: Mapping[str, Tensor]) -> Counter[tuple[int, ...]]:
    # a 1×1 convolution may be a linear layer
    shapes = (tuple(tensor.shape) for tensor in weights.values())
    return Counter(s[:-2] if s[2:] == (1, 1) else s for s in shapes)


@cache
def _outline(arch: str) -> nn.Module:
    """Return the network without memory for its weights."""
    with torch.device("meta"):
        return build(arch, (256, 128))


def _sides(renamed: Renamed) -> str:
    found = [n.weights["side_embed"] for n in renamed if "side_embed" in n.weights]
    return f"_sie{len(found[0])}" if found else ""


def with_sides(arch: str, state: Mapping[str, Tensor]) -> str:
    """Set an architecture's number of sides to that of the weights if its name leaves it open.

    >>> with_sides("vit_reid_base_sie", {"base.sie_embed": torch.zeros(6, 1, 768)})
    'vit_reid_base_sie6'
    """
    if not re.search(r"_sie(?=\+|$)", arch):
        return arch
    sides = _sides(renamings(state))
    if not sides:
        raise ModelError(f"no embedding of cameras or viewpoints is stored for {arch!r}")
    return re.sub(r"_sie(?=\+|$)", sides, arch)


def _maker(arch: str, size: tuple[int, int]) -> Callable[[], nn.Module]:
    known = maker(arch)
    if known is not None:
        return partial(known, size)
    if arch in _zoo_names():
        return partial(_torchvision, arch)
    if names_code(arch):
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
    unfuse(network)
    return network


def _own(arch: str) -> nn.Module:
    place, _, name = arch.partition(":")
    try:
        with contain(f"the import of {place!r}"):
            factory = getattr(import_module(place), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ModelError(
            f"architecture {arch!r}: {error}; is the folder of {place!r} on PYTHONPATH?"
        ) from error
    try:
        with contain("it"):
            network = factory()
    except Exception as error:  # the user's code may raise anything
        raise ModelError(f"architecture {arch!r} failed when called: {error}") from error
    if not isinstance(network, nn.Module):
        raise ModelError(
            f"architecture {arch!r} gives {type(network).__name__}; it must return an nn.Module"
        )
    return network


def _unknown(arch: str, timm_names: list[str]) -> str:
    ours = [*CATALOGUE, *_zoo_names()]
    close = get_close_matches(arch.removeprefix("timm:"), [*ours, *timm_names], n=1)
    if close:
        return f"no architecture {arch!r}; did you mean {close[0]!r}?"
    return (
        f"no architecture {arch!r}; there are {', '.join(CATALOGUE)}, every torchvision and timm "
        "name, and package.module:factory for your own code"
    )
