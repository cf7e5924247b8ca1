"""How a re-ID network is trained, in one object a record can keep."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveInt,
    TypeAdapter,
    ValidationError,
    with_config,
)

from auditor.errors import UsageError, did_you_mean
from auditor.plugins.declaring import Positive, Several, Share, Weight

AnyRecipe = TypeVar("AnyRecipe")


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The strong baseline of the field (Luo et al., CVPRW 2019): softmax, triplets, P × K batches.

    Attributes:
        epochs: passes over the training people.
        steps: batches per epoch; 0: as many as show each picture once on average.
        people: persons per batch (P).
        views: pictures of each (K).
        lr: peak learning rate of AdamW.
        head_lr: factor on it for the identity classifiers, which start from nothing even where the
            network does not.
        weight_decay: of AdamW.
        warm_up: share of the training in which the rate rises linearly; a cosine follows.
        softmax: weight of the identity softmax.
        smoothing: of its labels (Szegedy et al., CVPR 2016).
        triplet: weight of the batch-hard triplets (Hermans et al., 2017).
        margin: of the triplets, in the distance the card names.
        flip: chance that a picture is mirrored.
        zoom: most that it is scaled, up or down.
        shift: most that it is moved, as a share of its size.
        recolour: deviation of the logarithm of each channel's gain.
        erase: chance that a box is greyed out (Zhong et al., AAAI 2020).
        norm: whether batch-normalisation statistics keep learning; ``auto`` keeps them where they
            were folded into the weights, for such statistics are not the data's.
        precision: ``auto`` is bfloat16 where the device multiplies it, else float32.
    """

    epochs: PositiveInt = 60
    steps: NonNegativeInt = 0
    people: Several = 16
    views: Several = 4
    lr: Positive = 3.5e-4
    head_lr: Positive = 1.0
    weight_decay: Weight = 5e-4
    warm_up: Share = 0.1
    softmax: Weight = 1.0
    smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1
    triplet: Weight = 1.0
    margin: Positive = 0.3
    flip: Share = 0.5
    zoom: Annotated[float, Field(ge=0, lt=1)] = 0.08
    shift: Annotated[float, Field(ge=0, lt=1)] = 0.07
    recolour: Weight = 0.1
    erase: Share = 0.4
    norm: Literal["auto", "train", "freeze"] = "auto"
    precision: Literal["auto", "32", "bf16"] = "auto"

    def __post_init__(self) -> None:
        if self.softmax == 0 and self.triplet == 0:
            raise ValueError("softmax and triplet are both 0, so there is nothing to learn from")


def recipe_from(kind: type[AnyRecipe], settings: Mapping[str, Any], where: str) -> AnyRecipe:
    """Return a recipe with some fields replaced by plain data.

    Args:
        kind: of the recipe.
        settings: field -> value.
        where: they were written, for the message.

    Raises:
        UsageError: for an unknown field, or a value that does not fit.
    """
    known = list(inspect.signature(kind).parameters)
    for key in settings:
        if key not in known:
            hint = did_you_mean(key, known, f"there are {', '.join(known)}")
            raise UsageError(f"{where}: no setting named {key!r}; {hint}")
    try:
        return TypeAdapter(kind).validate_python(dict(settings))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the recipe"
        raise UsageError(f"{where}: {place}: {first['msg']}") from None
