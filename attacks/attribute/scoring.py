"""All figures of an attribute attack, from scores of every stored entry."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from attacks.attribute.labels import recode
from auditor.metrics import auc, leakage, measure
from auditor.report import Measurement
from auditor.types import MISSING, AttackResult, Split


def score_attributes(
    scores: Sequence[Tensor],
    gallery: Split,
    codes: Mapping[str, list[int]],
    annotated: Collection[str],
    notes: tuple[str, ...] = (),
) -> AttackResult:
    """Figures of each attribute and means over those that are ``annotated``.

    Args:
        scores: ``(N, values)`` of each attribute in ``codes``, higher for likelier.
        gallery: the N entries that were read.
        codes: attribute -> the codes its columns stand for.
        annotated: names of what was annotated; others were made from them and stay out of the
            means, which would count them twice.
        notes: what else a reader must know.
    """
    truth = recode(gallery, codes)
    tables, each = {}, []
    for column, (name, values) in enumerate(codes.items()):
        label, score = truth[:, column], scores[column]
        table = leakage.confusion_by_person(score.argmax(1), label, gallery.pids, len(values))
        each += attribute_measurements(name, table[table.sum(1) > 0], len(values))
        each.append(_auc(name, score, label, gallery.pids))
        if name in annotated:
            tables[name] = table
    means = _means(list(tables.values()), [len(codes[name]) for name in tables])
    return AttackResult((*means, *each), notes=(*_notes(gallery, codes, annotated), *notes))


def attribute_measurements(name: str, table: np.ndarray, classes: int) -> list[Measurement]:
    """Balanced accuracy, F1, accuracy and its excess from ``table (num_persons, classes²)``."""
    shares = table.sum(0).reshape(classes, classes).sum(1) / table.sum()
    unseen = leakage.add_unseen(table, [classes])
    rows = (
        ("balanced_accuracy", leakage.balanced_accuracy, 1 / classes),
        ("f1", leakage.f1, leakage.blind_f1(shares)),
        ("accuracy", leakage.accuracy, float(shares.max())),
    )
    found = [
        measure.statistic(f"{name}.{metric}", table, formula(classes), unseen, chance=chance)
        for metric, formula, chance in rows
    ]
    excess = measure.statistic(
        f"{name}.excess_accuracy",
        table,
        leakage.excess_accuracy(classes),
        unseen,
        chance=0.0,
        note="accuracy less the share of the commonest value; negative where that guess is better",
    )
    return [*found, replace(excess, unit="ratio")]


def _auc(name: str, scores: Tensor, truth: Tensor, pids: Tensor) -> Measurement:
    """Return the area under the ROC curve; macro one-vs-rest for more than two values."""
    counted = (truth != MISSING) & (pids > 0)
    _, person = pids[counted].unique(return_inverse=True)
    areas = auc.macro_auc(scores[counted], truth[counted], person)
    return measure.area(f"{name}.auc", areas, chance=0.5)


def _means(tables: list[np.ndarray], sizes: list[int]) -> list[Measurement]:
    """Mean balanced accuracy and mean F1 over attributes, resampling all of them together."""
    joint = np.concatenate(tables, axis=1)
    joint = joint[joint.sum(1) > 0]
    unseen = leakage.add_unseen(joint, sizes)
    shares = [
        table.sum(0).reshape(k, k).sum(1) / table.sum()
        for table, k in zip(tables, sizes, strict=True)
    ]
    return [
        measure.statistic(
            "mean_balanced_accuracy",
            joint,
            leakage.mean_over(leakage.balanced_accuracy, sizes),
            unseen,
            chance=float(np.mean([1 / k for k in sizes])),
        ),
        measure.statistic(
            "mean_f1",
            joint,
            leakage.mean_over(leakage.f1, sizes),
            unseen,
            chance=float(np.mean([leakage.blind_f1(share) for share in shares])),
            note="chance is the best guess without features",
        ),
    ]


def _rare(gallery: Split, name: str, codes: list[int]) -> int:
    """Return how many people carry a value of an attribute that is not among ``codes``."""
    column = gallery.attributes[name]
    left_out = (column != MISSING) & (gallery.pids > 0) & ~torch.isin(column, torch.tensor(codes))
    return len(gallery.pids[left_out].unique())


def _notes(
    gallery: Split, codes: Mapping[str, list[int]], annotated: Collection[str]
) -> tuple[str, ...]:
    notes = [f"{len(codes)} attributes of people who are disjoint from those learned from"]
    if made := sorted(set(codes) - set(annotated)):
        notes.append(
            f"{', '.join(made)}: one attribute made of yes-or-no columns; entries without any of "
            "them are left out, and the means exclude it"
        )
    if left_out := sorted(set(gallery.attributes) - set(codes)):
        notes.append(f"not attacked, too few people per value: {', '.join(left_out)}")
    rare = {name: _rare(gallery, name, kept) for name, kept in codes.items()}
    if named := [f"{name} ({people} people)" for name, people in rare.items() if people]:
        notes.append(f"not measured, values that too few people carry: {', '.join(named)}")
    return tuple(notes)
