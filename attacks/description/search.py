"""Who is it, if all that is known is what they look like? Search of a gallery by words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from sklearn.covariance import ledoit_wolf
from torch import Tensor

from attacks import threat_models
from attacks.attribute.labels import MEASURABLE, attackable, recode
from attacks.attribute.learning import FOLDS, Known, calibrate_learner, learn_from, pool_entries
from attacks.attribute.logistic import AttributeLogistic
from attacks.attribute.pooling import folds
from attacks.description.scoring import Described, describe_people, score_descriptions
from attacks.protocol.publication import own_pictures
from auditor.certification.planting import Planted, Truth
from auditor.embedding import stored_gallery
from auditor.metrics.similarity import Scores
from auditor.plugins.declaring import checked_dataclass
from auditor.report import Adversary
from auditor.row_blocks import map_rows, split_rows
from auditor.types import MISSING, AttackResult, RunContext, Target


@checked_dataclass
class Description:
    """Finds a person by a description in words, such as "woman, long hair, red top, backpack".

    Threat model: has the stored gallery, without names, and a description of the person: their
    attribute values. Has own annotated pictures of other people, may query the extractor on those
    and knows how the gallery is protected and released. People learned from and people attacked are
    disjoint.

    Source: naive Bayes on the posteriors of `attribute_logistic` (Vaquero et al., WACV 2009,
    searched people by detected attributes). An entry fits as well as the product of its posterior
    probabilities of the described values. Everybody is described by their annotation.

    Attributes:
        neighbours: how many nearest entries each entry is averaged with; none: chosen on own people
            who are held out.
        min_people: an attribute value carried by fewer people on either side is not described.
    """

    neighbours: int | None = None
    min_people: PositiveInt = MEASURABLE

    family: ClassVar[str] = "description"
    adversary: ClassVar[Adversary] = threat_models.DESCRIBER
    headline: ClassVar[str] = "described_rank1"

    def run(self, target: Target, ctx: RunContext) -> AttackResult:
        """See `auditor.types.Attack`."""
        data = target.data
        codes = attackable(data.auxiliary, data.gallery, self.min_people)
        described = describe_people(data.gallery, codes)
        own = learn_from(target, data.auxiliary, codes, "attacks.description.release", ctx)
        prepare = pool_entries(self.neighbours)
        everybody = torch.arange(len(data.gallery))
        known, stored, note = prepare(own, stored_gallery(target, ctx), everybody, ctx)
        return score_descriptions(self.fit(known, stored, described, ctx), described, data, note)

    def fit(self, known: Known, stored: Tensor, described: Described, ctx: RunContext) -> Scores:
        """Return how well stored rows fit a block of the descriptions ``(B, G)`` float64."""
        held_out = folds(known.pids, FOLDS, ctx.generator("attacks.description.folds"))
        odds = calibrate_learner(AttributeLogistic().learn, known, held_out, stored)
        posteriors = [
            compute_posteriors(log_odds, known.labels[:, column])
            for column, log_odds in enumerate(odds)
        ]

        def score(block: slice) -> Tensor:
            labels = described.labels[block]
            scores = torch.zeros(len(labels), len(stored), dtype=torch.float64)
            for posterior, value in zip(posteriors, labels.T, strict=True):
                told = value != MISSING
                scores[told] += posterior[:, value[told]].T
            return scores

        return score

    def reference(self, planted: Planted, ctx: RunContext) -> AttackResult:
        """Return the Gaussian likelihood ratio with the true covariances, entry by entry.

        What the words lead to expect is learned from the adversary's own people: nobody can know it
        better than their pictures tell.
        """
        target, truth = planted.target, planted.truth(ctx)
        data = target.data
        codes = attackable(data.auxiliary, data.gallery, self.min_people)
        described = describe_people(data.gallery, codes)
        own = own_pictures(target, ctx).features
        released = target.release(own, ctx.generator("attacks.references.release"))
        images = len(own) / max(1, len(data.auxiliary.pids.unique()))
        labels = recode(data.auxiliary, codes)
        words = Words.of(released, labels, described.sizes, per_person=images)
        true = Words.of(truth.rows, recode_truth(truth, codes), described.sizes, per_person=1.0)
        words = replace(words, given=true.given, anyway=true.anyway)
        score = words.fit(described.labels, stored_gallery(target, ctx))
        return score_descriptions(score, described, data, "", groups=False)


@checked_dataclass
class DescriptionGaussian(Description):
    """Finds a person by a description in words, by what features the words lead to expect.

    Threat model: as for `description`: the stored gallery without names, a description of the
    person, own annotated pictures of other people, the extractor as a black box.

    Source: a Gaussian model of features given all attributes together (linear regression on the
    values), so that attributes which go together, such as skirt and long hair, do not count twice.
    An entry fits by the likelihood ratio of the description and none.

    Attributes:
        neighbours: how many nearest entries each entry is averaged with; none: chosen on own people
            who are held out.
        min_people: an attribute value carried by fewer people on either side is not described.
    """

    def fit(self, known: Known, stored: Tensor, described: Described, ctx: RunContext) -> Scores:
        """Return log-likelihood ratios."""
        images = len(known.pids) / max(1, len(known.pids.unique()))
        words = Words.of(known.rows, known.labels, described.sizes, per_person=images)
        return words.fit(described.labels, stored)


def compute_posteriors(log_odds: Tensor, labels: Tensor) -> Tensor:
    """Compute log-probabilities ``(N, K)`` of an attribute's values.

    Args:
        log_odds: ``(N, K)`` for values that are equally likely, of two values half of it each; of
            more, each against the rest.
        labels: ``(M,)`` of own people, whose shares are the prior; −1 where missing.
    """
    values = log_odds.shape[1]
    counts = torch.stack([(labels == value).sum() for value in range(values)]).double()
    likely = log_odds if values == 2 else F.logsigmoid(log_odds)
    posterior: Tensor = F.log_softmax(likely.double() + (counts + 1).log(), dim=1)
    return posterior


@dataclass(frozen=True, eq=False)
class Words:
    """What rows to expect of people of whom some attribute values are known.

    Attributes:
        mean: ``(D,)`` of rows.
        centre: ``(V,)`` mean of the one-hot values.
        directions: ``(V, D)`` what each value adds.
        given: ``(D, D)`` inverse covariance of rows about what their values lead to expect.
        anyway: ``(D, D)`` inverse covariance of all rows.
        sizes: how many values each attribute has.
    """

    mean: Tensor
    centre: Tensor
    directions: Tensor
    given: Tensor
    anyway: Tensor
    sizes: tuple[int, ...]

    @classmethod
    def of(
        cls, rows: Tensor, labels: Tensor, sizes: tuple[int, ...], *, per_person: float
    ) -> "Words":
        """Fit to rows ``(N, D)`` with values ``(N, A)``, so many rows of each person."""
        rows, values = rows.double(), encode_values(labels, sizes)
        mean, centre = rows.mean(0), values.mean(0)
        rows, values = rows - mean, values - centre
        # one person more or less of a value must not turn its direction
        ridge = per_person * torch.eye(values.shape[1], dtype=torch.float64)
        directions = torch.linalg.solve(values.T @ values + ridge, values.T @ rows)
        given, anyway = (_inverse(part) for part in (rows - values @ directions, rows))
        return cls(mean, centre, directions, given, anyway, sizes)

    def fit(self, described: Tensor, rows: Tensor) -> Scores:
        """Return log-likelihood ratios ``(B, N)`` of rows ``(N, D)``, given values ``(P, A)``."""
        values = encode_values(described, self.sizes)
        # of what is not described, nothing unusual is expected
        told = (described != MISSING).repeat_interleave(torch.tensor(self.sizes), dim=1)
        expected = torch.where(told, values - self.centre, 0.0) @ self.directions
        aimed = expected @ self.given
        own = (aimed * expected).sum(1)[:, None] / 2
        alone = map_rows(self._weigh_alone, rows)

        def score(block: slice) -> Tensor:
            parts = [aimed[block] @ (part.double() - self.mean).T for part in split_rows(rows)]
            return torch.cat(parts, dim=1) - own[block] + alone

        return score

    def _weigh_alone(self, rows: Tensor) -> Tensor:
        """Return what of the ratio ``(N,)`` depends on rows ``(N, D)`` alone."""
        rows = rows.double() - self.mean
        alone: Tensor = (rows @ (self.anyway - self.given) * rows).sum(1) / 2
        return alone


def encode_values(labels: Tensor, sizes: Sequence[int]) -> Tensor:
    """Encode values ``(N, A)`` as ``(N, V)``, all 0 where missing."""
    columns = []
    for column, size in enumerate(sizes):
        label = labels[:, column]
        hot = F.one_hot(label.clamp_min(0), size).double()
        columns.append(hot * (label != MISSING)[:, None])
    return torch.cat(columns, dim=1)


def recode_truth(truth: Truth, codes: Mapping[str, Sequence[int]]) -> Tensor:
    """Return positions ``(N, A)`` in ``codes`` of the values of further people; −1 for others."""
    columns = []
    for name, values in codes.items():
        position = torch.full_like(truth.pids, MISSING)
        for place, value in enumerate(values):
            position[truth.labels[name] == value] = place
        columns.append(position)
    return torch.stack(columns, dim=1)


def _inverse(steps: Tensor) -> Tensor:
    """Return the inverse covariance ``(D, D)`` of rows about 0, shrunk as Ledoit and Wolf do."""
    shrunk, _ = ledoit_wolf(steps.numpy(), assume_centered=True)
    floor = 1e-9 * float(shrunk.diagonal().mean()) + 1e-18
    eye = torch.eye(len(shrunk), dtype=torch.float64)
    inverse: Tensor = torch.linalg.inv(torch.from_numpy(shrunk) + floor * eye)
    return inverse
