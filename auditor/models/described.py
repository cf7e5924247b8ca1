"""Weights that say themselves what network they are of and how it is fed.

A safetensors file has room for text beside its tensors. What `audit train` writes there spares
whoever audits the file the flags ``--arch`` and ``--card``, and the mistakes made with them.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import nn

from auditor.artifacts.atomic import write
from auditor.artifacts.regular_file import is_regular
from auditor.console import printable
from auditor.errors import ModelError, ModelRefusedError, UsageError
from auditor.models.card import Card, card_from
from auditor.models.tiers import names_code

KEY = "reid-privacy-auditor"
"""Under which the description stands in the file's metadata."""


@dataclass(frozen=True, kw_only=True)
class Description:
    """What a file of weights says about itself.

    Attributes:
        arch: the architecture's name in `auditor.models.architectures.registry`.
        card: how to feed it.
        facts: where it comes from: data, recipe, measured figures.
    """

    arch: str
    card: Card
    facts: Mapping[str, Any] = field(default_factory=dict)


def save(path: Path, network: nn.Module, description: Description) -> None:
    """Write weights and description, whole or not at all.

    Raises:
        EnvironmentUnmetError: if the disk refuses.
    """
    text = json.dumps(asdict(description), sort_keys=True)
    state = {name: tensor.contiguous().cpu() for name, tensor in network.state_dict().items()}
    write(path, safetensors.torch.save(state, {KEY: text}))


def arch_for(said: Description | None, asked: str | None) -> str | None:
    """Return the architecture the user asks for, else the one the file names.

    What a file says about itself is data: it may name a network that is known here, and never code
    that would have to be imported.

    Raises:
        ModelRefusedError: if the file names code and the user does not.
    """
    if asked is not None or said is None:
        return asked
    if names_code(said.arch):
        raise ModelRefusedError(
            f"the file names code for its architecture ({printable(said.arch, 80)}), which is not "
            "run on a file's word; if you trust that code, name it yourself with --arch"
        )
    return said.arch


def card_for(said: Description | None, preset: str | None, overrides: Mapping[str, Any]) -> Card:
    """Return the card the user asks for; gaps are filled from the file, or else with torchreid's.

    Raises:
        UsageError: for an unknown preset or field, or a value that does not fit.
    """
    if said is not None and preset is None:
        return card_from("torchreid", {**asdict(said.card), **overrides})
    return card_from(preset or "torchreid", overrides)


def read_description(path: Path) -> Description | None:
    """Return what ``path`` says about itself; None if it says nothing, or is no safetensors file.

    Raises:
        ModelError: if what it says cannot be followed.
    """
    if not is_regular(path):
        return None  # a pipe, for one, would never answer
    try:
        with safetensors.safe_open(path, "pt") as file:
            text = (file.metadata() or {}).get(KEY)
    except (safetensors.SafetensorError, OSError):
        return None  # whoever opens it as a model says what is wrong with it
    if text is None:
        return None
    try:
        content = json.loads(text)
        card = card_from("torchreid", content["card"])
        return Description(arch=str(content["arch"]), card=card, facts=dict(content["facts"]))
    except (ValueError, KeyError, TypeError, RecursionError, UsageError) as error:
        said = printable(str(error), 200)
        raise ModelError(
            f"{path} describes itself in a way that cannot be followed ({said}); "
            "give --arch and --card"
        ) from None
