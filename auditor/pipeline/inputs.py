"""Opens the people and the model that a configuration names."""

from dataclasses import asdict, replace

import torch

from auditor.config import DataConfig, ModelConfig, ServiceConfig
from auditor.data import open_dataset
from auditor.models import LoadedModel, open_model
from auditor.models.card import Card
from auditor.models.described import Description, arch_for, card_for, read_description
from auditor.models.extractor import CardedExtractor
from auditor.models.isolation.limits import Limits
from auditor.models.service import (
    Meter,
    ServiceNetwork,
    check_pictures_card,
    open_service,
    speaks_open_inference,
)
from auditor.models.tiers import admit
from auditor.models.training_config import read_training_config
from auditor.types import ReIDDataset


def open_data(config: DataConfig) -> ReIDDataset:
    """Return the configured people."""
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
    if config.path is None:
        return
    admit(config.path)
    if config.trained_with is not None:
        read_training_config(config.trained_with)


def open_configured(config: ModelConfig, device: torch.device, spent: int = 0) -> LoadedModel:
    """Return the configured model, fed as its file says where the configuration says nothing.

    Args:
        config: what to open.
        device: where to run it.
        spent: pictures that a service was asked about in an earlier part of the run.
    """
    if config.service is not None:
        return _open_service(config, config.service, spent)
    assert config.path is not None
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


def _open_service(config: ModelConfig, service: ServiceConfig, spent: int) -> LoadedModel:
    """Return a model that runs elsewhere, fed as its card says."""
    card = _card(config, None)
    protocol = speaks_open_inference(service.url)
    if not protocol:
        check_pictures_card(card)
    extractor = CardedExtractor(open_service(service, spent), card)
    facts = {
        "file": service.place.removeprefix("models/"),
        "format": f"service ({'Open Inference Protocol v2' if protocol else 'pictures in JSON'})",
        "trust": "elsewhere",
        "feature_dim": extractor.feature_dim,
        "differentiable": False,
        "card": asdict(card),
        "isolation": {"level": "not needed", "by": ["it runs elsewhere"]},
    }
    return LoadedModel(extractor=extractor, device=torch.device("cpu"), facts=facts)


def meter_of(model: LoadedModel) -> Meter | None:
    """Return what counts the pictures that a service is sent; None for a model that is none."""
    network = model.extractor.network
    return network.client.meter if isinstance(network, ServiceNetwork) else None


def _limits(config: ModelConfig) -> Limits:
    memory = 0 if config.memory_gib is None else int(config.memory_gib * 2**30)
    return Limits(seconds=config.seconds, memory=memory)


def _card(config: ModelConfig, said: Description | None) -> Card:
    if config.card is None or isinstance(config.card, str):
        return card_for(said, config.card, {})
    overrides = dict(config.card)
    return card_for(said, overrides.pop("preset", None), overrides)
