"""The defense: which people are learned from, with how much noise, and what is then claimed."""

import math
from dataclasses import replace
from typing import ClassVar, Literal

from pydantic import NonNegativeInt, PositiveInt

from auditor.errors import UsageError
from auditor.models.extractor import CardedExtractor
from auditor.plugins.declaring import Positive, Probability, Weight, checked_dataclass
from auditor.report import AuditedEpsilon
from auditor.training.sampler import Pictures, pictures
from auditor.types import RunContext, Target
from defenses.dp_sgd.accounting import Steps, calibrate
from defenses.dp_sgd.canaries import Canaries
from defenses.dp_sgd.claim import Promise
from defenses.dp_sgd.randomness import SecretStream, seeded_secret, system_secret
from defenses.dp_sgd.student import Student, private_copy, unwrap_norms
from defenses.dp_sgd.training import Settings, Units, learn
from defenses.retrain import retrainable

NO_TRIPLETS = (
    "triplet must be 0: a triplet compares a picture with other people's, so the loss is not a sum "
    "over pictures or people, and cutting gradients bounds nobody's share in it"
)

CHUNKS = (2, 32)
"""Units at once where none are given: on a processor, and on a GPU, which waits for small work."""


@checked_dataclass
class DpSgd:
    """Retrains the extractor with noisy gradients, so that no training person shows in it.

    DP-SGD (Abadi et al., CCS 2016) by Opacus: units are Poisson-sampled, each unit's gradient is
    cut to ``clip``, and Gaussian noise is added to the sum. Batch normalisation, which mixes
    pictures, becomes group normalisation. The guarantee is about whoever was learned from; it says
    nothing of the people a gallery contains, whose features the extractor goes on to tell apart.

    The re-identification papers that compare themselves with it (Kansal et al., WACV 2024, Table 3;
    Peng et al., 2025, Table 7) give ε = 50 and neither unit, δ, loss nor starting weights. The loss
    here is the identity softmax alone, see ``triplet``. Unit ``identity`` samples people and cuts
    one gradient per person, the mean over some of the person's pictures; unit ``image`` is the
    papers' likely reading, for which the claim also says what a whole person is left with.

    Attributes:
        epsilon: for ``unit``, over all ``runs``.
        noise_multiplier: deviation of the noise over ``clip``; None: the least that certifies ε.
        delta: chance that the guarantee does not hold; below 1 / units.
        unit: whether neighbouring training sets differ in one image or in all of one person.
        views: with ``unit: identity``, pictures per person and step.
        epochs: passes over the units.
        batch: units per step, on average.
        lr: of AdamW.
        clip: L2 norm at which the gradient of a unit is cut.
        scratch: whether to train from new random weights; otherwise those given must be public,
            that is, must not come from the training people.
        runs: trainings on these people that count: one for every setting that was tried.
        randomness: where noise and samples come from: a 256-bit ``secret`` of the operating system,
            which is stored nowhere, so that no two trainings are alike; or the run's ``seed``,
            which can be repeated, and for which nothing is promised.
        canaries: invented units, half of which are trained on, for an ε that is proven rather than
            promised; as many as training people or pictures cost accuracy. 0: none.
        chunk: units whose gradients are held in memory at once; none: two on a processor, where
            more are no faster and take several times the memory, and 32 on a GPU.
        triplet: refused unless 0.
    """

    trains_model: ClassVar[bool] = True

    epsilon: Positive = 8.0
    noise_multiplier: Weight | None = None
    delta: Probability = 1e-5
    unit: Literal["image", "identity"] = "image"
    views: PositiveInt = 4
    epochs: PositiveInt = 20
    batch: PositiveInt = 64
    lr: Positive = 1e-3
    clip: Positive = 1.0
    scratch: bool = True
    runs: PositiveInt = 1
    randomness: Literal["secret", "seed"] = "secret"
    canaries: NonNegativeInt = 100
    chunk: PositiveInt | None = None
    triplet: float = 0.0

    def __post_init__(self) -> None:
        if self.triplet:
            raise ValueError(NO_TRIPLETS)

    def apply(self, target: Target, ctx: RunContext) -> Target:
        """See `auditor.types.Defense`.

        Raises:
            UnsupportedTargetError: if the extractor cannot be trained picture by picture.
            DataError: if fewer than two people can be shown.
            UsageError: if delta protects nobody, or no noise certifies epsilon.
        """
        extractor = retrainable(target)
        shown = pictures(target.data.train, extractor.input_size)
        units = self._units(shown, ctx)
        settings = Settings(
            epochs=self.epochs,
            batch=self.batch,
            chunk=self.chunk or CHUNKS[ctx.device.type == "cuda"],
            lr=self.lr,
            clip=self.clip,
            noise_multiplier=self._noise(len(units) + self.canaries),
        )
        # two trainings with the same noise would cancel it in their difference
        unique = f"defenses.dp_sgd {settings} {len(units)} {units.views} {len(target.claims)}"
        hidden = self.randomness == "secret"
        secret = system_secret() if hidden else seeded_secret(ctx.seed, unique)
        stream = SecretStream(secret)
        student, steps, audited = self.train(extractor, units, settings, stream, ctx)
        claim = self._promise(steps, shown, audited).claim()
        return replace(target, extractor=student, claims=(*target.claims, claim))

    def train(
        self,
        extractor: CardedExtractor,
        units: Units,
        settings: Settings,
        stream: SecretStream,
        ctx: RunContext,
    ) -> tuple[CardedExtractor, Steps, AuditedEpsilon | None]:
        """Train a copy of ``extractor``; return it, the steps taken and what canaries prove."""
        size, people = units.shown.size, units.shown.people
        canaries = Canaries.draw(self.canaries, units.views, size, people, stream)
        with ctx.randomness("defenses.dp_sgd.start"):
            copied = private_copy(extractor, scratch=self.scratch).to(ctx.device)
            student = Student(copied, units.shown.people)
            before = canaries.score(student, copied)
            steps = learn(student, copied, units, settings, stream, ctx, canaries)
            gained = canaries.score(student, copied) - before
        unwrap_norms(copied.network)
        audited = canaries.audit(gained, self.delta, self.unit) if self.canaries else None
        return copied.eval().requires_grad_(True), steps, audited

    def _promise(self, steps: Steps, shown: Pictures, audited: AuditedEpsilon | None) -> Promise:
        return Promise(
            unit=self.unit,
            epsilon=self.epsilon if self.noise_multiplier is None else None,
            delta=self.delta,
            clip=self.clip,
            scratch=self.scratch,
            secret=self.randomness == "secret",
            runs=self.runs,
            made=steps,
            audited=audited,
            images=int(shown.classes.bincount().max()),
        )

    def _units(self, shown: Pictures, ctx: RunContext) -> Units:
        draw = ctx.generator("defenses.dp_sgd.views")
        identity = self.unit == "identity"
        units = Units.people(shown, self.views, draw) if identity else Units.images(shown, draw)
        if self.delta >= 1 / len(units):
            raise UsageError(
                f"delta {self.delta:g} allows one of {len(units)} training units to be published "
                f"in the clear; choose it below {1 / len(units):.1e}"
            )
        return units

    def _noise(self, units: int) -> float:
        if self.noise_multiplier is not None:
            return self.noise_multiplier
        # a loader of so many batches, each of which samples everybody at the rate it has
        batches = math.ceil(units / min(self.batch, units))
        batches = int(1 / (1 / batches))  # as Opacus counts them: 98 for 99, by rounding
        return calibrate(self.epsilon, self.delta, 1 / batches, self.epochs * batches * self.runs)
