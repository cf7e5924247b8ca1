"""What attacks and defenses work on. Pixels are RGB float32 in [0, 1] at every border.

An attack is `Target -> numbers`, a defense `Target -> Target`.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from auditor.errors import DataError
from auditor.feature_cache import FeatureCache
from auditor.releasing import Release as Release
from auditor.releasing import as_is as as_is
from auditor.releasing import check_release
from auditor.report import Curve, Finding, Measurement, PrivacyClaim, pluralize
from auditor.resizing import resize_pixels

MISSING = -1
"""Code of an attribute that was not annotated, and of a camera that is not known."""


class FeatureExtractor(Protocol):
    """Any callable with these two attributes fits, an ``nn.Module`` for one.

    An extractor that cannot be differentiated (ONNX) carries ``differentiable = False``. One that
    lives in another process implements ``__call__`` with an autograd function whose backward is its
    vector-Jacobian product; everything in this project goes through `auditor.embedding`.
    """

    feature_dim: int
    input_size: tuple[int, int]
    """(height, width) of the images it takes."""

    def __call__(self, images: Tensor, /) -> Tensor:
        """Map images ``(B, 3, H, W)`` to features ``(B, D)`` float32."""
        ...


class Images(Protocol):
    """Pictures that are decoded when asked for."""

    def __len__(self) -> int:
        """Return how many there are."""
        ...

    def load(self, indices: Sequence[int], size: tuple[int, int]) -> Tensor:
        """Images ``(len(indices), 3, height, width)`` resized to ``size = (height, width)``."""
        ...


@dataclass(frozen=True, eq=False)
class Split:
    """Pictures of people, column-wise.

    Attributes:
        images: N pictures.
        pids: ``(N,)`` int64; 0 is a distractor, junk (−1) never gets here.
        camids: ``(N,)`` int64 from 0; −1 where the camera is not known.
        attributes: name -> ``(N,)`` int64 code; −1 where not annotated.
        partners: ``(N,)`` int64 pid of whoever a protection mixed into each picture; −1 where
            there is nobody. None: nobody is mixed in anywhere.
        tracklets: ``(N,)`` int64 code of the tracklet each picture belongs to, unique within a
            person and a camera; −1 where it belongs to none. None: no tracklets are known.
        times: ``(N,)`` float64 seconds on one clock; NaN where not known. None: no times are known.

    Raises:
        DataError: if a column has another length than ``images``.
    """

    images: Images
    pids: Tensor
    camids: Tensor
    attributes: Mapping[str, Tensor] = field(default_factory=dict)
    partners: Tensor | None = None
    tracklets: Tensor | None = None
    times: Tensor | None = None

    def __post_init__(self) -> None:
        for name, column in self.columns().items():
            if column.shape != (len(self.images),):
                raise DataError(
                    f"column {name!r} has shape {tuple(column.shape)}, but the split has "
                    f"{len(self.images)} images; give one value per image"
                )

    def __len__(self) -> int:
        return len(self.images)

    def columns(self) -> dict[str, Tensor]:
        """Return name -> what is known of each picture ``(N,)``, attributes included."""
        known = {"partners": self.partners, "tracklets": self.tracklets, "times": self.times}
        told = {name: column for name, column in known.items() if column is not None}
        return {"pids": self.pids, "camids": self.camids, **self.attributes, **told}

    def take(self, indices: Tensor) -> "Split":
        """Return the rows ``indices`` ``(M,)`` of this split, still decoded on demand."""
        return self.of_images(Selection(self.images, indices.tolist()), indices)

    def of_images(self, images: Images, indices: Tensor) -> "Split":
        """Return M other ``images`` under what is known of the rows ``indices`` ``(M,)``."""

        def some(column: Tensor | None) -> Tensor | None:
            return None if column is None else column[indices]

        return Split(
            images,
            self.pids[indices],
            self.camids[indices],
            {name: column[indices] for name, column in self.attributes.items()},
            partners=some(self.partners),
            tracklets=some(self.tracklets),
            times=some(self.times),
        )


@dataclass(frozen=True)
class Selection:
    """Some of another source's pictures, in a given order."""

    source: Images
    rows: Sequence[int]

    def __len__(self) -> int:
        return len(self.rows)

    def load(self, indices: Sequence[int], size: tuple[int, int]) -> Tensor:
        """See `Images.load`."""
        return self.source.load([self.rows[i] for i in indices], size)


@dataclass(frozen=True)
class MemoryImages:
    """Pictures kept as one uint8 tensor ``(N, 3, height, width)``."""

    pixels: Tensor

    def __len__(self) -> int:
        return len(self.pixels)

    def load(self, indices: Sequence[int], size: tuple[int, int]) -> Tensor:
        """Images ``(len(indices), 3, height, width)`` in [0, 1]."""
        images = self.pixels[torch.as_tensor(indices, dtype=torch.long)].float().div_(255)
        return resize_pixels(images, size).clamp_(0, 1)


@dataclass(frozen=True, eq=False)
class ReIDDataset:
    """Four splits and what their codes mean.

    Attributes:
        name: for the report.
        train: people a deployment may retrain on; may be the same as ``auxiliary``.
        query: probe images of the attacked people.
        gallery: stored images of the attacked people, distractors included.
        auxiliary: the adversary's own people; disjoint from query and gallery.
        attribute_values: attribute -> the name of each code.
        cross_camera: whether same-camera matches of a query are ignored (Market-1501's rule).
        real_people: False for synthetic people, whose pictures may be shown freely.
        facts: counts, broken files, notices; goes into the report.

    Raises:
        DataError: if auxiliary people appear among the attacked ones, or a code has no name.
    """

    name: str
    train: Split
    query: Split
    gallery: Split
    auxiliary: Split
    attribute_values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    cross_camera: bool = True
    real_people: bool = True
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        attacked = set(self.query.pids.tolist()) | set(self.gallery.pids.tolist())
        for split in (self.train, self.query, self.gallery, self.auxiliary):
            if unnamed := sorted(set(split.attributes) - set(self.attribute_values)):
                raise DataError(f"attribute {unnamed[0]!r} has codes without names")
        shared = sorted((attacked & set(self.auxiliary.pids.tolist())) - {0})
        if shared:
            raise DataError(
                f"{len(shared)} identities are both auxiliary and attacked (first: {shared[0]}); "
                "an adversary who already has a person's pictures proves nothing: "
                "make the splits disjoint by identity"
            )

    @classmethod
    def from_arrays(
        cls,
        images: Any,
        pids: Any,
        camids: Any,
        split: Sequence[str],
        attributes: Mapping[str, Sequence[Any]] | None = None,
        *,
        tracklets: Sequence[Any] | None = None,
        times: Any = None,
        name: str = "arrays",
        cross_camera: bool = True,
        real_people: bool = True,
    ) -> "ReIDDataset":
        """Make a dataset of N pictures in memory.

        Args:
            images: RGB, ``(N, H, W, 3)`` or ``(N, 3, H, W)``, uint8 or floats in [0, 1], of which
                8 bits are kept; or anything with the methods of `Images`.
            pids: N whole numbers; 0 is a distractor.
            camids: N whole numbers from 0; −1 where the camera is not known.
            split: N times ``train``, ``query``, ``gallery`` or ``auxiliary``. Where there is no
                auxiliary picture, the people to train on are the adversary's, and the other way
                round.
            attributes: name -> N values; None where a value is not known.
            tracklets: N names, unique within a person and a camera; None where a picture belongs
                to no tracklet.
            times: N seconds on one clock; NaN where not known.
            name: for the report.
            cross_camera: whether matches from a query's own camera are ignored.
            real_people: whether the pictures show real people, who are then blurred in reports.

        Returns:
            The dataset.

        Raises:
            DataError: if an argument has another length, shape, type or range, a split is missing,
                or somebody is both attacked and auxiliary.
        """
        source = _images(images)
        names = np.asarray(split, dtype=str)
        columns = {"pids": _integers("pids", pids, 0), "camids": _integers("camids", camids, -1)}
        coded = {key: _encode(values) for key, values in (attributes or {}).items()}
        codes = {key: column for key, (column, _) in coded.items()}
        tracks = _tracks(tracklets, times)
        _check_lengths({"split": names, **columns, **codes, **tracks}, len(source))
        whole = Split(source, columns["pids"], columns["camids"], codes, **tracks)
        found = _divide(whole, names)
        # where one of the two is missing, its people are the other one's
        others = found["auxiliary" if "auxiliary" in found else "train"]
        return cls(
            name=name,
            train=found.get("train", others),
            query=found["query"],
            gallery=found["gallery"],
            auxiliary=others,
            attribute_values={key: values for key, (_, values) in coded.items()},
            cross_camera=cross_camera,
            real_people=real_people,
            facts=_facts(whole, found),
        )


SPLITS = ("train", "query", "gallery", "auxiliary")


def _tracks(tracklets: Sequence[Any] | None, times: Any) -> dict[str, Tensor]:
    """Return the columns of a `Split` that say when pictures were taken, as far as given."""
    tracks = {} if tracklets is None else {"tracklets": _encode(tracklets)[0]}
    return tracks if times is None else {**tracks, "times": _seconds(times)}


def _check_lengths(columns: Mapping[str, Any], images: int) -> None:
    for name, column in columns.items():
        if len(column) != images:
            raise DataError(
                f"{name} has {pluralize(len(column), 'value')} for {pluralize(images, 'image')}"
            )


def _facts(whole: Split, parts: Mapping[str, Split]) -> dict[str, Any]:
    """Return what the record says about arrays."""
    return {
        "layout": "arrays",
        "images": {key: len(part) for key, part in parts.items()},
        "identities": {key: len(_people(part)) for key, part in parts.items()},
        "cameras": sorted(set(whole.camids.tolist())),
        "attributes": list(whole.attributes),
        "pictures_sha256": _digest(whole),
    }


def _divide(whole: Split, names: np.ndarray) -> dict[str, Split]:
    """Return the rows of each split that ``names (N,)`` mentions.

    Raises:
        DataError: if a name is none, or nobody would be attacked or learned from.
    """
    if strange := sorted(set(names.tolist()) - set(SPLITS)):
        raise DataError(f"split contains {strange[0]!r}; it takes {', '.join(SPLITS)}")
    found = {
        key: whole.take(torch.from_numpy(np.flatnonzero(names == key)))
        for key in SPLITS
        if key in names
    }
    for key in ("query", "gallery"):
        if key not in found:
            raise DataError(f"no picture is in the split {key!r}; without, nobody is attacked")
    if not found.keys() & {"auxiliary", "train"}:
        raise DataError("no picture is in 'auxiliary' or 'train'; the adversary needs people")
    return found


def _images(images: Any) -> Images:
    """Return pictures of an array, unless they are a source of pictures already."""
    if hasattr(images, "load"):
        return images  # type: ignore[no-any-return]
    try:
        pixels = torch.as_tensor(images if isinstance(images, Tensor) else np.asarray(images))
    except (TypeError, ValueError) as error:
        raise DataError(f"images are not an array: {error}; stack pictures of one size") from None
    if pixels.ndim == 4 and pixels.shape[1] != 3 and pixels.shape[3] == 3:
        pixels = pixels.permute(0, 3, 1, 2)
    if pixels.ndim != 4 or pixels.shape[1] != 3:
        raise DataError(f"images have shape {tuple(pixels.shape)}; give (N, H, W, 3) in RGB")
    if pixels.is_floating_point():
        if not bool(((pixels >= 0) & (pixels <= 1)).all()):
            raise DataError(
                "floating-point images must lie in [0, 1]; divide by 255, or give uint8"
            )
        pixels = (pixels * 255).round()
    elif pixels.dtype != torch.uint8:
        raise DataError(f"images are {pixels.dtype}; give uint8, or floats in [0, 1]")
    return MemoryImages(pixels.detach().cpu().to(torch.uint8).contiguous())


def _integers(name: str, values: Any, least: int) -> Tensor:
    """Whole numbers ``(N,)`` int64."""
    try:
        column = torch.as_tensor(values if isinstance(values, Tensor) else np.asarray(values))
    except (TypeError, ValueError):
        raise DataError(f"{name} are not numbers; number people and cameras") from None
    if column.ndim != 1 or column.is_floating_point() or column.dtype == torch.bool:
        kind = f"{column.dtype} of shape {tuple(column.shape)}"
        raise DataError(f"{name} are {kind}; give one whole number per image")
    if len(column) and int(column.min()) < least:
        raise DataError(
            f"{name} begin at {int(column.min())}; the least is {least}: leave out junk"
        )
    return column.detach().cpu().long()


def _seconds(values: Any) -> Tensor:
    """Return times ``(N,)`` float64."""
    try:
        column = torch.as_tensor(np.asarray(values, dtype=np.float64))
    except (TypeError, ValueError):
        raise DataError("times are not numbers; give seconds, and NaN where not known") from None
    if column.ndim != 1 or bool(column.isinf().any()):
        raise DataError("times must be one finite number of seconds per image, or NaN")
    return column


def _encode(values: Sequence[Any]) -> tuple[Tensor, tuple[str, ...]]:
    """Return codes ``(N,)`` of an attribute's values, and the name of each code."""
    texts = ["" if value is None or value != value else str(value) for value in values]
    names = sorted(set(texts) - {""})
    place = {"": MISSING} | {text: code for code, text in enumerate(names)}
    return torch.tensor([place[text] for text in texts], dtype=torch.long), tuple(names)


def _people(split: Split) -> set[int]:
    return set(split.pids.tolist()) - {0}


def _digest(split: Split) -> str:
    """SHA-256 of pictures in memory and whose they are; empty for pictures that are not."""
    if not isinstance(split.images, MemoryImages):
        return ""
    digest = hashlib.sha256(split.images.pixels.numpy().tobytes())
    digest.update(split.pids.numpy().tobytes() + split.camids.numpy().tobytes())
    return digest.hexdigest()


Publish = Callable[[Split, torch.Generator], Split]
"""Pictures and randomness (the key) to the protected pictures that are published in their place."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Protection:
    """What was done to a target's pictures.

    Attributes:
        originals: the gallery before ``publish``, row for row; scores are judged against it, no
            adversary sees it.
        publish: the mechanism. The adversary knows it, not the key, and may apply it to pictures of
            their own. None where nobody is told.
        query: ``data.query`` after ``publish`` under the gallery's own key, row for row: what a
            deployment searches with whose cameras protect every picture. ``data.query`` itself
            stays the clean picture that an adversary may have. None: the deployment's stay clean.
    """

    originals: Split
    publish: Publish | None = None
    query: Split | None = None


@dataclass(frozen=True, eq=False)
class Target:
    """What an adversary meets: the extractor, the people, and how gallery features are released.

    Attributes:
        extractor: picture to feature.
        data: the people; under a protection of pictures the gallery contains the protected ones.
        release: how features are stored; whatever it gives is looked at, see `auditor.releasing`.
        claims: what the release promises.
        protection: what was done to the pictures of ``data``; None where nothing was.
        co_trained: how the adversaries fared that a defense trained against; no evidence of
            privacy, but to be read beside the audit's fresh ones.
        notes: what a reader must know about how the target came to be protected; never a secret.
        utility_bias: why its utility is overestimated; empty if it is not.
        trained: the defenses that put another network in the place of the audited one, in order.
    """

    extractor: FeatureExtractor
    data: ReIDDataset
    release: Release = as_is
    claims: tuple[PrivacyClaim, ...] = ()
    protection: Protection | None = None
    co_trained: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    utility_bias: str = ""
    trained: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "release", check_release(self.release))

    @property
    def publish(self) -> Publish | None:
        """The mechanism that protected the pictures, if one did and is known."""
        return None if self.protection is None else self.protection.publish

    @property
    def deployed_query(self) -> Split:
        """What the deployment itself searches with; utility is measured by it."""
        shown = None if self.protection is None else self.protection.query
        return self.data.query if shown is None else shown

    @property
    def originals_of_gallery(self) -> Split:
        """What the gallery showed before any protection of its pictures: the truth to judge by."""
        return self.data.gallery if self.protection is None else self.protection.originals


class Progress(Protocol):
    """Told how far a step has come."""

    def __call__(self, fraction: float, detail: str = "") -> None:
        """``fraction`` in [0, 1] of the running step."""
        ...


def silent(fraction: float, detail: str = "") -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True, eq=False)
class RunContext:
    """The world an attack or defense runs in, apart from its target.

    Attributes:
        seed: of the whole run.
        device: where to compute.
        workdir: an existing folder the step may write its exhibits to.
        judges: networks that judge reconstructions; ``target`` is the bare audited extractor, any
            other one is independent of the attack. Empty: the target's own extractor judges.
        weights: folder with pretrained backbones (LPIPS), if the user has one.
        progress: told how far the step has come.
        cache: what was computed in this run already; see `auditor.embedding`.
    """

    seed: int = 0
    device: torch.device = torch.device("cpu")
    workdir: Path = Path("audit-out")
    judges: Mapping[str, FeatureExtractor] = field(default_factory=dict)
    weights: Path | None = None
    progress: Progress = silent
    cache: FeatureCache = field(default_factory=FeatureCache)

    def seed_for(self, name: str) -> int:
        """Return a seed that depends on (seed, name) alone, not on the order of calls."""
        digest = hashlib.sha256(f"{self.seed}/{name}".encode()).digest()
        return int.from_bytes(digest[:6], "big")

    def generator(self, name: str) -> torch.Generator:
        """Return a CPU generator for ``name``; the same draw on every device."""
        return torch.Generator().manual_seed(self.seed_for(name))

    @contextmanager
    def randomness(self, name: str) -> Iterator[None]:
        """Seed torch's global generators for ``name``, and put them back afterwards."""
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(self.seed_for(name))
            yield


@dataclass(frozen=True)
class AttackResult:
    """What an attack found; the first measurement is its headline, a fraction, higher is worse.

    Attributes:
        measurements: headline first.
        exhibits: name -> picture below ``ctx.workdir``.
        notes: what a reader must know about how the numbers came about.
        curves: the figures against budget or threshold.
    """

    measurements: tuple[Measurement, ...]
    exhibits: Mapping[str, Path] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    curves: tuple[Curve, ...] = ()


class Attack(Protocol):
    """A frozen keyword-only dataclass whose fields are hyper-parameters.

    It may declare ``family: ClassVar[str]`` (rungs of one ladder share it), ``headline:
    ClassVar[str]`` (the metric its power is judged by), ``adversary: ClassVar[Adversary]`` (its
    threat model in a few words) and ``slow: ClassVar[bool]`` (its controls take part of the
    people). With ``reference(planted, ctx)`` it brings the adversary that its power on the faint
    plant of `auditor.certification.planting` is measured by, and with ``disguise(planted)`` a twist
    of that plant. Where the plant does not suit what it recovers, it brings worlds of its own
    instead: ``make_planted(target, ctx)`` and ``make_null(target, ctx)``, each a Target made from
    the audited one.
    """

    def run(self, target: Target, ctx: RunContext) -> AttackResult:
        """Attack from scratch.

        Raises:
            UnsupportedTargetError: if the target gives this attack nothing to work on.
        """
        ...


class Defense(Protocol):
    """A frozen keyword-only dataclass whose fields are hyper-parameters."""

    def apply(self, target: Target, ctx: RunContext) -> Target:
        """Return a new target; the given one stays as it is.

        Raises:
            UnsupportedTargetError: if the defense cannot act on this target.
        """
        ...


@runtime_checkable
class Growing(Defense, Protocol):
    """A defense of stored rows whose gallery may grow afterwards, under the same key."""

    def grow(self, rows: int, images: int) -> Defense:
        """Return the same defense, to be applied to further rows alone.

        Args:
            rows: of the gallery, the further ones included.
            images: the most rows of one person among them.

        Raises:
            UsageError: if what it claims does not cover that.
        """
        ...


@runtime_checkable
class Exporter(Defense, Protocol):
    """A defense that can write down what a team deploys."""

    def export(self, defended: Target, ctx: RunContext, folder: Path) -> Mapping[str, Any]:
        """Write the protected thing, and return what anybody may know about it as plain data.

        Args:
            defended: what this defense's ``apply`` returned in the same ``ctx``.
            ctx: whatever must stay secret goes below its ``workdir``, readable by its owner alone.
            folder: exists and is empty; everything in it is meant to be given away.
        """
        ...


@runtime_checkable
class Continuing(Exporter, Protocol):
    """A protection of pictures that keeps what protects the pictures that come after it."""

    def export_more(
        self, key: Path, data: ReIDDataset, ctx: RunContext, folder: Path
    ) -> Mapping[str, Any]:
        """Write further pictures, protected as earlier ones of the same people were.

        Args:
            key: where `export` left its secrets; whoever is new is known there afterwards.
            data: the further pictures.
            ctx: as for `export`.
            folder: exists and is empty.
        """
        ...
