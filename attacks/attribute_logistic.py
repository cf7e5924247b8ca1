"""What are they like, with one linear boundary each: the rung below the attribute network."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from attacks.attribute import attackable, inferred, recode
from auditor.embedding import features_of, stored_gallery
from auditor.types import MISSING, AttackResult, RunContext, Target


@dataclass(frozen=True, kw_only=True)
class AttributeLogistic:
    """Reads annotated attributes off stored embeddings by logistic regression.

    Threat model: holds the stored gallery and own annotated pictures of other people; may query the
    extractor on those and knows how the gallery is released; infers each attribute of every stored
    entry. People learned from and people attacked are disjoint.

    Source: class-balanced logistic regression, the usual linear probe. It learns from one draw of
    the release; `attribute` learns from fresh ones.

    Attributes:
        inverse_penalty: scikit-learn's C on standardised features; small, because images of one
            person repeat each other.
        min_people: an attribute value carried by fewer people on either side is not attacked.
    """

    inverse_penalty: float = 0.003
    min_people: int = 5

    family: ClassVar[str] = "attribute"
    headline: ClassVar[str] = "mean_balanced_accuracy"

    def run(self, target: Target, ctx: RunContext) -> AttackResult:
        """See `auditor.types.Attack`."""
        auxiliary, gallery = target.data.auxiliary, target.data.gallery
        codes = attackable(auxiliary, gallery, self.min_people)
        clean = features_of(target.extractor, auxiliary, ctx)
        released = target.release(clean, ctx.generator("attacks.attribute_logistic")).numpy()
        stored = stored_gallery(target, ctx).numpy()
        labels = recode(auxiliary, codes).numpy()
        guesses = []
        for column in range(labels.shape[1]):
            annotated = labels[:, column] != MISSING
            regression = LogisticRegression(
                C=self.inverse_penalty, class_weight="balanced", max_iter=500
            )
            model = make_pipeline(StandardScaler(), regression)
            model.fit(released[annotated], labels[annotated, column])
            guesses.append(torch.from_numpy(model.predict(stored)))
            ctx.progress((column + 1) / labels.shape[1], "logistic regression")
        return inferred(torch.stack(guesses, dim=1), gallery, codes)
