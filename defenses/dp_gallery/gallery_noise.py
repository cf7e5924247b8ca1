"""The defense: calibration, release, and the claim that goes with it."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from auditor.embedding import features_of
from auditor.errors import UsageError
from auditor.metrics.dp import verdict
from auditor.plugins.declaring import Positive, Probability, checked_dataclass
from auditor.releasing import Composed
from auditor.report import (
    AuditedEpsilon,
    PrivacyClaim,
    PrivacyVerdict,
    ReconstructionBound,
)
from auditor.types import RunContext, Split, Target
from defenses.dp_gallery import remarks
from defenses.dp_gallery.measuring import Distances, run_experiment
from defenses.dp_gallery.mechanism import (
    Clip,
    Mechanism,
    StickyMechanism,
    diameter,
    secret_of,
    spread,
)
from defenses.dp_gallery.noise import GaussianNoise, LaplaceNoise, Noise
from defenses.dp_gallery.remarks import describe_mechanism

PEPR_SHARE, PEPR_POWER = 0.75, 0.2
"""σ / σ_dataset at a claimed ε of 1, and how slowly it grows below: see `GalleryNoise`."""


@checked_dataclass
class GalleryNoise:
    """Adds calibrated noise to every stored gallery feature.

    Rows are bounded one by one and released with noise that follows from sensitivity, ε and δ. The
    claim says the ε that was asked for, the one that the noise certifies (analytic Gaussian
    mechanism, Balle & Wang, ICML 2018; Laplace mechanism, Dwork et al., TCC 2006), and the one that
    re-running it on the two gallery rows farthest apart proves at least. Beside them stand metric
    privacy at distances of this gallery, which is a fact about its data, and the bound on any
    reconstruction.

    Releasing each person's vector is local privacy: a small ε must make any two people look alike,
    which is the opposite of re-identification. Expect little utility where ε means anything.

    ``calibration: pepr`` is stage two of PEPR-Net (Kansal et al., WACV 2024, §4.4) as published.
    The paper takes σ between σ_dataset − 5 and σ_dataset + 5, σ_dataset being the deviation of the
    stored features, and does not say how ε decides within. Our reading is
    σ = 0.75 σ_dataset ε^(−1/5): within that interval, and such that ε = 0.1, 0.5 and 1 cost about
    as much mAP as in its Table 2 (14, 7 and 6 points). It is there to be audited: its claim is
    wrong. The paper's δ of up to 0.1 is refused: it would allow whole rows to be published.

    Attributes:
        epsilon: for ``unit``, over all ``releases``.
        delta: chance that the guarantee does not hold; below 1 / gallery rows. Laplace needs none.
        mechanism: Gaussian, or Laplace noise, which is pure ε-DP by L1 sensitivity.
        calibration: the least noise that certifies ε; the classic bound, proven for ε < 1 only; or
            the paper's own recipe, which certifies something else than it claims.
        clip: unit norm for every row; a number: longer rows are cut to this L2 norm; none: rows as
            they are, which certifies nothing.
        unit: whether neighbouring galleries differ in one image or in all images of one person.
        images_per_identity: with ``unit: identity``, the most rows one person may have; by default
            the most any person has, which is itself a fact about the data.
        releases: how many noisy copies may ever be handed out.
        sticky: a record, which is a picture's file seen through one network, always gets the same
            noise, from a hash of it under a secret key, so that copies neither add up nor average
            out. The key must be kept, and kept secret.
        trials: so often the mechanism is re-run on either of two neighbours.
        confidence: of the lower bound that this proves.
    """

    epsilon: Positive = 300.0
    delta: Probability = 1e-5
    mechanism: Literal["gaussian", "laplace"] = "gaussian"
    calibration: Literal["analytic", "classic", "pepr"] = "analytic"
    clip: Clip = "unit"
    unit: Literal["image", "identity"] = "image"
    images_per_identity: PositiveInt | None = None
    releases: PositiveInt = 1
    sticky: bool = False
    trials: Annotated[int, Field(ge=200)] = 20_000
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95

    def __post_init__(self) -> None:
        if self.clip == "none" and self.calibration != "pepr":
            raise ValueError("clip: none bounds nothing that noise could be calibrated to")
        if self.mechanism == "laplace" and self.calibration != "analytic":
            raise ValueError(f"calibration: {self.calibration} is for Gaussian noise")

    def apply(self, target: Target, ctx: RunContext) -> Target:
        """See `auditor.types.Defense`; raises UsageError for a delta that protects nobody."""
        gallery, before = target.data.gallery, target.release
        self._check_delta(len(gallery))
        clean = features_of(target.extractor, gallery, ctx)
        features = before(clean, ctx.generator("defenses.dp_gallery.before"))
        images = self._images(gallery)
        noise = self._noise(features, images)
        secret = secret_of(ctx.seed, "defenses.dp_gallery")
        kind = StickyMechanism if self.sticky else Mechanism
        mechanism = kind(noise, self.clip, secret)
        claim = self._claim(mechanism, features, gallery, images, ctx)
        release = Composed(before, mechanism)
        return replace(target, release=release, claims=(*target.claims, claim))

    def grow(self, rows: int, images: int) -> "GalleryNoise":
        """See `auditor.types.Growing`: each row has noise of its own.

        Raises:
            UsageError: if delta, or the bound on a person's rows, does not cover the gallery, or
                the noise was made for the rows that were there.
        """
        self._check_delta(rows)
        if self.images_per_identity is not None:
            if images > self.images_per_identity:
                raise UsageError(
                    f"images_per_identity is {self.images_per_identity}, but somebody would have "
                    f"{images} gallery images"
                )
            return self
        if self.unit == "identity" or self.calibration == "pepr":
            raise UsageError(
                "the noise follows from the gallery that was there, so it does not cover further "
                "rows; a gallery that is to grow needs images_per_identity, and no pepr calibration"
            )
        return replace(self, images_per_identity=images)

    def _check_delta(self, rows: int) -> None:
        if self.mechanism == "gaussian" and self.delta >= 1 / rows:
            raise UsageError(
                f"delta {self.delta:g} allows a whole row of {rows} to be published in the clear; "
                f"choose it below {1 / rows:.1e}"
            )

    def _images(self, gallery: Split) -> int:
        """Return the most rows that one person has, or may have."""
        people = gallery.pids[gallery.pids > 0]
        if not len(people):
            raise UsageError(
                "the gallery contains nobody but distractors; there is nobody to protect"
            )
        most = int(people.unique(return_counts=True)[1].max())
        images = self.images_per_identity or most
        if images < most:
            raise UsageError(
                f"images_per_identity is {images}, but somebody has {most} gallery images"
            )
        return images

    @property
    def _copies(self) -> int:
        """Releases that count: under sticky noise all are one."""
        return 1 if self.sticky else self.releases

    def _draws(self, images: int) -> int:
        """Return rows with independent noise in which neighbours differ."""
        return self._copies * (images if self.unit == "identity" else 1)

    def _noise(self, features: Tensor, images: int) -> Noise:
        if self.calibration == "pepr":
            share = PEPR_SHARE * self.epsilon**-PEPR_POWER
            return GaussianNoise(share * spread(features, self.clip), self.delta)
        reach = diameter(
            self.clip, "L1" if self.mechanism == "laplace" else "L2", features.shape[1]
        )
        assert reach is not None  # clip: none is refused with these calibrations
        if self.mechanism == "laplace":
            return LaplaceNoise(reach * self._draws(images) / self.epsilon)
        classic = self.calibration == "classic"
        draws = self._draws(images)
        return GaussianNoise.calibrate(self.epsilon, self.delta, reach, draws, classic=classic)

    def _claim(
        self, mechanism: Mechanism, features: Tensor, gallery: Split, images: int, ctx: RunContext
    ) -> PrivacyClaim:
        """Return everything that is said about the release, certified and measured."""
        noise, copies = mechanism.noise, self._copies
        generator = ctx.generator("defenses.dp_gallery.audit")
        distances = Distances.of(features, gallery.pids, mechanism, generator)
        reach = diameter(self.clip, noise.norm, features.shape[1])
        certified, person = (
            None if reach is None else noise.epsilon(reach, draws)
            for draws in (self._draws(images), copies * images)
        )
        audited = self._audit(mechanism, features[list(distances.pair)], images, generator)
        opinion, reason = verdict(self.epsilon, certified, audited.epsilon)
        return PrivacyClaim(
            mechanism=describe_mechanism(self.mechanism, self.calibration, self.clip, self.sticky),
            unit=self.unit,
            neighbours=f"one {self.unit} replaced",
            delta=noise.delta,
            sigma=noise.sigma,
            sensitivity=None if reach is None else _for_unit(self.unit, noise, reach, images),
            epsilon_claimed=self.epsilon,
            epsilon_certified=certified,
            epsilon_identity=person,
            releases=self.releases,
            images_per_identity=images,
            remarks=tuple(self._remarks(certified)),
            noise=noise.name,
            norm=noise.norm,
            sticky=self.sticky,
            audited=audited,
            distances=distances.epsilons(noise, copies),
            reconstruction=_reconstruction(noise, reach, copies, images, gallery),
            verdict=opinion,
            reason=reason,
            private=tuple(self._private(opinion)),
        )

    def _private(self, opinion: PrivacyVerdict) -> Iterator[str]:
        """Yield what of the claim follows from the clean gallery, rather than from the settings."""
        yield from ("audited", "distances")
        if opinion != "CONSISTENT":  # it quotes what the experiment proved
            yield "reason"
        counted, spread = self.images_per_identity is None, self.calibration == "pepr"
        if counted:
            yield "images_per_identity"
        if counted or spread:
            yield from ("epsilon_identity", "reconstruction")
        if counted and self.unit == "identity":
            yield "sensitivity"
        if spread or (counted and self.unit == "identity"):
            yield "sigma"
        if spread:
            yield from ("epsilon_certified", "remarks")

    def _remarks(self, certified: float | None) -> Iterator[str]:
        if certified is not None and certified > 10:
            yield remarks.meaningless(certified)
        if self.calibration == "pepr":
            yield remarks.DATA_DEPENDENT
        if self.calibration == "classic" and self.epsilon >= 1:
            yield f"the classic bound is proven for ε < 1, not for {self.epsilon:g}"
        if self.images_per_identity is None:
            yield remarks.COUNTED
        if self.sticky:
            yield remarks.SECRET
        yield remarks.ROUNDING

    def _audit(
        self, mechanism: Mechanism, pair: Tensor, images: int, generator: torch.Generator
    ) -> AuditedEpsilon:
        draws = self._draws(images)
        wanted = (draws, self.trials, self.confidence, generator)
        bound, trials = run_experiment(mechanism, pair, *wanted)
        gaussian = mechanism.noise.name == "gaussian"
        return AuditedEpsilon(
            epsilon=bound.epsilon,
            epsilon_gaussian=bound.epsilon_gaussian if gaussian else None,
            ceiling=bound.ceiling,
            confidence=self.confidence,
            trials=trials,
            pair="the two gallery rows farthest apart"
            + (f", each released {draws} times" if draws > 1 else ""),
        )


def _for_unit(unit: str, noise: Noise, reach: float, images: int) -> float:
    """How far two galleries may lie apart whose neighbours differ in one row, or in a person's."""
    if unit == "image":
        return reach
    return reach * (images if noise.norm == "L1" else math.sqrt(images))


def _reconstruction(
    noise: Noise, reach: float | None, copies: int, images: int, gallery: Split
) -> ReconstructionBound | None:
    """Bound the attacker who lacks nothing but which of the known people a row shows."""
    if reach is None:
        return None
    prior = 1 / len(gallery.pids[gallery.pids > 0].unique())
    return ReconstructionBound(
        prior=prior,
        image=noise.reconstruction(prior, reach, copies),
        identity=noise.reconstruction(prior, reach, copies * images),
    )
