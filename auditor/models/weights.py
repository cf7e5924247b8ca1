"""Fills a network of a known architecture with the weights of a file."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from auditor.errors import ModelError
from auditor.models.architectures.registry import build, closest, with_sides
from auditor.models.card import Card
from auditor.models.extractor import CardedExtractor
from auditor.models.programs import count
from auditor.models.state_dict import Fit, fit
from auditor.models.wrappers import part

PIXEL_TOLERANCE = 0.01
"""Relative difference of two normalisations that are the same, written with fewer digits."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The network that weights are to fill.

    Attributes:
        arch: its architecture; None: nobody said.
        key: which of several networks in a checkpoint is meant; None: one fits.
        card: how it is fed.
    """

    arch: str | None
    key: str | None = None
    card: Card


def fill(
    state: dict[str, Tensor], path: Path, wanted: Wanted, device: torch.device
) -> tuple[nn.Module, dict[str, Any]]:
    """Return the wanted network with the weights ``state``, and how their names met.

    Raises:
        ModelError: if they do not fit, or something that the features depend on has no weights.
    """
    arch, key, card = wanted.arch, wanted.key, wanted.card
    if arch is None:
        guess = closest(state, key)
        hint = f"--arch {guess} fits" if guess else "give it with --arch"
        raise ModelError(f"{path} contains weights alone, without their architecture; {hint}")
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
    network.to(device).eval()
    if result.unfilled:
        _check_unfilled(path, CardedExtractor(network, card, device), result.unfilled)
    return network, {"arch": arch, **asdict(result), "parameters": count(network)}


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


def _check_unfilled(path: Path, extractor: CardedExtractor, names: tuple[str, ...]) -> None:
    """Make sure that parameters the file has no weights for do not reach the features."""
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
