"""What an audit is made of, given as files, as networks in memory, or as arrays."""

from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError
from torch import nn

from auditor import data as readers
from auditor.config import Layout, ModelConfig
from auditor.data.synthetic import make_world
from auditor.errors import UsageError
from auditor.models import LoadedModel
from auditor.models.card import Card, card_from
from auditor.models.own import own_model
from auditor.pipeline.environment import pick_device
from auditor.pipeline.inputs import open_configured
from auditor.types import ReIDDataset

AnyModel = nn.Module | str | Path | LoadedModel
"""A network, the file of one, or what `open_model` returned."""
AnyCard = str | dict[str, Any] | Card | None
"""A preset's name, a preset and fields that replace its own, or the whole card."""


def open_model(
    model: AnyModel,
    *,
    arch: str | None = None,
    card: AnyCard = None,
    weights_key: str | None = None,
    isolation: Literal["auto", "strong", "weak", "none"] = "auto",
    device: str = "auto",
) -> LoadedModel:
    """Open a model file, or take over a network, and run it once.

    Args:
        model: a file, or a network. A network is copied, so that nothing done to it here reaches
            the original. One that has ``feature_dim`` and ``input_size`` (height, width), and for
            which no card is given, takes RGB in [0, 1].
        arch: the architecture of weights alone, such as ``osnet_x0_25``.
        card: how the model is fed: ``torchreid``, ``fastreid``, ``transreid``, ``openvino``,
            ``imagenet``, ``arcface``; or ``{"preset": …, "height": 128, …}``. None: as the file
            says, else ``torchreid``.
        weights_key: which of several networks in a checkpoint is meant.
        isolation: how a file that is more than data is kept apart.
        device: ``auto``, ``cpu`` or ``cuda``.

    Returns:
        The model: ``extractor`` is what an attack meets, ``facts`` what is known about it.

    Raises:
        UsageError: for an unknown card, or for options that do not go with ``model``.
        ModelError: if it does not load, or is no extractor under this card.
        ModelRefusedError: if its format cannot be opened without trusting its author.
        EnvironmentUnmetError: if the device or a package that the format needs is not there.
    """
    if isinstance(model, LoadedModel):
        if arch is not None or card is not None or weights_key is not None:
            raise UsageError("the model is open already; give arch and card to open_model")
        return model
    if isinstance(model, nn.Module):
        if arch is not None or weights_key is not None:
            raise UsageError("a network brings its own architecture and weights; leave out arch")
        return own_model(model, as_card(card), pick_device(device))
    if not isinstance(model, str | Path):
        raise UsageError(f"the model is a {type(model).__name__}; give a network, or a file of one")
    config = model_config(model, arch=arch, card=card, weights_key=weights_key)
    config = config.model_copy(update={"isolation": isolation})
    return open_configured(config, pick_device(device))


def model_config(
    path: str | Path, *, arch: str | None, card: AnyCard, weights_key: str | None = None
) -> ModelConfig:
    """Return the same model file as a configuration names it.

    Raises:
        UsageError: for a value of a wrong type.
    """
    if isinstance(card, Card):
        card = asdict(card)
    try:
        return ModelConfig(path=Path(path), arch=arch, card=card, weights_key=weights_key)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise UsageError(f"model: {place}: {first['msg']}") from None


def as_card(card: AnyCard) -> Card | None:
    """Return the card that was meant; None where none was given."""
    if card is None or isinstance(card, Card):
        return card
    if isinstance(card, str):
        return card_from(card, {})
    overrides = dict(card)
    return card_from(overrides.pop("preset", "torchreid"), overrides)


def open_dataset(
    path: str | Path,
    *,
    layout: Layout = "auto",
    attributes: str | Path | None = None,
    cross_camera: bool = True,
    max_broken: float = 0.01,
    name: str = "",
    near_duplicates: Literal["error", "warn", "drop"] = "warn",
) -> ReIDDataset:
    """Read a dataset from disk; its pictures are checked now and decoded again when needed.

    Args:
        path: a folder, or the CSV file of a manifest.
        layout: how it is laid out, such as ``market1501``; ``auto`` looks.
        attributes: a published .mat file with attributes of the people; None looks for one.
        cross_camera: whether matches from a query's own camera are ignored.
        max_broken: the largest share of missing or broken pictures that may be left out.
        name: for the report; the folder's name if empty.
        near_duplicates: what to do about copies of attacked pictures among the adversary's.

    Returns:
        The dataset.

    Raises:
        DataError: naming what is missing or wrong, and the way out.
    """
    return readers.open_dataset(
        Path(path),
        layout=layout,
        attributes=None if attributes is None else Path(attributes),
        cross_camera=cross_camera,
        max_broken=max_broken,
        name=name,
        near_duplicates=near_duplicates,
    )


def synthetic_dataset(
    people: int = 80,
    *,
    auxiliary: int | None = None,
    cameras: int = 3,
    images_per_camera: int = 4,
    seed: int = 0,
    walks: bool = False,
) -> ReIDDataset:
    """Make a dataset of synthetic people, whose pictures may be shown to anybody.

    Args:
        people: who is attacked.
        auxiliary: further people, the adversary's own; None: twice as many.
        cameras: how many cameras see everybody.
        images_per_camera: pictures of each person by each camera; one of them is the query.
        seed: of the people and their pictures.
        walks: whether they walk from camera to camera, which gives tracklets and times.

    Returns:
        The dataset; the same arguments give the same pictures.

    Raises:
        DataError: if a number is too small for every split to have a picture.
    """
    return make_world(
        identities=people,
        auxiliary=2 * people if auxiliary is None else auxiliary,
        cameras=cameras,
        images_per_camera=images_per_camera,
        seed=seed,
        walks=walks,
    )
