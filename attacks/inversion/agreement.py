"""What a reconstruction shows of its person: the annotated attributes, read by a judge."""

import warnings
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from torch import Tensor

from attacks.attribute.labels import MEASURABLE, attackable, recode
from attacks.inversion.scoring import Trial
from auditor.embedding import embed_pictures, features_of
from auditor.errors import UnsupportedTargetError
from auditor.metrics import leakage, measure
from auditor.report import Measurement
from auditor.types import MISSING, FeatureExtractor, RunContext, Split

SHRINKAGE = 0.1


def agreement(trial: Trial, ctx: RunContext) -> tuple[list[Measurement], str]:
    """Return the mean balanced accuracy of the attributes read off the reconstructions.

    The reader is a linear discriminant on features of real auxiliary pictures, under an independent
    judge if there is one. Chance is the same figure for reconstructions of somebody else.

    Returns the figure, none where nothing is annotated, and a sentence with the ceiling.
    """
    data = trial.target.data
    shown = trial.target.originals_of_gallery.take(trial.chosen)
    try:
        codes = attackable(data.auxiliary, shown, MEASURABLE)
    except UnsupportedTargetError:
        return [], ""
    name, judge = _most_independent(trial, ctx)
    learned = features_of(judge, data.auxiliary, ctx)
    seen = embed_pictures(judge, trial.drawn, ctx)
    real = embed_pictures(judge, trial.originals, ctx)
    pictures = [seen, seen.roll(len(seen) // 2, 0), real]
    guesses = _read(learned, recode(data.auxiliary, codes), pictures)
    found, floor, ceiling = (_score(guess, shown, codes) for guess in guesses)
    note = (
        f"attributes read by {name} from the real pictures at this size: {ceiling.value:.3f} "
        "mean balanced accuracy"
    )
    return [replace(found, chance=floor.value)], note


def _most_independent(trial: Trial, ctx: RunContext) -> tuple[str, FeatureExtractor]:
    others = [(name, judge) for name, judge in ctx.judges.items() if name != "target"]
    if others:
        return f"the independent judge {others[0][0]}", others[0][1]
    return "the audited extractor", ctx.judges.get("target", trial.target.extractor)


def _read(learned: Tensor, labels: Tensor, pictures: list[Tensor]) -> list[Tensor]:
    """Guesses ``(M, A)`` for each set of picture features, from auxiliary labels ``(N, A)``."""
    columns: list[list[Tensor]] = [[] for _ in pictures]
    for column in range(labels.shape[1]):
        known = labels[:, column] != MISSING
        classes = int(labels[:, column].max()) + 1
        model = LinearDiscriminantAnalysis(
            solver="lsqr", shrinkage=SHRINKAGE, priors=[1 / classes] * classes
        )
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Only one sample available")
            model.fit(learned[known].double().numpy(), labels[known, column].numpy())
        for guesses, features in zip(columns, pictures, strict=True):
            guesses.append(torch.from_numpy(model.predict(features.double().numpy())))
    return [torch.stack(guesses, dim=1) for guesses in columns]


def _score(guesses: Tensor, shown: Split, codes: Mapping[str, list[int]]) -> Measurement:
    truth, sizes = recode(shown, codes), [len(values) for values in codes.values()]
    tables = [
        leakage.confusion_by_person(guesses[:, column], truth[:, column], shown.pids, size)
        for column, size in enumerate(sizes)
    ]
    joint = np.concatenate(tables, axis=1)
    joint = joint[joint.sum(1) > 0]
    return measure.statistic(
        "attribute_agreement",
        joint,
        leakage.mean_over(leakage.balanced_accuracy, sizes),
        leakage.add_unseen(joint, sizes),
    )
