"""Who is this, with the whole stolen gallery at hand: entries without names teach as well."""

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from pydantic import NonNegativeInt
from torch import Tensor

from attacks.identity.naming import Naming
from attacks.identity.plda import suspect
from attacks.learners.people import sum_groups
from attacks.learners.plda import Own, Plda, Suspects
from attacks.learners.standardising import Standardise
from attacks.protocol.closed_set import (
    BLOCK,
    learn_some,
    put_aside,
    score_naming,
    split_gallery,
)
from auditor.embedding import stored_gallery
from auditor.plugins.declaring import checked_dataclass
from auditor.types import AttackResult, RunContext, Target

CELLS = 20_000_000
"""As many likenesses are held at a time."""


@checked_dataclass
class IdentityTransductive(Naming):
    """Names the person behind a stolen embedding by way of the entries that resemble it.

    Threat model: has the stored gallery and knows the names behind part of each person's entries;
    has own pictures of other people, may query the extractor on those and knows how pictures are
    protected and how the gallery is released; names the remaining entries. Closed set, as for
    `identity`.

    Source: self-training (Nigam et al., Machine Learning 39, 2000): expectation and maximisation
    under the two-covariance model of `identity_plda`, over all entries of the gallery, any of which
    may be a stranger's; then names spread between nearest neighbours (Zhu and Ghahramani, 2002).
    Half of the known names are put aside at first, and tell which of these steps help; what does
    not is left out.

    Attributes:
        train_share: share of each person's images, or of the cameras, whose names are known.
        split: whether half of the images or half of the cameras is known.
        rounds: of self-training, at most.
        neighbours: an entry hears of its names, at most.
    """

    rounds: NonNegativeInt = 10
    neighbours: NonNegativeInt = 8

    def run(self, target: Target, ctx: RunContext) -> AttackResult:
        """See `auditor.types.Attack`."""
        own = Own.of(target, ctx, "attacks.identity_transductive")
        pids, stored = target.data.gallery.pids, stored_gallery(target, ctx)
        known, asked = split_gallery(target.data.gallery, self.split, self.train_share, ctx)
        known, notes = learn_some(known, asked, pids)
        people, labels = pids[known].unique(return_inverse=True)
        prepare = Standardise(stored)
        entries = prepare(stored)
        plda = suspect(entries[known], labels, prepare, own, ctx).plda
        gallery = _Gallery(plda, plda.project(entries), F.normalize(plda.weigh(entries), dim=1))
        rounds, neighbours = self._choose(gallery, known, labels)
        suspects = gallery.train(known, labels, rounds)
        result = score_naming(
            lambda rows: gallery.score(suspects, rows, neighbours),
            asked,
            people,
            pids[asked],
            self.split,
        )
        note = f"names put aside chose {rounds} rounds of self-training and {neighbours} neighbours"
        return replace(result, notes=(*result.notes, *notes, note))

    def _choose(self, gallery: "_Gallery", known: Tensor, labels: Tensor) -> tuple[int, int]:
        """Choose rounds and neighbours that name half of the known entries best from the rest."""
        kept = put_aside(labels)
        if kept.all():
            return 0, 0
        best, choice = -1.0, (0, 0)
        for rounds in sorted({0, self.rounds // 3, self.rounds}):
            suspects = gallery.train(known[kept], labels[kept], rounds)
            for neighbours in sorted({0, self.neighbours // 3, self.neighbours}):
                rows, wanted = known[~kept].split(BLOCK), labels[~kept].split(BLOCK)
                right = [
                    gallery.score(suspects, block, neighbours).argmax(1) == names
                    for block, names in zip(rows, wanted, strict=True)
                ]
                share = float(torch.cat(right).double().mean())
                if share > best:
                    best, choice = share, (rounds, neighbours)
        return choice


@dataclass(frozen=True, eq=False)
class _Gallery:
    """All stored entries under the model.

    Attributes:
        plda: the model.
        rows: ``(G, D)`` entries along its axes.
        unit: ``(G, D)`` rows whose inner product tells whether two entries show one person.
    """

    plda: Plda
    rows: Tensor
    unit: Tensor

    def train(self, known: Tensor, labels: Tensor, rounds: int) -> Suspects:
        """Model people from the entries ``known (N,)``, named ``labels (N,)``, and the others.

        The entries without a name count for each person by how likely they are theirs; a stranger
        is as likely beforehand as all people together.
        """
        count = int(labels.max()) + 1
        sums = sum_groups(self.rows[known], labels, count)
        counts = labels.bincount(minlength=count).double()
        suspects = Suspects.from_sums(self.plda, sums, counts)
        unnamed = torch.ones(len(self.rows), dtype=torch.bool)
        unnamed[known] = False
        for _ in range(rounds):
            more, weight = sums.clone(), counts.clone()
            for block in self.rows[unnamed].split(BLOCK):
                share = self._shares(suspects, block)
                more += share.T @ block
                weight += share.sum(0)
            suspects = Suspects.from_sums(self.plda, more, weight)
        return suspects

    def _shares(self, suspects: Suspects, block: Tensor) -> Tensor:
        """Return how likely rows ``(B, D)`` are each person's ``(B, P)``.

        What lacks is a stranger's.
        """
        squares, spread = block.square(), 1 + self.plda.between
        logits = suspects.weigh_rows(block, squares)
        stranger = -(squares / spread + spread.log()).sum(1, keepdim=True) / 2
        prior = math.log(logits.shape[1])
        return torch.cat([logits, stranger + prior], dim=1).softmax(1)[:, :-1]

    def score(self, suspects: Suspects, asked: Tensor, neighbours: int) -> Tensor:
        """Log-likelihood ``(N, P)`` of entries ``asked (N,)``, the mean over their neighbours."""
        if not neighbours:
            rows = self.rows[asked]
            return suspects.weigh_rows(rows, rows.square())
        found = []
        for block in asked.split(max(1, CELLS // len(self.rows))):
            likeness = self.unit[block] @ self.unit.T
            near = likeness.topk(min(neighbours + 1, len(self.rows)), dim=1).indices
            rows = self.rows[near]
            found.append(suspects.weigh_rows(rows.mean(1), rows.square().mean(1)))
        return torch.cat(found)
