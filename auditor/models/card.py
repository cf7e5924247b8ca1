"""The preprocessing card: what an extractor expects of its input and how its output is read.

A wrongly fed model still answers, only badly, and an audit of it would look reassuring. So nothing
here is guessed: the user picks a preset or writes the card, and
`auditor.certification.sanity_checks` checks it.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config

from auditor.errors import UsageError, did_you_mean
from auditor.resizing import InputSize, Interpolation, Resizing

Triple = tuple[float, float, float]
Scale = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Shift = Annotated[float, Field(allow_inf_nan=False)]

IMAGENET_MEAN: Triple = (0.485, 0.456, 0.406)
IMAGENET_STD: Triple = (0.229, 0.224, 0.225)
_ZERO: Triple = (0.0, 0.0, 0.0)
_HALF: Triple = (0.5, 0.5, 0.5)
_ONE: Triple = (1.0, 1.0, 1.0)
_AS_THEY_ARE = ("0..255", _ZERO, _ONE)


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True, kw_only=True)
class Card:
    """How one model takes images and gives features.

    A picture is resized to ``height`` × ``width``, by default by Pillow, bilinear, as re-ID code
    does, and arrives as RGB in [0, 1]. Then its channels are put in the order ``colour``, scaled to
    ``value_range``, and ``(x − mean) / std`` is taken.

    Attributes:
        height: of the input, in pixels.
        width: of the input, in pixels.
        colour: order of the channels.
        value_range: scale of the pixels before ``mean`` and ``std``.
        mean: per channel, on the scale ``value_range`` and in the order ``colour``.
        std: likewise.
        l2_norm: whether features are scaled to length one.
        output: which result to use when the model returns several; None: it returns one.
        distance: how the owner compares two features.
        interpolation: between pixels, where a picture is resized.
        antialias: whether a smaller picture averages over all it covers, as Pillow does; OpenCV
            does not.
        letterbox: whether a picture keeps its proportions, in the middle of a plain frame.
        fill: grey level of that frame, of 255.
        turn: whether a picture is turned as its EXIF orientation says; re-ID code reads it as it is
            stored, OpenCV turns it.
        flip: whether the features of a picture and of its mirror image are averaged.
        axes: order of the input's axes.
        pixels: type of the input; uint8 takes 0 to 255 as they are.
        precision: in which the network computes; as stored in its file, or another.
        side_inputs: what else the network takes, one whole number per input beside the images, such
            as the camera's; an audit gives every picture the same.
    """

    height: Annotated[int, Field(ge=8, le=2048)] = 256
    width: Annotated[int, Field(ge=8, le=2048)] = 128
    colour: Literal["rgb", "bgr"] = "rgb"
    value_range: Literal["0..1", "0..255"] = "0..1"
    mean: tuple[Shift, Shift, Shift] = IMAGENET_MEAN
    std: tuple[Scale, Scale, Scale] = IMAGENET_STD
    l2_norm: bool = False
    output: Annotated[int, Field(ge=0)] | None = None
    distance: Literal["cosine", "euclidean"] = "cosine"
    interpolation: Interpolation = "bilinear"
    antialias: bool = True
    letterbox: bool = False
    fill: Annotated[int, Field(ge=0, le=255)] = 114
    turn: bool = False
    flip: bool = False
    axes: Literal["nchw", "nhwc"] = "nchw"
    pixels: Literal["float", "uint8"] = "float"
    precision: Literal["stored", "float32", "float16", "bfloat16"] = "stored"
    side_inputs: tuple[int, ...] = ()

    @property
    def input_size(self) -> InputSize:
        """(height, width), and how pictures get there."""
        how = Resizing(
            interpolation=self.interpolation,
            antialias=self.antialias,
            letterbox=self.letterbox,
            fill=self.fill,
            turn=self.turn,
        )
        return InputSize(self.height, self.width, how)


PRESETS: Mapping[str, Card] = {
    # torchreid's own FeatureExtractor: ImageNet statistics, features as they come
    "torchreid": Card(),
    # fast-reid keeps its mean and std as buffers of the model, so an exported model wants plain
    # RGB from 0 to 255; normalising here as well is the classic mistake with it
    "fastreid": Card(value_range="0..255", mean=_ZERO, std=_ONE),
    # the configurations of TransReID's vision transformers; its ResNets use ImageNet statistics
    "transreid": Card(mean=_HALF, std=_HALF),
    # Open Model Zoo IRs carry their mean and scale, and take pixels as OpenCV reads them
    "openvino": Card(colour="bgr", value_range="0..255", mean=_ZERO, std=_ONE),
    # a service that takes pictures, and prepares them itself
    "pictures": Card(value_range="0..255", mean=_ZERO, std=_ONE, pixels="uint8"),
    "imagenet": Card(height=224, width=224),
    # InsightFace's networks: aligned faces
    "arcface": Card(height=112, width=112, mean=_HALF, std=_HALF),
}

_ADAPTER: TypeAdapter[Card] = TypeAdapter(Card)


def card_from(preset: str, overrides: Mapping[str, Any]) -> Card:
    """Return the card ``preset`` with some fields replaced.

    >>> card_from("torchreid", {"colour": "bgr"}).colour
    'bgr'

    Raises:
        UsageError: for an unknown preset or field, or a value that does not fit.
    """
    if preset not in PRESETS:
        raise UsageError(f"no preprocessing preset {preset!r}; {_hint(preset, list(PRESETS))}")
    names = [field.name for field in fields(Card)]
    for key in overrides:
        if key not in names:
            raise UsageError(f"the preprocessing card has no field {key!r}; {_hint(key, names)}")
    try:
        card = _ADAPTER.validate_python({**asdict(PRESETS[preset]), **overrides})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise UsageError(
            f"preprocessing card: {place} is {first['input']!r}: {first['msg']}"
        ) from None
    if card.pixels == "uint8" and (card.value_range, card.mean, card.std) != _AS_THEY_ARE:
        raise UsageError(
            "preprocessing card: pixels are uint8, which are fed as they are; set value_range to "
            "0..255, mean to 0 and std to 1"
        )
    return card


def alternatives(card: Card) -> dict[str, Card]:
    """Return the other plausible ways to feed a model, each with a name a reader understands.

    >>> for name in alternatives(PRESETS["torchreid"]):
    ...     print(name)
    mean and std 0.5
    no normalisation, 0..1
    no normalisation, 0..255
    the colour order BGR
    """
    swapped: Literal["rgb", "bgr"] = "bgr" if card.colour == "rgb" else "rgb"
    candidates = {
        "ImageNet mean and std": _normalise(card, "0..1", IMAGENET_MEAN, IMAGENET_STD),
        "mean and std 0.5": _normalise(card, "0..1", _HALF, _HALF),
        "no normalisation, 0..1": _normalise(card, "0..1", _ZERO, _ONE),
        "no normalisation, 0..255": _normalise(card, "0..255", _ZERO, _ONE),
        # mean and std stay with their colours, not with their places
        f"the colour order {swapped.upper()}": replace(
            card, colour=swapped, mean=_reverse(card.mean), std=_reverse(card.std)
        ),
    }
    return {name: other for name, other in candidates.items() if _fed(other) != _fed(card)}


def _normalise(
    card: Card, value_range: Literal["0..1", "0..255"], mean: Triple, std: Triple
) -> Card:
    if card.colour == "bgr":
        mean, std = _reverse(mean), _reverse(std)
    return replace(card, value_range=value_range, mean=mean, std=std)


def _reverse(triple: Triple) -> Triple:
    return (triple[2], triple[1], triple[0])


def _fed(card: Card) -> tuple[object, ...]:
    # the same normalisation written on the other scale (123.675 of 255) is not another one
    unit = 255.0 if card.value_range == "0..255" else 1.0
    gains = [round(unit / s, 4) for s in card.std]
    shifts = [round(m / s, 4) for m, s in zip(card.mean, card.std, strict=True)]
    return (card.colour, *gains, *shifts)


def _hint(word: str, known: list[str]) -> str:
    return did_you_mean(word, known, f"there are: {', '.join(known)}")
