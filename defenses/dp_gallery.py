"""Gaussian noise on the stored gallery, with its privacy accounted for three times."""

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from dp_accounting.gaussian_mechanism import get_epsilon_gaussian, get_sigma_gaussian
from torch import Tensor

from auditor.errors import UsageError
from auditor.report import PrivacyClaim
from auditor.types import ReIDDataset, RunContext, Target

UNIT_SPHERE = 2.0
"""The farthest apart two rows of unit norm can be: the sensitivity of replacing one row."""


@dataclass(frozen=True, kw_only=True)
class GalleryNoise:
    """Adds calibrated Gaussian noise to every stored gallery feature.

    Rows are scaled to unit norm, which does not depend on the data, and released once with noise of
    the analytic Gaussian mechanism (Balle & Wang, ICML 2018; calibration by dp-accounting). Stage
    two of PEPR-Net (Kansal et al., WACV 2024) with its accounting repaired: σ follows from
    sensitivity, ε and δ instead of the data's own spread, δ must stay below one row, and the unit,
    the neighbours and the number of releases are stated.

    Releasing each person's vector is local privacy: a small ε must make any two people look alike,
    which is the opposite of re-identification. Expect little utility where ε means anything.

    Attributes:
        epsilon: for ``unit``, over all ``releases``.
        delta: chance that the guarantee does not hold; below 1 / gallery rows.
        unit: whether neighbouring galleries differ in one image or in all images of one person.
        images_per_identity: with ``unit: identity``, the most rows one person may have; by default
            the most any person has, which is itself a fact about the data.
        releases: how many independent noisy copies may ever be handed out.
    """

    epsilon: float = 300.0
    delta: float = 1e-5
    unit: Literal["image", "identity"] = "image"
    images_per_identity: int | None = None
    releases: int = 1

    def __post_init__(self) -> None:
        if not (0 < self.epsilon < math.inf and 0 < self.delta < 1 and self.releases >= 1):
            raise ValueError("epsilon must be positive, delta in (0, 1), releases at least 1")
        if self.images_per_identity is not None and self.images_per_identity < 1:
            raise ValueError("images_per_identity must be at least 1, or left out")

    def apply(self, target: Target, ctx: RunContext) -> Target:
        """See `auditor.types.Defense`; raises UsageError for a delta that protects nobody."""
        rows = len(target.data.gallery)
        if self.delta >= 1 / rows:
            raise UsageError(
                f"delta {self.delta:g} allows a whole row of {rows} to be published in the clear; "
                f"choose it below {1 / rows:.1e}"
            )
        claim = self._claim(target.data)
        before = target.release

        def release(features: Tensor, generator: torch.Generator) -> Tensor:
            unit = F.normalize(before(features, generator), dim=1)
            noise = torch.randn(unit.shape, generator=generator).to(unit.device)
            return unit + claim.sigma * noise

        return replace(target, release=release, claims=(*target.claims, claim))

    def _claim(self, data: ReIDDataset) -> PrivacyClaim:
        people = data.gallery.pids[data.gallery.pids > 0]
        if not len(people):
            raise UsageError("the gallery holds nobody but distractors; there is nobody to protect")
        most = int(people.bincount().max())
        images = self.images_per_identity or most
        if images < most:
            raise UsageError(
                f"images_per_identity is {images}, but somebody has {most} gallery images"
            )
        person = UNIT_SPHERE * math.sqrt(images)
        sensitivity = person if self.unit == "identity" else UNIT_SPHERE
        repeated = math.sqrt(self.releases)
        sigma = float(get_sigma_gaussian(self.epsilon, self.delta)) * sensitivity * repeated
        return PrivacyClaim(
            mechanism="analytic Gaussian on unit-norm rows",
            unit=self.unit,
            neighbours=f"one {self.unit} replaced",
            delta=self.delta,
            sigma=sigma,
            sensitivity=sensitivity,
            epsilon_claimed=self.epsilon,
            epsilon_certified=_certified(sigma, sensitivity * repeated, self.delta),
            epsilon_identity=_certified(sigma, person * repeated, self.delta),
            releases=self.releases,
            images_per_identity=images,
            remarks=_remarks(self.epsilon, self.images_per_identity is None),
        )


def _certified(sigma: float, sensitivity: float, delta: float) -> float:
    return float(get_epsilon_gaussian(sigma / sensitivity, delta))


def _remarks(epsilon: float, counted: bool) -> tuple[str, ...]:
    remarks = []
    if epsilon > 10:
        remarks.append(
            f"ε = {epsilon:g} is no meaningful guarantee: it lets the odds that a person is in "
            "the gallery change without practical limit; only the attacks say what is protected"
        )
    if counted:
        remarks.append("images per identity were counted in the gallery, not bounded beforehand")
    remarks.append("floating-point noise and an ordinary generator: no guarantee beyond rounding")
    return tuple(remarks)
