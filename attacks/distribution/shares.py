"""What share of the people in a gallery has a property? Estimated without reading anybody right."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from scipy.optimize import nnls
from torch import Tensor

from attacks import threat_models
from attacks.attribute.labels import MEASURABLE, attackable, recode
from attacks.attribute.learning import (
    FOLDS,
    calibrate,
    learn_from,
    pool_entries,
    score_freshly,
)
from attacks.attribute.logistic import AttributeLogistic
from attacks.attribute.pooling import folds
from attacks.attribute.reference import discriminate_values
from attacks.distribution.scoring import Guess, Property, draw_galleries, score_shares
from auditor.certification.planting import Planted
from auditor.embedding import stored_gallery
from auditor.plugins.declaring import Several, checked_dataclass
from auditor.report import Adversary
from auditor.types import MISSING, AttackResult, RunContext, Target

ROUNDS = 50
"""Steps of expectation maximisation."""


@checked_dataclass
class Distribution:
    """Estimates what share of a gallery has each attribute value, beyond guessing one's own shares.

    Threat model: has the stored gallery, without names, and own annotated pictures of other people;
    may query the extractor on those and knows how the gallery is protected and released. Wants no
    single person but the make-up of the crowd: how many women, how many children, how many with a
    bag.

    Source: label-shift estimation by expectation maximisation (Saerens et al., Neural Computation
    14, 2002) on the calibrated posteriors of `attribute_logistic` (Alexandari et al., ICML 2020),
    shrunk towards one's own shares by as much as serves galleries made of own people who were held
    out. Galleries with random shares are made of the gallery's people, because an adversary whose
    own people are like the gallery's would be right without looking.

    Attributes:
        galleries: as many galleries with other shares are made for each attribute.
        min_people: an attribute value carried by fewer people on either side is not measured.
    """

    galleries: Several = 10
    min_people: PositiveInt = MEASURABLE

    family: ClassVar[str] = "distribution"
    adversary: ClassVar[Adversary] = threat_models.ANNOTATOR
    headline: ClassVar[str] = "shares_explained"

    def run(self, target: Target, ctx: RunContext) -> AttackResult:
        """See `auditor.types.Attack`."""
        data = target.data
        codes = attackable(data.auxiliary, data.gallery, self.min_people)
        own = learn_from(target, data.auxiliary, codes, "attacks.distribution.release", ctx)
        labels = own.labels
        everybody = torch.arange(len(data.gallery))
        known, stored, _ = pool_entries(0)(own, stored_gallery(target, ctx), everybody, ctx)
        learn, weights = AttributeLogistic().learn, known.weights
        held_out = folds(known.pids, FOLDS, ctx.generator("attacks.distribution.folds"))
        fresh, found = score_freshly(learn, known, held_out), learn(known)(stored)
        guesses = []
        for column in range(len(codes)):
            label, weight = labels[:, column], weights[:, column]
            own_odds, odds = (
                calibrate(fresh[column], label, weight, scores.double())
                for scores in (fresh[column], found[column])
            )
            prior, tried = count_shares(label, odds.shape[1]), own_odds.isfinite().all(1)
            guess = self.guess(own_odds, label, odds)
            on_own = self.guess(own_odds, label, own_odds[tried])
            others = Property("", on_own, prior, label[tried])
            trust = learn_trust(others, known.pids[tried], self.galleries, ctx)
            guesses.append(partial(shrink_shares, guess, prior, trust))
        return self._scored(guesses, codes, target, ctx)

    def guess(self, own: Tensor, labels: Tensor, stored: Tensor) -> Guess:
        """Return how shares are estimated from how much each stored entry weighs.

        Args:
            own: ``(N, K)`` log-odds of own people who were held out.
            labels: ``(N,)`` their values.
            stored: ``(M, K)`` log-odds of stored entries.
        """
        prior = count_shares(labels, stored.shape[1])
        return partial(maximise_expectation, compute_likelihoods(stored), prior)

    def reference(self, planted: Planted, ctx: RunContext) -> AttackResult:
        """Maximise the expectation on the true likelihoods of each attribute value."""
        target = planted.target
        codes = attackable(target.data.auxiliary, target.data.gallery, self.min_people)
        labels = recode(target.data.auxiliary, codes)
        guesses = []
        for column, scores in enumerate(discriminate_values(planted, ctx, codes)):
            prior = count_shares(labels[:, column], scores.shape[1])
            guesses.append(partial(maximise_expectation, scores.softmax(1), prior))
        return self._scored(guesses, codes, target, ctx)

    def _scored(
        self,
        guesses: Sequence[Guess],
        codes: Mapping[str, list[int]],
        target: Target,
        ctx: RunContext,
    ) -> AttackResult:
        data = target.data
        own, truth = recode(data.auxiliary, codes), recode(data.gallery, codes)
        properties = [
            Property(name, guess, count_shares(own[:, column], len(codes[name])), truth[:, column])
            for column, (name, guess) in enumerate(zip(codes, guesses, strict=True))
        ]
        generator = ctx.generator("attacks.distribution.galleries")
        return score_shares(properties, data.gallery.pids, self.galleries, generator)


@checked_dataclass
class DistributionBbse(Distribution):
    """Estimates shares of attribute values by inverting how often each is taken for another.

    Threat model: as for `distribution`: the stored gallery without names, own annotated pictures of
    other people, the extractor as a black box.

    Source: black-box shift estimation (Lipton et al., ICML 2018) with soft predictions: the mean
    prediction over the gallery is the confusion of own people who were held out times the shares;
    solved by non-negative least squares.

    Attributes:
        galleries: as many galleries with other shares are made for each attribute.
        min_people: an attribute value carried by fewer people on either side is not measured.
    """

    def guess(self, own: Tensor, labels: Tensor, stored: Tensor) -> Guess:
        """Return how shares are estimated from how much each stored entry weighs."""
        usable = (labels != MISSING) & own.isfinite().all(1)
        predicted, values = compute_likelihoods(own[usable]), labels[usable]
        columns = [predicted[values == value].mean(0) for value in range(own.shape[1])]
        return partial(invert_confusion, compute_likelihoods(stored), torch.stack(columns, dim=1))


def compute_likelihoods(log_odds: Tensor) -> Tensor:
    """Compute likelihoods ``(N, K)`` of each value, up to a factor per row, which sum to 1.

    Args:
        log_odds: ``(N, K)`` for values that are equally likely, of two values half of it each; of
            more, each against the rest.
    """
    likely = log_odds if log_odds.shape[1] == 2 else F.logsigmoid(log_odds)
    return likely.double().softmax(1)


def count_shares(labels: Tensor, size: int) -> Tensor:
    """Count the share ``(size,)`` of each value among ``labels (N,)`` that are not missing."""
    counts = labels[labels != MISSING].bincount(minlength=size).double()
    shares: Tensor = counts / counts.sum()
    return shares


def learn_trust(own: Property, pids: Tensor, galleries: int, ctx: RunContext) -> float:
    """Learn which part of the way from the prior to an estimate is best, on own galleries."""
    people, person = pids.unique(return_inverse=True)
    generator = ctx.generator("attacks.distribution.own")
    weights = draw_galleries(own, people, person, galleries, generator)[:, person]
    true = own.true_shares(weights) - own.prior
    step = own.guess(weights) - own.prior
    best = float((step * true).sum() / step.square().sum().clamp_min(1e-12))
    return min(max(best, 0.0), 1.0)


def shrink_shares(guess: Guess, prior: Tensor, trust: float, weights: Tensor) -> Tensor:
    """Estimate shares ``(S, K)`` by going a part of the way from the prior to a guess."""
    return prior + trust * (guess(weights) - prior)


def maximise_expectation(likelihoods: Tensor, prior: Tensor, weights: Tensor) -> Tensor:
    """Estimate shares ``(S, K)`` in galleries whose entries weigh ``(S, M)``.

    Args:
        likelihoods: ``(M, K)`` of each value.
        prior: ``(K,)`` where the search starts.
        weights: rows of no weight take no part.
    """
    shares = prior.expand(len(weights), -1)
    total = weights.sum(1, keepdim=True)
    for _ in range(ROUNDS):
        evidence = weights / (shares @ likelihoods.T).clamp_min(1e-300)
        shares = shares * (evidence @ likelihoods) / total
    return shares


def invert_confusion(predicted: Tensor, confusion: Tensor, weights: Tensor) -> Tensor:
    """Estimate shares ``(S, K)`` in galleries whose entries weigh ``(S, M)``.

    Args:
        predicted: ``(M, K)`` of each entry.
        confusion: ``(K, K)``, in columns the mean prediction for each value.
        weights: rows of no weight take no part.
    """
    means = (weights @ predicted / weights.sum(1, keepdim=True)).numpy()
    solved = np.stack([nnls(confusion.numpy(), mean)[0] for mean in means])
    return torch.from_numpy(solved / np.maximum(solved.sum(1, keepdims=True), 1e-12))
