"""What a defense promises in numbers, what was measured of it, and what became of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

PrivacyVerdict = Literal["CONSISTENT", "OVER-CLAIMED", "VIOLATED", "NOT-DP", "VOID"]
"""The claim holds; less is certified than claimed; refuted by experiment; no finite ε at all; a
later step undid what it was about, or anybody can draw its noise again."""


@dataclass(frozen=True, kw_only=True)
class AuditedEpsilon:
    """What telling neighbouring inputs apart proves: ε is at least this.

    Attributes:
        epsilon: lower bound from Clopper-Pearson limits, whatever the noise.
        epsilon_gaussian: sharper, but assumes Gaussian scores; None where the noise is not.
        ceiling: the most that so many trials could have shown.
        confidence: that ε is at least the bound.
        trials: runs of the mechanism on either input; or canaries of one training.
        pair: which inputs these were.
    """

    epsilon: float
    epsilon_gaussian: float | None
    ceiling: float
    confidence: float
    trials: int
    pair: str


@dataclass(frozen=True, kw_only=True)
class DistanceEpsilon:
    """Metric privacy: ε between two rows that are a measured distance apart.

    Attributes:
        between: whose rows, in words; the distance was read off this gallery.
        distance: in the norm of the claim.
        epsilon: at the claim's delta, over its releases; None if it is not finite.
    """

    between: str
    distance: float
    epsilon: float | None


@dataclass(frozen=True, kw_only=True)
class ReconstructionBound:
    """The most often any attack can name whose data the release contains (ReRo).

    Attributes:
        prior: how often the best informed guess is right without the release.
        image: the bound for an attack on one row.
        identity: on all rows of one person.
    """

    prior: float
    image: float
    identity: float


@dataclass(frozen=True, kw_only=True)
class NoisyTraining:
    """Differentially private training: the steps that a claim's ε adds up.

    Attributes:
        noise_multiplier: deviation of the noise over the norm at which gradients are cut.
        sampling_rate: chance that a unit takes part in a step.
        steps: of one run.
        runs: trainings on these people that count, because somebody looked at their outcome.
        accountants: who added the steps up -> ε; None if it is not finite.
        scratch: whether the weights were drawn anew; otherwise the first ones must be public.
    """

    noise_multiplier: float
    sampling_rate: float
    steps: int
    runs: int
    accountants: Mapping[str, float | None]
    scratch: bool = False


OF_THE_DATA = (
    "audited",
    "distances",
    "images_per_identity",
    "epsilon_identity",
    "reconstruction",
    "reason",
    "remarks",
)
"""Fields of a claim that follow from the clean data, unless whoever makes it says otherwise."""


@dataclass(frozen=True, kw_only=True)
class PrivacyClaim:
    """What a mechanism promises, beside what its own numbers certify and what an experiment proves.

    Attributes:
        mechanism: the noise and its calibration, in words.
        unit: whose data two neighbouring galleries differ in.
        neighbours: how they differ.
        delta: failure probability, the same for every epsilon here.
        sigma: standard deviation of the noise per coordinate.
        sensitivity: how far neighbours may lie apart in ``norm``, for ``unit``; None if nothing
            bounds it.
        epsilon_claimed: as configured.
        epsilon_certified: recomputed from sigma and sensitivity, composed over ``releases``; None
            if it is not finite.
        epsilon_identity: the same at the level of a person with ``images_per_identity`` rows.
        releases: how many independent draws an adversary may see.
        images_per_identity: the most rows one person has in the gallery.
        remarks: sentences a reader must see beside the numbers.
        noise: its distribution.
        norm: in which the sensitivity and the distances are measured.
        sticky: whether a record always gets the same noise, so that releases do not add up.
        audited: lower bound by experiment; None in records from before there was one.
        distances: metric privacy at measured distances.
        reconstruction: bound on any reconstruction; None where nothing is certified.
        verdict: what the claim is worth; empty in records from before there was one.
        reason: why, in one sentence.
        training: the noise of a training, whose people alone the claim is about; None where the
            claim is about the release of a gallery.
        private: the fields that tell something of the clean data which no ε covers. They are for
            the owner; `audit defend` keeps them with the key.
    """

    mechanism: str
    unit: Literal["image", "identity"]
    neighbours: str
    delta: float
    sigma: float
    sensitivity: float | None
    epsilon_claimed: float
    epsilon_certified: float | None
    epsilon_identity: float | None
    releases: int
    images_per_identity: int
    remarks: tuple[str, ...] = ()
    noise: Literal["gaussian", "laplace"] = "gaussian"
    norm: Literal["L1", "L2"] = "L2"
    sticky: bool = False
    audited: AuditedEpsilon | None = None
    distances: tuple[DistanceEpsilon, ...] = ()
    reconstruction: ReconstructionBound | None = None
    verdict: PrivacyVerdict | Literal[""] = ""
    reason: str = ""
    training: NoisyTraining | None = None
    private: tuple[str, ...] = OF_THE_DATA
