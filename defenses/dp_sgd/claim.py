"""What a private training promises, to whom, and what it does not."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from auditor.metrics.dp import verdict
from auditor.report import AuditedEpsilon, NoisyTraining, PrivacyClaim
from defenses.dp_sgd.accounting import Steps

SCOPE = (
    "the guarantee covers the training people alone; it says nothing of the people in gallery and "
    "query, whom the extractor is there to tell apart"
)
UNDONE = (
    "it is a guarantee about this extractor: training it on the same people again without noise, "
    "as another defense may, undoes it"
)
PUBLIC = (
    "the starting weights are taken for public: if the training people were already in them, "
    "nothing is promised to those people"
)
COUNTS = "how many training people and pictures there are is taken for public"
SECRET = (
    "noise and samples follow from 256 bits of the operating system's randomness that were stored "
    "nowhere"
)
SEED = (
    "noise and samples follow from the seed of the run, which its record shows: anyone who reads "
    "it can take the noise off again; train with randomness: secret"
)
ROUNDING = (
    "noise is added in double precision, each number the sum of four draws, against attacks on its "
    "last bits; the proof is about real numbers all the same"
)
BLACK_BOX = (
    "the audited ε asks the finished network and its classifiers alone; whoever sees every step of "
    "the training may prove more"
)
COUNTED = "images per person were counted in the training split, not bounded beforehand"
TRIED = 10
"""Settings that a modest search tries."""


@dataclass(frozen=True, kw_only=True)
class Promise:
    """Everything a claim follows from.

    Attributes:
        unit: whether neighbouring training sets differ in one image or in all of one person.
        epsilon: as asked for; None where the noise was given instead.
        delta: of every ε.
        clip: L2 norm at which a unit's gradient is cut.
        scratch: whether the weights were drawn anew.
        secret: whether nobody can draw the noise again.
        runs: trainings that count.
        made: the steps of this one.
        audited: what its canaries prove; None without any.
        images: the most pictures a training person has.
    """

    unit: Literal["image", "identity"]
    epsilon: float | None
    delta: float
    clip: float
    scratch: bool
    secret: bool
    runs: int
    made: Steps
    images: int
    audited: AuditedEpsilon | None = None

    def claim(self) -> PrivacyClaim:
        """Claimed and certified ε, at the level of the unit and of a person."""
        steps = replace(self.made, count=self.made.count * self.runs)
        certified = steps.epsilon(self.delta)
        claimed = certified if self.epsilon is None else self.epsilon
        opinion, reason = verdict(
            claimed or 0.0, certified, self.audited.epsilon if self.audited else None
        )
        if certified is not None and not self.secret:
            opinion, reason = "VOID", SEED
        person = (
            certified if self.unit == "identity" else steps.group_epsilon(self.images, self.delta)
        )
        return PrivacyClaim(
            mechanism="DP-SGD: Gaussian noise on the sum of cut gradients of a Poisson sample",
            unit=self.unit,
            neighbours=f"{_ONE[self.unit]} added or taken away",
            delta=self.delta,
            sigma=self.made.noise_multiplier * self.clip,
            sensitivity=self.clip,
            epsilon_claimed=claimed or 0.0,
            epsilon_certified=certified,
            epsilon_identity=person,
            releases=self.runs,
            images_per_identity=self.images,
            remarks=tuple(self._remarks(certified)),
            audited=self.audited,
            verdict=opinion,
            reason=reason,
            training=NoisyTraining(
                noise_multiplier=self.made.noise_multiplier,
                sampling_rate=self.made.rate,
                steps=self.made.count,
                runs=self.runs,
                accountants=steps.accountants(self.delta),
                scratch=self.scratch,
            ),
            private=tuple(self._private()),
        )

    def _private(self) -> Iterator[str]:
        """Yield what follows from counting a person's pictures.

        Canaries show what is private anyhow.
        """
        yield "images_per_identity"
        if self.unit == "image":
            yield "epsilon_identity"

    def _remarks(self, certified: float | None) -> Iterator[str]:
        yield SCOPE
        yield UNDONE
        if not self.scratch:
            yield PUBLIC
        if certified is not None and certified > 10:
            yield (
                f"ε = {certified:.4g} is no meaningful guarantee: it lets the odds that somebody "
                "was learned from change without practical limit"
            )
        if certified is not None:
            yield self._search(certified)
        if self.audited is not None:
            yield BLACK_BOX
        if self.unit == "image":
            yield COUNTED
        yield COUNTS
        if self.secret:
            yield SECRET
        yield ROUNDING

    def _search(self, certified: float) -> str:
        """Return what looking for good settings on the same people costs."""
        searched = replace(self.made, count=self.made.count * TRIED).epsilon(self.delta)
        covered = "one training" if self.runs == 1 else f"{self.runs} trainings"
        more = (
            ""
            if searched is None or self.runs >= TRIED
            else (f"; choosing among {TRIED} by their outcome would cost ε = {searched:.3g}")
        )
        return (
            f"ε = {certified:.3g} is for {covered}: every setting that was tried on these people "
            f"counts as a run{more}"
        )


_ONE = {"image": "one image", "identity": "all images of one person"}
