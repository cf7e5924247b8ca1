"""Who is this, in closed form: the rung below the trained identity classifier."""

import warnings
from dataclasses import dataclass
from typing import ClassVar

import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from attacks.identity import named, split_by_image
from auditor.embedding import stored_gallery
from auditor.types import AttackResult, RunContext, Target


@dataclass(frozen=True, kw_only=True)
class IdentityLda:
    """Names the person behind a stolen embedding by linear discriminant analysis.

    Threat model: holds the stored gallery and knows the names behind part of each person's entries;
    may query nothing; names the remaining entries. Closed set, as for `identity`.

    Source: the Bayes classifier for people who are Gaussian clouds of one shape (Fisher, 1936),
    with the covariance shrunk towards a ball because there are few images per person. No training,
    so no hyper-parameter can hide a leak; under noise it is often the stronger rung.

    Attributes:
        train_share: share of each person's images whose names are known.
        shrinkage: weight of the ball in the covariance, in (0, 1).
    """

    train_share: float = 0.5
    shrinkage: float = 0.1

    family: ClassVar[str] = "identity"
    headline: ClassVar[str] = "top1"

    def run(self, target: Target, ctx: RunContext) -> AttackResult:
        """See `auditor.types.Attack`."""
        features, pids = stored_gallery(target, ctx), target.data.gallery.pids
        # the same split as `identity`, so that both rungs name the same entries
        known, asked = split_by_image(pids, self.train_share, ctx.generator("attacks.identity"))
        people, labels = pids[known].unique(return_inverse=True)
        model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=self.shrinkage)
        with warnings.catch_warnings():
            # a person with one known image has no spread of their own and takes the others'
            warnings.filterwarnings("ignore", message="Only one sample available")
            model.fit(features[known].double().numpy(), labels.numpy())
        scores = model.decision_function(features[asked].double().numpy())
        logits = torch.from_numpy(scores).reshape(len(asked), -1)
        if logits.shape[1] == 1:  # two people: one score, positive for the second
            logits = torch.cat([-logits, logits], dim=1)
        return named(logits, people, pids[asked])
