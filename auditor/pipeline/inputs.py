"""Opens the people and the model that a configuration names."""

from dataclasses import replace

import torch

from auditor.config import DataConfig, ModelConfig
from auditor.data import open_dataset
from auditor.errors import ModelRefusedError
from auditor.models import LoadedModel, open_model
from auditor.models.card import Card
from auditor.models.described import Description, arch_for, card_for, read_description
from auditor.models.isolation.limits import Limits
from auditor.models.sniff import sniff
from auditor.models.tiers import REFUSED
from auditor.models.training_config import read_training_config
from auditor.types import ReIDDataset


def open_data(config: DataConfig) -> ReIDDataset:
    """The configured people."""
    return open_dataset(
        config.path,
        layout=config.layout,
        pattern=config.pattern,
        columns=config.columns,
        follow_links=config.follow_links,
        attributes=config.attributes,
        cross_camera=config.cross_camera,
        max_broken=config.max_broken,
        name=config.name,
        near_duplicates=config.near_duplicates,
    )


def look_at(config: ModelConfig) -> None:
    """Make sure that a model is there, of a format that is opened, and what is said of it follows.

    Raises:
        AuditError: if not.
    """
    form = sniff(config.path)
    if form in REFUSED:
        raise ModelRefusedError(f"{config.path} is {REFUSED[form]}")
    if config.trained_with is not None:
        read_training_config(config.trained_with)


def open_configured(config: ModelConfig, device: torch.device) -> LoadedModel:
    """The configured model, fed as its file says where the configuration says nothing."""
    said = read_description(config.path)
    if config.trained_with is not None:
        said = read_training_config(config.trained_with)
    arch = arch_for(said, config.arch)
    model = open_model(
        config.path,
        arch=arch,
        card=_card(config, said),
        weights_key=config.weights_key,
        device=device,
        isolation=config.isolation,
        limits=_limits(config),
    )
    return model if said is None else replace(model, facts={**model.facts, "training": said.facts})


def _limits(config: ModelConfig) -> Limits:
    memory = 0 if config.memory_gib is None else int(config.memory_gib * 2**30)
    return Limits(seconds=config.seconds, memory=memory)


def _card(config: ModelConfig, said: Description | None) -> Card:
    if config.card is None or isinstance(config.card, str):
        return card_for(said, config.card, {})
    overrides = dict(config.card)
    return card_for(said, overrides.pop("preset", None), overrides)
